//! Asks for what a task needs before it may have a Job: a slot, the topic, and that nothing is left of an earlier pod.
//!
//! Each claim is a compare-and-swap or a live look, so that old caches, a restart or a second leader cannot admit too many.
//! A task claims the topic only after its admission stands in its status, and looks for sessions only after it has the topic;
//! a session does the same the other way round. So of two that come at once at least one sees the other, and the task gives way.

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use longshore_crds::conditions::types;
use longshore_crds::{ContainerTask, PersistentSession, SlotKind, TaskPhase, Topic};

use super::observe::Observed;
use super::order::{Blocker, blocker, claim, is_over};
use crate::cluster::{self, Error, Hold};
use crate::context::Context;
use crate::index::{Index, lookup};
use crate::ledger::{Claim, Grant, Keepers};
use crate::{class, furniture, session, topic};

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has its Job, or something else stands in the way.
    NotAsked,
    /// The class is full.
    Queued { position: i32, limit: i32 },
    /// It has a slot; the status says so before anything else happens.
    Admitted,
    /// Somebody else has the topic.
    Waiting(Blocker),
    /// An earlier pod of the task, or a Job of the topic that the cache does not show yet, is still there.
    Settling,
    /// A Job of this name belongs to somebody else.
    NameTaken,
    /// The Job may be created. Its pod accepts tokens with these digests.
    Go { token_sha256: Vec<String> },
}

pub async fn admit(seen: &Observed, ctx: &Context) -> Result<Admission, Error> {
    let Some((topic, class)) = seen.startable() else {
        return Ok(Admission::NotAsked);
    };
    let me = claim(&seen.task);
    let (namespace, now) = (seen.namespace(), ctx.clock.now());
    let keepers = Keepers::new(class, seen.namespace_class.as_deref());
    let waiting = |class: &str| waiting(&ctx.index, &namespace, Some(class));
    let others = class::others(&ctx.index, &keepers, SlotKind::Task, waiting, now);
    match cluster::claim_slot(
        &ctx.client,
        &ctx.superseded,
        &keepers,
        SlotKind::Task,
        &me,
        &others,
        now,
    )
    .await?
    {
        Grant::Full { position, limit } => return Ok(Admission::Queued { position, limit }),
        Grant::Unlimited | Grant::Held | Grant::Free(_) => {}
    }
    if !seen.holds(types::ADMITTED) {
        return Ok(Admission::Admitted);
    }
    furniture::ensure(ctx, class).await?;
    if !seen.task.spec.read_only
        && let Some(obstacle) = claim_topic(seen, topic, &me, ctx).await?
    {
        return Ok(obstacle);
    }
    if let Some(obstacle) = remains(seen, ctx).await? {
        return Ok(obstacle);
    }
    let token_sha256 = ctx
        .access
        .digests(&seen.namespace(), &topic.uid().unwrap_or_default())
        .await?;
    Ok(Admission::Go { token_sha256 })
}

/// Claims the right to write the workspace; none when the task has it.
async fn claim_topic(seen: &Observed, topic: &Topic, me: &Claim, ctx: &Context) -> Result<Option<Admission>, Error> {
    let now = ctx.clock.now();
    match cluster::claim_writer(&ctx.client, &ctx.superseded, topic, SlotKind::Task, me, now).await? {
        Hold::Held => {}
        Hold::Gone | Hold::Leaving => return Ok(Some(Admission::Settling)),
        Hold::Busy(other) => {
            return Ok(Some(Admission::Waiting(match other.kind {
                SlotKind::Task => Blocker::Task(other.name),
                SlotKind::Session => Blocker::Session(other.name),
            })));
        }
    }
    if let Some(session) = live_session(ctx, topic).await? {
        return Ok(Some(Admission::Waiting(Blocker::Session(session))));
    }
    Ok(leaves_any(seen, ctx).await?.then_some(Admission::Settling))
}

/// Whether a Job or a pod of the topic is there that may write its workspace.
async fn leaves_any(seen: &Observed, ctx: &Context) -> Result<bool, Error> {
    let (namespace, uid) = (seen.namespace(), seen.task.uid());
    let topic = &seen.task.spec.topic_ref.name;
    Ok(
        cluster::has_jobs_of_others(&ctx.client, &namespace, topic, uid.as_deref()).await?
            || !cluster::pods_of_topic(&ctx.client, &namespace, topic).await?.is_empty(),
    )
}

