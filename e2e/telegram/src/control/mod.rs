//! What people and tests do to the world, over HTTP under `/_control/`.
//!
//! [`people`] acts as people do and queues the updates that follow, [`places`] makes and changes chats and topics; [`view`] shows
//! what is seen; [`routes`] is the HTTP.
//! Open to anyone who can reach it: this is a test server.

pub mod inbox;
pub mod people;
pub mod places;
pub mod routes;
pub mod view;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::world::{Chat, ChatKind, FileKind, Origin, Rights, Standing};

/// A new person. Without an id one is chosen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    pub first_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// A new group. Private chats come with their person.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChat {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    pub kind: ChatKind,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<i64>,
}

/// Changes to a chat; what is absent stays. `user` is who makes them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_may_write: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_may_send_files: Option<bool>,
    /// The only emoji that may be reacted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reactions: Option<Vec<String>>,
}

/// A group becomes a supergroup, with another id; with topics if it shall be a forum.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    pub user: i64,
    #[serde(default)]
    pub forum: bool,
}

/// A new topic of a forum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTopic {
    pub user: i64,
    pub name: String,
}

/// Changes to a topic; what is absent stays. Topic 1 is General, which can be closed and opened only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicChange {
    pub user: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// A message somebody writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    pub user: i64,
    pub text: String,
    /// None: the General topic of a forum, or a chat without topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<i64>,
    /// Replies to a message of another chat or topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to_other: Option<Elsewhere>,
    /// The part of the message replied to that is quoted; it must stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// Makes it a forward from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Instead of what would be recognised in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<crate::entities::Entity>>,
}

/// A message of any chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    pub chat: i64,
    pub message: i64,
}

/// A message that somebody forwards, whatever it carries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    pub user: i64,
    /// Where to.
    pub chat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    /// Instead of the author: somebody hidden, a group, a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a message became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub message_id: i64,
    /// None when the bot does not get to see it.
    pub update_id: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub user: i64,
    pub text: String,
}

/// A press on a button, named by its label or by its data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Press {
    pub user: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// A reaction; an empty emoji takes it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reaction {
    pub user: i64,
    pub emoji: String,
}

/// A file somebody sends; its content is the request's body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    pub user: i64,
    pub name: String,
    /// As what it is sent.
    #[serde(default)]
    pub kind: FileKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The same for all files of an album, which are messages and updates of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
}

/// Changes to the bot; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BotChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Another token: the one before is refused with 401 from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_join_groups: Option<bool>,
    /// Whether private chats have topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_topics_enabled: Option<bool>,
}

/// The emulated clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockChange {
    /// So many emulated seconds pass in a real one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The bot's time is as fast, so it is told to wait in emulated seconds instead of real ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Jump ahead by so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advance_seconds: Option<f64>,
}

/// What went wrong with a request to the control API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0}")]
    Impossible(String),
}

pub(crate) fn missing(what: &str, id: impl std::fmt::Display) -> ControlError {
    ControlError::Missing(format!("{what} {id}"))
}

/// A chat's short description.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatSummary {
    pub id: i64,
    pub kind: ChatKind,
    pub title: String,
    pub standing: Standing,
    pub rights: Rights,
    /// The supergroup that this group has become.
    pub upgraded_to: Option<i64>,
    pub topics: Vec<crate::world::Topic>,
}

impl From<&Chat> for ChatSummary {
    fn from(chat: &Chat) -> Self {
        ChatSummary {
            id: chat.id,
            kind: chat.kind,
            title: chat.title.clone(),
            standing: chat.standing,
            rights: chat.rights,
            upgraded_to: chat.upgraded_to,
            topics: chat.topics.values().cloned().collect(),
        }
    }
}

/// Everything but messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// Grows with every change.
    pub revision: u64,
    pub bot: crate::world::Bot,
    pub users: Vec<crate::world::User>,
    pub chats: Vec<ChatSummary>,
    /// What `setMyCommands` has set, by scope and language.
    pub commands: std::collections::BTreeMap<String, Value>,
}
