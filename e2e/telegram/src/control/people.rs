//! What people do, and the updates the bot gets from it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    ChatChange, ControlError, Edit, NewChat, NewTopic, NewUser, Post, Posted, Press, Reaction, TopicChange, Upload,
    missing,
};
use crate::{
    entities::Formatted,
    methods,
    world::{Author, Body, Callback, Chat, ChatKind, Message, NewMessage, Standing, User, World},
};

type Result<T> = std::result::Result<T, ControlError>;

/// Chat ids of supergroups start so.
const SUPERGROUP: i64 = -1_001_000_000_000;

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
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        if found.kind != ChatKind::Forum {
            return Err(ControlError::Impossible(format!("chat {chat} is no forum")));
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

    pub fn write(&mut self, chat: i64, post: Post, now_ms: i64) -> Result<Posted> {
        let mut words = Formatted::typed(&post.text);
        if let Some(entities) = post.entities {
            words = Formatted {
                text: post.text,
                entities,
            };
        }
        let new = NewMessage {
            reply_to: post.reply_to,
            ..NewMessage::new(Author::User(post.user), post.thread, Body::Text(words))
        };
        self.say(chat, post.user, new, now_ms)
    }

    pub fn upload(&mut self, chat: i64, upload: Upload, bytes: Bytes, now_ms: i64) -> Result<Posted> {
        let file_id = self.add_file(&upload.name, upload.mime.as_deref(), bytes);
        let caption = Formatted::typed(&upload.caption.unwrap_or_default());
        let body = Body::Document { file_id, caption };
        self.say(
            chat,
            upload.user,
            NewMessage::new(Author::User(upload.user), upload.thread, body),
            now_ms,
        )
    }

    fn say(&mut self, chat: i64, user: i64, new: NewMessage, now_ms: i64) -> Result<Posted> {
        self.speaker(chat, user)?;
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        if let Some(thread) = new.thread {
            found
                .topics
                .get(&thread)
                .filter(|topic| !topic.deleted)
                .ok_or_else(|| missing("topic", thread))?;
        }
        if let Some(reply) = new.reply_to {
            found.message(reply).ok_or_else(|| missing("message", reply))?;
        }
        if found.standing == Standing::Stranger {
            found.standing = Standing::Member;
        }
        let id = found.post(new, now_ms).id;
        let update_id = self.announce("message", chat, id)?;
        Ok(Posted {
            message_id: id,
            update_id,
        })
    }

    pub fn edit(&mut self, chat: i64, message: i64, edit: &Edit, now_ms: i64) -> Result<Posted> {
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let changed = found.message_mut(message).ok_or_else(|| missing("message", message))?;
        if changed.from != Author::User(edit.user) {
            return Err(ControlError::Impossible(format!(
                "message {message} is not by {}",
                edit.user
            )));
        }
        match &mut changed.body {
            Body::Text(words) | Body::Document { caption: words, .. } => *words = Formatted::typed(&edit.text),
            Body::Service(..) => return Err(ControlError::Impossible("a service message has no text".to_owned())),
        }
        changed.edited_ms = Some(now_ms);
        changed.remember(now_ms);
        let update_id = self.announce("edited_message", chat, message)?;
        Ok(Posted {
            message_id: message,
            update_id,
        })
    }

    /// Nothing tells the bot.
    pub fn unsay(&mut self, chat: i64, message: i64, now_ms: i64) -> Result<()> {
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let message = found.message_mut(message).ok_or_else(|| missing("message", message))?;
        message.deleted_ms = Some(now_ms);
        Ok(())
    }

    pub fn press(&mut self, chat: i64, message: i64, press: &Press, now_ms: i64) -> Result<Callback> {
        let found = self.known(chat)?;
        let shown = found.message(message).ok_or_else(|| missing("message", message))?;
        let buttons = shown
            .keyboard
            .as_ref()
            .map(|keyboard| keyboard["inline_keyboard"].clone())
            .unwrap_or_default();
        let buttons = buttons.as_array().cloned().unwrap_or_default();
        let wanted = |button: &&Value| {
            press
                .label
                .as_ref()
                .is_none_or(|label| button["text"] == label.as_str())
                && press
                    .data
                    .as_ref()
                    .is_none_or(|data| button["callback_data"] == data.as_str())
        };
        let button = buttons
            .iter()
            .flat_map(|row| row.as_array().into_iter().flatten())
            .find(wanted);
        let name = press
            .label
            .as_ref()
            .or(press.data.as_ref())
            .cloned()
            .unwrap_or_default();
        let button = button.ok_or_else(|| missing("button", format!("{name:?} under message {message}")))?;
        let data = button["callback_data"].as_str().unwrap_or_default().to_owned();
        let message_json = self.message_json(found, shown);
        let from = self.user_json(press.user);
        let number = self.fresh_id();
        let id = format!("77{number:017}");
        let update = json!({
            "id": id, "from": from, "message": message_json, "chat_instance": chat.to_string(), "data": data,
        });
        self.queue.push("callback_query", update);
        let callback = Callback {
            id: id.clone(),
            chat,
            message,
            user: press.user,
            data,
            pressed_ms: now_ms,
            answer: None,
        };
        self.callbacks.insert(id, callback.clone());
        Ok(callback)
    }

    pub fn react(&mut self, chat: i64, message: i64, reaction: &Reaction, now_ms: i64) -> Result<()> {
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        let shown = found.message_mut(message).ok_or_else(|| missing("message", message))?;
        let emoji = |emoji: &String| json!({"type": "emoji", "emoji": emoji});
        let list =
            |reactions: Option<Vec<String>>| json!(reactions.unwrap_or_default().iter().map(emoji).collect::<Vec<_>>());
        let new = (!reaction.emoji.is_empty()).then(|| vec![reaction.emoji.clone()]);
        let old = match new.clone() {
            Some(new) => shown.reactions.insert(reaction.user, new),
            None => shown.reactions.remove(&reaction.user),
        };
        // Reactions reach bots that are administrators, and carry no thread.
        let found = self.known(chat)?;
        if !found.is_group() || found.standing == Standing::Administrator {
            let update = json!({
                "chat": self.chat_json(found), "message_id": message, "user": self.user_json(reaction.user),
                "date": now_ms / 1_000, "old_reaction": list(old), "new_reaction": list(new),
            });
            self.queue.push("message_reaction", update);
        }
        Ok(())
    }

    fn known(&self, chat: i64) -> Result<&Chat> {
        self.chats.get(&chat).ok_or_else(|| missing("chat", chat))
    }

    fn speaker(&self, chat: i64, user: i64) -> Result<()> {
        self.known(chat)?;
        self.users.get(&user).map(drop).ok_or_else(|| missing("user", user))
    }

    /// Queues the update about a message, if the bot gets to see it.
    fn announce(&mut self, kind: &str, chat: i64, message: i64) -> Result<Option<i64>> {
        let found = self.known(chat)?;
        let shown = found.message(message).ok_or_else(|| missing("message", message))?;
        if found.reachable().is_err() || !self.bot_sees(found, shown) {
            return Ok(None);
        }
        let json = self.message_json(found, shown);
        Ok(self.queue.push(kind, json))
    }

    /// Privacy mode: in groups only commands, mentions, replies to the bot and service messages.
    fn bot_sees(&self, chat: &Chat, message: &Message) -> bool {
        if !self.bot.privacy || !chat.is_group() || chat.standing == Standing::Administrator {
            return true;
        }
        let Some(words) = message.body.words() else { return true };
        let me = format!("@{}", self.bot.username).to_lowercase();
        let addressed = words.entities.iter().any(|entity| {
            let text = words.covered(entity).to_lowercase();
            match entity.kind.as_str() {
                "bot_command" => !text.contains('@') || text.ends_with(&me),
                "mention" => text == me,
                _ => false,
            }
        });
        let replied = message.reply_to.and_then(|id| chat.messages.get(&id));
        addressed || replied.is_some_and(|replied| replied.from == Author::Bot)
    }
}
