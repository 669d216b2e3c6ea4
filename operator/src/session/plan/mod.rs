//! What to do about a session. Pure.
//!
//! Deadlines live here: the earliest time at which the plan would differ although nothing else has changed is `next_deadline`.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSessionStatus, SessionPhase, SessionSummary};
use longshore_wire::api::RunnerState;

use super::admit::Admission;
use super::build::{started_again, stateful_set};
use super::observe::Observed;
use super::stage::{Stage, stage};
use super::status::{Draft, summary};
use crate::agent::{Contact, Met, dial_again};
use crate::cluster::Error;
use crate::conditions::{Verdict, no, whole_seconds, yes};
use crate::events::News;
use crate::settings::Settings;
use crate::{pod, topic};

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub step: Option<Step>,
    pub status: PersistentSessionStatus,
    pub news: Vec<News>,
    pub next_deadline: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Box<StatefulSet>),
    /// Scale from 0 to 1, with a fresh template.
    Start(Box<StatefulSet>),
    /// Scale to 0.
    Stop,
    Delete,
    /// Give the slot back, since something else has the topic.
    ReleaseSlot,
}

pub fn plan(seen: &Observed, admission: &Admission, contact: &Contact, settings: &Settings, now: Timestamp) -> Plan {
    let draft = Draft::new(seen, now);
    match stage(seen) {
        Stage::Deleted => draft.unchanged(),
        Stage::Over if seen.stateful_set.is_some() => draft.step(Step::Delete).unchanged(),
        Stage::Over => draft.unchanged(),
        Stage::Ended => ended(draft, None, now),
        Stage::Ending => match wound_down(seen, contact, SessionPhase::Ending, now) {
            WindDown::Done(summary) => ended(draft, summary, now),
            WindDown::Begin => wind_down(draft, SessionPhase::Ending, settings, now),
            WindDown::Wait => draft.look_before_drain(settings).unchanged(),
        },
        Stage::Suspended => suspended(draft, None),
        Stage::Suspending => match wound_down(seen, contact, SessionPhase::Suspending, now) {
            WindDown::Done(summary) => suspended(draft.step(Step::Stop), summary),
            WindDown::Begin => wind_down(draft, SessionPhase::Suspending, settings, now),
            WindDown::Wait => draft.look_before_drain(settings).unchanged(),
        },
        Stage::Up => up(draft, contact, settings, now),
        Stage::Waiting => waiting(draft, admission, settings, now),
    }
}

impl Plan {
    /// The same, when its step did not succeed: what it would have led to is not said.
    pub fn hindered(self, seen: &Observed, error: &Error, now: Timestamp) -> Self {
        let draft = Draft::new(seen, now);
        match self.step {
            Some(Step::Create(_) | Step::Start(_)) => draft
                .ready(no(types::READY, reasons::STARTING, error.answer()))
                .phase(SessionPhase::Starting),
            Some(Step::Stop | Step::Delete) => draft.unchanged(),
            Some(Step::ReleaseSlot) | None => self,
        }
    }
}

/// Without a pod, and one is wanted.
fn waiting(mut draft: Draft<'_>, admission: &Admission, settings: &Settings, now: Timestamp) -> Plan {
    let seen = draft.seen;
    if let Some(obstacle) = obstacle(seen) {
        return turned_away(draft, obstacle);
    }
    match admission {
        Admission::Queued { position, limit } => {
            draft.status.queue_position = Some(*position);
            let message = format!("Place {position} in the queue; the class lets {limit} sessions be active at once");
            turned_away(draft, no(types::ADMITTED, reasons::QUEUED, message))
        }
        Admission::TopicBusy(other) => turned_away(draft, busy(other)),
        Admission::NameTaken(what) => {
            let message = format!("{what} belongs to somebody else; delete it, or use a Topic of another name");
            draft.next_deadline = Some(now + settings.timing.resync);
            draft
                .ready(no(types::READY, reasons::NAME_CONFLICT, message))
                .phase(SessionPhase::Starting)
        }
        Admission::WaitingForTask(task) => {
            draft.next_deadline = Some(now + settings.timing.look_again);
            let message = format!("ContainerTask {task} of the topic runs; the session starts when it has finished");
            draft
                .ready(no(types::READY, reasons::WAITING_FOR_TASK, message))
                .phase(SessionPhase::Queued)
        }
        Admission::Go { token_sha256 } => {
            draft.step = start(seen, token_sha256, settings);
            draft.starting("The pod is on the way").phase(SessionPhase::Starting)
        }
        Admission::Admitted => draft.starting("The pod is on the way").phase(SessionPhase::Starting),
        Admission::Settling | Admission::NotAsked => {
            draft.next_deadline = Some(now + settings.timing.look_again);
            draft.starting("The pod is on the way").phase(SessionPhase::Starting)
        }
    }
}

