//! Effects of a schedule's plan.

use kube::{Api, Client, ResourceExt};
use longshore_crds::{ContainerTask, PersistentSession, meta};
use serde_json::{Value, json};

use super::observe::{Observed, is_current};
use super::plan::{Plan, Step};
use crate::cluster::{self, Created, Error};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    All,
    /// Somebody else's task has the name of the run.
    NameTaken,
}

pub async fn apply(plan: &Plan, seen: &Observed, client: &Client) -> Result<Applied, Error> {
    let namespace = seen.schedule.namespace().unwrap_or_default();
    let api: Api<ContainerTask> = Api::namespaced(client.clone(), &namespace);
    for step in &plan.steps {
        match step {
            Step::Start(run) => {
                is_current(&seen.schedule, client).await?;
                if let Created::Foreign(_) = cluster::create(&api, run).await? {
                    return Ok(Applied::NameTaken);
                }
            }
            Step::Wake { session, wish } => {
                is_current(&seen.schedule, client).await?;
                let api: Api<PersistentSession> = Api::namespaced(client.clone(), &namespace);
                cluster::merge(&api, &session.name_any(), &wake_patch(session, wish)).await?;
            }
            Step::Delete { name, uid } => cluster::delete(&api, name, uid).await?,
        }
    }
    Ok(Applied::All)
}

/// Sets nothing but the annotation, and only on the session that this was decided by: what has changed since may be a wish, or the
/// end.
fn wake_patch(session: &PersistentSession, wish: &str) -> Value {
    json!({ "metadata": {
        "uid": session.uid(), "resourceVersion": session.resource_version(), "annotations": { meta::WAKE: wish },
    }})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use longshore_crds::Topic;
    use serde_json::{Value, json};

    use super::super::plan::plan;
    use super::*;
    use crate::cluster::tests::{failure, server};

    const RUNS: &str = "/apis/longshore.dev/v1alpha1/namespaces/ns/containertasks";

    fn schedule(version: &str) -> Value {
        json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "ScheduledTask",
            "metadata": { "name": "daily", "namespace": "ns", "uid": "u", "resourceVersion": version,
                "creationTimestamp": "2026-01-01T08:00:00Z" },
            "spec": { "topicRef": { "name": "t" }, "prompt": "p", "schedule": "0 9 * * *" },
        })
    }

    /// A run is due, and the server answers like this.
    async fn check(answers: Vec<(u16, Value)>, expected: Option<Applied>, asked: &[String]) {
        let (client, record) = server(answers);
        let seen = Observed {
            schedule: Arc::new(serde_json::from_value(schedule("7")).unwrap()),
            topic: Some(Arc::new(Topic::new("t", serde_json::from_value(json!({})).unwrap()))),
            runs: Vec::new(),
            sessions: Vec::new(),
        };
        let now: Timestamp = "2026-01-01T09:00:00Z".parse().unwrap();
        let applied = apply(&plan(&seen, None, now), &seen, &client).await;
        assert_eq!(applied.ok(), expected);
        let lines: Vec<String> = record.lock().unwrap().iter().map(|(line, _)| line.clone()).collect();
        assert_eq!(lines, asked);
    }

    fn task(owner: &str) -> Value {
        json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "ContainerTask",
            "metadata": { "name": "daily-29454300", "namespace": "ns", "ownerReferences": [{ "apiVersion": "longshore.dev/v1alpha1",
                "kind": "ScheduledTask", "name": "daily", "uid": owner, "controller": true }] },
            "spec": { "topicRef": { "name": "t" }, "prompt": "p" },
        })
    }

    #[tokio::test]
    async fn a_run_is_made_after_a_live_look_and_a_task_of_its_name_is_ours_or_somebody_elses() {
        let look = "GET /apis/longshore.dev/v1alpha1/namespaces/ns/scheduledtasks/daily".to_owned();
        let (make, found) = (format!("POST {RUNS}"), format!("GET {RUNS}/daily-29454300"));
        let two = [look.clone(), make.clone()];
        check(vec![(200, schedule("7")), (201, task("u"))], Some(Applied::All), &two).await;
        let three = [look.clone(), make, found];
        for (owner, applied) in [("u", Applied::All), ("other", Applied::NameTaken)] {
            let answers = vec![
                (200, schedule("7")),
                (409, failure(409, "AlreadyExists")),
                (200, task(owner)),
            ];
            check(answers, Some(applied), &three).await;
        }
    }

    #[tokio::test]
    async fn a_run_that_a_newer_version_of_the_schedule_may_have_settled_is_not_made() {
        let look = ["GET /apis/longshore.dev/v1alpha1/namespaces/ns/scheduledtasks/daily".to_owned()];
        check(vec![(200, schedule("8"))], None, &look).await;
        check(vec![(404, failure(404, "NotFound"))], None, &look).await;
        check(vec![(500, failure(500, "InternalError"))], None, &look).await;
    }

    #[tokio::test]
    async fn a_session_is_woken_after_a_live_look_by_its_annotation_and_nothing_else() {
        let deep = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
            "metadata": { "name": "deep", "namespace": "ns", "uid": "s", "resourceVersion": "3" },
            "spec": { "topicRef": { "name": "t" } },
        });
        let seen = Observed {
            schedule: Arc::new(serde_json::from_value(schedule("7")).unwrap()),
            topic: None,
            runs: Vec::new(),
            sessions: Vec::new(),
        };
        let wake = Plan {
            steps: vec![Step::Wake {
                session: Arc::new(serde_json::from_value(deep.clone()).unwrap()),
                wish: "schedule/u/1".to_owned(),
            }],
            status: longshore_crds::ScheduledTaskStatus::default(),
            news: Vec::new(),
            next_look: None,
        };
        let (client, record) = server(vec![(200, schedule("7")), (200, deep)]);
        assert_eq!(apply(&wake, &seen, &client).await.ok(), Some(Applied::All));
        let patch = record.lock().unwrap()[1].clone();
        assert_eq!(
            patch,
            (
                "PATCH /apis/longshore.dev/v1alpha1/namespaces/ns/persistentsessions/deep".to_owned(),
                json!({ "metadata": { "uid": "s", "resourceVersion": "3", "annotations": { "longshore.dev/wake": "schedule/u/1" } } })
            )
        );
        let (client, record) = server(vec![(200, schedule("8"))]);
        assert!(matches!(
            apply(&wake, &seen, &client).await,
            Err(Error::Conflict { .. })
        ));
        assert_eq!(record.lock().unwrap().len(), 1);
    }
}
