//! Talking to runners: one short conversation per pass, with a pod whose address the API server told us.
//!
//! What a runner says is untrusted: answers are bounded in size and time, redirects are not followed, proxies from the
//! environment are not used, and a runner that is not the object's own is not talked to. A runner that cannot be reached is
//! an observation, not an error.

mod runner;

pub use runner::Dialer;
#[cfg(test)]
pub use runner::StandIn;

use jiff::Timestamp;
use longshore_crds::conditions::reasons;
use longshore_wire::api::{AgentProblemKind, PostMessage, Quiesce, RunnerState, Status, TaskResult};
use secrecy::SecretString;
use uuid::Uuid;

use runner::{CallError, Runner};

use crate::pod::Trouble;

/// What a pass wants of a runner. Looking at its status always comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errand {
    /// Give it this message; a repeated id is a no-op.
    pub message: Option<PostMessage>,
    /// Ask it to wind down, unless it already does.
    pub quiesce: Option<Quiesce>,
    /// Fetch a task's result, if there is one.
    pub collect: bool,
    /// Tell it that the result is stored.
    pub acknowledge: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// There was nobody to talk to, or nothing to say.
    NotTried,
    /// It did not answer as it should.
    Failed(String),
    /// It answered.
    Met(Box<Met>),
}

/// What a runner answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    pub endpoint: String,
    pub status: Status,
    /// Whether the errand's message stands in its journal; true when there was none.
    pub accepted: bool,
    pub result: Option<TaskResult>,
}

impl Met {
    /// What keeps claude from working, by the runner's own account.
    pub fn trouble(&self) -> Option<Trouble> {
        if self.status.state != RunnerState::Failed {
            return None;
        }
        let (kind, message) = match &self.status.problem {
            Some(problem) => (problem.kind, problem.message.clone()),
            None => (AgentProblemKind::CrashLoop, "claude cannot be started".to_owned()),
        };
        let reason = match kind {
            AgentProblemKind::NotLoggedIn => reasons::AGENT_NOT_LOGGED_IN,
            AgentProblemKind::NotWritable => reasons::VOLUME_NOT_WRITABLE,
            AgentProblemKind::CrashLoop => reasons::CRASH_LOOP,
        };
        Some(Trouble { reason, message })
    }
}

impl Contact {
    pub fn met(&self) -> Option<&Met> {
        match self {
            Self::Met(met) => Some(met),
            _ => None,
        }
    }
}

/// Runs an errand at the runner of the object with this UID.
pub async fn meet(dialer: &Dialer, endpoint: &str, tokens: &[SecretString], uid: Uuid, errand: &Errand) -> Contact {
    let runner = dialer.runner(endpoint, tokens);
    match converse(&runner, uid, errand).await {
        Ok((status, accepted, result)) => Contact::Met(Box::new(Met {
            endpoint: endpoint.to_owned(),
            status,
            accepted,
            result,
        })),
        Err(e) => Contact::Failed(e.to_string()),
    }
}

async fn converse(
    runner: &Runner<'_>,
    uid: Uuid,
    errand: &Errand,
) -> Result<(Status, bool, Option<TaskResult>), CallError> {
    let mut status = runner.status().await?;
    if status.uid != uid {
        return Err(CallError::SomebodyElse(status.uid));
    }
    let accepted = match &errand.message {
        None => true,
        Some(message) => match runner.post(message).await {
            // Asked again, because the message has changed what it is busy with.
            Ok(()) => {
                status = runner.status().await?;
                true
            }
            Err(CallError::Refused { .. }) => false,
            Err(e) => return Err(e),
        },
    };
    if let Some(quiesce) = &errand.quiesce
        && !matches!(status.state, RunnerState::Quiescing | RunnerState::Quiesced)
    {
        runner.quiesce(quiesce).await?;
        status.state = RunnerState::Quiescing;
    }
    let result = if errand.collect || errand.acknowledge {
        runner.result().await?
    } else {
        None
    };
    if errand.acknowledge
        && let Some(result) = &result
    {
        runner.ack(result.seq).await?;
    }
    Ok((status, accepted, result))
}

/// When to dial again after a failure: a pod that has just started is about to listen, so it is worth asking again at once.
pub fn dial_again(started: Option<Timestamp>, now: Timestamp, later: std::time::Duration) -> Timestamp {
    const FRESH_SECONDS: i64 = 20;
    let fresh = started.is_some_and(|at| now.as_second() - at.as_second() < FRESH_SECONDS);
    now + if fresh {
        std::time::Duration::from_millis(200)
    } else {
        later
    }
}

#[cfg(test)]
mod tests;
