//! What to do about a task. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{ContainerTaskStatus, TaskPhase, meta};

use super::admit::Admission;
use super::build::{job, retries, timeout_seconds, ttl_seconds};
use super::observe::Observed;
use super::order::{Blocker, is_over};
use super::outcome::{Ended, MAX_MESSAGE, Outcome, outcome};
use super::release::is_held_back;
use crate::agent::{Contact, Met, dial_again};
use crate::cluster::Error;
use crate::conditions::{Verdict, merge, no, truncate, whole_seconds, yes};
use crate::events::{News, news};
use crate::pod;
use crate::schedule;
use crate::settings::Settings;
use crate::topic;

/// A finished task is deleted after this long even if nobody says that its answer was delivered.
const LONGEST_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub step: Option<Step>,
    pub status: ContainerTaskStatus,
    pub news: Vec<News>,
    pub next_look: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create it, and let it have its pod.
    CreateJob(Box<Job>),
    /// Let the Job have its pod, which whoever created it did not come to.
    ReleaseJob,
    /// Give the slot back, since something else has the topic.
    ReleaseSlot,
    /// The task has failed, and its Job does not know.
    DeleteJob {
        name: String,
        uid: String,
    },
    DeleteTask,
}

pub fn plan(seen: &Observed, admission: &Admission, contact: &Contact, settings: &Settings, now: Timestamp) -> Plan {
    if seen.task.metadata.deletion_timestamp.is_some() {
        return Draft::new(seen, now).unchanged();
    }
    if is_over(&seen.task) {
        return finished(seen, now);
    }
    match outcome(seen, contact) {
        Some(Outcome::Result(ended)) => {
            let message = format!("claude stopped: {}", ended.result.terminal_reason);
            complete(seen, reasons::COMPLETED, message, *ended, now)
        }
        Some(Outcome::NotNeeded(ended)) => {
            let message = truncate(&ended.result.text, MAX_MESSAGE);
            complete(seen, reasons::NOT_NEEDED, message, *ended, now)
        }
        Some(Outcome::Failed(reason, message)) => failed(seen, reason, message, now),
        Some(Outcome::Lost(message)) => lost(seen, message, now),
        Some(Outcome::NotYet) => Draft {
            look: Some(now + settings.timing.look_again),
            ..Draft::new(seen, now)
        }
        .unchanged(),
        None if expired(seen, settings, now) => {
            let message = format!("Not finished {} s after its start", timeout_seconds(seen));
            failed(seen, reasons::TIMEOUT, message, now)
        }
        None if seen.has_job() => running(seen, contact, settings, now),
        None => waiting(seen, admission, settings, now),
    }
}

impl Plan {
    /// The same, when a step did not succeed.
    pub fn hindered(mut self, seen: &Observed, error: &Error, now: Timestamp) -> Self {
        if !matches!(self.step, Some(Step::CreateJob(_) | Step::ReleaseJob)) {
            return self;
        }
        let draft = Draft {
            admitted: admitted(),
            ..Draft::new(seen, now)
        };
        self.status = draft
            .ready(no(types::READY, reasons::STARTING, error.answer()))
            .phase(TaskPhase::Starting)
            .status;
        self
    }
}

/// A plan in the making.
struct Draft<'a> {
    seen: &'a Observed,
    now: Timestamp,
    step: Option<Step>,
    look: Option<Timestamp>,
    admitted: Verdict,
    ready: Verdict,
    complete: Verdict,
    failed: Verdict,
    status: ContainerTaskStatus,
}

fn admitted() -> Verdict {
    yes(types::ADMITTED, reasons::ADMITTED, "It may have a pod")
}

impl<'a> Draft<'a> {
    fn new(seen: &'a Observed, now: Timestamp) -> Self {
        let old = seen.task.status.clone().unwrap_or_default();
        Self {
            seen,
            now,
            step: None,
            look: None,
            admitted: admitted(),
            ready: no(types::READY, reasons::STARTING, "The pod is on the way"),
            complete: no(types::COMPLETE, reasons::NOT_FINISHED, ""),
            failed: no(types::FAILED, reasons::NOT_FINISHED, ""),
            status: ContainerTaskStatus {
                queue_position: None,
                endpoint: None,
                ..old
            },
        }
    }

    fn ready(mut self, ready: Verdict) -> Self {
        self.ready = ready;
        self
    }

    /// Keeps the status as it is.
    fn unchanged(self) -> Plan {
        let status = self.seen.task.status.clone().unwrap_or_default();
        Plan {
            step: self.step,
            status,
            news: Vec::new(),
            next_look: self.look,
        }
    }

    fn phase(mut self, phase: TaskPhase) -> Plan {
        let reason = match phase {
            TaskPhase::Queued => self.admitted.reason,
            TaskPhase::Starting | TaskPhase::Running => self.ready.reason,
            TaskPhase::Complete => self.complete.reason,
            TaskPhase::Failed => self.failed.reason,
        };
        let generation = self.seen.task.metadata.generation;
        let old = self
            .seen
            .task
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.conditions);
        let verdicts = vec![self.admitted, self.ready, self.complete, self.failed];
        self.status.conditions = merge(old, verdicts, generation, self.now);
        self.status.observed_generation = generation;
        self.status.phase = Some(phase);
        self.status.reason = Some(reason.to_owned());
        let news = news(old, &self.status.conditions);
        Plan {
            step: self.step,
            status: self.status,
            news,
            next_look: self.look,
        }
    }
}

