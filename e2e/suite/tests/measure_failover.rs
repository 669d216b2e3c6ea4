//! How long nobody leads when the leader of two operators goes: told to (SIGTERM), with its pod deleted, and killed (SIGKILL).
//!
//! Measured at the Lease, looked at every 20 ms: from the command until another holder stands in it. Of the deletion of a pod most
//! is the way over `kubectl` and the kubelet until the leader has its SIGTERM.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use longshore_e2e::install::{DEADLINE, Install, OPERATOR, Options, with_install};
use longshore_e2e::processes::Signal;
use longshore_e2e::table::{render, times};
use serde_json::json;

const RUNS: usize = 8;

/// Whether there are two operators, both ready. One that is going away does not count.
async fn both_ready(install: &Install) -> Result<bool> {
    let pods = install
        .api::<Pod>()
        .list(&ListParams::default().labels(OPERATOR))
        .await?;
    let ready = pods.iter().filter(|pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let is_ready = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
        is_ready && pod.metadata.deletion_timestamp.is_none()
    });
    Ok(ready.count() == 2)
}

#[derive(Clone, Copy, Debug)]
enum End {
    Told,
    Deleted,
    Killed,
}

/// Milliseconds without a leader.
async fn gap(install: &Install, end: End) -> Result<f64> {
    install
        .until("somebody leads", async || Ok(install.leader().await?.is_some()))
        .await?;
    install
        .until("both operators are ready", async || both_ready(install).await)
        .await?;
    let old = install.leader().await?.context("nobody leads")?;
    let pod = old.split('_').next().context("an identity names its pod")?.to_owned();
    let begun = Instant::now();
    match end {
        End::Told => install.signal(&pod, "longshore-operator", Signal::Terminate).await?,
        End::Deleted => install.delete_pod(&pod).await?,
        End::Killed => install.kill_pod(&pod).await?,
    }
    loop {
        if install.leader().await?.is_some_and(|now| now != old) {
            let gap = begun.elapsed().as_secs_f64() * 1000.0;
            if matches!(end, End::Told) {
                // Its container would come back with a back-off that grows.
                install.delete_pod(&pod).await?;
            }
            return Ok(gap);
        }
        if begun.elapsed() > DEADLINE {
            bail!("nobody leads after {DEADLINE:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn another_operator_leads_soon_after_the_leader_is_gone() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "operator": {"replicas": 2}});
    with_install(Options::named("failover").with(values), async |install| {
        let mut rows = Vec::new();
        for (what, end) in [
            ("gets SIGTERM", End::Told),
            ("has its pod deleted", End::Deleted),
            ("gets SIGKILL", End::Killed),
        ] {
            let mut gaps = Vec::new();
            for _ in 0..RUNS {
                gaps.push(gap(install, end).await?);
            }
            rows.push(times(what, &gaps));
            ensure!(gaps.iter().all(|gap| *gap < 60_000.0), "{what}: {gaps:?}");
        }
        println!(
            "{}",
            render(
                "two operators, without a leader, ms",
                &["leader", "p50", "p95", "all"],
                &rows
            )
        );
        Ok(())
    })
    .await
}
