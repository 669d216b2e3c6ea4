//! What to do about a session. Pure.
//!
//! The earliest time at which the plan would differ although nothing else has changed is `next_deadline`; when that is, is
//! known by `deadlines`.

mod up;
mod waiting;
mod winding;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSessionStatus, SessionPhase};
use longshore_wire::api::Warn;

use super::admit::Admission;
use super::observe::Observed;
use super::stage::{Stage, is_guarded, stage};
use super::status::Draft;
use crate::agent::{Contact, Met};
use crate::cluster::Error;
use crate::conditions::no;
use crate::events::News;
use crate::settings::Settings;
use winding::Goal;

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub step: Option<Step>,
    pub status: PersistentSessionStatus,
    pub news: Vec<News>,
    pub next_deadline: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Set the finalizer: from now on there may be something to save.
    Guard,
    Create(Box<StatefulSet>),
    /// Scale from 0 to 1, with a fresh template.
    Start(Box<StatefulSet>),
    /// Have the runner tell people that the session will be idle.
    Warn(Warn),
    /// Scale to 0.
    Stop,
    Delete,
    /// Lift the finalizer: there is nothing left to save.
    Unguard,
    /// Give the slot back, since something else has the topic.
    ReleaseSlot,
}

pub fn plan(seen: &Observed, admission: &Admission, contact: &Contact, settings: &Settings, now: Timestamp) -> Plan {
    let draft = Draft::new(seen, now);
    match stage(seen, now) {
        Stage::Deleted => draft.unchanged(),
        Stage::Over if seen.stateful_set.is_some() => draft.step(Step::Delete).unchanged(),
        Stage::Over if is_guarded(seen) => draft.step(Step::Unguard).unchanged(),
        Stage::Over => draft.unchanged(),
        Stage::Ended(cause) => winding::done(draft, None, Goal::End(cause)),
        Stage::Ending(cause) => winding::winding(draft, contact, Goal::End(cause), settings),
        Stage::Stopping => draft.step(Step::Stop).unchanged(),
        Stage::Suspended(cause) => winding::done(draft, None, Goal::Rest(cause)),
        Stage::Suspending(cause) => winding::winding(draft, contact, Goal::Rest(cause), settings),
        Stage::Up => up::up(draft, contact, settings),
        Stage::Waiting => waiting::waiting(draft, admission, settings),
    }
}

/// What to do about a session that is idle and whose slot is needed by another one.
pub fn give_way(seen: &Observed, met: &Met, settings: &Settings, now: Timestamp) -> Plan {
    up::give_way(Draft::new(seen, now), met, settings)
}

impl Plan {
    /// The same, when its step did not succeed: what it would have led to is not said.
    pub fn hindered(self, seen: &Observed, error: &Error, now: Timestamp) -> Self {
        let draft = Draft::new(seen, now);
        match self.step {
            Some(Step::Create(_) | Step::Start(_)) => draft
                .ready(no(types::READY, reasons::STARTING, error.answer()))
                .phase(SessionPhase::Starting),
            Some(Step::Guard | Step::Stop | Step::Delete | Step::Unguard) => draft.unchanged(),
            Some(Step::Warn(_) | Step::ReleaseSlot) | None => self,
        }
    }
}

#[cfg(test)]
mod tests;
