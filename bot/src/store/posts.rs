//! Messages of the bot: how each shall look, and which of that is known to be shown.
//!
//! A post is first sent as an empty placeholder, and `sent_as` keeps the id it got; everything that it shall say goes in
//! by edits of that id. `version` counts what it shall say, `shown` is the version that Telegram confirmed. So a post can
//! be brought up to date any number of times and never says anything twice.

use longshore_wire::api::SentFile;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Json, Store, StoreError, moved};
use crate::chat::Place;
use crate::outbox::pace::Priority;
use crate::render::{self, Rich};
use crate::sent;
use crate::telegram::client::Button;

/// What a post says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Text. Of a post with a file it stands under the file, and its length is [`render::CAPTION_UNITS`] at most.
    pub rich: Rich,
    /// Rows of buttons under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Vec<Button>>,
    /// A file. It goes out in one call, without a placeholder, and stays as it is once it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Upload>,
}

/// A file that a post brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Name that people see. The same on every attempt, so that a file that came twice is known for one.
    pub name: String,
    /// What is in it.
    pub body: Body,
}

/// Content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// This text.
    Text(String),
    /// What [`super::kept::Files`] keeps under this name.
    Kept(String),
}

impl Content {
    /// Text without formatting and buttons.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            rich: Rich::plain(text),
            ..Self::default()
        }
    }

    /// As many posts as a text needs: the text, and behind it, as files, the code that is too long for it.
    pub fn parts(rich: &Rich) -> Vec<Self> {
        let (shown, files) = render::take_out_code(rich);
        let mut parts = texts(&shown);
        parts.extend(files.into_iter().map(|file| Self {
            file: Some(Upload {
                name: file.name,
                body: Body::Text(file.text),
            }),
            ..Self::default()
        }));
        parts
    }

    /// What is said without formatting; what of it is too long for this post is for others. At least one part.
    pub fn bare(&self) -> Vec<Rich> {
        let limit = match self.file {
            Some(_) => render::CAPTION_UNITS,
            None => render::MESSAGE_UNITS,
        };
        let mut parts = render::split(&Rich::plain(self.rich.written_out()), limit);
        if parts.is_empty() {
            parts.push(Rich::default());
        }
        parts
    }

    /// The posts that bring a file: one, or more when what is told about it is longer than Telegram lets stand under a file.
    pub fn bringing(rich: Rich, file: Upload) -> Vec<Self> {
        let fits = rich.units() <= render::CAPTION_UNITS;
        let (mut parts, rich) = if fits {
            (Vec::new(), rich)
        } else {
            (texts(&rich), Rich::default())
        };
        parts.push(Self {
            rich,
            file: Some(file),
            ..Self::default()
        });
        parts
    }
}

fn texts(rich: &Rich) -> Vec<Content> {
    let parts = render::split(rich, render::MESSAGE_UNITS);
    let text = |rich| Content {
        rich,
        ..Content::default()
    };
    parts.into_iter().map(text).collect()
}

/// A post that is not up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Row.
    pub post: i64,
    /// Where.
    pub place: Place,
    /// The person's message under which it stands.
    pub reply_to: Option<i64>,
    /// Its id in the chat, once it was sent.
    pub sent_as: Option<i64>,
    /// What it shall say; none while there are no words yet.
    pub content: Option<Content>,
    /// How urgent that is.
    pub priority: Priority,
    /// Version of the content.
    pub version: i64,
    /// Version that Telegram confirmed.
    pub shown: i64,
    /// Formatting was refused; send the bare text.
    pub plain: bool,
    /// How often it was sent anew because the message was gone.
    pub resent: i64,
}

/// Makes a post under this key unless it exists.
pub(super) fn ensure(
    tx: &Transaction<'_>,
    key: &str,
    place: Place,
    reply_to: Option<i64>,
    subject: Option<i64>,
) -> Result<i64, StoreError> {
    // Where the chat is now, its messages have other numbers.
    let moved = moved::now(tx, place.chat)?;
    let reply_to = reply_to.filter(|_| moved.is_none());
    let place = Place {
        chat: moved.unwrap_or(place.chat),
        ..place
    };
    tx.execute(
        "INSERT OR IGNORE INTO posts (key, chat, thread, reply_to, subject, priority) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key,
            place.chat,
            place.thread_key(),
            reply_to,
            subject,
            Priority::Placeholder.number()
        ],
    )?;
    Ok(tx.query_row("SELECT post FROM posts WHERE key = ?1", [key], |row| row.get(0))?)
}

