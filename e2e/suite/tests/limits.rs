//! Limits hold, whatever happens to the operator.

use anyhow::{Result, ensure};
use longshore_crds::PersistentSession;
use longshore_e2e::install::{OPERATOR, Options, with_install};
use longshore_e2e::kinds::{list, session, topic};
use longshore_e2e::pods::PodWatch;
use serde_json::json;

const NAMES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];

#[tokio::test]
async fn five_sessions_created_while_the_operator_restarts_never_have_more_than_two_pods_and_run_in_order() -> Result<()>
{
    let values = json!({"bot": {"enabled": false}, "agentClass": {"limits": {"maxActiveSessions": 2}}});
    with_install(Options::named("limits").with(values), async |install| {
        let watch = PodWatch::start(install, "longshore.dev/kind=session").await?;
        install
            .apply(&list(
                NAMES.iter().map(|name| topic(&format!("topic-{name}"))).collect(),
            ))
            .await?;
        let operator = install.pod_with(OPERATOR).await?;
        install.delete_pod_by_force(&operator).await?;
        for name in NAMES {
            install
                .apply(&session(name, &format!("topic-{name}"), "[[say hello]]"))
                .await?;
        }
        install.delete_pod_by_force(&install.pod_with(OPERATOR).await?).await?;
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
        let seen = watch.finish().await?;
        ensure!(seen.most == 2, "up to {} session pods at once", seen.most);
        let pods: Vec<String> = NAMES.iter().map(|name| format!("ls-topic-{name}-0")).collect();
        ensure!(seen.names.iter().eq(&pods), "the watch saw {:?}", seen.names);
        Ok(())
    })
    .await
}
