//! Plans for a session whose StatefulSet shall have its pod.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{OnIdle, SessionPhase};
use longshore_wire::api::{IdleEnd, RunnerState, Warn};

use super::winding::{Goal, begin};
use super::{Plan, Step};
use crate::agent::{Contact, Met, dial_again};
use crate::conditions::{no, whole_seconds, yes};
use crate::pod;
use crate::session::cause::{EndCause, RestCause};
use crate::session::deadlines::{Verdict, idleness};
use crate::session::observe::Observed;
use crate::session::status::Draft;
use crate::settings::Settings;

pub fn up(mut draft: Draft<'_>, contact: &Contact, settings: &Settings) -> Plan {
    let (seen, now) = (draft.seen, draft.now);
    let pod = seen.pod.as_deref();
    if let Contact::Met(met) = contact {
        draft.hears(met);
        return reachable(draft, met, settings);
    }
    if let Some(lost) = pod.and_then(|pod| pod::lost(pod, *contact != Contact::NotTried, now)) {
        return draft
            .ready(no(types::READY, lost.reason, lost.message))
            .phase(SessionPhase::Starting);
    }
    match contact {
        // Not heard once is not gone: what was said of a pod that the kubelet takes for ready stays.
        Contact::Failed(_) if seen.holds(types::READY) && pod.is_some_and(pod::is_ready) => {
            draft.look_at(now + settings.timing.look_again);
            draft.unchanged()
        }
        Contact::Failed(_) => {
            let started = pod.and_then(pod::started_at);
            draft.look_at(dial_again(started, now, settings.timing.look_again));
            absent(draft, "The pod is there, its runner is not heard yet", settings)
        }
        _ => absent(draft, "The pod is on the way", settings),
    }
}

/// There is nobody to talk to yet.
fn absent(mut draft: Draft<'_>, otherwise: &str, settings: &Settings) -> Plan {
    let pod = draft.seen.pod.as_deref();
    if let Some(at) = pod.and_then(pod::lost_at).filter(|at| *at > draft.now) {
        draft.look_at(at);
    }
    match pod.and_then(pod::trouble) {
        Some(trouble) => starts(draft.ready(no(types::READY, trouble.reason, trouble.message)), settings),
        None => starts(draft.starting(otherwise), settings),
    }
}

/// It is not Ready yet, or not again. A conversation that has begun is kept when that takes too long.
pub fn starts(draft: Draft<'_>, settings: &Settings) -> Plan {
    if !draft.is_late() {
        return draft.phase(SessionPhase::Starting);
    }
    let goal = match draft.status.start_time {
        Some(_) => Goal::Rest(RestCause::ResumeFailed),
        None => Goal::End(EndCause::Failed),
    };
    begin(draft, goal, settings)
}

fn reachable(mut draft: Draft<'_>, met: &Met, settings: &Settings) -> Plan {
    let now = draft.now;
    if let Some(trouble) = met.trouble() {
        return starts(draft.ready(no(types::READY, trouble.reason, trouble.message)), settings);
    }
    match met.status.state {
        RunnerState::Starting | RunnerState::Ready if met.accepted => ready(draft, met, settings),
        // Told to wind down by somebody who was not meant to, such as an operator that leads no more.
        RunnerState::Quiesced => draft
            .step(Step::Stop)
            .starting("The runner has wound down; another pod is on the way")
            .phase(SessionPhase::Starting),
        _ => {
            draft.look_at(now + settings.timing.look_again);
            starts(draft.starting("The runner does not take messages now"), settings)
        }
    }
}

fn ready(mut draft: Draft<'_>, met: &Met, settings: &Settings) -> Plan {
    let (seen, now) = (draft.seen, draft.now);
    let spans = seen.spans();
    let idle = idleness(&seen.session, &met.status, met.refused, &spans, &settings.timing, now);
    draft.reckons(&idle, &spans, settings);
    match idle.verdict(now) {
        Verdict::Idle => return begin(draft, at_idle(seen), settings),
        Verdict::Warn => {
            draft.step = Some(Step::Warn(warning(seen, idle.deadline)));
            draft.look_at(idle.deadline);
        }
        Verdict::LookAt(at) => draft.look_at(at),
    }
    draft.status.start_time.get_or_insert_with(|| Time(whole_seconds(now)));
    draft.summarized = no(
        types::SUMMARIZED,
        reasons::PENDING,
        "It is summarised when it winds down",
    );
    if let Some(message) = astray(seen) {
        return draft
            .ready(no(types::READY, reasons::TOPIC_NOT_FOUND, message))
            .phase(SessionPhase::Running);
    }
    draft.status.endpoint = Some(met.endpoint.clone());
    draft
        .ready(yes(types::READY, reasons::READY, "The runner accepts messages"))
        .phase(SessionPhase::Running)
}

/// Why nobody but us can talk to the runner: its tokens come from a Topic that is not there any more. It goes on, and its
/// deadlines hold.
fn astray(seen: &Observed) -> Option<String> {
    let (name, pod) = (seen.topic_name(), seen.pod.as_deref()?);
    let Some(topic) = seen.topic.as_deref() else {
        return Some(format!(
            "Topic {name} was deleted; end the session, or create the Topic again"
        ));
    };
    (pod::topic_uid(pod, Some(topic)) != topic.metadata.uid).then(|| {
        format!("Topic {name} was deleted and made anew; suspend the session and resume it, so that its pod belongs to the new one")
    })
}

/// Another session needs the slot of this idle one.
pub fn give_way(mut draft: Draft<'_>, met: &Met, settings: &Settings) -> Plan {
    let (seen, spans) = (draft.seen, draft.seen.spans());
    draft.hears(met);
    let idle = idleness(&seen.session, &met.status, false, &spans, &settings.timing, draft.now);
    draft.reckons(&idle, &spans, settings);
    begin(draft, Goal::Rest(RestCause::SlotReclaimed), settings)
}

fn on_idle(seen: &Observed) -> OnIdle {
    seen.class
        .as_ref()
        .map_or(OnIdle::Suspend, |class| class.spec.session.on_idle)
}

fn at_idle(seen: &Observed) -> Goal {
    match on_idle(seen) {
        OnIdle::Suspend => Goal::Rest(RestCause::Idle),
        OnIdle::End => Goal::End(EndCause::Idle),
    }
}

fn warning(seen: &Observed, deadline: Timestamp) -> Warn {
    let then = match on_idle(seen) {
        OnIdle::Suspend => IdleEnd::Suspend,
        OnIdle::End => IdleEnd::End,
    };
    Warn { deadline, then }
}
