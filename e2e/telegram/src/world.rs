//! What exists: the bot, people, chats, topics, messages, files.
//!
//! Plain data and its invariants; the time of a change is always an argument. Knows nothing of HTTP or of JSON shapes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    calls::Calls,
    entities::{Entity, Formatted},
    error::ApiError,
    faults::Faults,
    limits::Limiter,
    updates::Queue,
};

/// Everything, behind one lock.
#[derive(Debug, Default)]
pub struct World {
    pub bot: Bot,
    pub users: BTreeMap<i64, User>,
    pub chats: BTreeMap<i64, Chat>,
    pub files: BTreeMap<String, File>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    Private,
    Group,
    Supergroup,
    /// A supergroup with topics.
    Forum,
}

/// What the bot is in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Member,
    Administrator,
    Left,
    Kicked,
    /// In a private chat: the person has never written to the bot.
    Stranger,
    /// In a private chat: the person has blocked the bot.
    Blocked,
}

/// Rights of the bot as an administrator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    pub can_manage_topics: bool,
    pub can_delete_messages: bool,
    pub can_pin_messages: bool,
}

#[derive(Clone, Debug)]
pub struct Chat {
    pub id: i64,
    pub kind: ChatKind,
    pub title: String,
    pub standing: Standing,
    pub rights: Rights,
    /// Whether ordinary members, the bot among them, may write.
    pub members_may_write: bool,
    pub creator: Option<i64>,
    pub gone: BTreeSet<i64>,
    pub topics: BTreeMap<i64, Topic>,
    pub messages: BTreeMap<i64, Message>,
    pub drafts: BTreeMap<(Option<i64>, i64), Draft>,
    /// The latest chat action (typing and the like) by thread, with the time it ends.
    pub actions: BTreeMap<Option<i64>, (String, i64)>,
    last_message_id: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub thread: i64,
    pub name: String,
    pub icon_color: i64,
    pub icon_custom_emoji_id: Option<String>,
    pub closed: bool,
    pub deleted: bool,
    pub created_by_bot: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    pub text: String,
    pub entities: Vec<Entity>,
    pub until_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Bot,
    User(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Text(Formatted),
    Document {
        file_id: String,
        caption: Formatted,
    },
    /// A service message: the field of the Bot API's Message that says what happened.
    Service(&'static str, Value),
}

impl Body {
    /// Text or caption.
    pub fn words(&self) -> Option<&Formatted> {
        match self {
            Body::Text(words) | Body::Document { caption: words, .. } => Some(words),
            Body::Service(..) => None,
        }
    }
}

/// How a message looked for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub at_ms: i64,
    pub text: String,
    pub entities: Vec<Entity>,
    /// Button labels, row by row.
    pub buttons: Vec<Vec<String>>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub id: i64,
    pub thread: Option<i64>,
    pub from: Author,
    pub sent_ms: i64,
    pub edited_ms: Option<i64>,
    pub deleted_ms: Option<i64>,
    pub body: Body,
    pub reply_to: Option<i64>,
    /// `inline_keyboard`, as it was sent.
    pub keyboard: Option<Value>,
    /// Reactions by who set them; the bot's under its id.
    pub reactions: BTreeMap<i64, Vec<String>>,
    pub pinned: bool,
    pub silent: bool,
    /// Every look it had, the first one included.
    pub versions: Vec<Version>,
}

/// A message to be posted.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub thread: Option<i64>,
    pub from: Author,
    pub body: Body,
    pub reply_to: Option<i64>,
    pub keyboard: Option<Value>,
    pub silent: bool,
}

impl NewMessage {
    pub fn new(from: Author, thread: Option<i64>, body: Body) -> Self {
        NewMessage {
            thread,
            from,
            body,
            reply_to: None,
            keyboard: None,
            silent: false,
        }
    }
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
        let standing = if kind == ChatKind::Private {
            Standing::Stranger
        } else {
            Standing::Member
        };
        let chat = Chat {
            id,
            kind,
            title: title.to_owned(),
            standing,
            rights: Rights::default(),
            members_may_write: true,
            creator,
            gone: BTreeSet::new(),
            topics: BTreeMap::new(),
            messages: BTreeMap::new(),
            drafts: BTreeMap::new(),
            actions: BTreeMap::new(),
            // Number 1 is the General topic of a forum, so no message and no thread may have it.
            last_message_id: 1,
        };
        self.chats.entry(id).or_insert(chat)
    }

    /// Stores a file and returns its id.
    pub fn add_file(&mut self, name: &str, mime: Option<&str>, bytes: Bytes) -> String {
        let number = self.fresh_id();
        let id = format!("BQACAgIAAx{number:012}");
        let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let file = File {
            id: id.clone(),
            unique_id: format!("AgAD{number:08}"),
            name: name.to_owned(),
            mime: mime.unwrap_or("application/octet-stream").to_owned(),
            path: format!("documents/file_{number}.{extension}"),
            bytes,
        };
        self.files.insert(id.clone(), file);
        id
    }
}

