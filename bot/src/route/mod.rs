//! The mode router: what becomes of a message, and why.
//!
//! Pure: no IO, no clock, no environment. [`route`] takes what was written, what is known about the place it was written
//! in, and the settings, and returns a [`Decision`] that says in a sentence why it fell. The order is fixed: access,
//! `/stop` and answers to a pending question, explicit commands, (rules of a policy, once there are any), the active
//! session, the default. Every step either decides or passes on, so a policy becomes one more step.

mod command;
pub mod words;

pub use command::{COMMANDS, Command};

use serde::{Deserialize, Serialize};

/// Longest text that is handed on, in characters: the limit of a prompt in the API.
pub const MAX_PROMPT_CHARS: usize = 65_536;

/// What routing goes by that does not change while the bot runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Users who may use the bot. Nobody else gets anything run.
    pub allowed_users: Vec<i64>,
    /// The bot's own name without `@`; commands for another bot are not ours.
    pub bot_username: String,
    /// Messages that end the session when they stand alone, in lower case.
    pub done_words: Vec<String>,
}

/// A message as the router sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who wrote it.
    pub user: i64,
    /// Text; or how people call what it is instead.
    pub content: Result<&'a str, &'static str>,
}

/// What is known about the place of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// The place's Topic.
    pub topic: TopicState,
    /// The Topic's session, when it has one that is not over or being ended.
    pub session: Option<ActiveSession>,
    /// An unfinished task of the place, the oldest.
    pub task: Option<String>,
}

/// Whether the place has a Topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopicState {
    /// This one.
    Bound(String),
    /// None, but the bot may make this one.
    Creatable(String),
    /// None, and the bot may not make any.
    #[default]
    Missing,
}

/// A session that takes messages, now or soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveSession {
    /// Name of the PersistentSession.
    pub name: String,
    /// Row of the question that waits for words.
    pub question: Option<i64>,
    /// Whether it sleeps.
    pub asleep: bool,
}

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
#[serde(tag = "mode", rename_all = "camelCase")]
pub enum Mode {
    /// Nothing, not even an answer.
    Ignore,
    /// Answer with these words; nothing is run.
    Reply {
        /// The words.
        text: String,
    },
    /// Tell what is going on in this place.
    Status,
    /// A ContainerTask.
    Task {
        /// What claude is asked.
        prompt: String,
    },
    /// A new PersistentSession.
    StartSession {
        /// Its first message.
        prompt: Option<String>,
    },
    /// A message to a session.
    ToSession {
        /// Name of the PersistentSession.
        session: String,
        /// The message.
        text: String,
        /// Whether a session was asked for by name: if this one is over, the message starts another.
        deep: bool,
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
    },
    /// Stop what runs.
    Stop {
        /// What runs.
        target: StopTarget,
    },
    /// An answer to a question that claude asked.
    Answer {
        /// Row of the question.
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
        matches!(
            self,
            Self::Stop { .. } | Self::Answer { .. } | Self::Status | Self::Reply { .. }
        )
    }

    fn because(self, reason: impl Into<String>) -> Decision {
        Decision {
            mode: self,
            reason: reason.into(),
        }
    }
}

fn reply(text: impl Into<String>, reason: impl Into<String>) -> Decision {
    Mode::Reply { text: text.into() }.because(reason)
}

/// Decides what becomes of a message.
pub fn route(message: &Message<'_>, situation: &Situation, settings: &Settings) -> Decision {
    if !settings.allowed_users.contains(&message.user) {
        return Mode::Ignore.because(format!("user {} is not on the list of allowed users", message.user));
    }
    let text = match message.content {
        Ok(text) if !text.trim().is_empty() => text.trim(),
        Ok(_) => return reply(words::EMPTY, "the message is empty"),
        Err(kind) => return reply(words::unsupported(kind), format!("{kind} cannot be handed on")),
    };
    if text.chars().count() > MAX_PROMPT_CHARS {
        return reply(
            words::TOO_LONG,
            format!("the message is longer than {MAX_PROMPT_CHARS} characters"),
        );
    }
    let command = match command::parse(text, &settings.bot_username) {
        command::Parsed::ForAnother => return Mode::Ignore.because("the command is for another bot"),
        command::Parsed::Command(command, rest) => Some((command, rest)),
        command::Parsed::Unknown(name) => {
            return reply(words::unknown_command(name), format!("there is no command /{name}"));
        }
        command::Parsed::Text => None,
    };
    match command {
        Some((Command::Stop, _)) => stop(situation),
        Some((command, rest)) => explicit(command, rest, situation),
        None => answer(text, situation)
            .or_else(|| done(text, situation, settings))
            .unwrap_or_else(|| plain(text, situation)),
    }
}

