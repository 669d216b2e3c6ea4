//! Whose turn it is: among the sessions of a topic, and between sessions and tasks. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession, SessionPhase, meta};

use crate::conditions::holds;
use crate::ledger::Claim;

fn has(session: &PersistentSession, condition: &str) -> bool {
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

/// Whether somebody wants it to have a pod.
pub fn wants_pod(session: &PersistentSession) -> bool {
    session.spec.desired_state == DesiredState::Running
        && !wants_end(session)
        && session.metadata.deletion_timestamp.is_none()
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
    !is_over(session) && (occupies(session) || !matches!(phase, None | Some(SessionPhase::Queued)))
}

/// Its place in every queue.
pub fn claim(session: &PersistentSession) -> Claim {
    Claim {
        created: session.creation_timestamp().map(|at| at.0).unwrap_or_default(),
        name: session.name_any(),
        uid: session.uid().unwrap_or_default(),
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
