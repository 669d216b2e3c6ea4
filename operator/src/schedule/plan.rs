//! What to do about a schedule. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{
    BesideSession, ConcurrencyPolicy, ContainerTask, MissedRun, PendingRun, PersistentSession, ScheduledTaskSpec,
    ScheduledTaskStatus,
};

use super::build::{run, run_name};
use super::calendar::{Calendar, Unreadable};
use super::due::{Due, due};
use super::hand_over::{self, Case, First, Next};
use super::history::surplus;
use super::left_out;
use super::observe::Observed;
use crate::agent::Handed;
use crate::cluster::Error;
use crate::conditions::{Verdict, find, merge, no, whole_seconds, yes};
use crate::events::{News, news};
use crate::task;

/// Reason of the event about a run that was started.
const STARTED: &str = "Started";
/// Reason of the event about a run that a session has taken.
const HANDED_OVER: &str = "HandedOver";
/// As many active runs are listed in the status.
const MOST_LISTED: usize = 100;
/// A mark that lies further in the future than this was made by a clock that was wrong.
const WRONG_CLOCK: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    pub status: ScheduledTaskStatus,
    pub news: Vec<News>,
    pub next_look: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Start(Box<ContainerTask>),
    /// Ask the session to wake up, by this value of the annotation.
    Wake {
        session: Arc<PersistentSession>,
        wish: String,
    },
    Delete {
        name: String,
        uid: String,
    },
}

/// `handed` is what a session answered in this pass to the run that it was given.
pub fn plan(seen: &Observed, handed: Option<&Handed>, now: Timestamp) -> Plan {
    let mut draft = Draft::new(seen, now);
    if seen.schedule.metadata.deletion_timestamp.is_some() {
        return draft.unchanged();
    }
    draft.tidy();
    let spec = &seen.schedule.spec;
    let calendar = match readable(spec, now) {
        Ok(calendar) => calendar,
        Err(unreadable) => return draft.state(unreadable_verdict(&unreadable)),
    };
    let deadline = spec
        .starting_deadline_seconds
        .map(|seconds| Duration::from_secs(u64::from(seconds.unsigned_abs())));
    if let Some(pending) = draft.status.pending.take() {
        // What has begun goes on, also when the schedule is suspended.
        draft.advance(&calendar, pending, handed, deadline);
    }
    if spec.suspend {
        let verdict = no(types::READY, reasons::SUSPENDED, "suspend is true: no runs are started");
        return draft.state(verdict);
    }
    match due(&calendar, draft.done(), deadline, now) {
        Due::Nothing => {}
        Due::TooLate(at) => draft.leave_out(at, reasons::MISSED_DEADLINE),
        Due::Run { at, earlier } => {
            if !draft.start(&calendar, at, earlier) {
                draft.look_at(deadline.map(|deadline| at + deadline + Duration::from_secs(1)));
            }
        }
    }
    draft.scheduled(&calendar)
}

fn readable(spec: &ScheduledTaskSpec, now: Timestamp) -> Result<Calendar, Unreadable> {
    let calendar = Calendar::read(&spec.schedule, &spec.time_zone)?;
    match calendar.next(now) {
        Some(_) => Ok(calendar),
        None => Err(Unreadable::Never(spec.schedule.clone())),
    }
}

fn unreadable_verdict(unreadable: &Unreadable) -> Verdict {
    let reason = match unreadable {
        Unreadable::Schedule { .. } | Unreadable::Never(_) => reasons::INVALID_SCHEDULE,
        Unreadable::TimeZone(_) => reasons::INVALID_TIME_ZONE,
    };
    no(types::READY, reason, unreadable.to_string())
}

