//! Where a session stands: what is wanted of it, what its status has begun, and whether it has its pod. Pure.

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, SessionPhase, meta};

use super::cause::{EndCause, RestCause};
use super::deadlines::expired;
use super::observe::Observed;
use super::order::{is_over, is_woken, sleeps, wants_end};

/// Stages of a session's life, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The object is being deleted and nothing is to be saved; its children go with it.
    Deleted,
    /// It has ended; what is left is tidied up.
    Over,
    /// It shall end, and has its pod.
    Ending(EndCause),
    /// It shall end, and has no pod.
    Ended(EndCause),
    /// It has wound down, the status says so, and the pod is to go. That comes before anything new.
    Stopping,
    /// It shall rest, and has its pod.
    Suspending(RestCause),
    /// It shall rest, and has no pod.
    Suspended(RestCause),
    /// It shall run, and has its pod.
    Up,
    /// It shall run, and has no pod.
    Waiting,
}

pub fn stage(seen: &Observed, now: Timestamp) -> Stage {
    let (session, up) = (&seen.session, seen.is_up());
    if session.metadata.deletion_timestamp.is_some() && !is_guarded(seen) {
        Stage::Deleted
    } else if is_over(session) {
        Stage::Over
    } else if let Some(cause) = ends(seen, now) {
        if up { Stage::Ending(cause) } else { Stage::Ended(cause) }
    } else if up && seen.holds(types::SUSPENDED) {
        Stage::Stopping
    } else if let Some(cause) = rests(seen) {
        if up {
            Stage::Suspending(cause)
        } else {
            Stage::Suspended(cause)
        }
    } else if up {
        Stage::Up
    } else {
        Stage::Waiting
    }
}

/// Whether its deletion waits for us.
pub fn is_guarded(seen: &Observed) -> bool {
    seen.session
        .finalizers()
        .iter()
        .any(|name| name == meta::SUMMARY_FINALIZER)
}

/// Why it ends. What has begun keeps its reason.
fn ends(seen: &Observed, now: Timestamp) -> Option<EndCause> {
    let session = &seen.session;
    let begun = (seen.phase() == Some(SessionPhase::Ending))
        .then(|| EndCause::of(session).unwrap_or(EndCause::UserEnded))
        // Idleness may still turn out to be over; everything else is final.
        .filter(|cause| *cause != EndCause::Idle || !asks_for_end(seen));
    if begun.is_some() {
        begun
    } else if session.metadata.deletion_timestamp.is_some() {
        Some(EndCause::Deleted)
    } else if wants_end(session) {
        Some(EndCause::UserEnded)
    } else {
        expired(session, &seen.spans(), now)
    }
}

fn asks_for_end(seen: &Observed) -> bool {
    wants_end(&seen.session) || seen.session.metadata.deletion_timestamp.is_some()
}

/// Why it rests. What has begun is finished, even if it is wanted back: the runner does not take up work again after winding
/// down.
fn rests(seen: &Observed) -> Option<RestCause> {
    let session = &seen.session;
    if session.spec.desired_state == DesiredState::Suspended {
        Some(RestCause::Requested)
    } else if seen.phase() == Some(SessionPhase::Suspending) {
        Some(RestCause::of(session).unwrap_or(RestCause::Requested))
    } else if sleeps(session) {
        RestCause::of(session)
    } else {
        None
    }
}

/// Whether somebody wants it back although it winds down. As long as the runner has not begun to, it can simply go on.
pub fn is_wanted_back(seen: &Observed, stage: Stage) -> bool {
    match stage {
        Stage::Suspending(RestCause::Requested) => seen.session.spec.desired_state == DesiredState::Running,
        Stage::Suspending(RestCause::Idle | RestCause::SlotReclaimed | RestCause::ResumeFailed)
        | Stage::Ending(EndCause::Idle) => is_woken(&seen.session),
        _ => false,
    }
}
