//! Whose turn it is: among the sessions of a topic, and between sessions and tasks. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession, SessionPhase, meta};

use super::cause::RestCause;
use crate::conditions::{holds, truncate};
use crate::ledger::Claim;

/// Whether this condition of it is True.
pub fn has(session: &PersistentSession, condition: &str) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, condition))
}

/// Whether it has ended.
pub fn is_over(session: &PersistentSession) -> bool {
    has(session, types::ENDED)
}

/// Whether somebody wants it to end.
pub fn wants_end(session: &PersistentSession) -> bool {
    session.spec.desired_state == DesiredState::Ended || session.annotations().contains_key(meta::END)
}

/// Longest wish that is told apart from others, in bytes: what the status can hold.
const MAX_WISH: usize = 256;

/// The wish to be woken, old or new.
pub fn wish(session: &PersistentSession) -> Option<String> {
    let wish = session.annotations().get(meta::WAKE)?;
    Some(truncate(wish, MAX_WISH))
}

/// Whether somebody has asked for it to be woken since that was last acted upon.
pub fn is_woken(session: &PersistentSession) -> bool {
    let observed = session.status.as_ref().and_then(|status| status.observed_wake.as_ref());
    wish(session).is_some_and(|wish| Some(&wish) != observed)
}

/// Whether it was suspended by a rule and nobody has woken it. One that a person suspended is back when that wish is gone.
pub fn sleeps(session: &PersistentSession) -> bool {
    has(session, types::SUSPENDED) && RestCause::of(session) != Some(RestCause::Requested) && !is_woken(session)
}

/// Whether it has run before.
fn has_run(session: &PersistentSession) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| status.start_time.is_some())
}

/// Whether it shall have a pod.
pub fn wants_pod(session: &PersistentSession) -> bool {
    session.spec.desired_state == DesiredState::Running
        && !wants_end(session)
        && session.metadata.deletion_timestamp.is_none()
        && !sleeps(session)
}

/// Whether it is suspended and nobody has asked it to run again. The request comes before it claims anything, so whoever reads
/// this live may take what it held.
pub fn rests(session: &PersistentSession) -> bool {
    has(session, types::SUSPENDED) && !wants_pod(session)
}

/// Whether it has a pod, or may get one at any moment.
pub fn occupies(session: &PersistentSession) -> bool {
    has(session, types::ADMITTED) && !is_over(session)
}

/// Whether the topic is its own until it ends, with or without a pod.
pub fn holds_topic(session: &PersistentSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    let begun = has_run(session) || !matches!(phase, None | Some(SessionPhase::Queued));
    !is_over(session) && (occupies(session) || begun)
}

/// Its place in every queue. One that was woken waits in the middle of a conversation, so it goes first.
pub fn claim(session: &PersistentSession) -> Claim {
    Claim {
        first_start: !has_run(session),
        created: session.creation_timestamp().map(|at| at.0).unwrap_or_default(),
        name: session.name_any(),
        uid: session.uid().unwrap_or_default(),
        returns: has(session, types::SUSPENDED),
    }
}

/// The session of the topic that goes before this one: the one that holds the topic, else an older one, then by name.
pub fn rival(session: &PersistentSession, of_topic: &[Arc<PersistentSession>]) -> Option<String> {
    let me = claim(session);
    of_topic
        .iter()
        .filter(|other| other.uid() != session.uid() && !is_over(other))
        .filter(|other| match (holds_topic(session), holds_topic(other)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => !wants_end(other) && other.metadata.deletion_timestamp.is_none() && claim(other) < me,
        })
        .min_by_key(|other| (!holds_topic(other), claim(other)))
        .map(|other| other.name_any())
}

/// Whether it waits for a slot, as far as its own state goes.
pub fn is_waiting(session: &PersistentSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    wants_pod(session)
        && !is_over(session)
        && matches!(phase, None | Some(SessionPhase::Queued | SessionPhase::Suspended))
}