/// What must be there before anything is asked for.
fn obstacle(seen: &Observed) -> Option<Verdict> {
    let name = seen.topic_name();
    let reason = reasons::TOPIC_NOT_FOUND;
    match (&seen.topic, &seen.class, &seen.rival) {
        (None, ..) => Some(no(
            types::ADMITTED,
            reason,
            format!("Topic {name} does not exist; create it"),
        )),
        (Some(topic), ..) if !topic::is_ready(topic) => {
            let (reason, message) = topic::unready(topic);
            Some(no(types::ADMITTED, reason, message))
        }
        (_, None, _) => {
            let class = seen.class_name.as_deref().unwrap_or_default();
            let message = format!("AgentClass {class} does not exist; create it");
            Some(no(types::ADMITTED, reasons::CLASS_NOT_FOUND, message))
        }
        (.., Some(rival)) => Some(busy(rival)),
        _ => None,
    }
}

fn busy(other: &str) -> Verdict {
    let message = format!("PersistentSession {other} of the topic lives; this one starts when it has ended");
    no(types::ADMITTED, reasons::TOPIC_BUSY, message)
}

fn turned_away(mut draft: Draft<'_>, admitted: Verdict) -> Plan {
    if draft.seen.may_have_slot() {
        draft.step = Some(Step::ReleaseSlot);
    }
    let ready = no(types::READY, admitted.reason, "It has no pod yet");
    draft.admitted = admitted;
    draft.ready(ready).phase(SessionPhase::Queued)
}

fn start(seen: &Observed, token_sha256: &[String], settings: &Settings) -> Option<Step> {
    let (topic, class) = (seen.topic.as_ref()?, seen.class.as_ref()?);
    let wanted = stateful_set(seen, topic, class, token_sha256, settings)?;
    Some(match &seen.stateful_set {
        None => Step::Create(Box::new(wanted)),
        Some(stopped) => Step::Start(Box::new(started_again(stopped, &wanted))),
    })
}

/// With a StatefulSet that shall have its pod.
fn up(mut draft: Draft<'_>, contact: &Contact, settings: &Settings, now: Timestamp) -> Plan {
    let pod = draft.seen.pod.as_deref();
    match contact {
        Contact::Met(met) => {
            draft.hears(met);
            reachable(draft, met, settings, now)
        }
        // Not heard once is not gone: what was said of a pod that the kubelet takes for ready stays.
        Contact::Failed(_) if draft.seen.holds(types::READY) && pod.is_some_and(pod::is_ready) => {
            draft.next_deadline = Some(now + settings.timing.look_again);
            draft.unchanged()
        }
        Contact::Failed(_) => {
            draft.next_deadline = Some(dial_again(
                pod.and_then(pod::started_at),
                now,
                settings.timing.look_again,
            ));
            draft
                .starting("The pod is there, its runner is not heard yet")
                .phase(SessionPhase::Starting)
        }
        Contact::NotTried => match pod.and_then(pod::trouble) {
            Some(trouble) => draft
                .ready(no(types::READY, trouble.reason, trouble.message))
                .phase(SessionPhase::Starting),
            None => draft.starting("The pod is on the way").phase(SessionPhase::Starting),
        },
    }
}

