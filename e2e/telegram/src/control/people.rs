//! What people do, and the updates the bot gets from it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ControlError, Edit, Elsewhere, Forward, Post, Posted, Press, Reaction, Upload, missing};
use crate::{
    entities::Formatted,
    world::{Author, Body, Callback, Chat, Message, NewMessage, Origin, Quote, Standing, World},
};

type Result<T> = std::result::Result<T, ControlError>;

impl World {
    pub fn write(&mut self, chat: i64, post: Post, now_ms: i64) -> Result<Posted> {
        let words = match post.entities {
            Some(entities) => Formatted {
                text: post.text,
                entities,
            },
            None => Formatted::typed(&post.text),
        };
        let quote = self.quote(chat, &post.quote, post.reply_to, post.reply_to_other)?;
        let new = NewMessage {
            reply_to: post.reply_to,
            external_reply: post.reply_to_other.map(|other| (other.chat, other.message)),
            quote,
            origin: post.origin.map(|origin| (origin, now_ms)),
            ..NewMessage::new(Author::User(post.user), post.thread, Body::Text(words))
        };
        self.say(chat, post.user, new, now_ms)
    }

    fn quote(
        &self,
        chat: i64,
        text: &Option<String>,
        reply: Option<i64>,
        other: Option<Elsewhere>,
    ) -> Result<Option<Quote>> {
        let Some(text) = text else { return Ok(None) };
        let (chat, message) = match other {
            Some(other) => (other.chat, other.message),
            None => (chat, reply.unwrap_or_default()),
        };
        let message = self.known(chat)?.message(message);
        let quote = message.and_then(|message| Quote::of(message.body.words()?, text));
        quote
            .map(Some)
            .ok_or_else(|| missing("such text in the message replied to:", text))
    }

    pub fn upload(&mut self, chat: i64, upload: Upload, bytes: Bytes, now_ms: i64) -> Result<Posted> {
        let file_id = self.add_file(upload.kind, &upload.name, upload.mime.as_deref(), bytes);
        let body = Body::File {
            kind: upload.kind,
            file_id,
            caption: Formatted::typed(&upload.caption.unwrap_or_default()),
        };
        let new = NewMessage {
            reply_to: upload.reply_to,
            album: upload.album,
            ..NewMessage::new(Author::User(upload.user), upload.thread, body)
        };
        self.say(chat, upload.user, new, now_ms)
    }

    /// Forwards keep where they came from first.
    pub fn forward(&mut self, chat: i64, message: i64, forward: Forward, now_ms: i64) -> Result<Posted> {
        let found = self.known(chat)?;
        let original = found.message(message).ok_or_else(|| missing("message", message))?;
        let author = Origin::User {
            id: self.author_id(original.from),
        };
        let origin = match (&original.origin, forward.origin) {
            (_, Some(origin)) => (origin, original.sent_ms),
            (Some(origin), None) => origin.clone(),
            (None, None) => (author, original.sent_ms),
        };
        let new = NewMessage {
            origin: Some(origin),
            ..NewMessage::new(Author::User(forward.user), forward.thread, original.body.clone())
        };
        self.say(forward.chat, forward.user, new, now_ms)
    }

    fn say(&mut self, chat: i64, user: i64, new: NewMessage, now_ms: i64) -> Result<Posted> {
        self.speaker(chat, user)?;
        if let Some((chat, message)) = new.external_reply {
            let other = self.known(chat)?.message(message);
            other.ok_or_else(|| missing("message", message))?;
        }
        let found = self.chats.get_mut(&chat).ok_or_else(|| missing("chat", chat))?;
        if let Some(new) = found.upgraded_to {
            return Err(ControlError::Impossible(format!("chat {chat} has become {new}")));
        }
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
            Body::Text(words) | Body::File { caption: words, .. } => *words = Formatted::typed(&edit.text),
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

    pub(super) fn known(&self, chat: i64) -> Result<&Chat> {
        self.chats.get(&chat).ok_or_else(|| missing("chat", chat))
    }

    pub(super) fn speaker(&self, chat: i64, user: i64) -> Result<()> {
        self.known(chat)?;
        self.users.get(&user).map(drop).ok_or_else(|| missing("user", user))
    }

    /// Queues the update about a message, if the bot gets to see it.
    pub(super) fn announce(&mut self, kind: &str, chat: i64, message: i64) -> Result<Option<i64>> {
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
