//! How a task ended, by its runner, its pod and its Job, in this order of trust. Pure.
//!
//! All three are read as untrusted text: bounded, never interpreted, never logged.

use k8s_openapi::api::batch::v1::Job;
use longshore_crds::conditions::reasons;
use longshore_crds::{Escalation, TaskResult, Usage};
use longshore_wire::api;
use longshore_wire::notice::TerminationMessage;

use super::observe::Observed;
use crate::agent::Contact;
use crate::conditions::truncate;
use crate::pod;

const MAX_TEXT: usize = 64 * 1024;
const MAX_REASON: usize = 64;
/// Longest message of a condition that comes from a pod, in bytes.
pub const MAX_MESSAGE: usize = 2048;
/// A termination message holds at most 3 KiB of the answer; one that is about as long was probably cut.
const WORDS_FULL: usize = 3 * 1024 - 4;
/// The same beside an escalation.
const WORDS_BESIDE: usize = 1024 - 4;

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Result(Box<Ended>),
    /// Its `when` found that claude need not be asked.
    NotNeeded(Box<Ended>),
    /// It will have no result, for this reason.
    Failed(&'static str, String),
    /// Its pod is gone and left nothing.
    Lost(String),
    /// The Job has ended, and the cache does not show yet how its pod did.
    NotYet,
}

/// What a task has left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub result: TaskResult,
    pub usage: Option<Usage>,
    /// Its agent asked for a session, and could.
    pub escalation: Option<Escalation>,
}

/// None while it has not ended.
pub fn outcome(seen: &Observed, contact: &Contact) -> Option<Outcome> {
    if let Some(result) = contact.met().and_then(|met| met.result.as_ref()) {
        return Some(ended(
            seen,
            Ended {
                result: bounded(result),
                usage: Some(usage(&result.usage)),
                escalation: escalation(seen, result.escalation.as_ref()),
            },
        ));
    }
    let job = seen.job.as_deref().filter(|job| seen.owns(*job))?;
    let pod = seen.pod.as_deref().filter(|pod| of_job(pod, job));
    if let Some(words) = pod.and_then(pod::last_words) {
        return Some(ended(
            seen,
            Ended {
                result: from_words(&words),
                usage: None,
                escalation: escalation(seen, words.escalation.as_ref()),
            },
        ));
    }
    if !job_is_over(job) {
        return None;
    }
    if failure(job).is_some_and(|reason| reason == "DeadlineExceeded") {
        return Some(Outcome::Failed(
            reasons::TIMEOUT,
            "It ran longer than its timeout allows".to_owned(),
        ));
    }
    Some(match pod {
        Some(pod) if !pod::is_finished(pod) && pod.metadata.deletion_timestamp.is_none() => Outcome::NotYet,
        Some(pod) if pod::was_out_of_memory(pod) => {
            Outcome::Lost("The pod used more memory than its limit and was killed.".to_owned())
        }
        _ => Outcome::Lost("The pod was lost before it had a result.".to_owned()),
    })
}

/// With a result. A task without a `when` cannot say that it was not needed.
fn ended(seen: &Observed, ended: Ended) -> Outcome {
    let reason = ended.result.terminal_reason.as_str();
    match &seen.task.spec.when {
        Some(_) if reason == api::TaskResult::NOT_NEEDED => Outcome::NotNeeded(Box::new(ended)),
        Some(_) if reason == api::TaskResult::WHEN_FAILED => {
            Outcome::Failed(reasons::WHEN_FAILED, truncate(&ended.result.text, MAX_MESSAGE))
        }
        _ => Outcome::Result(Box::new(ended)),
    }
}

/// Whether the Job will do nothing more.
pub fn job_is_over(job: &Job) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

fn has_condition(job: &Job, type_: &str) -> bool {
    conditions(job).any(|c| c.type_ == type_ && c.status == "True")
}

fn failure(job: &Job) -> Option<&str> {
    conditions(job)
        .find(|c| c.type_ == "Failed" && c.status == "True")?
        .reason
        .as_deref()
}

fn conditions(job: &Job) -> impl Iterator<Item = &k8s_openapi::api::batch::v1::JobCondition> {
    job.status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten()
}

fn of_job(pod: &k8s_openapi::api::core::v1::Pod, job: &Job) -> bool {
    crate::cluster::controller(pod).is_some_and(|owner| Some(owner) == job.metadata.uid)
}

fn bounded(result: &api::TaskResult) -> TaskResult {
    TaskResult {
        text: truncate(&result.text, MAX_TEXT),
        truncated: result.truncated || result.text.len() > MAX_TEXT,
        is_error: result.is_error,
        terminal_reason: truncate(&result.terminal_reason, MAX_REASON),
    }
}

/// A pod whose agent was not offered to ask has nothing to ask for.
fn escalation(seen: &Observed, said: Option<&api::Escalation>) -> Option<Escalation> {
    seen.task.spec.escalation?;
    let api::Escalation { reason, plan } = said?.bounded();
    Some(Escalation { reason, plan })
}

fn from_words(words: &TerminationMessage) -> TaskResult {
    TaskResult {
        text: words.text.clone(),
        truncated: words.text.len()
            >= if words.escalation.is_some() {
                WORDS_BESIDE
            } else {
                WORDS_FULL
            },
        is_error: words.is_error,
        terminal_reason: truncate(&words.reason, MAX_REASON),
    }
}

/// The runner's figures as the API has them.
pub fn usage(usage: &api::Usage) -> Usage {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Usage {
        turns: count(usage.turns),
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cost_usd: truncate(&usage.cost_usd, 32),
    }
}
