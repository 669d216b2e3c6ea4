//! Talking to runners: one short conversation per pass, with a pod whose address the API server told us.
//!
//! What a runner says is untrusted: answers are bounded in size and time, redirects are not followed, proxies from the
//! environment are not used, and a runner that is not the object's own is not talked to. A runner that cannot be reached is
//! an observation, not an error.

mod hand;
mod quiesced;
mod runner;

pub use hand::{Handed, hand};
pub use quiesced::Quiesced;
pub use runner::Dialer;

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::Origin;
use longshore_crds::conditions::reasons;
use longshore_wire::MessageId;
use longshore_wire::api::{AgentProblemKind, PostMessage, Priority, Quiesce, RunnerState, Status, TaskResult};
use reqwest::StatusCode;
use secrecy::SecretString;
use uuid::Uuid;

use runner::{CallError, Runner};

use crate::pod::Trouble;

/// The prompt of a task or session as its first message, known by the chat message behind it, or by the object.
pub fn prompt(object: &impl ResourceExt, origin: Option<&Origin>, text: String) -> PostMessage {
    let telegram = origin.and_then(|origin| origin.telegram.as_ref());
    let message = telegram.and_then(|telegram| Some((telegram.chat_id, telegram.message_id?)));
    PostMessage {
        id: match message {
            Some((chat, message)) => MessageId::from_telegram(chat, message),
            None => MessageId::from_object(&object.uid().unwrap_or_default()),
        },
        text,
        attachments: Vec::new(),
        author: telegram.and_then(|telegram| telegram.author.clone()),
        context: telegram.and_then(|telegram| telegram.context.clone()),
        priority: Priority::default(),
    }
}

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
    /// It was asked to wind down if idle, and is not.
    pub refused: bool,
    /// Since when it is known to have wound down.
    pub quiesced_at: Option<Timestamp>,
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
            AgentProblemKind::RepositoryCloneFailed => reasons::REPOSITORY_CLONE_FAILED,
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
    match converse(&runner, endpoint, uid, errand).await {
        Ok(met) => Contact::Met(Box::new(met)),
        Err(e) => Contact::Failed(e.to_string()),
    }
}

async fn converse(runner: &Runner<'_>, endpoint: &str, uid: Uuid, errand: &Errand) -> Result<Met, CallError> {
    let status = runner.status().await?;
    if status.uid != uid {
        return Err(CallError::SomebodyElse(status.uid));
    }
    let mut met = Met {
        endpoint: endpoint.to_owned(),
        status,
        accepted: true,
        result: None,
        refused: false,
        quiesced_at: None,
    };
    if let Some(message) = &errand.message {
        match runner.post(message).await {
            // Asked again, because the message has changed what it is busy with.
            Ok(()) => met.status = runner.status().await?,
            Err(CallError::Refused { .. }) => met.accepted = false,
            Err(e) => return Err(e),
        }
    }
    if let Some(quiesce) = &errand.quiesce
        && !matches!(met.status.state, RunnerState::Quiescing | RunnerState::Quiesced)
    {
        match runner.quiesce(quiesce).await {
            Ok(()) => met.status.state = RunnerState::Quiescing,
            Err(CallError::Refused {
                status: StatusCode::CONFLICT,
                ..
            }) if quiesce.unless_active_after.is_some() => {
                met.refused = true;
                met.status = runner.status().await?;
            }
            Err(e) => return Err(e),
        }
    }
    if errand.collect || errand.acknowledge {
        met.result = runner.result().await?;
    }
    if errand.acknowledge
        && let Some(result) = &met.result
    {
        runner.ack(result.seq).await?;
    }
    Ok(met)
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