impl Plan {
    /// The same, when the run's task could not be made, or its session not be woken. It stays due.
    pub fn hindered(self, seen: &Observed, error: &Error, now: Timestamp) -> Self {
        let starts = self.steps.iter().any(|step| !matches!(step, Step::Delete { .. }));
        if !starts {
            return self;
        }
        if matches!(error, Error::Conflict { .. }) {
            let status = seen.schedule.status.clone().unwrap_or_default();
            return Self {
                status,
                news: Vec::new(),
                ..self
            };
        }
        let verdict = no(types::READY, reasons::CANNOT_START, error.answer());
        Self {
            steps: self.steps,
            ..Draft::new(seen, now).state(verdict)
        }
    }

    /// The same, when the run's task belongs to somebody else. The run is left out: its name will not become free for it.
    pub fn name_taken(self, seen: &Observed, now: Timestamp) -> Self {
        let mut draft = Draft::new(seen, now);
        draft.status.pending = self.status.pending;
        if let Some(at) = self.status.last_schedule_time.clone() {
            draft.leave_out(at.0, reasons::NAME_CONFLICT);
        }
        let steps = self.steps;
        let spec = &seen.schedule.spec;
        let plan = match readable(spec, now) {
            Ok(calendar) => draft.scheduled(&calendar),
            Err(unreadable) => draft.state(unreadable_verdict(&unreadable)),
        };
        Self { steps, ..plan }
    }
}

/// A plan in the making.
struct Draft<'a> {
    seen: &'a Observed,
    now: Timestamp,
    steps: Vec<Step>,
    news: Vec<News>,
    look: Option<Timestamp>,
    active: Vec<String>,
    status: ScheduledTaskStatus,
}

impl<'a> Draft<'a> {
    fn new(seen: &'a Observed, now: Timestamp) -> Self {
        let runs = seen.runs.iter().filter(|run| !task::is_over(run));
        Self {
            seen,
            now,
            steps: Vec::new(),
            news: Vec::new(),
            look: None,
            active: runs.map(|run| run.name_any()).collect(),
            status: marks(seen, now),
        }
    }

    fn unchanged(self) -> Plan {
        Plan {
            steps: Vec::new(),
            status: self.seen.schedule.status.clone().unwrap_or_default(),
            news: Vec::new(),
            next_look: None,
        }
    }

    /// Up to this time everything is settled.
    fn done(&self) -> Timestamp {
        let marks = [
            self.status.counts_from.as_ref().map(|at| at.0),
            self.status.last_schedule_time.as_ref().map(|at| at.0),
            self.status.last_missed.as_ref().map(|missed| missed.schedule_time.0),
            self.status.pending.as_ref().map(|pending| pending.schedule_time.0),
        ];
        marks.into_iter().flatten().max().unwrap_or(self.now)
    }

    fn tidy(&mut self) {
        for old in surplus(&self.seen.schedule.spec, &self.seen.runs, self.now) {
            self.delete(&old);
        }
    }

    fn delete(&mut self, run: &ContainerTask) {
        self.steps.extend(run.uid().map(|uid| Step::Delete {
            name: run.name_any(),
            uid,
        }));
    }

    /// A later run may have been left out before.
    fn leave_out(&mut self, at: Timestamp, reason: &str) {
        let last = self.status.last_missed.as_ref().map(|missed| missed.schedule_time.0);
        if last.is_some_and(|last| last > at) {
            return;
        }
        self.status.last_missed = Some(MissedRun {
            schedule_time: Time(at),
            reason: reason.to_owned(),
        });
    }

    fn look_at(&mut self, at: Option<Timestamp>) {
        self.look = match (self.look, at) {
            (Some(look), Some(at)) => Some(look.min(at)),
            (look, at) => look.or(at),
        };
    }