/// Before its Job.
fn waiting(seen: &Observed, admission: &Admission, settings: &Settings, now: Timestamp) -> Plan {
    let mut draft = Draft::new(seen, now);
    let queued = |mut draft: Draft<'_>, reason: &'static str, message: String| {
        draft.admitted = no(types::ADMITTED, reason, message);
        draft.ready = no(types::READY, reason, "It has no pod yet");
        draft.status.start_time = None;
        if seen.may_have_slot() {
            draft.step = Some(Step::ReleaseSlot);
        }
        draft.phase(TaskPhase::Queued)
    };
    if let Some((reason, message)) = missing(seen) {
        return queued(draft, reason, message);
    }
    if let Some(blocker) = &seen.before {
        let (reason, message) = blocked(blocker);
        return queued(draft, reason, message);
    }
    match admission {
        Admission::Queued { position, limit } => {
            draft.status.queue_position = Some(*position);
            let message = format!("Place {position} in the queue; the class lets {limit} tasks run at once");
            queued(draft, reasons::QUEUED, message)
        }
        Admission::Waiting(blocker) => {
            let (reason, message) = blocked(blocker);
            queued(draft, reason, message)
        }
        Admission::NameTaken => {
            let message = format!(
                "Job {} belongs to somebody else; create the task under another name",
                seen.job_name()
            );
            failed(seen, reasons::NAME_CONFLICT, message, now)
        }
        Admission::Go { token_sha256 } => {
            if let (Some(topic), Some(class)) = (&seen.topic, &seen.class) {
                let job = job(seen, topic, class, token_sha256, settings);
                draft.step = job.map(|job| Step::CreateJob(Box::new(job)));
            }
            started(draft).phase(TaskPhase::Starting)
        }
        Admission::Admitted => started(draft).phase(TaskPhase::Starting),
        Admission::Settling | Admission::NotAsked => {
            draft.look = Some(now + settings.timing.look_again);
            started(draft).phase(TaskPhase::Starting)
        }
    }
}

