//! Ends of sessions that can be undone for a while, since the word that ended them may have been meant for claude.
//!
//! From the word on the session counts as ending, so what is written after it is not for it. Undoing makes the word a message to the
//! session. An end is undone or carried out, never both: who closes it first has it.

use longshore_routing::{Decision, Mode};
use rusqlite::{Transaction, params};

use super::messages::{self, MessageRow, MessageState, answer_key};
use super::moved::HERE;
use super::posts::{self, Content};
use super::{Json, Store, StoreError};
use crate::outbox::pace::Priority;

impl Store {
    /// Offers to undo the end that this message asks for, until `due`, in Unix milliseconds; another call changes neither. Returns
    /// when to carry the end out, none if it was undone. Once something else is written in the place there is no wait.
    pub async fn farewell(&self, message: &MessageRow, due: i64, offer: Content) -> Result<Option<i64>, StoreError> {
        let (row, place) = (message.row, message.place);
        self.transaction(move |tx| {
            if still_ending(tx, row)?.is_none() {
                return Ok(None);
            }
            let begun = tx.execute(
                "INSERT OR IGNORE INTO farewells (message, due, state) VALUES (?1, ?2, 'open')",
                params![row, due],
            )?;
            if begun > 0 {
                show(tx, row, &offer, Priority::Answer)?;
            }
            let gone_on = tx
                .prepare_cached(&format!("SELECT 1 FROM messages WHERE {HERE} AND row > ?3"))?
                .exists(params![place.chat, place.thread_key(), row])?;
            let due = tx.query_row("SELECT due FROM farewells WHERE message = ?1", [row], |row| row.get(0))?;
            Ok(Some(if gone_on { 0 } else { due }))
        })
        .await
    }

    /// From now on the end that this message asks for cannot be undone. False if it was.
    pub async fn close_farewell(&self, row: i64, over: Content) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            if still_ending(tx, row)?.is_none() {
                return Ok(false);
            }
            let closed = "UPDATE farewells SET state = 'over' WHERE message = ?1 AND state = 'open'";
            if tx.execute(closed, [row])? > 0 {
                show(tx, row, &over, Priority::Placeholder)?;
            }
            Ok(true)
        })
        .await
    }

    /// The message whose end can still be undone by the button in a message of this chat with this id.
    pub async fn open_farewell(&self, row: i64, shown_at: (i64, i64)) -> Result<Option<MessageRow>, StoreError> {
        self.transaction(move |tx| {
            let open = tx
                .prepare_cached(
                    "SELECT 1 FROM farewells f JOIN posts p ON p.subject = f.message
                     WHERE f.message = ?1 AND f.state = 'open' AND p.chat = ?2 AND p.sent_as = ?3",
                )?
                .exists(params![row, shown_at.0, shown_at.1])?;
            Ok(match open {
                true => still_ending(tx, row)?,
                false => None,
            })
        })
        .await
    }

    /// The session goes on, and gets the word that was to end it. False when it is too late for that.
    pub async fn undo_end(&self, row: i64, reason: String, goes_on: Content) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            let Some(message) = still_ending(tx, row)? else {
                return Ok(false);
            };
            let Mode::EndSession {
                session,
                word: Some(word),
            } = &message.decision.mode
            else {
                return Ok(false);
            };
            let undone = "UPDATE farewells SET state = 'undone' WHERE message = ?1 AND state = 'open'";
            if tx.execute(undone, [row])? == 0 {
                return Ok(false);
            }
            let decision = Decision {
                mode: Mode::ToSession {
                    session: session.clone(),
                    text: word.clone(),
                    deep: false,
                    written: None,
                },
                reason,
            };
            tx.execute(
                "UPDATE messages SET decision = ?2 WHERE row = ?1",
                params![row, Json(&decision)],
            )?;
            tx.execute(
                "UPDATE sessions SET state = CASE WHEN uid IS NULL THEN 'wanted' ELSE 'live' END
                 WHERE name = ?1 AND state = 'ending'",
                [session],
            )?;
            show(tx, row, &goes_on, Priority::Placeholder)?;
            Ok(true)
        })
        .await
    }
}

/// The message, if it asks for an end that nobody has begun to carry out.
fn still_ending(tx: &Transaction<'_>, row: i64) -> Result<Option<MessageRow>, StoreError> {
    let message = messages::select_one(tx, row)?;
    Ok(message.filter(|message| {
        message.state == MessageState::Routed && matches!(message.decision.mode, Mode::EndSession { .. })
    }))
}

/// Shows it where the final words about the message will stand.
fn show(tx: &Transaction<'_>, row: i64, content: &Content, priority: Priority) -> Result<(), StoreError> {
    let Some(message) = messages::select_one(tx, row)? else {
        return Ok(());
    };
    let key = answer_key(message.place, message.message, 0);
    let post = posts::ensure(tx, &key, message.place, Some(message.message), Some(row))?;
    posts::show(tx, post, content, priority)
}
