//! What exists: the bot, people, chats, topics, messages, files.
//!
//! Plain data and its invariants; the time of a change is always an argument. Knows nothing of HTTP or of JSON shapes.

mod chat;
mod message;

use std::collections::BTreeMap;

use bytes::Bytes;
pub use chat::{Chat, ChatKind, Draft, Rights, Standing, Topic};
pub use message::{Author, Body, FileKind, Message, NewMessage, Origin, Quote, Version, labels};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{calls::Calls, error::ApiError, faults::Faults, limits::Limiter, updates::Queue};

/// Everything, behind one lock.
#[derive(Debug, Default)]
pub struct World {
    pub bot: Bot,
    pub users: BTreeMap<i64, User>,
    pub chats: BTreeMap<i64, Chat>,
    pub files: BTreeMap<String, File>,
    /// The last message a person has read, by person, chat and thread (0 outside topics).
    pub read: BTreeMap<(i64, i64, i64), i64>,
    pub callbacks: BTreeMap<String, Callback>,
    pub commands: BTreeMap<String, Value>,
    pub webhook: Option<String>,
    pub queue: Queue,
    pub limiter: Limiter,
    pub faults: Faults,
    pub calls: Calls,
    ids: u64,
}

/// The one bot of this emulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bot {
    pub id: i64,
    pub username: String,
    pub first_name: String,
    /// The token it must use; none: the first well-formed one that is seen becomes it.
    pub token: Option<String>,
    /// Privacy mode: in groups it sees commands, replies to it and mentions only, unless it is an administrator.
    pub privacy: bool,
    pub can_join_groups: bool,
    /// Whether private chats with it have topics.
    pub has_topics_enabled: bool,
}

impl Default for Bot {
    fn default() -> Self {
        Bot {
            id: 424_242,
            username: "longshore_bot".to_owned(),
            first_name: "Longshore".to_owned(),
            token: None,
            privacy: false,
            can_join_groups: true,
            has_topics_enabled: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: i64,
    pub first_name: String,
    #[serde(default)]
    pub username: Option<String>,
}

#[derive(Clone, Debug)]
pub struct File {
    pub id: String,
    pub unique_id: String,
    pub name: String,
    pub mime: String,
    pub path: String,
    pub bytes: Bytes,
}

/// A pressed button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    pub id: String,
    pub chat: i64,
    pub message: i64,
    pub user: i64,
    pub data: String,
    pub pressed_ms: i64,
    pub answer: Option<CallbackAnswer>,
}

/// What the person saw after pressing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackAnswer {
    pub text: String,
    pub show_alert: bool,
}

impl World {
    /// A number never given out before.
    pub fn fresh_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub fn chat(&self, id: i64) -> Result<&Chat, ApiError> {
        self.chats
            .get(&id)
            .ok_or_else(|| ApiError::bad_request("chat not found"))
    }

    pub fn chat_mut(&mut self, id: i64) -> Result<&mut Chat, ApiError> {
        self.chats
            .get_mut(&id)
            .ok_or_else(|| ApiError::bad_request("chat not found"))
    }

    /// Adds a chat of which everybody is a member.
    pub fn add_chat(&mut self, id: i64, kind: ChatKind, title: &str, creator: Option<i64>) -> &mut Chat {
        self.chats.entry(id).or_insert(Chat::new(id, kind, title, creator))
    }

    /// Stores a file and returns its id. A photo gets smaller versions beside it, with other content and ids of their own.
    pub fn add_file(&mut self, kind: FileKind, name: &str, mime: Option<&str>, bytes: Bytes) -> String {
        let number = self.fresh_id();
        let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let (folder, prefix) = kind.place();
        let mime = mime.unwrap_or(kind.mime()).to_owned();
        let file = |size: &str, bytes: Bytes| File {
            id: format!("{prefix}AAx{number:012}{size}"),
            unique_id: format!("AgAD{number:08}{size}"),
            name: name.to_owned(),
            mime: mime.clone(),
            path: format!("{folder}/file_{number}{size}.{extension}"),
            bytes,
        };
        let whole = file("", bytes);
        let id = whole.id.clone();
        if kind == FileKind::Photo {
            for size in ["s", "m"] {
                let small = file(size, Bytes::from(format!("the picture {name} in size {size}")));
                self.files.insert(small.id.clone(), small);
            }
        }
        self.files.insert(id.clone(), whole);
        id
    }

    /// The versions of a photo, the smallest first.
    pub fn sizes(&self, file_id: &str) -> impl Iterator<Item = &File> {
        ["s", "m", ""]
            .into_iter()
            .filter_map(move |size| self.files.get(&format!("{file_id}{size}")))
    }
}
