//! What a place is told about its session besides answers: idle warnings, sleep, the end, what holds it up.
//!
//! Each is told once: `sessions.noted` keeps which sleep or end was told last, `sessions.warning` and `sessions.held_up` the
//! posts that will be out of date when the session goes on, so that they are edited then instead of staying wrong.

use longshore_wire::MessageId;
use longshore_wire::api::Undelivered;
use rusqlite::{OptionalExtension, Transaction, params};

use super::posts::{self, Content};
use super::sessions::answer_turn;
use super::{Store, StoreError, messages};
use crate::chat::Place;
use crate::conversation::{Outcomes, life, outcome};
use crate::outbox::pace::Priority;
use crate::render::{self, Rich};
use longshore_routing::Mode;

/// `sessions.noted` of a session whose end was told.
const OVER: &str = "over";

/// Takes a note's post out of a column of its session, so that nobody edits it later.
fn take(tx: &Transaction<'_>, uid: &str, column: &'static str) -> Result<Option<i64>, StoreError> {
    let select = format!("SELECT {column} FROM sessions WHERE uid = ?1");
    let post = tx.query_row(&select, [uid], |row| row.get(0)).optional()?.flatten();
    tx.execute(&format!("UPDATE sessions SET {column} = NULL WHERE uid = ?1"), [uid])?;
    Ok(post)
}

fn settle(tx: &Transaction<'_>, uid: &str, column: &'static str, text: &str) -> Result<bool, StoreError> {
    let post = take(tx, uid, column)?;
    if let Some(post) = post {
        posts::show(tx, post, &Content::plain(text), Priority::Notice)?;
    }
    Ok(post.is_some())
}

/// The session will soon be idle. An earlier warning did not come true.
pub(super) fn warn(tx: &Transaction<'_>, uid: &str, place: Place, seq: u64, text: &str) -> Result<(), StoreError> {
    settle(tx, uid, "warning", life::STAYS_AWAKE)?;
    let post = posts::ensure(tx, &format!("idle/{uid}/{seq}"), place, None, None)?;
    posts::show(tx, post, &Content::plain(text), Priority::Notice)?;
    tx.execute("UPDATE sessions SET warning = ?2 WHERE uid = ?1", params![uid, post])?;
    Ok(())
}

/// Somebody did something: the last warning does not come true.
pub(super) fn stir(tx: &Transaction<'_>, uid: &str) -> Result<(), StoreError> {
    settle(tx, uid, "warning", life::STAYS_AWAKE)?;
    Ok(())
}

/// Outcomes of an earlier session, told once however often they are heard of.
pub(super) fn tell_outcomes(tx: &Transaction<'_>, place: Place, outcomes: &Outcomes) -> Result<(), StoreError> {
    for (part, content) in outcomes.parts.iter().enumerate() {
        let key = format!("outcomes/{}/{part}", outcomes.mark);
        let post = posts::ensure(tx, &key, place, None, None)?;
        posts::show(tx, post, content, Priority::Notice)?;
    }
    Ok(())
}

fn noted(tx: &Transaction<'_>, uid: &str, mark: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE sessions SET noted = ?2 WHERE uid = ?1 AND noted IS NOT ?2",
        params![uid, mark],
    )?;
    Ok(changed == 0)
}

