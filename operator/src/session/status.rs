//! A session's status: drafted by the plan, written once it differs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSessionStatus, SessionPhase, SessionSummary, names};
use longshore_wire::api::{Busy, Summary};

use super::deadlines::{Idleness, Spans, expiry, whole_seconds_up};
use super::disk;
use super::memory;
use super::observe::Observed;
use super::order::wish;
use super::plan::{Plan, Step};
use crate::agent::Met;
use crate::cluster::Error;
use crate::conditions::{Verdict, find, merge, no, truncate, yes};
use crate::context::Context;
use crate::events::news;
use crate::settings::Settings;
use crate::task::usage;

pub async fn write(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    crate::status::write(
        ctx,
        seen.session.as_ref(),
        seen.session.status.as_ref(),
        &plan.status,
        &plan.news,
    )
    .await
}

/// A plan in the making. Every condition has a value from the start; stages say what differs.
pub struct Draft<'a> {
    pub seen: &'a Observed,
    pub step: Option<Step>,
    pub next_deadline: Option<Timestamp>,
    pub admitted: Verdict,
    pub suspended: Verdict,
    pub summarized: Verdict,
    pub ended: Verdict,
    pub status: PersistentSessionStatus,
    pub now: Timestamp,
    ready: Verdict,
    active: Verdict,
    memory: Verdict,
    disk: Verdict,
    /// The idle deadline that the status says must be corrected.
    insists: bool,
}

impl<'a> Draft<'a> {
    pub fn new(seen: &'a Observed, now: Timestamp) -> Self {
        let old = seen.session.status.clone().unwrap_or_default();
        Self {
            seen,
            step: None,
            next_deadline: None,
            admitted: yes(types::ADMITTED, reasons::ADMITTED, "It may have a pod"),
            suspended: no(types::SUSPENDED, reasons::NOT_SUSPENDED, ""),
            summarized: summarized(&old),
            ended: no(types::ENDED, reasons::NOT_ENDED, ""),
            status: PersistentSessionStatus {
                queue_position: None,
                queued_since: None,
                endpoint: None,
                drain_deadline: None,
                ..old
            },
            now,
            ready: no(types::READY, reasons::STARTING, ""),
            active: no(types::ACTIVE, reasons::UNKNOWN, "Nobody has asked the runner"),
            memory: memory::unheard(seen.pod.as_deref()),
            disk: disk::unheard(&seen.session),
            insists: false,
        }
    }

    pub fn step(mut self, step: Step) -> Self {
        self.step = Some(step);
        self
    }

    pub fn ready(mut self, ready: Verdict) -> Self {
        self.ready = ready;
        self
    }

    /// Not Ready, because its pod is on the way for the first time, or again.
    pub fn starting(self, message: &str) -> Self {
        let reason = if self.status.start_time.is_some() {
            reasons::RESUMING
        } else {
            reasons::STARTING
        };
        self.ready(no(types::READY, reason, message))
    }

    /// Not Ready for the reason that the status says.
    pub fn unchanged_obstacle(self) -> Self {
        let status = self.seen.session.status.as_ref();
        let said = status.and_then(|status| find(&status.conditions, types::READY));
        let message = said.map_or_else(String::new, |said| said.message.clone());
        self.starting(&message)
    }

    pub fn old_drain_deadline(&self) -> Option<Time> {
        self.seen.session.status.as_ref()?.drain_deadline.clone()
    }

    /// Looks again soon, in case the runner's notice is lost, and at the drain deadline at the latest.
    pub fn look_before_drain(mut self, settings: &Settings) -> Self {
        self.look_at(self.now + settings.timing.look_again);
        if let Some(deadline) = self.old_drain_deadline() {
            self.look_at(deadline.0);
        }
        self
    }

    /// Takes over what the runner says of itself.
    pub fn hears(&mut self, met: &Met) {
        self.active = active(&met.status.busy);
        self.memory = memory::pressure(self.seen, &met.status);
        self.disk = disk::pressure(self.seen, &met.status.disk);
        self.counts(met);
    }

    /// Takes over what the runner has counted.
    pub fn counts(&mut self, met: &Met) {
        self.status.usage = Some(usage(&met.status.usage));
        self.status.restarts = Some(i32::try_from(met.status.restarts).unwrap_or(i32::MAX));
        let peak = i64::try_from(met.status.memory.peak_bytes).unwrap_or(i64::MAX);
        self.status.peak_memory_bytes = Some(peak).filter(|bytes| *bytes > 0);
    }

    /// There is no agent any more, whatever became of its pod.
    pub fn forgets_memory(&mut self) {
        self.memory = memory::unheard(None);
    }

    /// Takes over when it will be idle.
    pub fn reckons(&mut self, idleness: &Idleness, spans: &Spans, settings: &Settings) {
        self.insists = idleness.must_be_written(&self.status, spans, &settings.timing, self.now);
        self.status.last_activity_time = Some(Time(idleness.since));
        self.status.idle_deadline = Some(Time(idleness.deadline));
    }

    /// Looks at the deadline, too.
    pub fn look_at(&mut self, at: Timestamp) {
        self.next_deadline = Some(self.next_deadline.map_or(at, |next| next.min(at)));
    }

    /// What is in the way of being Ready, by the verdict so far.
    pub fn obstacle(&self) -> String {
        format!("{}: {}", self.ready.reason, self.ready.message)
    }

