//! Plans for a session that winds down, to rest or to end.
//!
//! The intent with its reason and its deadline stands in the status first. Then the runner is asked; what it leaves behind
//! stands in the status together with the outcome; only then the pod goes. So a crash between any two of these loses nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{SessionPhase, UndeliveredAnswer};
use longshore_wire::api::{RunnerState, Undelivered};

use super::{Plan, up};
use crate::agent::{Contact, Met};
use crate::conditions::{Verdict, find, no, truncate, whole_seconds, yes};
use crate::pod;
use crate::session::cause::{EndCause, RestCause};
use crate::session::observe::Observed;
use crate::session::stage::{is_wanted_back, stage};
use crate::session::status::{Draft, summary};
use crate::settings::Settings;

/// What winding down leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Rest(RestCause),
    End(EndCause),
}

impl Goal {
    fn phase(self) -> SessionPhase {
        match self {
            Self::Rest(_) => SessionPhase::Suspending,
            Self::End(_) => SessionPhase::Ending,
        }
    }

    fn is_idleness(self) -> bool {
        matches!(
            self,
            Self::Rest(RestCause::Idle | RestCause::SlotReclaimed) | Self::End(EndCause::Idle)
        )
    }
}

/// How far winding down has come.
enum Progress {
    /// Nobody has been told, and the status does not say so yet.
    Begin,
    /// Until then at the latest it has not come further.
    Wait(Timestamp),
    /// It is not idle after all, and has not begun.
    GoesOn,
    Done,
}

pub fn winding(mut draft: Draft<'_>, contact: &Contact, goal: Goal, settings: &Settings) -> Plan {
    match progress(&draft, contact, goal, settings) {
        Progress::Done => done(draft, contact.met(), goal),
        Progress::GoesOn => up::up(draft, contact, settings),
        Progress::Begin => begin(draft, goal, settings),
        Progress::Wait(until) => {
            draft.look_at(until);
            draft.look_before_drain(settings).unchanged()
        }
    }
}

/// A pod that cannot be talked to at all has nothing to wind down; one that does not answer is given until the deadline.
fn progress(draft: &Draft<'_>, contact: &Contact, goal: Goal, settings: &Settings) -> Progress {
    let (seen, now) = (draft.seen, draft.now);
    let deadline = draft.old_drain_deadline().map(|at| at.0);
    let begun = deadline.filter(|_| seen.phase() == Some(goal.phase()));
    let too_late = begun.is_some_and(|at| at <= now);
    let state = contact.met().map(|met| met.status.state);
    // A container that is not running has nobody to be waited for.
    let dead = matches!(contact, Contact::Failed(_)) && seen.pod.as_deref().and_then(pod::trouble).is_some();
    if *contact == Contact::NotTried || dead || too_late {
        return Progress::Done;
    }
    if let Some(met) = contact.met().filter(|met| met.status.state == RunnerState::Quiesced) {
        return match awaits_bot(seen, met, settings).filter(|until| *until > now) {
            Some(until) => Progress::Wait(until),
            None => Progress::Done,
        };
    }
    let refused = contact.met().is_some_and(|met| met.refused);
    let untouched = matches!(state, Some(RunnerState::Starting | RunnerState::Ready));
    if untouched && (refused || is_wanted_back(seen, stage(seen, now))) {
        Progress::GoesOn
    } else if begun.is_some() {
        Progress::Wait(now + settings.timing.look_again)
    } else {
        Progress::Begin
    }
}

/// Until when the bot is given to take the last answers; none when there is nothing to take, or no chat to take it to.
fn awaits_bot(seen: &Observed, met: &Met, settings: &Settings) -> Option<Timestamp> {
    let since = met.quiesced_at?;
    (has_chat(seen) && !met.status.undelivered.is_empty()).then(|| since + settings.timing.last_answers)
}

fn has_chat(seen: &Observed) -> bool {
    seen.topic.as_ref().is_some_and(|topic| topic.spec.telegram.is_some())
}

/// Says that it winds down, why, and until when.
pub fn begin(mut draft: Draft<'_>, goal: Goal, settings: &Settings) -> Plan {
    // A session that was being suspended and shall now end keeps its deadline.
    let deadline = draft
        .old_drain_deadline()
        .unwrap_or_else(|| Time(whole_seconds(draft.now + settings.timing.drain)));
    draft.step = None;
    draft.next_deadline = None;
    draft.status.endpoint = None;
    if !goal.is_idleness() {
        draft.status.idle_deadline = None;
    }
    draft.look_at((draft.now + settings.timing.look_again).min(deadline.0));
    let reason = match goal {
        Goal::Rest(cause) => {
            let why = why(&draft, types::SUSPENDED, cause.reason(), cause.sentence());
            draft.suspended = no(types::SUSPENDED, cause.reason(), why);
            reasons::SUSPENDED
        }
        Goal::End(cause) => {
            let why = why(&draft, types::ENDED, cause.reason(), cause.sentence());
            draft.ended = no(types::ENDED, cause.reason(), why);
            reasons::ENDED
        }
    };
    let message = format!("Winding down, until {} at the latest", deadline.0);
    draft.status.drain_deadline = Some(deadline);
    draft.ready(no(types::READY, reason, message)).phase(goal.phase())
}

