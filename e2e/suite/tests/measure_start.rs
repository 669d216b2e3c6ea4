//! How long a session takes to be Ready, beside a bare pod of the same image in the same run.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use longshore_e2e::install::{Install, Options, image, with_install};
use longshore_e2e::kinds::{session, topic};
use longshore_e2e::table::{median, render};
use serde_json::{Value, json};

const RUNS: usize = 5;

fn bare_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "bare", "image": image("-agent"), "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "600"],
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

async fn time_pod(install: &Install, name: &str) -> Result<Duration> {
    let start = Instant::now();
    install.create(&bare_pod(name)).await?;
    install
        .wait_for(name, "ready", |pod: Option<&Pod>| {
            let conditions = pod
                .and_then(|pod| pod.status.as_ref())
                .and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        })
        .await?;
    let took = start.elapsed();
    install.kubectl(&["delete", "pod", name, "--wait=false"]).await?;
    Ok(took)
}

async fn time_session(install: &Install, name: &str, topic: &str) -> Result<Duration> {
    let start = Instant::now();
    install.create(&session(name, topic, "[[say hello]]")).await?;
    install.session(name, "Ready", "True").await?;
    let took = start.elapsed();
    install
        .kubectl(&["annotate", "ps", name, "longshore.dev/end=measured"])
        .await?;
    install.session(name, "Ended", "True").await?;
    Ok(took)
}

#[tokio::test]
async fn a_session_is_ready_within_a_minute_measured_beside_a_bare_pod() -> Result<()> {
    let options = Options::named("measure").with(json!({"bot": {"enabled": false}}));
    with_install(options, async |install| {
        install.apply(&topic("speed")).await?;
        install.topic_settled("speed").await?;
        time_session(install, "warm-up", "speed").await?;
        let (mut pods, mut sessions) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            pods.push(time_pod(install, &format!("bare-{run}")).await?.as_secs_f64());
            sessions.push(
                time_session(install, &format!("run-{run}"), "speed")
                    .await?
                    .as_secs_f64(),
            );
        }
        let row = |what: &str, values: &[f64]| {
            let all: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
            vec![what.to_owned(), format!("{:.2}", median(values)), all.join(" ")]
        };
        let rows = [row("bare pod, same image", &pods), row("PersistentSession", &sessions)];
        let ratio = median(&sessions) / median(&pods);
        println!(
            "{}",
            render("create -> Ready, seconds", &["what", "median", "runs"], &rows)
        );
        println!("  ratio of the medians: {ratio:.2}");
        ensure!(
            sessions.iter().all(|seconds| *seconds < 60.0),
            "a start took more than a minute"
        );
        Ok(())
    })
    .await
}
