//! A run on its way to a session. Pure.
//!
//! Three steps, each persisted before the next is begun: the run waits for its session (which is woken if need be), the message is
//! given to it, the run is settled. While it waits the session has not got the message, so another way is open; once it is given
//! only the session's runner knows, and its journal takes the id once. So an operator that dies between any two steps repeats one
//! that may be repeated.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::conditions::reasons;
use longshore_crds::{HandOver, PendingRun, PersistentSession, ScheduledTask};
use longshore_wire::api::{PostMessage, Priority};
use longshore_wire::{MessageId, author};

use super::build::minute;
use super::calendar::Calendar;
use super::observe::Observed;
use crate::agent::Handed;
use crate::conditions::whole_seconds;
use crate::session::{self, Standing};

/// A session whose runner winds down is left alone for this long, unless it is seen to sleep.
const PAUSE: Duration = Duration::from_secs(10);
/// A lost notice, or a runner that does not answer, is made up for after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known of a run that waits.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub pending: &'a PendingRun,
    /// The session, unless it is gone.
    pub session: Option<&'a PersistentSession>,
    /// What its runner answered in this pass.
    pub handed: Option<&'a Handed>,
    /// What it is woken for.
    pub cause: &'a str,
    /// Whether the schedule still wants sessions to take runs.
    pub wanted: bool,
    /// Whether the starting deadline is over.
    pub late: bool,
}

/// What becomes of it in this pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The session has it.
    Taken,
    /// It becomes a task.
    Task,
    /// It is left out for this reason.
    LeftOut(&'static str),
    /// It goes on like this.
    Waits {
        pending: PendingRun,
        /// The session is woken by this value of the annotation.
        wish: Option<String>,
        look: Timestamp,
    },
}

/// What a session is woken for by a run: unique to that.
pub fn cause(schedule: &ScheduledTask, at: Timestamp) -> String {
    format!("schedule/{}/{}", schedule.uid().unwrap_or_default(), minute(at))
}

/// The run as a message. Its author says which run it is, to claude and to the chat.
pub fn message(schedule: &ScheduledTask, calendar: &Calendar, at: Timestamp) -> PostMessage {
    let shown = calendar.show(at);
    // The clock of the schedule's time zone, as people there read it.
    let clock = shown.get(..16).unwrap_or(&shown).replace('T', " ");
    PostMessage {
        id: MessageId::from_run(&schedule.uid().unwrap_or_default(), minute(at)),
        text: schedule.spec.prompt.clone(),
        attachments: Vec::new(),
        author: Some(author::of_run(&schedule.name_any(), &clock)),
        context: None,
        // Nobody waits for it: what the session is at comes first, and is not mixed with it.
        priority: Priority::Later,
    }
}

/// The run that is to be given to a session now, by what the status says, and the session.
pub fn to_give(seen: &Observed) -> Option<(&PendingRun, &Arc<PersistentSession>)> {
    let schedule = seen.schedule.as_ref();
    let pending = schedule.status.as_ref()?.pending.as_ref()?;
    let now = pending.step == HandOver::Giving && schedule.metadata.deletion_timestamp.is_none();
    Some((pending, seen.session_of(pending).filter(|_| now)?))
}

/// How a run that is due begins.
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// As a task.
    Task,
    /// It does not, for this reason.
    LeftOut(&'static str),
    /// On its way to the session.
    Waits(PendingRun),
}

/// The first step of a run whose topic belongs to this session.
pub fn first(session: &PersistentSession, cause: &str, at: Timestamp) -> First {
    let step = match session::standing(session, cause) {
        Standing::Ready => HandOver::Giving,
        Standing::OnTheWay | Standing::Asleep { .. } => HandOver::Waiting,
        Standing::HeldDown => return First::LeftOut(reasons::SESSION_SUSPENDED),
        Standing::Lost | Standing::Over => return First::Task,
    };
    First::Waits(PendingRun {
        schedule_time: Time(at),
        session: session.name_any(),
        session_uid: session.uid().unwrap_or_default(),
        step,
        retry_time: None,
    })
}

pub fn next(case: &Case<'_>, now: Timestamp) -> Next {
    let standing = case
        .session
        .map_or(Standing::Over, |session| session::standing(session, case.cause));
    match case.pending.step {
        HandOver::Waiting => waiting(case, standing, now),
        HandOver::Giving => giving(case, standing, now),
    }
}

fn waiting(case: &Case<'_>, standing: Standing, now: Timestamp) -> Next {
    let retry = case.pending.retry_time.as_ref().map(|at| at.0).filter(|at| *at > now);
    match standing {
        _ if case.late => Next::LeftOut(reasons::MISSED_DEADLINE),
        _ if !case.wanted => Next::Task,
        Standing::Lost | Standing::Over => Next::Task,
        Standing::HeldDown => Next::LeftOut(reasons::SESSION_SUSPENDED),
        Standing::Ready if retry.is_none() => case.goes_on(HandOver::Giving, now),
        Standing::Asleep { wish } => case.wakes(wish, now),
        Standing::Ready | Standing::OnTheWay => Next::Waits {
            pending: case.pending.clone(),
            wish: None,
            look: retry.unwrap_or(now + LOOK_AGAIN),
        },
    }
}

/// Only the runner knows whether it has the message. If it cannot be asked any more, the run is not started another way: that
/// might be the second time.
fn giving(case: &Case<'_>, standing: Standing, now: Timestamp) -> Next {
    let uncertain = Next::LeftOut(reasons::HAND_OVER_UNCERTAIN);
    let is_over = case.session.is_none_or(session::is_over);
    match (case.handed, standing) {
        (Some(Handed::Taken), _) => Next::Taken,
        (Some(Handed::WindsDown), _) => case.goes_on(HandOver::Waiting, now),
        (_, Standing::Over) if is_over => uncertain,
        (None, Standing::HeldDown) | (_, Standing::Lost) => uncertain,
        _ if case.late => uncertain,
        (None, Standing::Asleep { wish }) => case.wakes(wish, now),
        _ => case.goes_on(HandOver::Giving, now),
    }
}

impl Case<'_> {
    fn goes_on(&self, step: HandOver, now: Timestamp) -> Next {
        let refused = self.pending.step == HandOver::Giving && step == HandOver::Waiting;
        Next::Waits {
            pending: PendingRun {
                step,
                retry_time: refused.then(|| Time(whole_seconds(now + PAUSE))),
                ..self.pending.clone()
            },
            wish: None,
            look: now + LOOK_AGAIN,
        }
    }

    fn wakes(&self, wish: String, now: Timestamp) -> Next {
        Next::Waits {
            pending: self.pending.clone(),
            wish: Some(wish),
            look: now + LOOK_AGAIN,
        }
    }
}
