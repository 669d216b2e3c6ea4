//! Messages that something becomes of: the decision about each, and how far it is carried out.
//!
//! `routed` (decided) -> `posting` (a session may have it) -> `handed` (a session or task has it) -> `answered` (the final
//! words are among the posts) -> `closed` (they stand in the chat). Every step is taken in the transaction that makes it
//! true.

use longshore_routing::{Decision, Mode};
use longshore_wire::MessageId;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::choices::Choice;
use super::moved::{self, HERE};
use super::posts::{self, Content};
use super::{Json, Store, StoreError};
use crate::background::Background;
use crate::chat::Place;
use crate::outbox::pace::Priority;
use crate::render::Rich;
use crate::telegram::update::FileRef;
use crate::words;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::AsRefStr, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum MessageState {
    /// Decided, not carried out.
    Routed,
    /// A session may have it.
    Posting,
    /// A session or task has it.
    Handed,
    /// The final words are written down.
    Answered,
    /// The final words stand in the chat.
    Closed,
}

/// A message about which a decision was made just now.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Where.
    pub place: Place,
    /// Its id in the chat.
    pub message: i64,
    /// Who wrote it.
    pub user: i64,
    /// Name of the writer.
    pub user_name: String,
    /// Title for a Topic that is made for it.
    pub title: Option<String>,
    /// The decision.
    pub decision: Decision,
    /// Name of the task or session that is made for it or that it goes to.
    pub object: Option<String>,
    /// Files that came with it.
    pub files: Vec<FileRef>,
    /// What was written with a voice message that is still to be listened to; then the decision is none yet.
    pub unheard: Option<String>,
    /// What is known of it beside its words.
    pub background: Background,
    /// When it came, in Unix seconds.
    pub now: i64,
}

/// A message in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Row.
    pub row: i64,
    /// Where.
    pub place: Place,
    /// Its id in the chat.
    pub message: i64,
    /// Who wrote it.
    pub user: i64,
    /// Name of the writer.
    pub user_name: String,
    /// Title for a Topic that is made for it.
    pub title: Option<String>,
    /// Its identity towards a runner.
    pub wire_id: MessageId,
    /// The decision.
    pub decision: Decision,
    /// How far it has come.
    pub state: MessageState,
    /// Name of the task or session that is made for it or that it goes to.
    pub object: Option<String>,
    /// Files that came with it.
    pub files: Vec<FileRef>,
    /// What was written with a voice message that is still to be listened to.
    pub unheard: Option<String>,
    /// What is known of it beside its words.
    pub background: Background,
    /// When its newest edit was made, in Unix milliseconds; 0 for none.
    pub edited: i64,
}

pub(super) const COLUMNS: &str = "row, chat, thread, message, user, user_name, title, wire_id, decision, state, object, files, unheard, \
                       background, edited";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let text = |at: usize| row.get::<_, String>(at);
    let broken = |at, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error)
    };
    Ok(MessageRow {
        row: row.get(0)?,
        place: Place::from_key(row.get(1)?, row.get(2)?),
        message: row.get(3)?,
        user: row.get(4)?,
        user_name: row.get(5)?,
        title: row.get(6)?,
        wire_id: MessageId(text(7)?.parse().map_err(|error: uuid::Error| broken(7, error.into()))?),
        decision: row.get::<_, Json<Decision>>(8)?.0,
        state: text(9)?
            .parse()
            .map_err(|error: strum::ParseError| broken(9, error.into()))?,
        object: row.get(10)?,
        files: row.get::<_, Json<Vec<FileRef>>>(11)?.0,
        unheard: row.get(12)?,
        background: row.get::<_, Json<Background>>(13)?.0,
        edited: row.get(14)?,
    })
}

/// Key of the first post about a message.
pub fn answer_key(place: Place, message: i64, part: usize) -> String {
    format!("answer/{}/{message}/{part}", place.chat)
}

pub(super) fn insert(tx: &Transaction<'_>, new: &NewMessage) -> Result<(), StoreError> {
    let place = new.place;
    let mode = &new.decision.mode;
    let inserted = tx.execute(
        "INSERT OR IGNORE INTO messages
            (chat, thread, message, user, user_name, title, wire_id, decision, express, state, object, files, unheard,
             received_at, background)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'routed', ?10, ?11, ?12, ?13, ?14)",
        params![
            place.chat,
            place.thread_key(),
            new.message,
            new.user,
            new.user_name,
            new.title,
            MessageId::from_telegram(place.chat, new.message).to_string(),
            Json(&new.decision),
            mode.overtakes(),
            new.object,
            Json(&new.files),
            new.unheard,
            new.now,
            Json(&new.background)
        ],
    )?;
    if inserted == 0 {
        return Ok(());
    }
    let row = tx.last_insert_rowid();
    posts::ensure(
        tx,
        &answer_key(place, new.message, 0),
        place,
        Some(new.message),
        Some(row),
    )?;
    follow_decision(tx, row, (place, &new.user_name), &new.decision, new.object.as_deref())
}

