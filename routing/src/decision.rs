//! What is decided about a message, with the reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::escalation::Escalation;
use crate::setting::Setting;
use crate::template::NewTopic;

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub mode: Mode,
    /// Why, in a sentence.
    pub reason: String,
}

/// What can be done with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Mode {
    /// Nothing, not even an answer.
    Ignore,
    /// Nothing is run; approvers of the chat are asked whether to let the writer in.
    Offer,
    /// Answer with these words; nothing is run.
    Reply {
        /// The words.
        text: String,
    },
    /// Tell what is going on in this place.
    Status,
    /// Tell what the model has been used for in this place, and what that cost.
    Usage,
    /// Tell the last turns of this place.
    History {
        /// How many.
        turns: usize,
    },
    /// Tell or change a setting of a session.
    Setting {
        /// Name of the PersistentSession.
        session: String,
        /// The setting.
        setting: Setting,
    },
    /// A ContainerTask.
    Task {
        /// What claude is asked.
        prompt: String,
        /// AgentClass; none for the Topic's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_class: Option<String>,
        /// What becomes of it when claude asks for a session; none when it cannot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        escalation: Option<Escalation>,
        /// Whether it runs beside the session, and only reads the workspace.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
    },
    /// A new PersistentSession.
    StartSession {
        /// Its first message.
        prompt: Option<String>,
        /// AgentClass; none for the Topic's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_class: Option<String>,
        /// Name of the PersistentSession that is ended for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<String>,
    },
    /// A message to a session.
    ToSession {
        /// Name of the PersistentSession.
        session: String,
        /// The message.
        text: String,
        /// Whether a session was asked for by name: if this one is over, the message starts another.
        deep: bool,
        /// What was written, where that is more than the message: it is decided about anew if this session is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<String>,
    },
    /// Wake a session up without a message to it.
    WakeSession {
        /// Name of the PersistentSession.
        session: String,
    },
    /// End a session.
    EndSession {
        /// Name of the PersistentSession.
        session: String,
        /// What was written, where that was a word alone and no command: claude may have been meant to read it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<String>,
    },
    /// Stop what runs.
    Stop {
        /// What runs.
        target: StopTarget,
        /// Whether what waits for its turn is dropped, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all: bool,
    },
    /// An answer to a question that claude asked, or why a prompt is denied.
    Answer {
        /// Row of the question or prompt.
        question: i64,
        /// The answer.
        text: String,
    },
}

/// What `/stop` is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopTarget {
    /// The turn of this PersistentSession.
    Session(String),
    /// This ContainerTask.
    Task(String),
}

impl Mode {
    /// Whether it must not wait behind earlier messages of its place.
    pub fn overtakes(&self) -> bool {
        match self {
            Self::Stop { .. }
            | Self::Answer { .. }
            | Self::Status
            | Self::Usage
            | Self::History { .. }
            | Self::Setting { .. }
            | Self::Reply { .. } => true,
            Self::Ignore
            | Self::Offer
            | Self::Task { .. }
            | Self::StartSession { .. }
            | Self::ToSession { .. }
            | Self::WakeSession { .. }
            | Self::EndSession { .. } => false,
        }
    }

    /// The mode in a few words, for people.
    pub fn in_words(&self) -> String {
        let class = |class: &Option<String>| {
            class
                .as_ref()
                .map(|class| format!(" of class {class}"))
                .unwrap_or_default()
        };
        match self {
            Self::Ignore => "nothing, without a word".to_owned(),
            Self::Offer => {
                "approvers are asked whether to let the writer in; nothing is run until one of them does".to_owned()
            }
            Self::Reply { .. } => "an answer of the bot; nothing is run".to_owned(),
            Self::Status => "the bot tells what is going on".to_owned(),
            Self::Usage => "the bot tells what the model was used for here".to_owned(),
            Self::History { turns } => format!("the bot tells the last {turns} turns"),
            Self::Setting { session, setting } => match setting {
                Setting::Model(None) => format!("the bot tells the model of session {session} and offers others"),
                Setting::Model(Some(model)) => format!("session {session} is set to the model {model}"),
                Setting::Permissions(None) => {
                    format!("the bot tells what session {session} may do without asking and offers to change it")
                }
                Setting::Permissions(Some(mode)) => format!("session {session} from now on {}", mode.meaning()),
            },
            Self::Task { agent_class, .. } => format!("a task{}", class(agent_class)),
            Self::StartSession {
                agent_class,
                instead_of: Some(old),
                ..
            } => format!("session {old} is ended, and then a new session{}", class(agent_class)),
            Self::StartSession { agent_class, .. } => format!("a new session{}", class(agent_class)),
            Self::ToSession { session, .. } => format!("a message to session {session}"),
            Self::WakeSession { session } => format!("session {session} is woken"),
            Self::EndSession { session, .. } => format!("session {session} is ended"),
            Self::Stop {
                target: StopTarget::Session(session),
                all: false,
            } => format!("what session {session} is doing is stopped"),
            Self::Stop {
                target: StopTarget::Session(session),
                all: true,
            } => format!("what session {session} is doing is stopped, and what waits for it is dropped"),
            Self::Stop {
                target: StopTarget::Task(task),
                ..
            } => format!("task {task} is stopped"),
            Self::Answer { .. } => "an answer to claude's question or prompt".to_owned(),
        }
    }

    pub(crate) fn because(self, reason: impl Into<String>) -> Decision {
        Decision {
            mode: self,
            reason: reason.into(),
        }
    }
}

pub(crate) fn reply(text: impl Into<String>, reason: impl Into<String>) -> Decision {
    Mode::Reply { text: text.into() }.because(reason)
}

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleName {
    /// Name of the RoutingPolicy.
    pub policy: String,
    /// Name of the rule.
    pub rule: String,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} of policy {}", self.rule, self.policy)
    }
}

/// A step that did not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// The step: `access`, `question`, `command`, a rule, `session`, `heuristics`.
    pub step: String,
    /// Why it did not decide.
    pub why: String,
}

/// A decision with everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What to do, and why.
    pub decision: Decision,
    /// The rule that decided, if one did.
    pub rule: Option<RuleName>,
    /// What came before it and did not decide, in the order in which it was asked.
    pub passed: Vec<Passed>,
    /// Later rules that would have matched, too.
    pub also: Vec<RuleName>,
    /// The Topic that is made for it, if the place has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_topic: Option<NewTopic>,
    /// Of a task: what becomes of it when its agent asks for a session, and who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation: Option<String>,
}
