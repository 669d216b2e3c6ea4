//! The Bot API's JSON for things of the world: User, Chat, Message, ChatMember.

use serde_json::{Map, Value, json};

use crate::world::{Author, Body, Chat, ChatKind, File, FileKind, Message, Origin, Quote, Standing, User, World};

impl World {
    pub fn bot_json(&self) -> Value {
        json!({"id": self.bot.id, "is_bot": true, "first_name": self.bot.first_name, "username": self.bot.username})
    }

    pub fn user_json(&self, id: i64) -> Value {
        if id == self.bot.id {
            return self.bot_json();
        }
        match self.users.get(&id) {
            Some(User {
                id,
                first_name,
                username,
            }) => {
                let mut user = json!({"id": id, "is_bot": false, "first_name": first_name, "language_code": "en"});
                if let Some(username) = username {
                    user["username"] = json!(username);
                }
                user
            }
            None => json!({"id": id, "is_bot": false, "first_name": "Deleted Account"}),
        }
    }

    pub fn author_id(&self, author: Author) -> i64 {
        match author {
            Author::Bot => self.bot.id,
            Author::User(id) => id,
        }
    }

    /// The short form that messages carry.
    pub fn chat_json(&self, chat: &Chat) -> Value {
        match chat.kind {
            ChatKind::Private => {
                let mut user = self.user_json(chat.id);
                let mut out = json!({"id": chat.id, "type": "private", "first_name": user["first_name"]});
                if let Some(username) = user.get_mut("username") {
                    out["username"] = username.take();
                }
                out
            }
            ChatKind::Group => json!({"id": chat.id, "type": "group", "title": chat.title}),
            ChatKind::Supergroup => json!({"id": chat.id, "type": "supergroup", "title": chat.title}),
            ChatKind::Forum => json!({"id": chat.id, "type": "supergroup", "title": chat.title, "is_forum": true}),
        }
    }

    pub fn message_json(&self, chat: &Chat, message: &Message) -> Value {
        let mut out = self.bare_message(chat, message);
        if let Some((chat, id)) = message.external_reply {
            out["external_reply"] = self.external_reply(chat, id);
        }
        if let Some(Quote { text, position }) = &message.quote {
            out["quote"] = json!({"text": text, "position": position, "is_manual": true});
        }
        let reply = message.reply_to.and_then(|id| chat.messages.get(&id));
        // Without a reply of its own, a topic's message replies to the topic's first message.
        let root = message
            .thread
            .filter(|thread| *thread != message.id)
            .and_then(|thread| chat.messages.get(&thread));
        if let Some(replied) = reply.or(root) {
            out["reply_to_message"] = self.bare_message(chat, replied);
        }
        out
    }

    /// ExternalReplyInfo: what is told of a message in another chat or topic.
    fn external_reply(&self, chat_id: i64, id: i64) -> Value {
        let Some((chat, message)) = self
            .chats
            .get(&chat_id)
            .and_then(|chat| Some((chat, chat.messages.get(&id)?)))
        else {
            return json!({"origin": {"type": "hidden_user", "sender_user_name": "Somebody", "date": 0}});
        };
        let origin = Origin::User {
            id: self.author_id(message.from),
        };
        let mut out = json!({
            "origin": self.origin_json(&origin, message.sent_ms), "chat": self.chat_json(chat), "message_id": id,
        });
        if let Body::File { kind, file_id, .. } = &message.body {
            out[kind.field()] = self.file_json(*kind, file_id);
        }
        out
    }

    /// MessageOrigin.
    fn origin_json(&self, origin: &Origin, sent_ms: i64) -> Value {
        let date = sent_ms / 1_000;
        match origin {
            Origin::User { id } => json!({"type": "user", "sender_user": self.user_json(*id), "date": date}),
            Origin::HiddenUser { name } => json!({"type": "hidden_user", "sender_user_name": name, "date": date}),
            Origin::Chat { id, title } => json!({
                "type": "chat", "sender_chat": {"id": id, "title": title, "type": "supergroup"}, "date": date,
            }),
            Origin::Channel { id, title, message_id } => json!({
                "type": "channel", "chat": {"id": id, "title": title, "type": "channel"}, "message_id": message_id,
                "date": date,
            }),
        }
    }