    /// Takes the run that waits for a session further.
    fn advance(
        &mut self,
        calendar: &Calendar,
        pending: PendingRun,
        handed: Option<&Handed>,
        deadline: Option<Duration>,
    ) {
        let schedule = self.seen.schedule.as_ref();
        let at = pending.schedule_time.0;
        let name = run_name(schedule, at);
        if self.seen.runs.iter().any(|run| run.name_any() == name) {
            // It has become a task, and the status could not be written.
            return self.started(at);
        }
        let session = self.seen.session_of(&pending);
        let case = Case {
            pending: &pending,
            session: session.map(Arc::as_ref),
            handed,
            cause: &hand_over::cause(schedule, at),
            wanted: schedule.spec.while_session_active == BesideSession::ToSession,
            late: deadline.is_some_and(|deadline| self.now > at + deadline),
        };
        match hand_over::next(&case, self.now) {
            Next::Taken => {
                self.news.push(News {
                    warning: false,
                    reason: HANDED_OVER.to_owned(),
                    note: format!("Session {} has taken the run of {}", pending.session, calendar.show(at)),
                });
                self.started(at);
            }
            Next::Task if self.make(calendar, at) => {}
            // Its Topic is gone; it waits for it until its deadline.
            Next::Task => {
                self.look_at(deadline.map(|deadline| at + deadline + Duration::from_secs(1)));
                self.status.pending = Some(pending);
            }
            Next::LeftOut(reason) => self.leave_out(at, reason),
            Next::Waits { pending, wish, look } => {
                let wake = session.zip(wish).map(|(session, wish)| Step::Wake {
                    session: Arc::clone(session),
                    wish,
                });
                self.steps.extend(wake);
                self.look_at(Some(look));
                self.status.pending = Some(pending);
            }
        }
    }

    fn started(&mut self, at: Timestamp) {
        let last = self.status.last_schedule_time.take().map(|last| last.0);
        self.status.last_schedule_time = Some(Time(last.map_or(at, |last| last.max(at))));
    }

    /// Settles a run that is due. False when it has to wait.
    fn start(&mut self, calendar: &Calendar, at: Timestamp, earlier: Option<Timestamp>) -> bool {
        let schedule = self.seen.schedule.as_ref();
        if self.seen.topic.is_none() {
            return false;
        }
        // It is there when the status could not be written after it was made.
        let name = run_name(schedule, at);
        let made = self.seen.runs.iter().any(|run| run.name_any() == name);
        let busy = self.status.pending.is_some() || self.active.iter().any(|active| *active != name);
        let (policy, beside) = (schedule.spec.concurrency_policy, schedule.spec.while_session_active);
        if !made && beside == BesideSession::Skip && self.seen.has_session_pod() {
            self.leave_out(at, reasons::SESSION_ACTIVE);
            return true;
        }
        if !made && busy && policy == ConcurrencyPolicy::Forbid {
            self.leave_out(at, reasons::PREVIOUS_RUN_ACTIVE);
            return true;
        }
        if policy == ConcurrencyPolicy::Replace {
            self.replace_others(&name);
        }
        if self.status.pending.is_some() {
            // One run at a time is on its way to a session.
            return false;
        }
        if let Some(earlier) = earlier {
            self.leave_out(earlier, reasons::LATER_RUN_DUE);
        }
        let holder = self
            .seen
            .holder()
            .filter(|_| !made && beside == BesideSession::ToSession);
        let cause = hand_over::cause(schedule, at);
        match holder.map_or(First::Task, |session| hand_over::first(session, &cause, at)) {
            First::Task => return self.make(calendar, at),
            First::LeftOut(reason) => self.leave_out(at, reason),
            First::Waits(pending) => self.status.pending = Some(pending),
        }
        true
    }

    /// Makes the task of a run. False without its Topic.
    fn make(&mut self, calendar: &Calendar, at: Timestamp) -> bool {
        let schedule = self.seen.schedule.as_ref();
        let Some(topic) = &self.seen.topic else { return false };
        let name = run_name(schedule, at);
        let beside = schedule.spec.while_session_active == BesideSession::RunTask && self.seen.has_session_pod();
        let start = Step::Start(Box::new(run(schedule, topic, calendar, at, beside)));
        self.steps.insert(0, start);
        self.active.retain(|active| *active != name);
        self.news.push(News {
            warning: false,
            reason: STARTED.to_owned(),
            note: format!("Started {name} for {}", calendar.show(at)),
        });
        self.active.push(name);
        self.started(at);
        true
    }

