//! What people changed in their messages after these had come.
//!
//! A message that waits gets its new words, and with them a new decision. Of one that was handed on the change becomes a correction
//! where a session is at work on it, which is told of it under an id of its own; else the chat is told, once, that the change came too
//! late. `wanted` (the session shall have it) -> `closed`. An edit counts once: only one newer than the newest known is looked at.

use longshore_routing::{Decision, Mode};
use longshore_wire::MessageId;
use rusqlite::{OptionalExtension, Transaction, params};

use super::inbox::done;
use super::messages::{self, MessageRow, MessageState};
use super::posts::{self, Content};
use super::{Json, Store, StoreError};
use crate::background::Background;
use crate::chat::Place;
use crate::outbox::pace::Priority;
use crate::words;

/// A change that a session shall be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Row.
    pub row: i64,
    /// The message as it is known.
    pub message: MessageRow,
    /// Identity of the change towards a runner.
    pub id: MessageId,
    /// When it was made, in Unix milliseconds.
    pub at: i64,
    /// What the message said before.
    pub before: String,
    /// What it says now.
    pub text: String,
}

/// What became of a change of a message that was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is known already.
    Known,
    /// The session that is at work on the message is told.
    Corrected,
    /// It came too late, and the chat is told.
    TooLate,
}

/// A message with new words that still waits, as it is decided about now.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// Its row.
    pub row: i64,
    /// When it was changed, in Unix seconds.
    pub at: i64,
    /// The decision.
    pub decision: Decision,
    /// Name of the task or session that is made for it or that it goes to.
    pub object: Option<String>,
    /// What is known of it beside its words.
    pub background: Background,
}

/// Tells at a message that its change came too late, once.
pub(super) fn too_late(tx: &Transaction<'_>, message: &MessageRow) -> Result<(), StoreError> {
    let key = format!("edit/{}/{}", message.place.chat, message.message);
    let post = posts::ensure(tx, &key, message.place, Some(message.message), None)?;
    posts::show(tx, post, &Content::plain(words::EDIT_TOO_LATE), Priority::Notice)
}

/// When an edit was made, told from others of the same second; in milliseconds, behind those that are known.
fn next(known: i64, at: i64) -> i64 {
    (at.saturating_mul(1000)).max(known + 1)
}

impl MessageRow {
    /// Whether an edit, made at this Unix second, is known already, older than what is known, or changes no word.
    pub fn knows_edit(&self, at: i64, text: &str) -> bool {
        self.background.written == text || self.edited > at.saturating_mul(1000).saturating_add(999)
    }
}