    /// The object, or for photos the list of sizes, that a message carries.
    fn file_json(&self, kind: FileKind, file_id: &str) -> Value {
        if kind == FileKind::Photo {
            let sides = [(90, 67), (320, 240), (1_280, 960)];
            let size = |(file, (width, height)): (&File, (i64, i64))| {
                json!({
                    "file_id": file.id, "file_unique_id": file.unique_id, "file_size": file.bytes.len(),
                    "width": width, "height": height,
                })
            };
            return self.sizes(file_id).zip(sides).map(size).collect();
        }
        let Some(file) = self.files.get(file_id) else {
            return Value::Null;
        };
        let mut out = json!({
            "file_id": file.id, "file_unique_id": file.unique_id, "mime_type": file.mime, "file_size": file.bytes.len(),
        });
        if !matches!(kind, FileKind::Voice | FileKind::VideoNote) {
            out["file_name"] = json!(file.name);
        }
        if kind != FileKind::Document {
            out["duration"] = json!(4);
        }
        match kind {
            FileKind::Video | FileKind::Animation => {
                out["width"] = json!(640);
                out["height"] = json!(360);
            }
            FileKind::VideoNote => out["length"] = json!(240),
            _ => {}
        }
        out
    }

    fn bare_message(&self, chat: &Chat, message: &Message) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
        put("message_id", json!(message.id));
        if let Some(thread) = message.thread {
            put("message_thread_id", json!(thread));
            put("is_topic_message", json!(true));
        }
        put("from", self.user_json(self.author_id(message.from)));
        put("chat", self.chat_json(chat));
        put("date", json!(message.sent_ms / 1_000));
        if let Some(edited) = message.edited_ms {
            put("edit_date", json!(edited / 1_000));
        }
        if let Some((origin, sent_ms)) = &message.origin {
            put("forward_origin", self.origin_json(origin, *sent_ms));
        }
        if let Some(album) = &message.album {
            put("media_group_id", json!(album));
        }
        match &message.body {
            Body::Text(words) => {
                put("text", json!(words.text));
                if !words.entities.is_empty() {
                    put("entities", json!(words.entities));
                }
            }
            Body::File { kind, file_id, caption } => {
                put(kind.field(), self.file_json(*kind, file_id));
                if *kind == FileKind::Animation {
                    // For clients of before there were animations.
                    put("document", self.file_json(FileKind::Document, file_id));
                }
                if !caption.text.is_empty() {
                    put("caption", json!(caption.text));
                }
                if !caption.entities.is_empty() {
                    put("caption_entities", json!(caption.entities));
                }
            }
            Body::Service(field, value) => put(field, value.clone()),
        }
        if let Some(keyboard) = &message.keyboard {
            put("reply_markup", keyboard.clone());
        }
        Value::Object(out)
    }

    /// ChatMember of the bot.
    pub fn bot_member(&self, chat: &Chat, standing: Standing) -> Value {
        let user = self.bot_json();
        match standing {
            Standing::Member => json!({"user": user, "status": "member"}),
            Standing::Left => json!({"user": user, "status": "left"}),
            Standing::Stranger => json!({"user": user, "status": "left"}),
            Standing::Kicked | Standing::Blocked | Standing::Deactivated => {
                json!({"user": user, "status": "kicked", "until_date": 0})
            }
            Standing::Administrator => json!({
                "user": user, "status": "administrator", "can_be_edited": false, "is_anonymous": false,
                "can_manage_chat": true, "can_delete_messages": chat.rights.can_delete_messages,
                "can_manage_video_chats": false, "can_restrict_members": false, "can_promote_members": false,
                "can_change_info": false, "can_invite_users": true, "can_post_stories": false,
                "can_edit_stories": false, "can_delete_stories": false,
                "can_pin_messages": chat.rights.can_pin_messages, "can_manage_topics": chat.rights.can_manage_topics,
            }),
        }
    }

    /// ChatMember of a person.
    pub fn member(&self, chat: &Chat, user: i64) -> Value {
        let status = match () {
            () if chat.creator == Some(user) => "creator",
            () if chat.gone.contains(&user) => "left",
            () => "member",
        };
        let mut out = json!({"user": self.user_json(user), "status": status});
        if status == "creator" {
            out["is_anonymous"] = json!(false);
        }
        out
    }
}