/// What a decision changes as soon as it is made.
pub(super) fn follow_decision(
    tx: &Transaction<'_>,
    row: i64,
    (place, user_name): (Place, &str),
    decision: &Decision,
    object: Option<&str>,
) -> Result<(), StoreError> {
    match &decision.mode {
        Mode::Reply { text } => answer(tx, row, vec![Content::plain(text)], Priority::Answer)?,
        Mode::StartSession { instead_of, .. } => want_session(tx, place, object, instead_of.as_deref())?,
        Mode::EndSession { session, .. } => {
            super::sessions::advance(tx, session, super::sessions::SessionState::Ending)?
        }
        Mode::Setting { session, setting } if setting.is_change() => {
            let choice = Choice {
                setting: setting.clone(),
                row,
                by: user_name.to_owned(),
            };
            super::choices::choose(tx, session, choice)?;
        }
        _ => {}
    }
    Ok(())
}

/// From here on messages of the place are for a session that shall be made, and not for the one that is ended for it.
fn want_session(
    tx: &Transaction<'_>,
    place: Place,
    name: Option<&str>,
    instead_of: Option<&str>,
) -> Result<(), StoreError> {
    let place = moved::place(tx, place)?;
    if let Some(old) = instead_of {
        super::sessions::advance(tx, old, super::sessions::SessionState::Ending)?;
    }
    tx.execute(
        "INSERT OR IGNORE INTO sessions (name, chat, thread, state) VALUES (?1, ?2, ?3, 'wanted')",
        params![name, place.chat, place.thread_key()],
    )?;
    super::escalations::moot(tx, place)
}

pub(super) fn select_one(tx: &Transaction<'_>, row: i64) -> Result<Option<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE row = ?1");
    Ok(tx.prepare_cached(&sql)?.query_row([row], read).optional()?)
}

pub(super) fn by_wire_id(tx: &Transaction<'_>, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE wire_id = ?1");
    Ok(tx.prepare_cached(&sql)?.query_row([id.to_string()], read).optional()?)
}

