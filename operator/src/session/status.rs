//! A session's status: drafted by the plan, written once it differs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSessionStatus, SessionPhase, SessionSummary, names};
use longshore_wire::api::{Busy, Summary};

use super::observe::Observed;
use super::plan::{Plan, Step};
use crate::agent::Met;
use crate::cluster::Error;
use crate::conditions::{Verdict, merge, no, truncate, yes};
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
    pub ended: Verdict,
    pub status: PersistentSessionStatus,
    ready: Verdict,
    active: Verdict,
    now: Timestamp,
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
            ended: no(types::ENDED, reasons::NOT_ENDED, ""),
            status: PersistentSessionStatus {
                queue_position: None,
                endpoint: None,
                drain_deadline: None,
                ..old
            },
            ready: no(types::READY, reasons::STARTING, ""),
            active: no(types::ACTIVE, reasons::UNKNOWN, "Nobody has asked the runner"),
            now,
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

    pub fn old_drain_deadline(&self) -> Option<Time> {
        self.seen.session.status.as_ref()?.drain_deadline.clone()
    }

    /// Looks again soon, in case the runner's notice is lost, and at the drain deadline at the latest.
    pub fn look_before_drain(mut self, settings: &Settings) -> Self {
        let soon = self.now + settings.timing.look_again;
        self.next_deadline = Some(self.old_drain_deadline().map_or(soon, |deadline| soon.min(deadline.0)));
        self
    }

    /// Takes over what the runner says of itself.
    pub fn hears(&mut self, met: &Met) {
        self.active = active(&met.status.busy);
        self.status.usage = Some(usage(&met.status.usage));
        self.status.restarts = Some(i32::try_from(met.status.restarts).unwrap_or(i32::MAX));
    }

    /// Keeps the status as it is.
    pub fn unchanged(self) -> Plan {
        let status = self.seen.session.status.clone().unwrap_or_default();
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
        let (seen, generation) = (self.seen, self.seen.session.metadata.generation);
        let old = seen.session.status.clone().unwrap_or_default();
        let verdicts = vec![self.admitted, self.ready, self.active, self.suspended, self.ended];
        self.status.conditions = merge(&old.conditions, verdicts, generation, self.now);
        self.status.observed_generation = generation;
        self.status.phase = Some(phase);
        self.status.claude_session_id = seen.session.uid();
        let has_set = !matches!(phase, SessionPhase::Queued | SessionPhase::Ended);
        self.status.stateful_set_name = has_set.then(|| names::stateful_set(seen.topic_name()));
        let has_pod = has_set && phase != SessionPhase::Suspended;
        self.status.pod_name = has_pod.then(|| names::session_pod(seen.topic_name()));
        if lasting(&self.status) == lasting(&old) {
            self.status = old.clone();
        }
        let news = news(&old.conditions, &self.status.conditions);
        Plan {
            step: self.step,
            status: self.status,
            news,
            next_deadline: self.next_deadline,
        }
    }
}

/// The status without what changes with every message.
fn lasting(status: &PersistentSessionStatus) -> PersistentSessionStatus {
    let mut lasting = PersistentSessionStatus {
        usage: None,
        restarts: None,
        ..status.clone()
    };
    lasting.conditions.retain(|condition| condition.type_ != types::ACTIVE);
    lasting
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