impl Store {
    /// Tells once that a session sleeps, in the place of its idle warning if it has one. `mark` tells one sleep from another;
    /// without words it only counts as told.
    pub async fn note_sleep(
        &self,
        uid: &str,
        place: Place,
        mark: String,
        text: Option<String>,
    ) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            if noted(tx, &uid, &mark)? {
                return Ok(());
            }
            let Some(text) = text else { return Ok(()) };
            settle(tx, &uid, "held_up", life::SLEEPS)?;
            if !settle(tx, &uid, "warning", &text)? {
                let post = posts::ensure(tx, &format!("sleep/{uid}/{mark}"), place, None, None)?;
                posts::show(tx, post, &Content::plain(text), Priority::Notice)?;
            }
            Ok(())
        })
        .await
    }

    /// Tells once that a session is over: to those who ended it; if it never began, to those who started it; else to all.
    pub async fn note_end(
        &self,
        name: &str,
        uid: &str,
        place: Place,
        rich: Rich,
        began: bool,
    ) -> Result<(), StoreError> {
        let (name, uid) = (name.to_owned(), uid.to_owned());
        self.transaction(move |tx| {
            if noted(tx, &uid, OVER)? {
                return Ok(());
            }
            settle(tx, &uid, "warning", life::WAS_IDLE)?;
            settle(tx, &uid, "held_up", life::IS_OVER)?;
            let open = messages::unanswered(tx, &name)?;
            let those = |wanted: fn(&Mode) -> bool| {
                let rows = open.iter().filter(|row| wanted(&row.decision.mode));
                rows.map(|row| row.row).collect::<Vec<_>>()
            };
            let mut told = those(|mode| matches!(mode, Mode::EndSession { .. }));
            if told.is_empty() && !began {
                told = those(|mode| matches!(mode, Mode::StartSession { .. }));
            }
            let parts = Content::parts(&rich);
            for row in &told {
                messages::answer(tx, *row, parts.clone(), Priority::Answer)?;
            }
            if told.is_empty() {
                for (part, content) in parts.into_iter().enumerate() {
                    let post = posts::ensure(tx, &format!("over/{uid}/{part}"), place, None, None)?;
                    posts::show(tx, post, &content, Priority::Answer)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Tells what holds a session up, in one post that is edited until it goes on.
    pub async fn note_held_up(&self, uid: &str, place: Place, text: String) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            let known = take(tx, &uid, "held_up")?;
            let post = match known {
                Some(post) => post,
                None => {
                    let key = format!("held/{uid}/");
                    let before: i64 = tx.query_row(
                        "SELECT count(*) FROM posts WHERE substr(key, 1, length(?1)) = ?1",
                        [&key],
                        |row| row.get(0),
                    )?;
                    posts::ensure(tx, &format!("{key}{before}"), place, None, None)?
                }
            };
            posts::show(tx, post, &Content::plain(text), Priority::Notice)?;
            tx.execute("UPDATE sessions SET held_up = ?2 WHERE uid = ?1", params![uid, post])?;
            Ok(())
        })
        .await
    }

    /// The session takes messages: what held it up is over.
    pub async fn note_goes_on(&self, uid: &str) -> Result<bool, StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| settle(tx, &uid, "held_up", life::GOES_ON))
            .await
    }

    /// Tells outcomes of an earlier session that a task's pod has written down.
    pub async fn note_outcomes(&self, place: Place, outcomes: Outcomes) -> Result<(), StoreError> {
        self.transaction(move |tx| tell_outcomes(tx, place, &outcomes)).await
    }

    /// Answers that came too late for the event stream go to those of their messages that still wait. True when there was one.
    pub async fn take_undelivered(
        &self,
        uid: &str,
        place: Place,
        answers: Vec<Undelivered>,
    ) -> Result<bool, StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            let mut any = false;
            for answer in answers {
                let waits = |id: &MessageId| {
                    let row = messages::by_wire_id(tx, *id).ok().flatten();
                    row.is_some_and(|row| row.state < messages::MessageState::Answered)
                };
                if !answer.message_ids.iter().any(waits) {
                    continue;
                }
                any = true;
                let refer = Content::plain(outcome::ANSWERED_TOGETHER);
                let parts = Content::parts(&render::markdown(&answer.text));
                // A turn without a message of ours is nobody's answer, so its number does not matter.
                answer_turn(tx, &uid, place, 0, &answer.message_ids, parts, &refer, answer.is_error)?;
            }
            Ok(any)
        })
        .await
    }
}
