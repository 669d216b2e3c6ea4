//! Lets a Job have its pod.
//!
//! A Job is created suspended. Its create may reach the API server late: after its task was deleted, after another has taken the
//! topic or the slot. So what it was created by is looked at once more, live, when it is there, and a Job that comes too late is
//! deleted without ever having had a pod. Whoever takes a topic over looks for Jobs after that (`admit::remains`). So either the
//! one sees that the topic is taken, or the other sees the Job.

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};
use longshore_crds::{AgentClass, ContainerTask, SlotKind, Topic};
use serde_json::{Value, json};

use super::observe::Observed;
use super::order::is_over;
use crate::cluster::{self, Error};
use crate::context::Context;
use crate::ledger;

/// Whether the Job waits to be released.
pub fn is_held_back(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// Releases the Job, if it is still its task's turn, and deletes it otherwise.
pub async fn release(job: &Job, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    if !is_held_back(job) {
        return Ok(());
    }
    let namespace = seen.namespace();
    let jobs: Api<Job> = Api::namespaced(ctx.client.clone(), &namespace);
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    if !has_its_turn(seen, ctx).await? {
        cluster::delete(&jobs, &name, &uid).await?;
        return Err(Error::Conflict {
            what: cluster::describe(job),
        });
    }
    cluster::merge(&jobs, &name, &patch(&uid)).await.map(|_| ())
}

fn patch(uid: &str) -> Value {
    json!({ "metadata": { "uid": uid }, "spec": { "suspend": false } })
}

/// Whether the task lives, and has its slot, and the topic if it may write there, looked at live.
async fn has_its_turn(seen: &Observed, ctx: &Context) -> Result<bool, Error> {
    let (namespace, uid) = (seen.namespace(), seen.task.uid());
    let tasks: Api<ContainerTask> = Api::namespaced(ctx.client.clone(), &namespace);
    let task = cluster::get(&tasks, &seen.task.name_any()).await?;
    if !task.is_some_and(|task| lives(&task, uid.as_deref())) {
        return Ok(false);
    }
    let topics: Api<Topic> = Api::namespaced(ctx.client.clone(), &namespace);
    let topic = cluster::get(&topics, &seen.task.spec.topic_ref.name).await?;
    let reads = seen.task.spec.read_only;
    if !topic.is_some_and(|topic| reads || writes(&topic, uid.as_deref())) {
        return Ok(false);
    }
    let Some(keepers) = seen.keepers() else {
        return Ok(false);
    };
    if !keepers.is_limited(SlotKind::Task) {
        return Ok(true);
    }
    let classes: Api<AgentClass> = Api::namespaced(ctx.client.clone(), &namespace);
    let class = cluster::get(&classes, &keepers.keeper(SlotKind::Task).name_any()).await?;
    Ok(class.is_some_and(|class| has_slot(&class, uid.as_deref())))
}

fn lives(task: &ContainerTask, uid: Option<&str>) -> bool {
    task.metadata.uid.as_deref() == uid && task.metadata.deletion_timestamp.is_none() && !is_over(task)
}

fn writes(topic: &Topic, uid: Option<&str>) -> bool {
    let writer = topic.status.as_ref().and_then(|status| status.writer.as_ref());
    writer.is_some_and(|writer| Some(writer.uid.as_str()) == uid)
}

fn has_slot(class: &AgentClass, uid: Option<&str>) -> bool {
    let limited = ledger::limit(&class.spec.limits, SlotKind::Task).is_some();
    !limited || ledger::holds(ledger::slots(class), uid)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_crds::Slot;

    use super::*;

    fn slot(uid: &str) -> Value {
        let slot = Slot {
            uid: uid.to_owned(),
            kind: SlotKind::Task,
            name: uid.to_owned(),
            agent_class_name: None,
            since: Time(Timestamp::UNIX_EPOCH),
        };
        serde_json::to_value(slot).unwrap()
    }

    #[test]
    fn only_a_living_task_of_this_very_uid_has_its_turn() {
        let task = |metadata: Value, conditions: Value| -> ContainerTask {
            let spec = json!({ "topicRef": { "name": "t" }, "prompt": "p" });
            serde_json::from_value(json!({
                "apiVersion": "longshore.dev/v1alpha1", "kind": "ContainerTask",
                "metadata": metadata, "spec": spec, "status": { "conditions": conditions },
            }))
            .unwrap()
        };
        let failed = json!([{ "type": "Failed", "status": "True", "reason": "R", "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z" }]);
        let check = |metadata: Value, conditions: &Value, expected: bool| {
            assert_eq!(lives(&task(metadata, conditions.clone()), Some("a")), expected);
        };
        check(json!({ "uid": "a" }), &json!([]), true);
        check(json!({ "uid": "namesake" }), &json!([]), false);
        check(json!({ "uid": "a" }), &failed, false);
        check(
            json!({ "uid": "a", "deletionTimestamp": "1970-01-01T00:00:00Z" }),
            &json!([]),
            false,
        );
    }

    #[test]
    fn the_topic_and_a_slot_are_its_own_by_uid_and_an_unlimited_class_asks_for_none() {
        let topic = |status: Value| -> Topic {
            let topic = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "Topic", "metadata": {}, "spec": {}, "status": status });
            serde_json::from_value(topic).unwrap()
        };
        assert!(writes(&topic(json!({ "writer": slot("a") })), Some("a")));
        assert!(!writes(&topic(json!({ "writer": slot("b") })), Some("a")));
        assert!(!writes(&topic(json!({})), Some("a")));
        let class = |limits: Value, slots: Value| -> AgentClass {
            let class = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "AgentClass", "metadata": {},
                "spec": { "limits": limits }, "status": { "slots": slots } });
            serde_json::from_value(class).unwrap()
        };
        let limited = || json!({ "maxRunningTasks": 1 });
        assert!(has_slot(&class(limited(), json!([slot("a")])), Some("a")));
        assert!(!has_slot(&class(limited(), json!([slot("b")])), Some("a")));
        assert!(has_slot(&class(json!({}), json!([])), Some("a")));
    }

    #[test]
    fn only_the_job_that_was_looked_at_is_released() {
        assert_eq!(
            patch("u"),
            json!({ "metadata": { "uid": "u" }, "spec": { "suspend": false } })
        );
    }
}
