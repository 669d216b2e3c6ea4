//! Sessions of places, the events of their unfinished turns, and what those change.
//!
//! [`Store::take_event`] is the one door for events: the record, the cursor and everything the record changes are one
//! transaction, so an event counts exactly once however often it is streamed.

use longshore_wire::MessageId;
use longshore_wire::event::Record;
use rusqlite::{OptionalExtension, Transaction, params};

use super::approvals;
use super::messages;
use super::notes;
use super::posts::{self, Content};
use super::{Json, Store, StoreError, moved};
use crate::chat::Place;
use crate::conversation::{Change, outcome};
use crate::outbox::pace::Priority;

/// How far a session has come, as routing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::AsRefStr, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum SessionState {
    /// It shall be made.
    Wanted,
    /// It exists.
    Live,
    /// Somebody ended it; new messages do not go there.
    Ending,
    /// It is over.
    Ended,
}

/// A session in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Name of the PersistentSession.
    pub name: String,
    /// Its place.
    pub place: Place,
    /// Its UID, once it exists.
    pub uid: Option<String>,
    /// How far it has come.
    pub state: SessionState,
    /// Newest sequence that is stored.
    pub stored_seq: u64,
}

const COLUMNS: &str = "name, chat, thread, uid, state, stored_seq";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<SessionRow> {
    let state: String = row.get(4)?;
    Ok(SessionRow {
        name: row.get(0)?,
        place: Place::from_key(row.get(1)?, row.get(2)?),
        uid: row.get(3)?,
        state: state.parse().map_err(|error: strum::ParseError| {
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, error.into())
        })?,
        stored_seq: row.get(5)?,
    })
}

const ORDER: &str = "CASE state WHEN 'wanted' THEN 0 WHEN 'live' THEN 1 WHEN 'ending' THEN 2 ELSE 3 END";

/// Records that a session has come further. Never goes back.
pub(super) fn advance(tx: &Transaction<'_>, name: &str, state: SessionState) -> Result<(), StoreError> {
    let sql = format!("UPDATE sessions SET state = ?2 WHERE name = ?1 AND {ORDER} < ?3");
    tx.execute(&sql, params![name, state.as_ref(), state as i64])?;
    Ok(())
}

impl Store {
    /// The post that a turn without a message of ours begins with, made unless it exists. `ids` are the messages of the turn.
    pub async fn own_post(&self, uid: String, place: Place, turn: u64, ids: Vec<MessageId>) -> Result<i64, StoreError> {
        self.transaction(move |tx| own_post(tx, &uid, place, (turn, &ids), 0))
            .await
    }

    /// The session that takes messages of a place. The oldest holds the topic; a younger one waits for it.
    pub async fn active_session(&self, place: Place) -> Result<Option<SessionRow>, StoreError> {
        self.session_where(
            "chat = ?1 AND thread = ?2 AND state IN ('wanted', 'live') ORDER BY row LIMIT 1",
            vec![place.chat.into(), place.thread_key().into()],
        )
        .await
    }