impl Chat {
    pub fn is_group(&self) -> bool {
        self.kind != ChatKind::Private
    }

    /// Fails, as any call about this chat does, when the bot is not in it.
    pub fn reachable(&self) -> Result<(), ApiError> {
        let kind = if self.kind == ChatKind::Group {
            "group"
        } else {
            "supergroup"
        };
        Err(ApiError::forbidden(&match self.standing {
            Standing::Member | Standing::Administrator => return Ok(()),
            Standing::Kicked => format!("bot was kicked from the {kind} chat"),
            Standing::Left => format!("bot is not a member of the {kind} chat"),
            Standing::Stranger => "bot can't initiate conversation with a user".to_owned(),
            Standing::Blocked => "bot was blocked by the user".to_owned(),
        }))
    }

    /// Fails when the bot may not write in this place. The General topic is no thread: Telegram refuses its number, 1.
    pub fn writable(&self, thread: Option<i64>) -> Result<(), ApiError> {
        self.reachable()?;
        if !self.members_may_write && self.standing != Standing::Administrator {
            return Err(ApiError::bad_request(
                "not enough rights to send text messages to the chat",
            ));
        }
        let Some(thread) = thread else { return Ok(()) };
        let topic = self
            .topics
            .get(&thread)
            .filter(|topic| !topic.deleted)
            .ok_or_else(ApiError::unknown_thread)?;
        if topic.closed && !self.may_manage_topics() {
            return Err(ApiError::bad_request("TOPIC_CLOSED"));
        }
        Ok(())
    }

    pub fn may_manage_topics(&self) -> bool {
        self.standing == Standing::Administrator && self.rights.can_manage_topics
    }

    pub fn post(&mut self, new: NewMessage, now_ms: i64) -> &mut Message {
        self.last_message_id += 1;
        let id = self.last_message_id;
        if new.from == Author::Bot {
            // What the bot says ends its typing and replaces its draft.
            self.actions.remove(&new.thread);
            self.drafts.retain(|(thread, _), _| *thread != new.thread);
        }
        let mut message = Message {
            id,
            thread: new.thread,
            from: new.from,
            sent_ms: now_ms,
            edited_ms: None,
            deleted_ms: None,
            body: new.body,
            reply_to: new.reply_to,
            keyboard: new.keyboard,
            reactions: BTreeMap::new(),
            pinned: false,
            silent: new.silent,
            versions: Vec::new(),
        };
        message.remember(now_ms);
        self.messages.entry(id).or_insert(message)
    }

    /// A message people can still see.
    pub fn message(&self, id: i64) -> Option<&Message> {
        self.messages.get(&id).filter(|message| message.deleted_ms.is_none())
    }

    pub fn message_mut(&mut self, id: i64) -> Option<&mut Message> {
        self.messages
            .get_mut(&id)
            .filter(|message| message.deleted_ms.is_none())
    }

    /// Adds a topic with its service message; the thread's number is that message's.
    pub fn add_topic(&mut self, name: &str, icon_color: i64, author: Author, now_ms: i64) -> &mut Topic {
        let created = serde_json::json!({"name": name, "icon_color": icon_color});
        let root = self.post(
            NewMessage::new(author, None, Body::Service("forum_topic_created", created)),
            now_ms,
        );
        root.thread = Some(root.id);
        let topic = Topic {
            thread: root.id,
            name: name.to_owned(),
            icon_color,
            icon_custom_emoji_id: None,
            closed: false,
            deleted: false,
            created_by_bot: author == Author::Bot,
        };
        self.topics.entry(topic.thread).or_insert(topic)
    }

    /// Deletes a topic with everything in it.
    pub fn delete_topic(&mut self, thread: i64, now_ms: i64) {
        if let Some(topic) = self.topics.get_mut(&thread) {
            topic.deleted = true;
        }
        for message in self
            .messages
            .values_mut()
            .filter(|message| message.thread == Some(thread))
        {
            message.deleted_ms.get_or_insert(now_ms);
        }
    }
}

impl Message {
    /// Records how it looks now.
    pub fn remember(&mut self, now_ms: i64) {
        let (text, entities) = match self.body.words() {
            Some(words) => (words.text.clone(), words.entities.clone()),
            None => (String::new(), Vec::new()),
        };
        let buttons = labels(self.keyboard.as_ref());
        self.versions.push(Version {
            at_ms: now_ms,
            text,
            entities,
            buttons,
        });
    }
}

/// Button labels of an inline keyboard, row by row.
pub fn labels(keyboard: Option<&Value>) -> Vec<Vec<String>> {
    let rows = keyboard
        .and_then(|keyboard| keyboard["inline_keyboard"].as_array())
        .into_iter()
        .flatten();
    let label = |button: &Value| button["text"].as_str().unwrap_or_default().to_owned();
    rows.map(|row| row.as_array().into_iter().flatten().map(label).collect())
        .collect()
}
