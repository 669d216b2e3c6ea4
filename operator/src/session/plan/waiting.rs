//! Plans for a session that is wanted to run and has no pod.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{SessionPhase, WhenFull};

use super::up::starts;
use super::winding::{Goal, done};
use super::{Plan, Step};
use crate::conditions::{Verdict, no, whole_seconds};
use crate::session::admit::Admission;
use crate::session::build::{started_again, stateful_set};
use crate::session::cause::EndCause;
use crate::session::observe::Observed;
use crate::session::stage::is_guarded;
use crate::session::status::Draft;
use crate::settings::Settings;
use crate::{pod, topic};

pub fn waiting(mut draft: Draft<'_>, admission: &Admission, settings: &Settings) -> Plan {
    let (seen, now) = (draft.seen, draft.now);
    if let Some(obstacle) = obstacle(seen) {
        return turned_away(draft, obstacle);
    }
    match admission {
        Admission::Queued { position, limit } => queued(draft, *position, *limit, settings),
        Admission::TopicBusy(other) => turned_away(draft, busy(other)),
        Admission::NameTaken(what) => {
            let message = format!("{what} belongs to somebody else; delete it, or use a Topic of another name");
            draft.look_at(now + settings.timing.resync);
            starts(draft.ready(no(types::READY, reasons::NAME_CONFLICT, message)), settings)
        }
        Admission::WaitingForTask(task) => {
            draft.look_at(now + settings.timing.look_again);
            let message = format!("ContainerTask {task} of the topic runs; the session starts when it has finished");
            draft
                .ready(no(types::READY, reasons::WAITING_FOR_TASK, message))
                .phase(SessionPhase::Queued)
        }
        Admission::Go { .. } if !is_guarded(seen) => draft.step(Step::Guard).unchanged(),
        // What kept its pod from being made stands in the status.
        Admission::Go { .. } if draft.is_late() => starts(draft.unchanged_obstacle(), settings),
        Admission::Go { token_sha256 } => {
            draft.step = start(seen, token_sha256, settings);
            draft.starting("The pod is on the way").phase(SessionPhase::Starting)
        }
        Admission::Admitted => draft.starting("The pod is on the way").phase(SessionPhase::Starting),
        Admission::Settling | Admission::NotAsked => {
            draft.look_at(now + settings.timing.look_again);
            if let Some(lost) = seen.pod.as_deref().and_then(|pod| pod::lost(pod, false, now)) {
                return draft
                    .ready(no(types::READY, lost.reason, lost.message))
                    .phase(SessionPhase::Starting);
            }
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

/// The class is full.
fn queued(mut draft: Draft<'_>, position: i32, limit: i32, settings: &Settings) -> Plan {
    let now = draft.now;
    if let Some(message) = refusal(draft.seen, position, limit) {
        draft.admitted = no(types::ADMITTED, reasons::REJECTED, message);
        return done(draft, None, Goal::End(EndCause::Rejected));
    }
    let old = draft.seen.session.status.as_ref();
    let since = old.and_then(|status| status.queued_since.clone());
    let since = since.unwrap_or_else(|| Time(whole_seconds(now)));
    if let Some(class) = &draft.seen.class {
        if let Some(timeout) = class.spec.limits.queue_timeout_seconds {
            let deadline = since.0 + Duration::from_secs(u64::try_from(timeout).unwrap_or_default());
            if deadline <= now {
                let message = format!("No slot came free within {timeout} s");
                draft.admitted = no(types::ADMITTED, reasons::QUEUE_TIMEOUT, message);
                return done(draft, None, Goal::End(EndCause::QueueTimeout));
            }
            draft.look_at(deadline);
        }
        if class.spec.session.when_full == WhenFull::SuspendIdle {
            // Idleness makes no event.
            draft.look_at(now + settings.timing.look_again);
        }
    }
    draft.status.queued_since = Some(since);
    draft.status.queue_position = Some(position);
    let message = format!("Place {position} in the queue; the class lets {limit} sessions be active at once");
    turned_away(draft, no(types::ADMITTED, reasons::QUEUED, message))
}

/// Why it may not even wait. That is asked once, and never of a session in the middle of its conversation.
fn refusal(seen: &Observed, position: i32, limit: i32) -> Option<String> {
    let status = seen.session.status.as_ref();
    if status.is_some_and(|status| status.queued_since.is_some() || status.start_time.is_some()) {
        return None;
    }
    let spec = &seen.class.as_ref()?.spec;
    if spec.session.when_full == WhenFull::Reject {
        return Some(format!(
            "All {limit} sessions of the class are taken, and `whenFull: Reject` of the AgentClass says not to wait"
        ));
    }
    let places = spec.limits.max_queued.filter(|places| position > *places)?;
    Some(format!(
        "All {limit} sessions of the class are taken, and so are its {places} places in the queue"
    ))
}

fn start(seen: &Observed, token_sha256: &[String], settings: &Settings) -> Option<Step> {
    let (topic, class) = (seen.topic.as_ref()?, seen.class.as_ref()?);
    let wanted = stateful_set(seen, topic, class, token_sha256, settings)?;
    Some(match &seen.stateful_set {
        None => Step::Create(Box::new(wanted)),
        Some(stopped) => Step::Start(Box::new(started_again(stopped, &wanted))),
    })
}
