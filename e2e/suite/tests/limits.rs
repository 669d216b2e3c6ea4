//! Limits hold, whatever happens to the operator.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use longshore_crds::PersistentSession;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::kinds::{list, session, topic};
use serde_json::json;

const NAMES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];

#[tokio::test]
async fn five_sessions_created_while_the_operator_restarts_never_have_more_than_two_pods_and_run_in_order() -> Result<()>
{
    let values = json!({"bot": {"enabled": false}, "agentClass": {"limits": {"maxActiveSessions": 2}}});
    with_install(Options::named("limits").with(values), async |install| {
        let most = watch_pods(install);
        install
            .apply(&list(
                NAMES.iter().map(|name| topic(&format!("topic-{name}"))).collect(),
            ))
            .await?;
        let operator = install.pod_with("app.kubernetes.io/component=operator").await?;
        install.kill_pod(&operator).await?;
        for name in NAMES {
            install
                .apply(&session(name, &format!("topic-{name}"), "[[say hello]]"))
                .await?;
        }
        install
            .kill_pod(&install.pod_with("app.kubernetes.io/component=operator").await?)
            .await?;
        for (index, name) in NAMES.iter().enumerate() {
            install.session(name, "Ready", "True").await?;
            if index >= 1 {
                let ended = NAMES[index - 1];
                install
                    .kubectl(&["annotate", "ps", ended, "longshore.dev/end=over"])
                    .await?;
                install.session(ended, "Ended", "True").await?;
            }
            for (place, waiting) in NAMES.iter().skip(index + 2).enumerate() {
                let expected = i32::try_from(place + 1)?;
                install
                    .wait_for(
                        waiting,
                        &format!("at place {expected}"),
                        move |found: Option<&PersistentSession>| {
                            let status = found.and_then(|session| session.status.as_ref());
                            status.and_then(|status| status.queue_position) == Some(expected)
                        },
                    )
                    .await?;
            }
        }
        let most = most.finish().await;
        ensure!(most == 2, "up to {most} session pods at once");
        Ok(())
    })
    .await
}

/// Counts session pods until it is finished.
struct PodWatch {
    stop: tokio_util::sync::CancellationToken,
    most: tokio::task::JoinHandle<usize>,
}

impl PodWatch {
    /// The highest number of pods that were there at once.
    async fn finish(self) -> usize {
        self.stop.cancel();
        self.most.await.unwrap_or(usize::MAX)
    }
}

fn watch_pods(install: &Install) -> PodWatch {
    let stop = tokio_util::sync::CancellationToken::new();
    let pods: kube::Api<Pod> = install.api();
    let stopped = stop.clone();
    let most = tokio::spawn(async move {
        let mut most = 0;
        while !stopped.is_cancelled() {
            let params = ListParams::default().labels("longshore.dev/kind=session");
            if let Ok(found) = pods.list(&params).await {
                let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
                most = most.max(names.len());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        most
    });
    PodWatch { stop, most }
}
