//! What people see: messages with their current look, and how they came to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChatSummary, Overview};
use crate::{
    entities::Entity,
    world::{Author, Body, Chat, Draft, FileKind, Message, Origin, Version, World},
};

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub message_id: i64,
    pub thread: Option<i64>,
    pub from_bot: bool,
    /// Of a person, else of the bot.
    pub user: i64,
    pub name: String,
    pub sent_ms: i64,
    pub edited_ms: Option<i64>,
    /// Set for deleted messages, which are shown only when asked for.
    pub deleted_ms: Option<i64>,
    /// Text or caption as it is now.
    pub text: String,
    pub entities: Vec<Entity>,
    /// Button labels, row by row.
    pub buttons: Vec<Vec<String>>,
    /// Data of the buttons, in the same places; empty for links.
    pub button_data: Vec<Vec<String>>,
    /// Addresses of the buttons that are links, in the same places; empty for others.
    pub button_urls: Vec<Vec<String>>,
    pub reply_to: Option<i64>,
    /// The part of the message replied to that is quoted.
    pub quote: Option<String>,
    /// Name of where it was forwarded from.
    pub forwarded_from: Option<String>,
    /// The same for all messages of an album.
    pub album: Option<String>,
    pub file: Option<ShownFile>,
    /// `forum_topic_created` and the like, with its content.
    pub service: Option<(String, Value)>,
    pub reactions: BTreeMap<i64, Vec<String>>,
    pub pinned: bool,
    pub silent: bool,
    /// How often it was edited.
    pub edits: usize,
    /// Every look it had, the first and the present one included.
    pub history: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownFile {
    pub file_id: String,
    pub kind: FileKind,
    pub name: String,
    pub mime: String,
    pub size: usize,
    /// Where the content is, under `/_control/`.
    pub path: String,
}

/// A chat or one of its topics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conversation {
    pub revision: u64,
    pub messages: Vec<Shown>,
    /// What the bot shows itself to be doing here, like `typing`.
    pub action: Option<String>,
    /// Texts the bot is streaming as drafts.
    pub drafts: Vec<ShownDraft>,
}

/// A text that is being streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownDraft {
    pub id: i64,
    pub text: String,
    pub entities: Vec<Entity>,
}

/// Which messages are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// A topic; 0 for messages outside topics; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    /// Only messages with a higher id.
    pub after: i64,
    /// Only messages whose text contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Only messages with a button of this label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub button: Option<String>,
    /// Only messages of the bot.
    pub bot: bool,
    /// Deleted messages too.
    pub deleted: bool,
}

impl Wanted {
    fn matches(&self, message: &Message, shown: &Shown) -> bool {
        self.thread.is_none_or(|thread| message.thread.unwrap_or(0) == thread)
            && message.id > self.after
            && (self.deleted || message.deleted_ms.is_none())
            && (!self.bot || shown.from_bot)
            && self
                .contains
                .as_ref()
                .is_none_or(|text| shown.text.contains(text.as_str()))
            && self
                .button
                .as_ref()
                .is_none_or(|label| shown.buttons.iter().flatten().any(|button| button == label))
    }
}

impl World {
    pub fn overview(&self, revision: u64) -> Overview {
        Overview {
            revision,
            bot: self.bot.clone(),
            users: self.users.values().cloned().collect(),
            chats: self.chats.values().map(ChatSummary::from).collect(),
            commands: self.commands.clone(),
        }
    }

    pub fn messages(&self, chat: &Chat, wanted: &Wanted) -> Vec<Shown> {
        let shown = chat.messages.values().map(|message| (message, self.shown(message)));
        shown
            .filter(|(message, shown)| wanted.matches(message, shown))
            .map(|(_, shown)| shown)
            .collect()
    }

    pub fn conversation(&self, chat: &Chat, wanted: &Wanted, now_ms: i64, revision: u64) -> Conversation {
        let here = |thread: &Option<i64>| wanted.thread.is_none_or(|wanted| thread.unwrap_or(0) == wanted);
        let action = chat
            .actions
            .iter()
            .find(|(thread, (_, until))| here(thread) && *until > now_ms);
        let drafts = chat
            .drafts
            .iter()
            .filter(|((thread, _), draft)| here(thread) && draft.until_ms > now_ms);
        Conversation {
            revision,
            messages: self.messages(chat, wanted),
            action: action.map(|(_, (action, _))| action.clone()),
            drafts: drafts.map(|((_, id), draft)| shown_draft(*id, draft)).collect(),
        }
    }

    fn origin_name(&self, origin: &Origin) -> String {
        match origin {
            Origin::User { id } => self.user_json(*id)["first_name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            Origin::HiddenUser { name } => name.clone(),
            Origin::Chat { title, .. } | Origin::Channel { title, .. } => title.clone(),
        }
    }

    pub(super) fn shown(&self, message: &Message) -> Shown {
        let user = self.author_id(message.from);
        let words = message.body.words().cloned().unwrap_or_default();
        let file = match &message.body {
            Body::File { kind, file_id, .. } => self.files.get(file_id).map(|file| ShownFile {
                file_id: file.id.clone(),
                kind: *kind,
                name: file.name.clone(),
                mime: file.mime.clone(),
                size: file.bytes.len(),
                path: format!("/_control/files/{}", file.id),
            }),
            _ => None,
        };
        let service = match &message.body {
            Body::Service(name, value) => Some(((*name).to_owned(), value.clone())),
            _ => None,
        };
        Shown {
            message_id: message.id,
            thread: message.thread,
            from_bot: message.from == Author::Bot,
            user,
            name: self.user_json(user)["first_name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            sent_ms: message.sent_ms,
            edited_ms: message.edited_ms,
            deleted_ms: message.deleted_ms,
            text: words.text,
            entities: words.entities,
            buttons: crate::world::labels(message.keyboard.as_ref()),
            button_data: of_buttons(message.keyboard.as_ref(), "callback_data"),
            button_urls: of_buttons(message.keyboard.as_ref(), "url"),
            reply_to: message.reply_to,
            quote: message.quote.as_ref().map(|quote| quote.text.clone()),
            forwarded_from: message.origin.as_ref().map(|(origin, _)| self.origin_name(origin)),
            album: message.album.clone(),
            file,
            service,
            reactions: message.reactions.clone(),
            pinned: message.pinned,
            silent: message.silent,
            edits: message.versions.len().saturating_sub(1),
            history: message.versions.clone(),
        }
    }
}

fn shown_draft(id: i64, draft: &Draft) -> ShownDraft {
    ShownDraft {
        id,
        text: draft.text.clone(),
        entities: draft.entities.clone(),
    }
}

fn of_buttons(keyboard: Option<&Value>, field: &str) -> Vec<Vec<String>> {
    let rows = keyboard
        .and_then(|keyboard| keyboard["inline_keyboard"].as_array())
        .into_iter()
        .flatten();
    let value = |button: &Value| button[field].as_str().unwrap_or_default().to_owned();
    rows.map(|row| row.as_array().into_iter().flatten().map(value).collect())
        .collect()
}