    /// Whether it had to be Ready by now.
    pub fn is_late(&self) -> bool {
        let deadline = self.status.start_deadline.as_ref().filter(|at| at.0 <= self.now);
        deadline.is_some() && self.ready.reason != reasons::NODE_LOST
    }

    fn look_at_deadlines(&mut self, status: &PersistentSessionStatus) {
        for at in [&status.expires_at, &status.start_deadline].into_iter().flatten() {
            self.look_at(at.0);
        }
    }

    /// Keeps the status as it is.
    pub fn unchanged(mut self) -> Plan {
        let status = self.seen.session.status.clone().unwrap_or_default();
        self.look_at_deadlines(&status);
        Plan {
            step: self.step,
            status,
            news: Vec::new(),
            next_deadline: self.next_deadline,
        }
    }

    /// The plan. What changes with every message (activity, use) is taken over only together with something that does not, so
    /// that chatting costs no write.
    pub fn phase(mut self, phase: SessionPhase) -> Plan {
        let old = self.seen.session.status.clone().unwrap_or_default();
        self.settle(phase, &old);
        if !self.insists && lasting(&self.status) == lasting(&old) {
            self.status = old.clone();
        }
        self.look_at_deadlines(&self.status.clone());
        let news = news(&old.conditions, &self.status.conditions);
        Plan {
            step: self.step,
            status: self.status,
            news,
            next_deadline: self.next_deadline,
        }
    }

    /// Everything that follows from the phase and the verdicts.
    fn settle(&mut self, phase: SessionPhase, old: &PersistentSessionStatus) {
        use SessionPhase::{Ended, Ending, Queued, Running, Starting, Suspended};
        let (seen, generation) = (self.seen, self.seen.session.metadata.generation);
        let starts = phase == Starting && self.ready.reason != reasons::NODE_LOST;
        let verdicts = [
            &self.admitted,
            &self.ready,
            &self.active,
            &self.suspended,
            &self.memory,
            &self.disk,
            &self.summarized,
            &self.ended,
        ];
        let status = &mut self.status;
        status.conditions = merge(
            &old.conditions,
            verdicts.map(Clone::clone).to_vec(),
            generation,
            self.now,
        );
        status.observed_generation = generation;
        status.phase = Some(phase);
        status.claude_session_id = seen.session.uid();
        let has_set = !matches!(phase, Queued | Ended);
        status.stateful_set_name = has_set.then(|| names::stateful_set(seen.topic_name()));
        let has_pod = has_set && phase != Suspended;
        status.pod_name = has_pod.then(|| names::session_pod(seen.topic_name()));
        if matches!(phase, Queued | Starting | Running) {
            status.observed_wake = wish(&seen.session).or(status.observed_wake.take());
        }
        if matches!(phase, Queued | Starting | Suspended | Ended) {
            status.idle_deadline = None;
        }
        if phase == Running {
            status.undelivered.clear();
        }
        status.start_deadline = starts.then(|| {
            let old = status.start_deadline.take();
            old.unwrap_or_else(|| Time(whole_seconds_up(self.now + seen.spans().start)))
        });
        let expires = if phase == Ending {
            None
        } else {
            expiry(&seen.session, status, &seen.spans())
        };
        status.expires_at = expires.map(|(at, _)| Time(at));
    }
}

/// The status without what changes with every message.
fn lasting(status: &PersistentSessionStatus) -> PersistentSessionStatus {
    let mut lasting = PersistentSessionStatus {
        usage: None,
        restarts: None,
        last_activity_time: None,
        idle_deadline: None,
        peak_memory_bytes: None,
        ..status.clone()
    };
    lasting.conditions.retain(|condition| condition.type_ != types::ACTIVE);
    lasting
}

/// What is said of the summary until there is news of it.
fn summarized(old: &PersistentSessionStatus) -> Verdict {
    const KNOWN: [&str; 3] = [reasons::WRITTEN, reasons::NOTHING_NEW, reasons::SUMMARY_FAILED];
    let said = find(&old.conditions, types::SUMMARIZED);
    let known = said.and_then(|said| Some((said, KNOWN.into_iter().find(|reason| *reason == said.reason)?)));
    match known {
        Some((said, reason)) if said.status == "True" => yes(types::SUMMARIZED, reason, said.message.clone()),
        Some((said, reason)) => no(types::SUMMARIZED, reason, said.message.clone()),
        None => no(
            types::SUMMARIZED,
            reasons::PENDING,
            "It is summarised when it winds down",
        ),
    }
}

fn active(busy: &[Busy]) -> Verdict {
    let waits = |reason, message| yes(types::ACTIVE, reason, message);
    if busy.contains(&Busy::WaitingForApproval) {
        waits(
            reasons::WAITING_FOR_APPROVAL,
            "A permission prompt or plan waits for a person",
        )
    } else if busy.contains(&Busy::WaitingForAnswer) {
        waits(reasons::WAITING_FOR_ANSWER, "A question of claude's waits for a person")
    } else if busy.contains(&Busy::TurnRunning) || busy.contains(&Busy::BackgroundTask) {
        waits(reasons::TURN_RUNNING, "claude works")
    } else {
        no(types::ACTIVE, reasons::IDLE, "Nothing runs")
    }
}

/// The runner's summary, bounded as the API bounds it.
pub fn summary(summary: &Summary) -> SessionSummary {
    SessionSummary {
        path: truncate(&summary.path, 256),
        time: summary.time.to_string(),
        text: truncate(&summary.text, 4096),
    }
}
