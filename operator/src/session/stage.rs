//! Where a session stands: what is wanted of it, what its status has begun, and whether it has its pod. Pure.

use longshore_crds::{DesiredState, SessionPhase};

use super::observe::Observed;
use super::order::{is_over, wants_end};

/// Stages of a session's life, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The object is being deleted; its children go with it.
    Deleted,
    /// It has ended; what is left is tidied up.
    Over,
    /// It shall end, and has its pod.
    Ending,
    /// It shall end, and has no pod.
    Ended,
    /// It shall rest, and has its pod. What has begun is finished, even if it is wanted back: the runner does not take up work
    /// again after winding down.
    Suspending,
    /// It shall rest, and has no pod.
    Suspended,
    /// It shall run, and has its pod.
    Up,
    /// It shall run, and has no pod.
    Waiting,
}

pub fn stage(seen: &Observed) -> Stage {
    let (session, up, phase) = (&seen.session, seen.is_up(), seen.phase());
    if session.metadata.deletion_timestamp.is_some() {
        Stage::Deleted
    } else if is_over(session) {
        Stage::Over
    } else if phase == Some(SessionPhase::Ending) || wants_end(session) {
        if up { Stage::Ending } else { Stage::Ended }
    } else if up && (phase == Some(SessionPhase::Suspending) || session.spec.desired_state == DesiredState::Suspended) {
        Stage::Suspending
    } else if session.spec.desired_state == DesiredState::Suspended {
        Stage::Suspended
    } else if up {
        Stage::Up
    } else {
        Stage::Waiting
    }
}
