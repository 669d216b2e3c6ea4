//! Why a session ends or rests, as the reasons of its conditions say it. Pure.
//!
//! A cause is persisted as the reason of `Ended` or `Suspended` while that is still False, so that it stays what it was from
//! the first step of winding down to the last.

use longshore_crds::PersistentSession;
use longshore_crds::conditions::{reasons, types};

use crate::conditions::find;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    UserEnded,
    Idle,
    MaxDuration,
    SuspendedTooLong,
    Deleted,
    Rejected,
    QueueTimeout,
    Failed,
}

/// Why a session rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestCause {
    Requested,
    Idle,
    SlotReclaimed,
    ResumeFailed,
}

impl EndCause {
    const ALL: [Self; 8] = [
        Self::UserEnded,
        Self::Idle,
        Self::MaxDuration,
        Self::SuspendedTooLong,
        Self::Deleted,
        Self::Rejected,
        Self::QueueTimeout,
        Self::Failed,
    ];

    pub fn reason(self) -> &'static str {
        match self {
            Self::UserEnded => reasons::USER_ENDED,
            Self::Idle => reasons::IDLE_TIMEOUT,
            Self::MaxDuration => reasons::MAX_DURATION,
            Self::SuspendedTooLong => reasons::SUSPENDED_TOO_LONG,
            Self::Deleted => reasons::DELETED,
            Self::Rejected => reasons::REJECTED,
            Self::QueueTimeout => reasons::QUEUE_TIMEOUT,
            Self::Failed => reasons::FAILED,
        }
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::UserEnded => "It was ended on request",
            Self::Idle => "Nobody did anything for idleTimeoutSeconds",
            Self::MaxDuration => "It lived for maxDurationSeconds; raise it for longer work",
            Self::SuspendedTooLong => "It was suspended for suspendedTtlSeconds and nobody came back",
            Self::Deleted => "The object is being deleted",
            Self::Rejected => "The class is full; try again later, or raise limits of the AgentClass",
            Self::QueueTimeout => "It waited for a slot longer than limits.queueTimeoutSeconds of the AgentClass",
            Self::Failed => "It was not Ready within startTimeoutSeconds",
        }
    }

    /// What the status says.
    pub fn of(session: &PersistentSession) -> Option<Self> {
        let reason = reason(session, types::ENDED)?;
        Self::ALL.into_iter().find(|cause| cause.reason() == reason)
    }
}

impl RestCause {
    const ALL: [Self; 4] = [Self::Requested, Self::Idle, Self::SlotReclaimed, Self::ResumeFailed];

    pub fn reason(self) -> &'static str {
        match self {
            Self::Requested => reasons::REQUESTED,
            Self::Idle => reasons::IDLE_TIMEOUT,
            Self::SlotReclaimed => reasons::SLOT_RECLAIMED,
            Self::ResumeFailed => reasons::RESUME_FAILED,
        }
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Requested => "Suspended on request; set desiredState to Running to resume it",
            Self::Idle => "Nobody did anything for idleTimeoutSeconds; the next message brings it back",
            Self::SlotReclaimed => "Another session needed its slot; the next message brings it back",
            Self::ResumeFailed => "It was not Ready again within startTimeoutSeconds",
        }
    }

    /// What the status says.
    pub fn of(session: &PersistentSession) -> Option<Self> {
        let reason = reason(session, types::SUSPENDED)?;
        Self::ALL.into_iter().find(|cause| cause.reason() == reason)
    }
}

fn reason<'a>(session: &'a PersistentSession, condition: &str) -> Option<&'a str> {
    let conditions = &session.status.as_ref()?.conditions;
    find(conditions, condition).map(|found| found.reason.as_str())
}