/// Says what a post shall say. The same content again is no new version.
pub(super) fn show(tx: &Transaction<'_>, post: i64, content: &Content, priority: Priority) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE posts SET content = ?2, priority = ?3, version = version + 1, plain = 0
         WHERE post = ?1 AND content IS NOT ?2",
        params![post, Json(content), priority.number()],
    )?;
    if changed > 0 {
        moved::take_along(tx, post)?;
    }
    Ok(())
}

/// Posts what a file of an agent's is shown as, once.
pub(super) fn file(
    tx: &Transaction<'_>,
    place: Place,
    reply_to: Option<i64>,
    file: &SentFile,
    parts: Vec<Content>,
) -> Result<(), StoreError> {
    for (part, content) in parts.into_iter().enumerate() {
        let post = ensure(tx, &sent::key(file, part), place, reply_to, None)?;
        show(tx, post, &content, Priority::Answer)?;
    }
    Ok(())
}

impl Store {
    /// Posts what a file of an agent's is shown as, once.
    pub async fn post_file(
        &self,
        place: Place,
        reply_to: Option<i64>,
        sent: SentFile,
        parts: Vec<Content>,
    ) -> Result<(), StoreError> {
        self.transaction(move |tx| file(tx, place, reply_to, &sent, parts))
            .await
    }

    /// Makes a post under this key unless it exists, and says what it shall say.
    pub async fn post(
        &self,
        key: String,
        place: Place,
        reply_to: Option<i64>,
        content: Option<Content>,
        priority: Priority,
    ) -> Result<i64, StoreError> {
        self.transaction(move |tx| {
            let post = ensure(tx, &key, place, reply_to, None)?;
            if let Some(content) = content {
                show(tx, post, &content, priority)?;
            }
            Ok(post)
        })
        .await
    }

