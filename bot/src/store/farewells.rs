//! Ends of sessions that can be undone for a while, since the word that ended them may have been meant for claude.
//!
//! From the word on the session counts as ending, so what is written after it is not for it. Undoing makes the word a message to the
//! session. An end is undone or carried out, never both: who closes it first has it.

use longshore_routing::{Decision, Mode};
use rusqlite::{Transaction, params};

use super::messages::{self, MessageRow, MessageState};
use super::moved::HERE;
use super::posts::{self, Content};
use super::{Store, StoreError};
use crate::outbox::pace::Priority;

/// How the end that a message asks for stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It can be undone until then, in Unix milliseconds.
    Until(i64),
    /// It is to be carried out, and cannot be undone any more.
    Over,
    /// It was undone.
    Undone,
}

impl Store {
    /// Offers to undo the end that this message asks for, from `now` until `latest` the first time, in Unix milliseconds, but no longer
    /// than until something else is written in the place. Shows `offer` for that time and `over` behind it.
    pub async fn farewell(
        &self,
        row: i64,
        (now, latest): (i64, i64),
        offer: Content,
        over: Content,
    ) -> Result<Farewell, StoreError> {
        self.transaction(move |tx| {
            let Some(message) = still_ending(tx, row)? else {
                return Ok(Farewell::Undone);
            };
            let post = messages::answer_post(tx, &message, 0)?;
            let begun = tx.execute(
                "INSERT OR IGNORE INTO farewells (message, due, state) VALUES (?1, ?2, 'open')",
                [row, latest],
            )?;
            if begun > 0 {
                posts::show(tx, post, &offer, Priority::Answer)?;
            }
            let place = message.place;
            let gone_on = tx
                .prepare_cached(&format!("SELECT 1 FROM messages WHERE {HERE} AND row > ?3"))?
                .exists(params![place.chat, place.thread_key(), row])?;
            let due: i64 = tx.query_row("SELECT due FROM farewells WHERE message = ?1", [row], |row| row.get(0))?;
            // A clock that was set back does not make it longer.
            let due = due.min(latest);
            if due > now && !gone_on {
                return Ok(Farewell::Until(due));
            }
            let closed = "UPDATE farewells SET state = 'over' WHERE message = ?1 AND state = 'open'";
            if tx.execute(closed, [row])? > 0 {
                posts::show(tx, post, &over, Priority::Placeholder)?;
            }
            Ok(Farewell::Over)
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
            messages::decide_again(tx, row, &decision, Some(session))?;
            tx.execute(
                "UPDATE sessions SET state = CASE WHEN uid IS NULL THEN 'wanted' ELSE 'live' END
                 WHERE name = ?1 AND state = 'ending'",
                [session],
            )?;
            let post = messages::answer_post(tx, &message, 0)?;
            posts::show(tx, post, &goes_on, Priority::Placeholder)?;
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