/// What is said of a cause. What was in the way of starting is said from then on.
fn why(draft: &Draft<'_>, condition: &str, reason: &str, sentence: &str) -> String {
    if ![reasons::FAILED, reasons::RESUME_FAILED].contains(&reason) {
        return sentence.to_owned();
    }
    let status = draft.seen.session.status.as_ref();
    let said = status.and_then(|status| find(&status.conditions, condition).filter(|said| said.reason == reason));
    said.map_or_else(
        || format!("{sentence}. {}", draft.obstacle()),
        |said| said.message.clone(),
    )
}

/// It has wound down, or there is nothing to wind down: the status says so before the pod goes.
pub fn done(mut draft: Draft<'_>, met: Option<&Met>, goal: Goal) -> Plan {
    draft.summarized = farewell(&draft, met);
    if let Some(met) = met {
        draft.counts(met);
        let written = met.status.summary.as_ref().map(summary);
        draft.status.summary = written.or(draft.status.summary);
        if has_chat(draft.seen) {
            draft.status.undelivered = met.status.undelivered.iter().map(undelivered).collect();
        }
    }
    match goal {
        Goal::Rest(cause) => suspended(draft, cause),
        Goal::End(cause) => ended(draft, cause),
    }
}

fn suspended(mut draft: Draft<'_>, cause: RestCause) -> Plan {
    draft.admitted = no(
        types::ADMITTED,
        reasons::SUSPENDED,
        "It needs no slot; the topic stays its own",
    );
    let why = why(&draft, types::SUSPENDED, cause.reason(), cause.sentence());
    draft.suspended = yes(types::SUSPENDED, cause.reason(), why);
    draft.forgets_memory();
    draft
        .ready(no(types::READY, reasons::SUSPENDED, "It is suspended"))
        .phase(SessionPhase::Suspended)
}

fn ended(mut draft: Draft<'_>, cause: EndCause) -> Plan {
    if draft.admitted.is_true {
        draft.admitted = no(types::ADMITTED, reasons::ENDED, "It needs no slot any more");
    }
    let why = why(&draft, types::ENDED, cause.reason(), cause.sentence());
    draft.ended = yes(types::ENDED, cause.reason(), why);
    draft.status.end_time = Some(Time(whole_seconds(draft.now)));
    draft
        .ready(no(types::READY, reasons::ENDED, "It has ended"))
        .phase(SessionPhase::Ended)
}

/// What became of the summary. What was said before stays when nothing has happened since.
fn farewell(draft: &Draft<'_>, met: Option<&Met>) -> Verdict {
    let pending = draft.summarized.reason == reasons::PENDING;
    let asks = draft.seen.summarizes();
    let failed = |why: &str| no(types::SUMMARIZED, reasons::SUMMARY_FAILED, why);
    match met {
        Some(_) | None if pending && !asks => no(
            types::SUMMARIZED,
            reasons::PENDING,
            "The AgentClass asks for no summaries",
        ),
        Some(met) if met.status.state == RunnerState::Quiesced => match &met.status.summary_error {
            Some(why) => failed(why),
            None if is_new(draft, met) => yes(
                types::SUMMARIZED,
                reasons::WRITTEN,
                "The key outcomes stand in the state files",
            ),
            None => yes(
                types::SUMMARIZED,
                reasons::NOTHING_NEW,
                "Nothing has happened since the last summary",
            ),
        },
        Some(_) => failed("The agent did not finish in time; the topic's next pod makes the summary first"),
        None if !pending => draft.summarized.clone(),
        None if draft.status.start_time.is_none() => yes(types::SUMMARIZED, reasons::NOTHING_NEW, "It has never run"),
        None => failed("The agent could not be asked; the topic's next pod makes the summary first"),
    }
}

fn is_new(draft: &Draft<'_>, met: &Met) -> bool {
    let old = draft.status.summary.as_ref().map(|old| old.time.as_str());
    let new = met.status.summary.as_ref().map(|new| new.time.to_string());
    new.is_some() && new.as_deref() != old
}

/// An answer as the API bounds it.
fn undelivered(answer: &Undelivered) -> UndeliveredAnswer {
    UndeliveredAnswer {
        message_ids: answer.message_ids.iter().take(64).map(ToString::to_string).collect(),
        text: truncate(&answer.text, 8192),
        is_error: answer.is_error,
    }
}
