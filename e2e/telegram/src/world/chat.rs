//! A chat: who may do what in it, its topics, and what has been posted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Author, Body, Message, NewMessage};
use crate::{entities::Entity, error::ApiError};

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
    /// In a private chat: the person has deleted the account.
    Deactivated,
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
    /// Whether they may send files.
    pub members_may_send_files: bool,
    /// The only emoji that may be reacted with here; none: all.
    pub reactions: Option<Vec<String>>,
    /// Whether the General topic of a forum is closed.
    pub general_closed: bool,
    /// The supergroup that this group has become.
    pub upgraded_to: Option<i64>,
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

impl Chat {
    /// A chat of which everybody is a member; the bot is not known yet in a private one.
    pub fn new(id: i64, kind: ChatKind, title: &str, creator: Option<i64>) -> Self {
        let standing = match kind {
            ChatKind::Private => Standing::Stranger,
            _ => Standing::Member,
        };
        Chat {
            id,
            kind,
            title: title.to_owned(),
            standing,
            rights: Rights::default(),
            members_may_write: true,
            members_may_send_files: true,
            reactions: None,
            general_closed: false,
            upgraded_to: None,
            creator,
            gone: BTreeSet::new(),
            topics: BTreeMap::new(),
            messages: BTreeMap::new(),
            drafts: BTreeMap::new(),
            actions: BTreeMap::new(),
            // Number 1 is the General topic of a forum, so no message and no thread may have it.
            last_message_id: 1,
        }
    }

    pub fn is_group(&self) -> bool {
        self.kind != ChatKind::Private
    }

    /// Fails, as any call about this chat does, when the bot is not in it.
    pub fn reachable(&self) -> Result<(), ApiError> {
        if let Some(new) = self.upgraded_to {
            return Err(ApiError::upgraded(new));
        }
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
            Standing::Deactivated => "user is deactivated".to_owned(),
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
        let Some(thread) = thread else {
            if self.general_closed && !self.may_manage_topics() {
                return Err(ApiError::bad_request("TOPIC_CLOSED"));
            }
            return Ok(());
        };
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

    /// Fails when the bot may not send this kind of file here; `what` as in "documents".
    pub fn takes_files(&self, what: &str) -> Result<(), ApiError> {
        if self.members_may_send_files || self.standing == Standing::Administrator {
            return Ok(());
        }
        Err(ApiError::bad_request(&format!(
            "not enough rights to send {what} to the chat"
        )))
    }

    /// In a private chat the topics are as much the bot's as the person's.
    pub fn may_manage_topics(&self) -> bool {
        self.kind == ChatKind::Private || self.standing == Standing::Administrator && self.rights.can_manage_topics
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
            external_reply: new.external_reply,
            quote: new.quote,
            origin: new.origin,
            album: new.album,
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