/// Messages for this task or session that are not answered.
pub(super) fn unanswered(tx: &Transaction<'_>, object: &str) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE {UNANSWERED_FOR}");
    let mut select = tx.prepare_cached(&sql)?;
    let rows = select.query_map([object], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const UNANSWERED_FOR: &str = "state IN ('routed', 'posting', 'handed') AND object = ?1 ORDER BY row";

/// An answer to what had waited long says so first.
fn marked(mut parts: Vec<Content>, late: Option<i64>) -> Vec<Content> {
    let (Some(seconds), Some(first)) = (late, parts.first_mut()) else {
        return parts;
    };
    let mark = Rich::plain(words::sent_long_ago(seconds));
    if first.file.is_some() {
        parts.insert(0, Content::plain(words::sent_long_ago(seconds)));
        return parts;
    }
    let Content { rich, buttons, .. } = std::mem::take(first);
    let mut heading = Content::parts(&mark.paragraph(rich));
    if let Some(last) = heading.last_mut() {
        last.buttons = buttons;
    }
    parts.splice(..1, heading);
    parts
}

/// Writes the final words about a message, unless there are some already.
pub(super) fn answer(
    tx: &Transaction<'_>,
    row: i64,
    parts: Vec<Content>,
    priority: Priority,
) -> Result<(), StoreError> {
    let Some(message) = select_one(tx, row)? else {
        return Ok(());
    };
    if matches!(message.state, MessageState::Answered | MessageState::Closed) {
        return Ok(());
    }
    for (part, content) in marked(parts, message.background.late).into_iter().enumerate() {
        let post = answer_post(tx, &message, part)?;
        posts::show(tx, post, &content, priority)?;
    }
    tx.execute("UPDATE messages SET state = 'answered' WHERE row = ?1", [row])?;
    Ok(())
}

/// The post with this part of the words about a message, made unless it exists.
pub(super) fn answer_post(tx: &Transaction<'_>, message: &MessageRow, part: usize) -> Result<i64, StoreError> {
    let key = answer_key(message.place, message.message, part);
    posts::ensure(tx, &key, message.place, Some(message.message), Some(message.row))
}

impl Store {
    async fn rows(&self, condition: &str, values: Vec<rusqlite::types::Value>) -> Result<Vec<MessageRow>, StoreError> {
        let condition = condition.to_owned();
        self.call(move |connection| {
            // The first condition lets SQLite use the index of open messages.
            let sql = format!("SELECT {COLUMNS} FROM messages WHERE state <> 'closed' AND {condition}");
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map(rusqlite::params_from_iter(values), read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The oldest message of a place that waits to be carried out in its turn.
    pub async fn next_in(&self, place: Place) -> Result<Option<MessageRow>, StoreError> {
        let condition = format!("state IN ('routed', 'posting') AND express = 0 AND {HERE} ORDER BY row LIMIT 1");
        Ok(self
            .rows(&condition, vec![place.chat.into(), place.thread_key().into()])
            .await?
            .pop())
    }

    /// Messages that wait to be carried out without waiting for others.
    pub async fn express(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.rows(
            "state IN ('routed', 'posting') AND express = 1 ORDER BY row",
            Vec::new(),
        )
        .await
    }

    /// Messages whose final words are written down but not known to stand in the chat.
    pub async fn answered(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.rows("state = 'answered' ORDER BY row", Vec::new()).await
    }

    /// Messages that a task or session has and that are not answered.
    pub async fn handed(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.rows("state = 'handed' ORDER BY row", Vec::new()).await
    }

    /// Messages for this task or session that are not answered.
    pub async fn unanswered_for(&self, object: &str) -> Result<Vec<MessageRow>, StoreError> {
        self.rows(UNANSWERED_FOR, vec![object.to_owned().into()]).await
    }

    /// Messages of a place that are not answered.
    pub async fn unanswered_in(&self, place: Place) -> Result<Vec<MessageRow>, StoreError> {
        let condition = format!("state IN ('routed', 'posting', 'handed') AND {HERE} ORDER BY row");
        self.rows(&condition, vec![place.chat.into(), place.thread_key().into()])
            .await
    }

    /// The message with this identity.
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
        let id = id.to_string();
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM messages WHERE wire_id = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
        })
        .await
    }

    /// Places with messages that wait to be carried out.
    pub async fn places_with_work(&self) -> Result<Vec<Place>, StoreError> {
        self.call(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT chat, thread FROM messages
                 WHERE state <> 'closed' AND state IN ('routed', 'posting') AND express = 0
                 UNION SELECT m.chat, m.thread FROM escalations e JOIN messages m ON m.row = e.message
                 WHERE e.state <> 'closed' AND e.state = 'wanted'
                 UNION SELECT m.chat, m.thread FROM corrections c JOIN messages m ON m.row = c.message
                 WHERE c.state <> 'closed'",
            )?;
            let rows = select.query_map([], |row| Ok(Place::from_key(row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Records that a message has come further. Never goes back.
    pub async fn advance_message(&self, row: i64, state: MessageState) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE messages SET state = ?2 WHERE row = ?1
                 AND (CASE state WHEN 'routed' THEN 0 WHEN 'posting' THEN 1 WHEN 'handed' THEN 2 WHEN 'answered' THEN 3 ELSE 4 END)
                   < (CASE ?2 WHEN 'routed' THEN 0 WHEN 'posting' THEN 1 WHEN 'handed' THEN 2 WHEN 'answered' THEN 3 ELSE 4 END)",
                params![row, state.as_ref()],
            )?;
            Ok(())
        })
        .await
    }

    /// The session may have a message from now on. False when its words have changed since it was read.
    pub async fn begin_posting(&self, message: &MessageRow) -> Result<bool, StoreError> {
        let (row, edited) = (message.row, message.edited);
        self.call(move |connection| {
            let sql = "UPDATE messages SET state = 'posting' WHERE row = ?1 AND edited = ?2 AND state IN ('routed', 'posting')";
            Ok(connection.prepare_cached(sql)?.execute([row, edited])? > 0)
        })
        .await
    }

    /// A task or session has a message as it was read. If its words have changed meanwhile, the chat is told that it was too late.
    pub async fn hand_on(&self, message: &MessageRow, as_read: bool) -> Result<(), StoreError> {
        let message = message.clone();
        self.transaction(move |tx| {
            let sql = "UPDATE messages SET state = 'handed', decision = ?2, object = ?3
                       WHERE row = ?1 AND state IN ('routed', 'posting')";
            let handed = tx.execute(sql, params![message.row, Json(&message.decision), message.object])?;
            let now = select_one(tx, message.row)?;
            if handed > 0 && (!as_read || now.is_some_and(|now| now.edited != message.edited)) {
                super::corrections::too_late(tx, &message)?;
            }
            Ok(())
        })
        .await
    }

    /// Records that the cluster could not be asked to do what was decided.
    pub async fn delay(&self, row: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE messages SET background = json_set(background, '$.delayed', json('true')) WHERE row = ?1";
            connection.prepare_cached(sql)?.execute([row])?;
            Ok(())
        })
        .await
    }

    /// Records for how many seconds a message had waited since the bot or the cluster was away.
    pub async fn came_late(&self, row: i64, seconds: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE messages SET background = json_set(background, '$.late', ?2) WHERE row = ?1";
            connection.prepare_cached(sql)?.execute([row, seconds])?;
            Ok(())
        })
        .await
    }

    /// Records the reaction that a message shall bear. False when it is answered, or written where nothing is any more.
    pub async fn set_reaction(&self, row: i64, emoji: Option<&'static str>) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE messages SET reaction = ?2 WHERE row = ?1 AND reaction IS NOT ?2
                       AND state IN ('routed', 'posting', 'handed') AND chat NOT IN (SELECT former FROM moved)";
            Ok(connection.prepare_cached(sql)?.execute(params![row, emoji])? > 0)
        })
        .await
    }

    /// Messages that bear a reaction and are answered, as place and id; they are to bear none.
    pub async fn take_reactions(&self) -> Result<Vec<(Place, i64)>, StoreError> {
        self.transaction(|tx| {
            let sql =
                "UPDATE messages SET reaction = NULL WHERE reaction IS NOT NULL AND state IN ('answered', 'closed')
                       RETURNING chat, thread, message";
            let mut update = tx.prepare_cached(sql)?;
            let rows = update.query_map([], |row| Ok((Place::from_key(row.get(0)?, row.get(1)?), row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Whether somebody else who wrote in this chat has the same name.
    pub async fn namesake(&self, chat: i64, user: i64, name: String) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE chat = ?1 AND user_name = ?3 AND user <> ?2)";
            Ok(connection
                .prepare_cached(sql)?
                .query_row(params![chat, user, name], |row| row.get(0))?)
        })
        .await
    }

    /// Records that the session has not got a message that was on its way there.
    pub async fn not_taken(&self, row: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE messages SET state = 'routed' WHERE row = ?1 AND state = 'posting'",
                [row],
            )?;
            Ok(())
        })
        .await
    }

    /// Puts another decision in the place of one that cannot be carried out any more.
    pub async fn decide_again(&self, row: i64, decision: Decision, object: Option<String>) -> Result<(), StoreError> {
        self.transaction(move |tx| decide_again(tx, row, &decision, object.as_deref()))
            .await
    }

    /// Puts a decision in the place of none yet, since somebody has listened to the message.
    pub async fn heard(
        &self,
        row: i64,
        files: Vec<FileRef>,
        decision: Decision,
        object: Option<String>,
    ) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            tx.execute(
                "UPDATE messages SET unheard = NULL, files = ?2 WHERE row = ?1",
                params![row, Json(&files)],
            )?;
            decide_again(tx, row, &decision, object.as_deref())?;
            if let Mode::EndSession { session, .. } = &decision.mode {
                super::sessions::advance(tx, session, super::sessions::SessionState::Ending)?;
            }
            Ok(())
        })
        .await
    }

    /// Writes the final words about a message, unless there are some already.
    pub async fn answer(&self, row: i64, parts: Vec<Content>, priority: Priority) -> Result<(), StoreError> {
        self.transaction(move |tx| answer(tx, row, parts, priority)).await
    }
}

/// Puts another decision in the place of one that is not carried out.
pub(super) fn decide_again(
    tx: &Transaction<'_>,
    row: i64,
    decision: &Decision,
    object: Option<&str>,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE messages SET decision = ?2, object = ?3, express = ?4, state = 'routed'
         WHERE row = ?1 AND state IN ('routed', 'posting')",
        params![row, Json(decision), object, decision.mode.overtakes()],
    )?;
    if let (Mode::StartSession { instead_of, .. }, Some(message)) = (&decision.mode, select_one(tx, row)?) {
        want_session(tx, message.place, object, instead_of.as_deref())?;
    }
    Ok(())
}