fn started(mut draft: Draft<'_>) -> Draft<'_> {
    draft
        .status
        .start_time
        .get_or_insert_with(|| Time(whole_seconds(draft.now)));
    draft.status.job_name = Some(draft.seen.job_name());
    draft
}

fn missing(seen: &Observed) -> Option<(&'static str, String)> {
    let name = &seen.task.spec.topic_ref.name;
    match (&seen.topic, &seen.class) {
        (None, _) => Some((
            reasons::TOPIC_NOT_FOUND,
            format!("Topic {name} does not exist; create it"),
        )),
        (Some(topic), _) if !topic::is_ready(topic) => Some(topic::unready(topic)),
        (Some(_), None) => {
            let class = seen.class_name.as_deref().unwrap_or_default();
            Some((
                reasons::CLASS_NOT_FOUND,
                format!("AgentClass {class} does not exist; create it"),
            ))
        }
        _ => None,
    }
}

fn blocked(blocker: &Blocker) -> (&'static str, String) {
    match blocker {
        Blocker::Task(name) => (
            reasons::WAITING_FOR_TASK,
            format!("ContainerTask {name} of the topic goes first"),
        ),
        Blocker::Session(name) => (
            reasons::WAITING_FOR_SESSION,
            format!("PersistentSession {name} of the topic has the workspace"),
        ),
    }
}

/// With a Job that has not ended.
fn running(seen: &Observed, contact: &Contact, settings: &Settings, now: Timestamp) -> Plan {
    let mut draft = started(Draft::new(seen, now));
    if seen.job.as_deref().is_some_and(is_held_back) {
        draft.step = Some(Step::ReleaseJob);
        return draft.phase(TaskPhase::Starting);
    }
    let started_at = seen
        .pod
        .as_ref()
        .and_then(|pod| Some(pod.status.as_ref()?.start_time.as_ref()?.0));
    match contact {
        Contact::Met(met) => {
            draft.look = Some(now + settings.timing.look_again);
            let (phase, ready) = reachable(met);
            draft.status.endpoint = (phase == TaskPhase::Running).then(|| met.endpoint.clone());
            draft.status.pod_name = seen.pod.as_ref().map(|pod| pod.name_any());
            draft.ready(ready).phase(phase)
        }
        // Not heard once is not gone: what was said of a pod that the kubelet takes for ready stays.
        Contact::Failed(_) if seen.holds(types::READY) && seen.pod.as_deref().is_some_and(pod::is_ready) => {
            draft.look = Some(now + settings.timing.look_again);
            draft.unchanged()
        }
        Contact::Failed(_) => {
            draft.look = Some(dial_again(started_at, now, settings.timing.look_again));
            draft.phase(TaskPhase::Starting)
        }
        Contact::NotTried => match seen.pod.as_deref().and_then(pod::trouble) {
            Some(trouble) => draft
                .ready(no(types::READY, trouble.reason, trouble.message))
                .phase(TaskPhase::Starting),
            None => draft.phase(TaskPhase::Starting),
        },
    }
}

fn reachable(met: &Met) -> (TaskPhase, Verdict) {
    match met.trouble() {
        Some(trouble) => (TaskPhase::Starting, no(types::READY, trouble.reason, trouble.message)),
        None if met.accepted => (
            TaskPhase::Running,
            yes(types::READY, reasons::READY, "claude works on it"),
        ),
        None => (
            TaskPhase::Starting,
            no(
                types::READY,
                reasons::STARTING,
                "The runner does not take the prompt yet",
            ),
        ),
    }
}

fn complete(seen: &Observed, reason: &'static str, message: String, ended: Ended, now: Timestamp) -> Plan {
    let Ended {
        result,
        usage,
        escalation,
    } = ended;
    let mut draft = started(Draft::new(seen, now));
    draft.complete = yes(types::COMPLETE, reason, message);
    draft.failed = no(types::FAILED, reason, "");
    draft.ready = no(types::READY, reason, "The task is over");
    draft.status.result = Some(result);
    draft.status.usage = usage;
    draft.status.escalation = escalation;
    draft.status.completion_time = Some(Time(whole_seconds(now)));
    draft.status.pod_name = seen.pod.as_ref().map(|pod| pod.name_any()).or(draft.status.pod_name);
    draft.look = Some(now);
    draft.phase(TaskPhase::Complete)
}

fn failed(seen: &Observed, reason: &'static str, message: String, now: Timestamp) -> Plan {
    let mut draft = started(Draft::new(seen, now));
    draft.complete = no(types::COMPLETE, reason, "");
    draft.failed = yes(types::FAILED, reason, message);
    draft.ready = no(types::READY, reason, "The task is over");
    draft.status.completion_time = Some(Time(whole_seconds(now)));
    draft.phase(TaskPhase::Failed)
}

fn lost(seen: &Observed, message: String, now: Timestamp) -> Plan {
    let attempt = seen.attempt();
    if attempt >= retries(seen) {
        let message = format!("{message} It was replaced {attempt} times, which is as often as retries allows");
        return failed(seen, reasons::POD_LOST, message, now);
    }
    let mut draft = Draft::new(seen, now).ready(no(
        types::READY,
        reasons::STARTING,
        format!("{message} A new one goes on with it"),
    ));
    draft.status.restarts = Some(attempt + 1);
    draft.status.job_name = Some(longshore_crds::names::job(&seen.task.name_any(), attempt + 1));
    draft.phase(TaskPhase::Starting)
}

/// The Job's own deadline comes first; this is for a Job that never came to be, or never ends.
fn expired(seen: &Observed, settings: &Settings, now: Timestamp) -> bool {
    let started = seen.task.status.as_ref().and_then(|status| status.start_time.as_ref());
    let allowed = Duration::from_secs(timeout_seconds(seen).unsigned_abs()) + settings.timing.task_grace;
    seen.holds(types::ADMITTED) && started.is_some_and(|at| now > at.0 + allowed)
}

/// Nothing is left to do but to tidy up.
fn finished(seen: &Observed, now: Timestamp) -> Plan {
    let mut draft = Draft::new(seen, now);
    let deadline = deletion(seen);
    draft.look = deadline;
    if deadline.is_some_and(|at| at <= now) {
        draft.step = Some(Step::DeleteTask);
    } else if let Some(job) = &seen.job
        && seen.holds(types::FAILED)
        && seen.owns(job.as_ref())
        && !super::outcome::job_is_over(job)
    {
        draft.step = job.uid().map(|uid| Step::DeleteJob {
            name: job.name_any(),
            uid,
        });
    }
    draft.unchanged()
}

/// When a finished task is deleted: some time after its answer stood in the chat, or after completion without a chat. How many
/// runs of a schedule are kept is the schedule's business.
fn deletion(seen: &Observed) -> Option<Timestamp> {
    let completed = seen.task.status.as_ref()?.completion_time.as_ref()?.0;
    if schedule::of_run(&seen.task).is_some() && seen.task.spec.ttl_seconds_after_finished.is_none() {
        return None;
    }
    let cap = completed + LONGEST_TTL;
    let has_chat = seen
        .task
        .spec
        .origin
        .as_ref()
        .is_some_and(|origin| origin.telegram.is_some());
    // Nobody waits for what is not posted.
    let has_chat = has_chat && !seen.task.was_not_needed();
    let delivered = seen
        .task
        .annotations()
        .get(meta::DELIVERED)
        .and_then(|at| at.parse::<Timestamp>().ok());
    let from = match (delivered, has_chat) {
        (Some(at), _) => at,
        (None, false) => completed,
        (None, true) => return Some(cap),
    };
    let ttl = Duration::from_secs(ttl_seconds(seen).unsigned_abs());
    Some(from.checked_add(ttl).map_or(cap, |at| at.min(cap)))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
