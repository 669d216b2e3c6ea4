//! What a person has read and has not, by place, with what was said last.

use serde::{Deserialize, Serialize};

use super::{ControlError, missing};
use crate::world::{Author, Chat, ChatKind, Message, World};

/// A chat without topics, or a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxEntry {
    pub chat: i64,
    /// 0 outside topics.
    pub thread: i64,
    /// The last message that the person has read.
    pub read: i64,
    /// How many messages of others came since.
    pub unread: usize,
    pub last: Option<LastWords>,
}

/// The newest message of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    pub message_id: i64,
    pub name: String,
    /// Its beginning, or what it is instead.
    pub text: String,
    pub sent_ms: i64,
}

/// A person has seen everything up to a message.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub user: i64,
    #[serde(default)]
    pub thread: i64,
    pub message: i64,
}

const PREVIEW: usize = 80;

impl World {
    /// All places of a person: every group with its topics, and the own private chat.
    pub fn inbox(&self, user: i64) -> Vec<InboxEntry> {
        let mine = |chat: &&Chat| chat.kind != ChatKind::Private || chat.id == user;
        let mut entries = Vec::new();
        for chat in self.chats.values().filter(mine) {
            let topics = chat.topics.values().filter(|topic| !topic.deleted);
            let threads = std::iter::once(0).chain(topics.map(|topic| topic.thread));
            entries.extend(threads.map(|thread| self.inbox_entry(user, chat, thread)));
        }
        entries
    }

    fn inbox_entry(&self, user: i64, chat: &Chat, thread: i64) -> InboxEntry {
        let read = self.read.get(&(user, chat.id, thread)).copied().unwrap_or(0);
        let here = |message: &&Message| message.deleted_ms.is_none() && message.thread.unwrap_or(0) == thread;
        let is_news = |message: &&Message| {
            message.id > read && message.from != Author::User(user) && message.body.words().is_some()
        };
        let last = chat.messages.values().rev().find(here);
        InboxEntry {
            chat: chat.id,
            thread,
            read,
            unread: chat.messages.values().filter(here).filter(is_news).count(),
            last: last.map(|message| self.last_words(message)),
        }
    }

    fn last_words(&self, message: &Message) -> LastWords {
        let shown = self.shown(message);
        let text = match (&shown.service, &shown.file) {
            (Some((event, _)), _) => event.replace('_', " "),
            (None, Some(file)) if shown.text.is_empty() => file.name.clone(),
            _ => shown.text.chars().take(PREVIEW).collect(),
        };
        LastWords {
            message_id: message.id,
            name: shown.name,
            text,
            sent_ms: message.sent_ms,
        }
    }

    /// Never goes back.
    pub fn mark_read(&mut self, chat: i64, read: Read) -> Result<(), ControlError> {
        if !self.chats.contains_key(&chat) {
            return Err(missing("chat", chat));
        }
        let mark = self.read.entry((read.user, chat, read.thread)).or_default();
        *mark = read.message.max(*mark);
        Ok(())
    }
}
