//! placeholder
use crate::conditions::holds;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession};

/// Whether it has ended.
pub fn is_over(session: &PersistentSession) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, types::ENDED))
}

/// Whether it is suspended and nobody has asked it to run again.
pub fn rests(session: &PersistentSession) -> bool {
    let suspended = session
        .status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, types::SUSPENDED));
    suspended && session.spec.desired_state == DesiredState::Suspended
}

/// Whether it has a pod, or may get one at any moment.
pub fn occupies(session: &PersistentSession) -> bool {
    let admitted = session
        .status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, types::ADMITTED));
    admitted && !is_over(session)
}

/// Its place in every queue.
pub fn claim(session: &PersistentSession) -> crate::ledger::Claim {
    use kube::ResourceExt;
    crate::ledger::Claim {
        created: session.creation_timestamp().map(|at| at.0).unwrap_or_default(),
        name: session.name_any(),
        uid: session.uid().unwrap_or_default(),
    }
}
