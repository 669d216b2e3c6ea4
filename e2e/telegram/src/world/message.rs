//! A message: what it carries, where it comes from, and every look it had.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entities::{Entity, Formatted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Bot,
    User(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Text(Formatted),
    File {
        kind: FileKind,
        file_id: String,
        caption: Formatted,
    },
    /// A service message: the field of the Bot API's Message that says what happened.
    Service(&'static str, Value),
}

/// How a file was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    #[default]
    Document,
    Photo,
    Voice,
    Audio,
    Video,
    VideoNote,
    Animation,
}

impl FileKind {
    /// The field of the Bot API's Message, which is also the parameter of the method that sends it.
    pub fn field(self) -> &'static str {
        match self {
            FileKind::Document => "document",
            FileKind::Photo => "photo",
            FileKind::Voice => "voice",
            FileKind::Audio => "audio",
            FileKind::Video => "video",
            FileKind::VideoNote => "video_note",
            FileKind::Animation => "animation",
        }
    }

    /// As refusals call them.
    pub fn plural(self) -> &'static str {
        match self {
            FileKind::Document => "documents",
            FileKind::Photo => "photos",
            FileKind::Voice => "voice notes",
            FileKind::Audio => "audios",
            FileKind::Video => "videos",
            FileKind::VideoNote => "video notes",
            FileKind::Animation => "animations",
        }
    }

    /// Folder on the file servers, and how ids begin.
    pub(super) fn place(self) -> (&'static str, &'static str) {
        match self {
            FileKind::Document => ("documents", "BQAC"),
            FileKind::Photo => ("photos", "AgAC"),
            FileKind::Voice => ("voice", "AwAC"),
            FileKind::Audio => ("music", "CQAC"),
            FileKind::Video => ("videos", "BAAC"),
            FileKind::VideoNote => ("video_notes", "DQAC"),
            FileKind::Animation => ("animations", "CgAC"),
        }
    }

    pub(super) fn mime(self) -> &'static str {
        match self {
            FileKind::Document => "application/octet-stream",
            FileKind::Photo => "image/jpeg",
            FileKind::Voice => "audio/ogg",
            FileKind::Audio => "audio/mpeg",
            FileKind::Video | FileKind::VideoNote | FileKind::Animation => "video/mp4",
        }
    }
}

/// Where a forwarded message, or one replied to in another chat, comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// A person or the bot.
    User {
        id: i64,
    },
    /// Somebody whose account is not told.
    HiddenUser {
        name: String,
    },
    /// A group that writes in its own name.
    Chat {
        id: i64,
        title: String,
    },
    Channel {
        id: i64,
        title: String,
        message_id: i64,
    },
}

/// The part of a message that a reply quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    pub text: String,
    /// In the message that is quoted, in UTF-16 units.
    pub position: usize,
}

impl Quote {
    /// The first place of this text in a message.
    pub fn of(words: &Formatted, text: &str) -> Option<Self> {
        let at = words.text.find(text)?;
        Some(Quote {
            text: text.to_owned(),
            position: words.text[..at].encode_utf16().count(),
        })
    }
}

impl Body {
    /// Text or caption.
    pub fn words(&self) -> Option<&Formatted> {
        match self {
            Body::Text(words) | Body::File { caption: words, .. } => Some(words),
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
    /// A message of another place that it replies to: chat and message.
    pub external_reply: Option<(i64, i64)>,
    pub quote: Option<Quote>,
    /// Set for forwarded messages, with the time of the original.
    pub origin: Option<(Origin, i64)>,
    /// The same for all messages of an album.
    pub album: Option<String>,
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
    /// A message of another place that it replies to: chat and message.
    pub external_reply: Option<(i64, i64)>,
    pub quote: Option<Quote>,
    /// Set for forwarded messages, with the time of the original.
    pub origin: Option<(Origin, i64)>,
    /// The same for all messages of an album.
    pub album: Option<String>,
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
            external_reply: None,
            quote: None,
            origin: None,
            album: None,
            keyboard: None,
            silent: false,
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
