//! When to look again if nothing changes.

use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;

use crate::settings::Timing;

/// At the next deadline, at the resync at the latest.
pub fn requeue(next: Option<Timestamp>, now: Timestamp, timing: &Timing) -> Action {
    let wait = next.map_or(timing.resync, |at| {
        Duration::try_from(at.duration_since(now))
            .unwrap_or_default()
            .max(Duration::from_millis(50))
    });
    Action::requeue(wait.min(timing.resync))
}