fn stop(situation: &Situation) -> Decision {
    match (&situation.session, &situation.task) {
        (Some(session), _) => Mode::Stop {
            target: StopTarget::Session(session.name.clone()),
        }
        .because("/stop stops the turn of the active session"),
        (None, Some(task)) => Mode::Stop {
            target: StopTarget::Task(task.clone()),
        }
        .because("/stop stops the task that is not finished"),
        (None, None) => reply(words::NOTHING_TO_STOP, "/stop, and nothing runs here"),
    }
}

fn explicit(command: Command, rest: &str, situation: &Situation) -> Decision {
    match (command, &situation.session) {
        (Command::Help, _) => reply(words::help(), "/help"),
        (Command::Status, _) => Mode::Status.because("/status"),
        (Command::End, Some(session)) => Mode::EndSession {
            session: session.name.clone(),
        }
        .because("/end ends the active session"),
        (Command::End, None) => reply(words::NO_SESSION, "/end, and no session is active"),
        (Command::Deep, Some(session)) if rest.is_empty() && session.asleep => Mode::WakeSession {
            session: session.name.clone(),
        }
        .because("/deep without text, and the active session sleeps"),
        (Command::Deep, Some(_)) if rest.is_empty() => reply(
            words::ALREADY_DEEP,
            "/deep without text, and a session is active already",
        ),
        (Command::Deep, Some(session)) => Mode::ToSession {
            session: session.name.clone(),
            text: rest.to_owned(),
            deep: true,
        }
        .because("/deep, and a session is active already, so it goes there"),
        (Command::Deep, None) => with_topic(situation, || {
            let prompt = (!rest.is_empty()).then(|| rest.to_owned());
            Mode::StartSession { prompt }.because("/deep starts a session")
        }),
        (Command::Stop, _) => stop(situation),
    }
}

fn answer(text: &str, situation: &Situation) -> Option<Decision> {
    let question = situation.session.as_ref()?.question?;
    Some(
        Mode::Answer {
            question,
            text: text.to_owned(),
        }
        .because("claude waits for an answer to its question"),
    )
}

fn done(text: &str, situation: &Situation, settings: &Settings) -> Option<Decision> {
    let session = situation.session.as_ref()?;
    let word = text.trim_end_matches(['.', '!']).trim().to_lowercase();
    settings.done_words.contains(&word).then(|| {
        Mode::EndSession {
            session: session.name.clone(),
        }
        .because(format!("“{word}” alone ends the active session"))
    })
}

fn plain(text: &str, situation: &Situation) -> Decision {
    if let Some(session) = &situation.session {
        return Mode::ToSession {
            session: session.name.clone(),
            text: text.to_owned(),
            deep: false,
        }
        .because(format!("session {} is active", session.name));
    }
    with_topic(situation, || {
        Mode::Task {
            prompt: text.to_owned(),
        }
        .because("no session is active, and nothing else applies")
    })
}

fn with_topic(situation: &Situation, decide: impl FnOnce() -> Decision) -> Decision {
    match situation.topic {
        TopicState::Missing => reply(
            words::NO_TOPIC,
            "no Topic is bound to this chat, and the bot may not make one",
        ),
        TopicState::Bound(_) | TopicState::Creatable(_) => decide(),
    }
}

#[cfg(test)]
mod tests;