fn rewrite(tx: &Transaction<'_>, new: &Rewritten) -> Result<bool, StoreError> {
    let Some(old) = messages::select_one(tx, new.row)?.filter(|old| !old.knows_edit(new.at, &new.background.written))
    else {
        return Ok(false);
    };
    let mode = &new.decision.mode;
    let changed = tx.execute(
        "UPDATE messages SET decision = ?2, object = ?3, express = ?4, background = ?5, edited = ?6
         WHERE row = ?1 AND state = 'routed'",
        params![
            new.row,
            Json(&new.decision),
            new.object,
            mode.overtakes(),
            Json(&new.background),
            next(old.edited, new.at)
        ],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    if matches!(old.decision.mode, Mode::StartSession { .. }) {
        // Nobody else has wanted it.
        let sql = "DELETE FROM sessions WHERE name = ?1 AND state = 'wanted' AND uid IS NULL";
        tx.execute(sql, [&old.object])?;
    }
    messages::follow_decision(
        tx,
        new.row,
        (old.place, &old.user_name),
        &new.decision,
        new.object.as_deref(),
    )?;
    Ok(true)
}

fn change(
    tx: &Transaction<'_>,
    row: i64,
    (at, text): (i64, &str),
    correction: Option<String>,
) -> Result<Changed, StoreError> {
    let Some(message) = messages::select_one(tx, row)?.filter(|message| !message.knows_edit(at, text)) else {
        return Ok(Changed::Known);
    };
    let at = next(message.edited, at);
    tx.execute(
        "UPDATE messages SET edited = ?2, background = json_set(background, '$.written', ?3) WHERE row = ?1",
        params![row, at, text],
    )?;
    let at_work = matches!(message.state, MessageState::Posting | MessageState::Handed);
    match correction.filter(|_| at_work) {
        Some(text) => {
            let id = MessageId::from_object(&format!(
                "telegram/{}/{}/edit/{at}",
                message.place.chat, message.message
            ));
            tx.execute(
                "INSERT OR IGNORE INTO corrections (message, at, wire_id, before, text, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'wanted')",
                params![row, at, id.to_string(), message.background.written, text],
            )?;
            Ok(Changed::Corrected)
        }
        None => {
            too_late(tx, &message)?;
            Ok(Changed::TooLate)
        }
    }
}

/// The message that a correction with this identity is about.
pub(super) fn corrected(tx: &Transaction<'_>, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
    let sql = "SELECT message FROM corrections WHERE wire_id = ?1";
    let row = tx
        .prepare_cached(sql)?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    row.map_or(Ok(None), |row| messages::select_one(tx, row))
}

impl Store {
    /// Puts new words in the place of those of a message that still waits. False when it waits no more.
    pub async fn rewrite(&self, update: i64, new: Rewritten) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            let changed = rewrite(tx, &new)?;
            if changed {
                done(tx, update)?;
            }
            Ok(changed)
        })
        .await
    }

    /// Takes a change of a message that does not wait any more. `correction` is what a session would be told, where one has it.
    pub async fn change_later(
        &self,
        update: i64,
        row: i64,
        at: i64,
        text: String,
        correction: Option<String>,
    ) -> Result<Changed, StoreError> {
        self.transaction(move |tx| {
            let changed = change(tx, row, (at, &text), correction)?;
            done(tx, update)?;
            Ok(changed)
        })
        .await
    }

    /// When the newest edit of a message was made that is known, in Unix milliseconds.
    pub async fn edited(&self, row: i64) -> Result<i64, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached("SELECT edited FROM messages WHERE row = ?1")?;
            Ok(select
                .query_row([row], |row| row.get(0))
                .optional()?
                .unwrap_or_default())
        })
        .await
    }

    /// Tells at a message that its change came too late.
    pub async fn changed_too_late(&self, message: &MessageRow) -> Result<(), StoreError> {
        let message = message.clone();
        self.transaction(move |tx| too_late(tx, &message)).await
    }

    /// The oldest correction of a place that a session shall be told of.
    pub async fn correction_in(&self, place: Place) -> Result<Option<Correction>, StoreError> {
        self.transaction(move |tx| {
            let sql = "SELECT c.row, c.message, c.wire_id, c.at, c.before, c.text
                FROM corrections c JOIN messages m ON m.row = c.message
                WHERE c.state <> 'closed' AND c.state = 'wanted' AND m.thread = ?2
                  AND (m.chat = ?1 OR m.chat IN (SELECT former FROM moved WHERE moved.chat = ?1))
                  AND m.state <> 'posting' ORDER BY c.row LIMIT 1";
            let found = tx
                .prepare_cached(sql)?
                .query_row(params![place.chat, place.thread_key()], |row| {
                    let id: String = row.get(2)?;
                    let texts: (String, String) = (row.get(4)?, row.get(5)?);
                    Ok((row.get(0)?, row.get(1)?, id, row.get(3)?, texts))
                })
                .optional()?;
            let Some((row, message, id, at, (before, text))) = found else {
                return Ok(None);
            };
            let (Some(message), Ok(id)) = (messages::select_one(tx, message)?, id.parse()) else {
                return Ok(None);
            };
            Ok(Some(Correction {
                row,
                message,
                id: MessageId(id),
                at,
                before,
                text,
            }))
        })
        .await
    }

    /// Nothing is left to do about a correction: the session has it, or, if not, the chat is told that it came too late.
    pub async fn close_correction(&self, correction: &Correction, told: bool) -> Result<(), StoreError> {
        let (row, message) = (correction.row, correction.message.clone());
        self.transaction(move |tx| {
            let sql = "UPDATE corrections SET state = 'closed' WHERE row = ?1 AND state <> 'closed'";
            if tx.execute(sql, [row])? > 0 && !told {
                too_late(tx, &message)?;
            }
            Ok(())
        })
        .await
    }

    /// The message with this identity, or which was corrected under it.
    pub async fn message_behind(&self, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
        self.transaction(move |tx| match messages::by_wire_id(tx, id)? {
            Some(message) => Ok(Some(message)),
            None => corrected(tx, id),
        })
        .await
    }
}
