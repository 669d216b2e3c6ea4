//! What a message is, and what is known about the place where it was written.

use longshore_crds::WhileSessionActive;

use crate::guest::Guest;

/// A message as the router sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who wrote it.
    pub user: i64,
    /// Chat in which it was written.
    pub chat: i64,
    /// Forum topic; none in the General topic, in plain groups and in private chats.
    pub thread: Option<i64>,
    /// Text; or how people call what it is instead, which cannot be handed on.
    pub content: Result<&'a str, &'a str>,
    /// A file comes with it that a session can be given; the text is what was written with it.
    pub file: bool,
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
    /// That the writer was let in by a button, as the bot has kept it.
    pub guest: Option<Guest>,
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
    /// Row of the prompt that the writer of the message denies and is about to say why.
    pub word: Option<i64>,
    /// Whether it sleeps.
    pub asleep: bool,
}

/// What to do with a message beside a session, and which policy says so.
pub(crate) type BesideSession = (WhileSessionActive, String);
