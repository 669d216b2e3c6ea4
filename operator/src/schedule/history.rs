//! Which finished runs are too many. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{ContainerTask, ScheduledTaskSpec, meta};

use crate::conditions::holds;
use crate::task;

/// An answer that the chat has not got is kept for this long.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// And no more than this many of them.
const MOST_WAITING: usize = 100;
/// So many runs are kept that did not need claude.
const NOT_NEEDED: usize = 1;

/// Finished runs to delete, oldest first.
pub fn surplus(spec: &ScheduledTaskSpec, runs: &[Arc<ContainerTask>], now: Timestamp) -> Vec<Arc<ContainerTask>> {
    let mut over: Vec<&Arc<ContainerTask>> = runs
        .iter()
        .filter(|run| task::is_over(run) && run.metadata.deletion_timestamp.is_none())
        .collect();
    over.sort_by_key(|run| (completed(run), run.name_any()));
    let (waiting, settled): (Vec<_>, Vec<_>) = over.into_iter().partition(|run| waits(run, now));
    let (failed, complete): (Vec<_>, Vec<_>) = settled.into_iter().partition(|run| has_failed(run));
    // However many runs find that there is nothing to do, the last answers stay.
    let (idle, complete): (Vec<_>, Vec<_>) = complete.into_iter().partition(|run| run.was_not_needed());
    let limit = |limit: i32| usize::try_from(limit).unwrap_or_default();
    let kept = [
        (failed, limit(spec.failed_tasks_history_limit)),
        (complete, limit(spec.successful_tasks_history_limit)),
        (idle, limit(spec.successful_tasks_history_limit).min(NOT_NEEDED)),
        (waiting, MOST_WAITING),
    ];
    let surplus = kept.into_iter().flat_map(|(runs, limit)| {
        let many = runs.len().saturating_sub(limit);
        runs.into_iter().take(many)
    });
    surplus.cloned().collect()
}

fn completed(run: &ContainerTask) -> Option<Timestamp> {
    Some(run.status.as_ref()?.completion_time.as_ref()?.0)
}

fn has_failed(run: &ContainerTask) -> bool {
    run.status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, types::FAILED))
}

/// Whether a chat waits for its answer.
fn waits(run: &ContainerTask, now: Timestamp) -> bool {
    let origin = run.spec.origin.as_ref();
    let has_chat = origin.is_some_and(|origin| origin.telegram.is_some());
    let fresh = completed(run).is_none_or(|at| now <= at + LONGEST_WAIT);
    has_chat && fresh && !run.was_not_needed() && !run.annotations().contains_key(meta::DELIVERED)
}