fn reachable(mut draft: Draft<'_>, met: &Met, settings: &Settings, now: Timestamp) -> Plan {
    if let Some(trouble) = met.trouble() {
        return draft
            .ready(no(types::READY, trouble.reason, trouble.message))
            .phase(SessionPhase::Starting);
    }
    match met.status.state {
        RunnerState::Starting | RunnerState::Ready if met.accepted => {
            draft.status.endpoint = Some(met.endpoint.clone());
            draft.status.start_time.get_or_insert_with(|| Time(whole_seconds(now)));
            draft
                .ready(yes(types::READY, reasons::READY, "The runner accepts messages"))
                .phase(SessionPhase::Running)
        }
        _ => {
            draft.next_deadline = Some(now + settings.timing.look_again);
            draft
                .starting("The runner does not take messages now")
                .phase(SessionPhase::Starting)
        }
    }
}

/// How far winding down has come.
enum WindDown {
    /// Nobody has been told, and the status does not say so yet.
    Begin,
    Wait,
    Done(Option<SessionSummary>),
}

/// A pod that cannot be talked to at all has nothing to wind down; one that does not answer is given until the deadline.
fn wound_down(seen: &Observed, contact: &Contact, phase: SessionPhase, now: Timestamp) -> WindDown {
    let deadline = seen
        .session
        .status
        .as_ref()
        .and_then(|status| status.drain_deadline.as_ref());
    let met = contact.met();
    let written = || met.and_then(|met| met.status.summary.as_ref()).map(summary);
    let nobody = *contact == Contact::NotTried;
    let quiesced = met.is_some_and(|met| met.status.state == RunnerState::Quiesced);
    let begun = seen.phase() == Some(phase) && deadline.is_some();
    let too_late = begun && deadline.is_some_and(|at| at.0 <= now);
    if nobody || quiesced || too_late {
        WindDown::Done(written())
    } else if begun {
        WindDown::Wait
    } else {
        WindDown::Begin
    }
}

fn wind_down(mut draft: Draft<'_>, phase: SessionPhase, settings: &Settings, now: Timestamp) -> Plan {
    // A session that was being suspended and shall now end keeps its deadline.
    let deadline = draft
        .old_drain_deadline()
        .unwrap_or_else(|| Time(whole_seconds(now + settings.timing.drain)));
    draft.status.endpoint = None;
    draft.next_deadline = Some((now + settings.timing.look_again).min(deadline.0));
    let reason = if phase == SessionPhase::Ending {
        reasons::ENDED
    } else {
        reasons::SUSPENDED
    };
    let ready = no(
        types::READY,
        reason,
        format!("Winding down, until {} at the latest", deadline.0),
    );
    draft.status.drain_deadline = Some(deadline);
    draft.ready(ready).phase(phase)
}

fn suspended(mut draft: Draft<'_>, summary: Option<SessionSummary>) -> Plan {
    draft.admitted = no(
        types::ADMITTED,
        reasons::SUSPENDED,
        "It needs no slot; the topic stays its own",
    );
    draft.suspended = yes(
        types::SUSPENDED,
        reasons::REQUESTED,
        "The pod is gone; workspace and conversation are kept",
    );
    draft.status.summary = summary.or(draft.status.summary);
    draft
        .ready(no(types::READY, reasons::SUSPENDED, "It is suspended"))
        .phase(SessionPhase::Suspended)
}

fn ended(mut draft: Draft<'_>, summary: Option<SessionSummary>, now: Timestamp) -> Plan {
    draft.admitted = no(types::ADMITTED, reasons::ENDED, "It needs no slot any more");
    draft.ended = yes(types::ENDED, reasons::USER_ENDED, "It was ended on request");
    draft.status.summary = summary.or(draft.status.summary);
    draft.status.end_time = Some(Time(whole_seconds(now)));
    draft
        .ready(no(types::READY, reasons::ENDED, "It has ended"))
        .phase(SessionPhase::Ended)
}

#[cfg(test)]
mod tests;