    /// Whatever else is not over makes room for this run.
    fn replace_others(&mut self, name: &str) {
        let seen = self.seen;
        for other in &seen.runs {
            if self.active.contains(&other.name_any()) && other.name_any() != name {
                self.delete(other);
            }
        }
        self.active.retain(|active| active == name);
        if let Some(pending) = self.status.pending.take() {
            self.leave_out(pending.schedule_time.0, reasons::LATER_RUN_DUE);
        }
    }

    /// The schedule is understood and in force.
    fn scheduled(mut self, calendar: &Calendar) -> Plan {
        let next = calendar.next(self.done().max(self.now));
        self.status.next_schedule_time = next.map(Time);
        self.look_at(next);
        let verdict = if self.seen.topic.is_none() {
            let name = &self.seen.schedule.spec.topic_ref.name;
            let message = format!("Topic {name} does not exist; create it");
            no(types::READY, reasons::TOPIC_NOT_FOUND, message)
        } else {
            let next = next.map_or_else(String::new, |at| format!("Next run: {}", calendar.show(at)));
            match (&self.status.pending, left_out::last(&self.status)) {
                (Some(pending), _) => {
                    let (at, session) = (calendar.show(pending.schedule_time.0), &pending.session);
                    let message = format!("The run of {at} waits until session {session} takes it. {next}");
                    yes(types::READY, reasons::HANDING_OVER, message)
                }
                (None, Some((reason, why, at))) => {
                    let message = format!("The run of {} was left out: {why}. {next}", calendar.show(at));
                    yes(types::READY, reason, message)
                }
                (None, None) => yes(types::READY, reasons::SCHEDULED, next),
            }
        };
        self.state(verdict)
    }

    fn state(mut self, ready: Verdict) -> Plan {
        let schedule = self.seen.schedule.as_ref();
        let old = schedule.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let active = self.active.len() + usize::from(self.status.pending.is_some());
        self.status.active_count = i32::try_from(active).unwrap_or(i32::MAX);
        self.active.truncate(MOST_LISTED);
        self.status.active = self.active;
        self.status.observed_generation = schedule.metadata.generation;
        self.status.conditions = merge(old, vec![ready], schedule.metadata.generation, self.now);
        self.news.extend(news(old, &self.status.conditions));
        Plan {
            steps: self.steps,
            status: self.status,
            news: self.news,
            next_look: self.look,
        }
    }
}

/// The status to go on from: what was settled stays settled. A schedule that was created, resumed or changed counts from then;
/// a mark that only a wrong clock can have made does not survive that.
fn marks(seen: &Observed, now: Timestamp) -> ScheduledTaskStatus {
    let schedule = seen.schedule.as_ref();
    let spec = &schedule.spec;
    let written = format!("{} {}", spec.schedule, spec.time_zone);
    let old = schedule.status.clone().unwrap_or_default();
    let slept = find(&old.conditions, types::READY).is_some_and(|ready| ready.reason == reasons::SUSPENDED);
    let same = old.observed_schedule.as_ref() == Some(&written) && (!slept || spec.suspend);
    let mut status = ScheduledTaskStatus {
        observed_schedule: Some(written),
        next_schedule_time: None,
        ..old.clone()
    };
    if !same || status.counts_from.is_none() {
        let born = schedule.creation_timestamp().map(|at| at.0);
        let first_sight = old.observed_schedule.is_none();
        let from = born.filter(|_| first_sight).unwrap_or(now);
        status.counts_from = Some(Time(whole_seconds(from)));
        let possible = |at: Timestamp| at <= now + WRONG_CLOCK;
        status.last_schedule_time = status.last_schedule_time.filter(|at| possible(at.0));
        status.last_missed = status.last_missed.filter(|missed| possible(missed.schedule_time.0));
    }
    status
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