/// Tasks that wait for a slot of this class: the first of each topic. One that could not use a slot is not before anybody.
fn waiting(index: &Index, namespace: &str, class_name: Option<&str>) -> Vec<Claim> {
    let queued = |phase: Option<TaskPhase>| matches!(phase, None | Some(TaskPhase::Queued));
    index
        .tasks
        .state_filter(|task| {
            let topic = &task.spec.topic_ref.name;
            task.metadata.namespace.as_deref() == Some(namespace)
                && !is_over(task)
                && task.metadata.deletion_timestamp.is_none()
                && queued(task.status.as_ref().and_then(|status| status.phase))
                && index
                    .class_name(namespace, topic, task.spec.agent_class_name.as_deref())
                    .as_deref()
                    == class_name
                && lookup(&index.topics, namespace, topic).is_some_and(|topic| topic::is_ready(&topic))
        })
        .iter()
        .filter(|task| {
            let topic = &task.spec.topic_ref.name;
            blocker(
                task,
                &index.tasks_of(namespace, topic),
                &index.sessions_of(namespace, topic),
            )
            .is_none()
        })
        .map(|task| claim(task))
        .collect()
}

/// A session of the topic that has or gets a pod, looked for live.
async fn live_session(ctx: &Context, topic: &Topic) -> Result<Option<String>, Error> {
    let api: Api<PersistentSession> = Api::namespaced(ctx.client.clone(), &topic.namespace().unwrap_or_default());
    let of_topic = ListParams::default().fields(&format!("spec.topicRef.name={}", topic.name_any()));
    let sessions = cluster::list(&api, &of_topic).await?;
    Ok(sessions
        .iter()
        .find(|found| session::occupies(found))
        .map(ResourceExt::name_any))
}

/// Whether the Job is the task's own, or that of a task of this name which was deleted: then it is deleted as well.
fn goes_by_itself(job: &Job, task: &ContainerTask) -> bool {
    job.owner_references().iter().any(|owner| {
        owner.controller == Some(true) && owner.kind == ContainerTask::kind(&()) && owner.name == task.name_any()
    })
}

/// What is in the way of the Job. One that runs beside a session must know where that is.
async fn remains(seen: &Observed, ctx: &Context) -> Result<Option<Admission>, Error> {
    let jobs: Api<Job> = Api::namespaced(ctx.client.clone(), &seen.namespace());
    if let Some(job) = cluster::get(&jobs, &seen.job_name()).await? {
        return Ok(Some(if goes_by_itself(&job, &seen.task) {
            Admission::Settling
        } else {
            Admission::NameTaken
        }));
    }
    let nowhere = seen.neighbour.is_some() && seen.node().is_none();
    Ok(nowhere.then_some(Admission::Settling))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_crds::TopicStatus;
    use longshore_crds::conditions::reasons;
    use serde_json::json;

    use super::*;
    use crate::conditions::{merge, no, yes};

    fn topic(name: &str, ready: bool) -> Topic {
        let mut topic = Topic::new(name, serde_json::from_value(json!({})).unwrap());
        topic.metadata.namespace = Some("ns".to_owned());
        let verdict = if ready {
            yes(types::READY, reasons::CLAIM_CREATED, "")
        } else {
            no(types::READY, reasons::DUPLICATE_BINDING, "")
        };
        topic.status = Some(TopicStatus {
            conditions: merge(&[], vec![verdict], None, Timestamp::UNIX_EPOCH),
            ..TopicStatus::default()
        });
        topic
    }

    fn task(name: &str, topic: &str) -> ContainerTask {
        let spec = json!({ "topicRef": { "name": topic }, "prompt": "p", "agentClassName": "default" });
        let mut task = ContainerTask::new(name, serde_json::from_value(spec).unwrap());
        task.metadata.namespace = Some("ns".to_owned());
        task.metadata.uid = Some(name.to_owned());
        task
    }

    #[test]
    fn tasks_that_could_not_use_a_slot_hold_up_nobody() {
        let mut deleted = task("deleted", "three");
        deleted.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let tasks = vec![
            task("unready", "one"),
            task("homeless", "none"),
            deleted,
            task("next", "two"),
        ];
        let topics = vec![topic("one", false), topic("two", true), topic("three", true)];
        let index = Index::with(Vec::new(), topics, tasks, Vec::new());
        let names: Vec<String> = waiting(&index, "ns", Some("default"))
            .into_iter()
            .map(|claim| claim.name)
            .collect();
        assert_eq!(names, ["next"]);
    }

    #[test]
    fn a_job_of_this_name_is_waited_for_if_a_task_of_this_name_made_it() {
        let job = |kind: &str, owner: &str| -> Job {
            let owner = json!([{ "apiVersion": "v1", "kind": kind, "name": owner, "uid": "old", "controller": true }]);
            serde_json::from_value(json!({ "metadata": { "name": "ask-1", "ownerReferences": owner } })).unwrap()
        };
        let task = task("ask", "one");
        assert!(goes_by_itself(&job("ContainerTask", "ask"), &task));
        assert!(!goes_by_itself(&job("ContainerTask", "ask-1"), &task));
        assert!(!goes_by_itself(&job("CronJob", "ask"), &task));
        assert!(!goes_by_itself(&Job::default(), &task));
    }
}