    /// The same for a message that is there already: a session that a later message will start cannot take it.
    pub async fn session_for(&self, place: Place, message: i64) -> Result<Option<SessionRow>, StoreError> {
        self.session_where(
            "chat = ?1 AND thread = ?2 AND (state = 'live' OR (state = 'wanted' AND NOT EXISTS (
                SELECT 1 FROM messages m WHERE m.state IN ('routed', 'posting') AND m.chat = ?1 AND m.thread = ?2
                AND m.object = sessions.name AND m.row > ?3 AND json_extract(m.decision, '$.mode.mode') = 'startSession')))
             ORDER BY row LIMIT 1",
            vec![place.chat.into(), place.thread_key().into(), message.into()],
        )
        .await
    }

    /// The session of this name.
    pub async fn session(&self, name: &str) -> Result<Option<SessionRow>, StoreError> {
        self.session_where("name = ?1", vec![name.to_owned().into()]).await
    }

    /// The session with this UID.
    pub async fn session_by_uid(&self, uid: &str) -> Result<Option<SessionRow>, StoreError> {
        self.session_where("uid = ?1", vec![uid.to_owned().into()]).await
    }

    async fn session_where(
        &self,
        condition: &'static str,
        values: Vec<rusqlite::types::Value>,
    ) -> Result<Option<SessionRow>, StoreError> {
        self.call(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM sessions WHERE {condition}");
            let mut select = connection.prepare_cached(&sql)?;
            Ok(select.query_row(rusqlite::params_from_iter(values), read).optional()?)
        })
        .await
    }

    /// Sessions that are not over.
    pub async fn open_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.call(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM sessions WHERE state <> 'ended' ORDER BY row");
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A session exists under this name, in this state. One of the same name with another UID is a new session.
    pub async fn observe_session(
        &self,
        name: String,
        uid: String,
        place: Place,
        state: SessionState,
    ) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let place = moved::place(tx, place)?;
            let new = tx.execute(
                "INSERT OR IGNORE INTO sessions (name, chat, thread, state) VALUES (?1, ?2, ?3, 'wanted')",
                params![name, place.chat, place.thread_key()],
            )?;
            if new > 0 && state < SessionState::Ending {
                super::escalations::moot(tx, place)?;
            }
            tx.execute(
                "UPDATE sessions SET uid = ?2, stored_seq = 0, noted = NULL, warning = NULL, held_up = NULL,
                    choices = CASE WHEN uid IS NULL THEN choices ELSE '[]' END,
                    state = CASE WHEN uid IS NULL THEN state ELSE 'live' END
                 WHERE name = ?1 AND uid IS NOT ?2",
                params![name, uid],
            )?;
            advance(tx, &name, state)
        })
        .await
    }

    /// Records that a session has come further. Never goes back.
    pub async fn advance_session(&self, name: &str, state: SessionState) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.transaction(move |tx| advance(tx, &name, state)).await
    }

    /// Events of the turns of a session that are not over, oldest first.
    pub async fn events(&self, uid: &str) -> Result<Vec<Record>, StoreError> {
        let uid = uid.to_owned();
        self.call(move |connection| {
            let mut select = connection.prepare_cached("SELECT record FROM events WHERE session = ?1 ORDER BY seq")?;
            let rows = select.query_map([uid], |row| Ok(row.get::<_, Json<Record>>(0)?.0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Stores an event, which has come just now, with everything it changes. False when it was stored before.
    pub async fn take_event(
        &self,
        uid: &str,
        place: Place,
        record: Record,
        changes: Vec<Change>,
    ) -> Result<bool, StoreError> {
        let now = jiff::Timestamp::now().as_second();
        self.take_event_at(uid, place, record, changes, now).await
    }

    /// The same at this time, in Unix seconds.
    pub async fn take_event_at(
        &self,
        uid: &str,
        place: Place,
        record: Record,
        changes: Vec<Change>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            let known: u64 = tx
                .query_row("SELECT stored_seq FROM sessions WHERE uid = ?1", [&uid], |row| {
                    row.get(0)
                })
                .optional()?
                .unwrap_or(0);
            if record.seq <= known {
                return Ok(false);
            }
            tx.execute(
                "UPDATE sessions SET stored_seq = ?2 WHERE uid = ?1",
                params![uid, record.seq],
            )?;
            tx.execute(
                "INSERT OR IGNORE INTO events VALUES (?1, ?2, ?3)",
                params![uid, record.seq, Json(&record)],
            )?;
            for change in changes {
                apply(tx, &uid, place, (record.seq, now), change)?;
            }
            Ok(true)
        })
        .await
    }
}

fn apply(
    tx: &Transaction<'_>,
    uid: &str,
    place: Place,
    (seq, now): (u64, i64),
    change: Change,
) -> Result<(), StoreError> {
    match change {
        Change::Answer {
            turn,
            messages,
            parts,
            refer,
            error,
        } => {
            answer_turn(tx, uid, place, turn, &messages, parts, &refer, error)?;
            approvals::turn_over(tx, uid, turn)?;
            // The turn is over: nothing of it is needed to rebuild the conversation, but another may still run, and of messages
            // that wait for theirs it is still to be known who sent them.
            tx.execute(
                "DELETE FROM events WHERE session = ?1 AND seq <= ?2
                 AND coalesce(json_extract(record, '$.turn'), ?3) = ?3
                 AND (json_extract(record, '$.type') <> 'accepted'
                      OR json_extract(record, '$.id') IN (SELECT value FROM json_each(?4)))",
                params![uid, seq, turn, Json(&messages)],
            )?;
        }
        Change::Ask {
            turn,
            messages,
            approval,
        } => approvals::open(tx, uid, place, (turn, &messages), &approval, now)?,
        Change::Lose { id } => approvals::lose(tx, uid, &id)?,
        Change::Close { id, outcome, by } => approvals::close(tx, uid, &id, (outcome, by), now)?,
        Change::Idle { text, .. } => notes::warn(tx, uid, place, seq, &text)?,
        Change::Stirred => notes::stir(tx, uid)?,
        Change::Notice { text } => {
            let post = posts::ensure(tx, &format!("notice/{uid}/{seq}"), place, None, None)?;
            posts::show(tx, post, &Content::plain(text), Priority::Notice)?;
        }
        Change::Outcomes(outcomes) => notes::tell_outcomes(tx, place, &outcomes)?,
        Change::File { file, parts } => posts::file(tx, place, None, &file, parts)?,
    }
    Ok(())
}

/// The newest message of a turn gets the text; the others refer to it. A turn without a message of ours speaks for itself: claude
/// began it, a schedule or somebody at a terminal.
#[allow(clippy::too_many_arguments)]
pub(super) fn answer_turn(
    tx: &Transaction<'_>,
    uid: &str,
    place: Place,
    turn: u64,
    ids: &[MessageId],
    parts: Vec<Content>,
    refer: &Content,
    error: bool,
) -> Result<(), StoreError> {
    let priority = if error { Priority::Notice } else { Priority::Answer };
    let mut known = Vec::new();
    for id in ids {
        known.extend(messages::by_wire_id(tx, *id)?);
    }
    known.sort_by_key(|message| message.message);
    let Some(newest) = known.pop() else {
        // An empty turn of that kind says nothing, unless it has shown what it does.
        let shown = tx
            .prepare_cached("SELECT 1 FROM posts WHERE key = ?1")?
            .exists([own_key(uid, turn, 0)])?;
        let parts = if parts.is_empty() && shown {
            vec![Content::plain(outcome::SILENT)]
        } else {
            parts
        };
        for (part, content) in parts.into_iter().enumerate() {
            let post = own_post(tx, uid, place, (turn, ids), part)?;
            posts::show(tx, post, &content, priority)?;
        }
        return Ok(());
    };
    let parts = if parts.is_empty() {
        vec![Content::plain(outcome::SILENT)]
    } else {
        parts
    };
    for message in known {
        messages::answer(tx, message.row, vec![refer.clone()], priority)?;
    }
    messages::answer(tx, newest.row, parts, priority)
}

/// The post of a turn without a message of ours. What comes of a correction stands under the message that was corrected.
fn own_post(
    tx: &Transaction<'_>,
    uid: &str,
    place: Place,
    (turn, ids): (u64, &[MessageId]),
    part: usize,
) -> Result<i64, StoreError> {
    let mut corrected = ids
        .iter()
        .filter_map(|id| super::corrections::corrected(tx, *id).transpose());
    let reply_to = corrected.next().transpose()?.map(|message| message.message);
    posts::ensure(tx, &own_key(uid, turn, part), place, reply_to, None)
}

fn own_key(uid: &str, turn: u64, part: usize) -> String {
    format!("turn/{uid}/{turn}/{part}")
}
