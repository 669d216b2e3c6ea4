//! Settings of sessions that people have chosen and that the runner has not taken yet, and the menus that offer some.
//!
//! A choice is kept in the transaction that makes it, so it survives a restart of the bot and a session that sleeps, and what is
//! written after it meets it. Of each kind the last choice counts.

use std::mem::discriminant;

use longshore_routing::Setting;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::messages::{self, MessageState, answer_key};
use super::posts::{self, Content};
use super::{Json, Store, StoreError};
use crate::outbox::pace::Priority;

/// A setting that somebody has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// It.
    pub setting: Setting,
    /// Row of the message that asked for it, or of the one under which the menu stands.
    pub row: i64,
    /// Name of whoever chose it.
    pub by: String,
}

/// Settings that are offered by buttons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Name of the PersistentSession.
    pub session: String,
    /// What each button stands for.
    pub options: Vec<Setting>,
    /// Chat and id of the message that shows them.
    pub shown_at: (i64, Option<i64>),
}

fn kept(tx: &Transaction<'_>, session: &str) -> Result<Vec<Choice>, StoreError> {
    let select = "SELECT choices FROM sessions WHERE name = ?1";
    let kept = tx.query_row(select, [session], |row| row.get::<_, Json<Vec<Choice>>>(0));
    Ok(kept.optional()?.map(|json| json.0).unwrap_or_default())
}

fn keep(tx: &Transaction<'_>, session: &str, choices: &[Choice]) -> Result<(), StoreError> {
    let update = "UPDATE sessions SET choices = ?2 WHERE name = ?1";
    tx.execute(update, params![session, Json(choices)])?;
    Ok(())
}

/// Keeps a choice until the runner has taken it.
pub(super) fn choose(tx: &Transaction<'_>, session: &str, choice: Choice) -> Result<(), StoreError> {
    let mut choices = kept(tx, session)?;
    choices.retain(|other| discriminant(&other.setting) != discriminant(&choice.setting));
    choices.push(choice);
    keep(tx, session, &choices)
}

/// Writes what came of a choice where it was made. What was said there before is edited.
fn tell(tx: &Transaction<'_>, row: i64, content: &Content) -> Result<(), StoreError> {
    let Some(message) = messages::select_one(tx, row)? else {
        return Ok(());
    };
    if message.state < MessageState::Answered {
        return messages::answer(tx, row, vec![content.clone()], Priority::Answer);
    }
    let post = messages::answer_post(tx, &message, 0)?;
    posts::show(tx, post, content, Priority::Answer)
}

impl Store {
    /// What was chosen for a session and is not taken yet.
    pub async fn choices(&self, session: &str) -> Result<Vec<Choice>, StoreError> {
        let session = session.to_owned();
        self.transaction(move |tx| kept(tx, &session)).await
    }

    /// The runner has taken or refused a choice, unless there was another one meanwhile. A refusal is also told in a message of
    /// its own, `aside`, if the choice was made long ago.
    pub async fn settle_choice(
        &self,
        session: &str,
        choice: Choice,
        text: String,
        aside: bool,
    ) -> Result<(), StoreError> {
        let session = session.to_owned();
        self.transaction(move |tx| {
            let mut choices = kept(tx, &session)?;
            let before = choices.len();
            choices.retain(|other| *other != choice);
            if choices.len() == before {
                return Ok(());
            }
            keep(tx, &session, &choices)?;
            let message = messages::select_one(tx, choice.row)?;
            let old = message.filter(|message| aside && message.state >= MessageState::Answered);
            if let Some(message) = old {
                let post = posts::ensure(tx, &format!("refused/{}", choice.row), message.place, None, None)?;
                posts::show(tx, post, &Content::plain(text.clone()), Priority::Notice)?;
            }
            tell(tx, choice.row, &Content::plain(text))
        })
        .await
    }

    /// Says where a choice was made that it is kept, unless it is not any more.
    pub async fn tell_kept(&self, session: &str, choice: &Choice, text: String) -> Result<(), StoreError> {
        let (session, choice) = (session.to_owned(), choice.clone());
        self.transaction(move |tx| match kept(tx, &session)?.contains(&choice) {
            true => tell(tx, choice.row, &Content::plain(text)),
            false => Ok(()),
        })
        .await
    }

    /// Offers settings under a message.
    pub async fn offer_settings(
        &self,
        row: i64,
        session: String,
        options: Vec<Setting>,
        content: Content,
    ) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            tx.execute(
                "INSERT OR IGNORE INTO menus (message, session, options) VALUES (?1, ?2, ?3)",
                params![row, session, Json(&options)],
            )?;
            messages::answer(tx, row, vec![content], Priority::Answer)
        })
        .await
    }

    /// What the buttons under a message stand for, until one was pressed.
    pub async fn menu(&self, row: i64) -> Result<Option<Menu>, StoreError> {
        self.transaction(move |tx| {
            let select = "SELECT session, options FROM menus WHERE message = ?1";
            let found = tx.query_row(select, [row], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Json<Vec<Setting>>>(1)?.0))
            });
            let (Some((session, options)), Some(message)) = (found.optional()?, messages::select_one(tx, row)?) else {
                return Ok(None);
            };
            let key = answer_key(message.place, message.message, 0);
            let shown = tx.query_row("SELECT sent_as FROM posts WHERE key = ?1", [key], |row| row.get(0));
            Ok(Some(Menu {
                session,
                options,
                shown_at: (message.place.chat, shown.optional()?.flatten()),
            }))
        })
        .await
    }

    /// Somebody has pressed a button of a menu. False when somebody else was faster.
    pub async fn choose_from_menu(&self, session: &str, choice: Choice) -> Result<bool, StoreError> {
        let session = session.to_owned();
        self.transaction(move |tx| {
            let open = tx.execute("DELETE FROM menus WHERE message = ?1", [choice.row])? > 0;
            if open {
                choose(tx, &session, choice)?;
            }
            Ok(open)
        })
        .await
    }
}