    /// Whether a message of a chat is one of the bot's posts.
    pub async fn is_ours(&self, chat: i64, message: i64) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM posts WHERE chat = ?1 AND sent_as = ?2)";
            Ok(connection
                .prepare_cached(sql)?
                .query_row([chat, message], |row| row.get(0))?)
        })
        .await
    }

    /// The post under this key.
    pub async fn post_id(&self, key: String) -> Result<Option<i64>, StoreError> {
        self.call(move |connection| {
            Ok(connection
                .query_row("SELECT post FROM posts WHERE key = ?1", [key], |row| row.get(0))
                .optional()?)
        })
        .await
    }

    /// Posts of a chat that are not up to date, oldest first.
    pub async fn pending(&self, chat: i64) -> Result<Vec<Pending>, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT post, thread, reply_to, sent_as, content, priority, version, plain, resent, shown FROM posts
                 WHERE chat = ?1 AND parked = 0 AND (sent_as IS NULL OR version > shown) ORDER BY post",
            )?;
            let rows = select.query_map([chat], |row| {
                Ok(Pending {
                    post: row.get(0)?,
                    place: Place::from_key(chat, row.get(1)?),
                    reply_to: row.get(2)?,
                    sent_as: row.get(3)?,
                    content: row.get::<_, Option<Json<Content>>>(4)?.map(|json| json.0),
                    priority: Priority::from_number(row.get(5)?),
                    version: row.get(6)?,
                    plain: row.get(7)?,
                    resent: row.get(8)?,
                    shown: row.get(9)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Whether a post may show progress now, and under which id: it was sent and has no words of its own yet, or none that are more
    /// than a placeholder.
    pub async fn open_for_progress(&self, post: i64) -> Result<Option<i64>, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT sent_as FROM posts WHERE post = ?1 AND parked = 0 AND sent_as IS NOT NULL
                    AND (version = 0 OR (priority = ?2 AND version = shown))",
            )?;
            let first = Priority::Placeholder.number();
            Ok(select.query_row(params![post, first], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Chats with posts that are not up to date.
    pub async fn chats_with_work(&self) -> Result<Vec<i64>, StoreError> {
        self.call(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT chat FROM posts WHERE parked = 0 AND (sent_as IS NULL OR version > shown)",
            )?;
            let rows = select.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The placeholder got this id.
    pub async fn sent(&self, post: i64, sent_as: i64) -> Result<(), StoreError> {
        self.change(
            "UPDATE posts SET sent_as = ?2 WHERE post = ?1 AND sent_as IS NULL",
            post,
            sent_as,
        )
        .await
    }

    /// Telegram confirmed this version.
    pub async fn shown(&self, post: i64, version: i64) -> Result<(), StoreError> {
        self.change("UPDATE posts SET shown = max(shown, ?2) WHERE post = ?1", post, version)
            .await
    }

    /// A post with a file was sent in one call and got this id.
    pub async fn sent_whole(&self, post: i64, sent_as: i64, version: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection
                .prepare_cached("UPDATE posts SET sent_as = ?2, shown = max(shown, ?3) WHERE post = ?1")?
                .execute([post, sent_as, version])?;
            Ok(())
        })
        .await
    }

    /// The file of this version cannot be sent; the post says this instead.
    pub async fn say_instead(&self, post: i64, version: i64, content: Content) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE posts SET content = ?3, version = version + 1, plain = 0 WHERE post = ?1 AND version = ?2",
                params![post, version, Json(&content)],
            )?;
            Ok(())
        })
        .await
    }

    /// Formatting of this version was refused; it is said without. What makes that longer than a post goes on in further ones.
    pub async fn fall_back_to_plain(&self, post: i64, version: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let plain = "UPDATE posts SET plain = 1 WHERE post = ?1 AND version = ?2 AND plain = 0";
            if tx.execute(plain, [post, version])? == 0 {
                return Ok(());
            }
            let (key, place, reply_to, subject, priority, content) = tx.query_row(
                "SELECT key, chat, thread, reply_to, subject, priority, content FROM posts WHERE post = ?1",
                [post],
                |row| {
                    let place = Place::from_key(row.get(1)?, row.get(2)?);
                    let priority = Priority::from_number(row.get(5)?);
                    let content = row.get::<_, Json<Content>>(6)?.0;
                    Ok((
                        row.get::<_, String>(0)?,
                        place,
                        row.get(3)?,
                        row.get(4)?,
                        priority,
                        content,
                    ))
                },
            )?;
            for (part, rich) in content.bare().into_iter().enumerate().skip(1) {
                let more = ensure(tx, &format!("{key}/bare/{version}/{part}"), place, reply_to, subject)?;
                let content = Content {
                    rich,
                    ..Content::default()
                };
                show(tx, more, &content, priority)?;
            }
            Ok(())
        })
        .await
    }

    /// Somebody deleted the message; it is sent anew.
    pub async fn send_anew(&self, post: i64, sent_as: i64) -> Result<(), StoreError> {
        let sql = "UPDATE posts SET sent_as = NULL, shown = 0, resent = resent + 1 WHERE post = ?1 AND sent_as = ?2";
        self.change(sql, post, sent_as).await
    }

    /// This version can never be shown; it counts as done so that nothing waits for it.
    pub async fn give_up(&self, post: i64, version: i64) -> Result<(), StoreError> {
        let sql = "UPDATE posts SET shown = max(shown, ?2), sent_as = coalesce(sent_as, 0) WHERE post = ?1";
        self.change(sql, post, version).await
    }

    async fn change(&self, sql: &'static str, post: i64, value: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.prepare_cached(sql)?.execute([post, value])?;
            Ok(())
        })
        .await
    }

    /// Nothing can be posted in this place, or with no thread given by `whole_chat`, anywhere in the chat: its posts wait.
    pub async fn park(&self, place: Place, whole_chat: bool, parked: bool) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let changed = connection.execute(
                "UPDATE posts SET parked = ?4 WHERE chat = ?1 AND (thread = ?2 OR ?3) AND parked <> ?4
                 AND (sent_as IS NULL OR version > shown)",
                params![place.chat, place.thread_key(), whole_chat, parked],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Lets every post be tried again.
    pub async fn unpark_all(&self) -> Result<(), StoreError> {
        self.call(|connection| {
            connection.execute("UPDATE posts SET parked = 0 WHERE parked <> 0", [])?;
            Ok(())
        })
        .await
    }

    /// Rows of messages of which every final word stands in the chat.
    /// Of a message that no post is left for there is nothing to wait for.
    pub async fn delivered(&self) -> Result<Vec<i64>, StoreError> {
        self.call(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT row FROM messages WHERE state = 'answered' AND NOT EXISTS (
                    SELECT 1 FROM posts WHERE subject = messages.row AND (sent_as IS NULL OR version > shown))",
            )?;
            let rows = select.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
