//! Whose turn it is on a topic, from the point of view of its tasks. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{ContainerTask, PersistentSession};

use crate::conditions::holds;
use crate::ledger::Claim;
use crate::session;

/// What goes first on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    Task(String),
    Session(String),
}

/// Whether it has a result, or will have none.
pub fn is_over(task: &ContainerTask) -> bool {
    task.status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, types::COMPLETE) || holds(&status.conditions, types::FAILED))
}

/// Whether it has a pod, or may get one at any moment. A task that was admitted and then gave way does not.
pub fn occupies(task: &ContainerTask) -> bool {
    !is_over(task)
        && task
            .status
            .as_ref()
            .is_some_and(|status| holds(&status.conditions, types::ADMITTED))
}

/// Whether it cannot run before somebody does something about it. It does not hold up those behind it.
fn is_stuck(task: &ContainerTask) -> bool {
    let reason = task.status.as_ref().and_then(|status| status.reason.as_deref());
    reason == Some(reasons::CLASS_NOT_FOUND)
}

/// Whether its turn may come.
fn may_start(task: &ContainerTask) -> bool {
    task.metadata.deletion_timestamp.is_none() && !is_stuck(task)
}

/// Its place in every queue.
pub fn claim(task: &ContainerTask) -> Claim {
    Claim {
        first_start: true,
        created: task.creation_timestamp().map(|at| at.0).unwrap_or_default(),
        name: task.name_any(),
        uid: task.uid().unwrap_or_default(),
        returns: false,
    }
}

/// What goes before this task on its topic: a session that has or gets a pod, a task that runs, an older task. A task that is
/// being deleted does not get its turn any more, but one that runs keeps the topic until it is gone. Who only reads the workspace
/// waits for nobody, and nobody waits for it.
pub fn blocker(
    task: &ContainerTask,
    tasks: &[Arc<ContainerTask>],
    sessions: &[Arc<PersistentSession>],
) -> Option<Blocker> {
    if task.spec.read_only {
        return None;
    }
    if let Some(session) = sessions.iter().find(|session| session::occupies(session)) {
        return Some(Blocker::Session(session.name_any()));
    }
    let me = claim(task);
    tasks
        .iter()
        .filter(|other| other.uid() != task.uid() && !is_over(other) && !other.spec.read_only)
        .filter(|other| occupies(other) || (!occupies(task) && may_start(other) && claim(other) < me))
        .min_by_key(|other| (!occupies(other), claim(other)))
        .map(|other| Blocker::Task(other.name_any()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_crds::{ContainerTaskSpec, ContainerTaskStatus};
    use serde_json::json;

    use super::*;
    use crate::conditions::{Verdict, merge, no, yes};

    fn task(name: &str, second: i64, conditions: Vec<Verdict>) -> Arc<ContainerTask> {
        let spec: ContainerTaskSpec =
            serde_json::from_value(json!({ "topicRef": { "name": "t" }, "prompt": "p" })).unwrap();
        let mut task = ContainerTask::new(name, spec);
        task.metadata.uid = Some(name.to_owned());
        task.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        let conditions = merge(&[], conditions, None, Timestamp::UNIX_EPOCH);
        task.status = Some(ContainerTaskStatus {
            conditions,
            ..ContainerTaskStatus::default()
        });
        Arc::new(task)
    }

    #[test]
    fn tasks_of_a_topic_run_one_at_a_time_in_order_of_creation_then_name() {
        let over = task("a", 1, vec![yes("Complete", "Completed", "")]);
        let next = task("b", 2, vec![]);
        let last = task("c", 2, vec![]);
        let all = [last.clone(), next.clone(), over];
        assert_eq!(blocker(&next, &all, &[]), None);
        assert_eq!(blocker(&last, &all, &[]), Some(Blocker::Task("b".to_owned())));
    }

    #[test]
    fn a_running_task_goes_before_an_older_one_that_came_to_light_later() {
        let runs = task("z", 2, vec![yes("Admitted", "Admitted", "")]);
        let older = task("a", 2, vec![no("Admitted", "Queued", "")]);
        let all = [runs.clone(), older.clone()];
        assert_eq!(blocker(&runs, &all, &[]), None);
        assert_eq!(blocker(&older, &all, &[]), Some(Blocker::Task("z".to_owned())));
    }

    #[test]
    fn a_task_that_only_reads_waits_for_nobody_and_holds_up_nobody() {
        let mut reads = Arc::unwrap_or_clone(task("a", 1, vec![yes("Admitted", "Admitted", "")]));
        reads.spec.read_only = true;
        let (reads, writes) = (Arc::new(reads), task("b", 2, vec![yes("Admitted", "Admitted", "")]));
        let all = [reads.clone(), writes.clone()];
        assert_eq!(blocker(&reads, &all, &[]), None);
        assert_eq!(blocker(&writes, &all, &[]), None);
    }

    #[test]
    fn a_task_that_is_deleted_keeps_the_topic_while_it_runs_and_loses_only_its_turn() {
        let deleted = |conditions| {
            let mut task = Arc::unwrap_or_clone(task("a", 1, conditions));
            task.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            Arc::new(task)
        };
        let next = task("b", 2, vec![]);
        let runs = deleted(vec![yes("Admitted", "Admitted", "")]);
        assert_eq!(
            blocker(&next, &[next.clone(), runs], &[]),
            Some(Blocker::Task("a".to_owned()))
        );
        assert_eq!(blocker(&next, &[next.clone(), deleted(vec![])], &[]), None);
    }
}
