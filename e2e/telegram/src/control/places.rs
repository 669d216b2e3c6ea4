//! People, chats and topics: making and changing them, and the updates the bot gets from it.

use serde_json::json;

use super::{ChatChange, ControlError, NewChat, NewTopic, NewUser, Posted, TopicChange, Upgrade, missing};
use crate::{
    methods,
    world::{Author, Body, Chat, ChatKind, NewMessage, Standing, User, World},
};

type Result<T> = std::result::Result<T, ControlError>;

/// Chat ids of supergroups start so.
const SUPERGROUP: i64 = -1_001_000_000_000;
/// The General topic, which messages do not name.
const GENERAL: i64 = 1;

impl World {
    /// Adds a person and the private chat with the bot.
    pub fn join(&mut self, new: NewUser) -> User {
        let id = new.id.unwrap_or_else(|| 1_000 + self.fresh_id() as i64);
        let user = User {
            id,
            first_name: new.first_name,
            username: new.username,
        };
        self.users.insert(id, user.clone());
        self.add_chat(id, ChatKind::Private, &user.first_name, None);
        user
    }

    pub fn found(&mut self, new: NewChat) -> Result<&Chat> {
        let number = self.fresh_id() as i64;
        let id = new.id.unwrap_or(match new.kind {
            ChatKind::Group => -5_000 - number,
            _ => SUPERGROUP - number,
        });
        if new.kind == ChatKind::Private || id >= 0 {
            return Err(ControlError::Impossible(
                "private chats come with their person; a group's id is negative".to_owned(),
            ));
        }
        self.add_chat(id, new.kind, &new.title, new.creator);
        self.known(id)
    }

    pub fn change_chat(&mut self, id: i64, change: ChatChange) -> Result<()> {
        let before = self.known(id)?.standing;
        let chat = self.chats.get_mut(&id).ok_or_else(|| missing("chat", id))?;
        chat.title = change.title.unwrap_or_else(|| chat.title.clone());
        chat.rights = change.rights.unwrap_or(chat.rights);
        chat.members_may_write = change.members_may_write.unwrap_or(chat.members_may_write);
        chat.members_may_send_files = change.members_may_send_files.unwrap_or(chat.members_may_send_files);
        chat.reactions = change.reactions.or(chat.reactions.take());
        chat.standing = change.standing.unwrap_or(chat.standing);
        if chat.standing != before || change.rights.is_some() {
            let chat = self.known(id)?;
            let user = change
                .user
                .or(chat.creator)
                .unwrap_or(if chat.is_group() { 0 } else { id });
            let member = json!({
                "chat": self.chat_json(chat), "from": self.user_json(user), "date": 0,
                "old_chat_member": self.bot_member(chat, before),
                "new_chat_member": self.bot_member(chat, chat.standing),
            });
            self.queue.push("my_chat_member", member);
        }
        Ok(())
    }

    pub fn open_topic(&mut self, chat: i64, new: NewTopic, now_ms: i64) -> Result<Posted> {
        self.speaker(chat, new.user)?;
        let in_private = self.bot.has_topics_enabled;
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let has_topics = found.kind == ChatKind::Forum || found.kind == ChatKind::Private && in_private;
        if !has_topics {
            return Err(ControlError::Impossible(format!("chat {chat} has no topics")));
        }
        if found.standing == Standing::Stranger {
            found.standing = Standing::Member;
        }
        let thread = found
            .add_topic(&new.name, 7_322_096, Author::User(new.user), now_ms)
            .thread;
        let update_id = self.announce("message", chat, thread)?;
        Ok(Posted {
            message_id: thread,
            update_id,
        })
    }

    pub fn change_topic(&mut self, chat: i64, thread: i64, change: TopicChange, now_ms: i64) -> Result<()> {
        if thread == GENERAL {
            return self.change_general(chat, change, now_ms);
        }
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let topic = found.topics.get_mut(&thread).ok_or_else(|| missing("topic", thread))?;
        let mut events = Vec::new();
        if let Some(name) = change.name.filter(|name| *name != topic.name) {
            topic.name.clone_from(&name);
            events.push(("forum_topic_edited", json!({"name": name})));
        }
        if let Some(closed) = change.closed {
            events.extend(methods::set_closed(found, thread, closed));
        }
        for (event, value) in events {
            let new = NewMessage::new(Author::User(change.user), Some(thread), Body::Service(event, value));
            let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
            let id = found.post(new, now_ms).id;
            self.announce("message", chat, id)?;
        }
        // Nothing tells a bot of a deletion; it learns by being refused.
        if change.deleted == Some(true)
            && let Some(found) = self.chats.get_mut(&chat)
        {
            found.delete_topic(thread, now_ms);
        }
        Ok(())
    }

    fn change_general(&mut self, chat: i64, change: TopicChange, now_ms: i64) -> Result<()> {
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let Some(closed) = change.closed.filter(|closed| *closed != found.general_closed) else {
            return Ok(());
        };
        found.general_closed = closed;
        let event = match closed {
            true => "forum_topic_closed",
            false => "forum_topic_reopened",
        };
        let new = NewMessage::new(Author::User(change.user), None, Body::Service(event, json!({})));
        let id = found.post(new, now_ms).id;
        self.announce("message", chat, id).map(drop)
    }

    /// The old chat stays, closed to everybody; the new one has the same people, and the bot the same standing.
    pub fn upgrade(&mut self, chat: i64, upgrade: Upgrade, now_ms: i64) -> Result<&Chat> {
        self.speaker(chat, upgrade.user)?;
        let new = SUPERGROUP - self.fresh_id() as i64;
        let old = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        if old.kind != ChatKind::Group || old.upgraded_to.is_some() {
            return Err(ControlError::Impossible(format!("chat {chat} is no plain group")));
        }
        let kind = if upgrade.forum {
            ChatKind::Forum
        } else {
            ChatKind::Supergroup
        };
        let mut successor = Chat::new(new, kind, &old.title, old.creator);
        (successor.standing, successor.rights) = (old.standing, old.rights);
        let service =
            |event, value| NewMessage::new(Author::User(upgrade.user), None, Body::Service(event, json!(value)));
        let last = old.post(service("migrate_to_chat_id", new), now_ms).id;
        let first = successor.post(service("migrate_from_chat_id", chat), now_ms).id;
        self.chats.insert(new, successor);
        self.announce("message", chat, last)?;
        self.announce("message", new, first)?;
        // Not before its last message is told.
        let old = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        old.upgraded_to = Some(new);
        self.known(new)
    }
}
