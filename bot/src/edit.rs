//! What becomes of it when somebody changes a message.
//!
//! One that still waits gets its new words before it goes, as if it had been written like that. A session that is at work on it is
//! told what was corrected, as somebody would tell a colleague; a task cannot be told anything, and what is answered is answered: the
//! chat reads that the change came too late. What changes no word, such as a link preview or a moving location, is no change.

use std::sync::Arc;

use longshore_routing::{Message, Mode};
use longshore_wire::api::{PostMessage, Priority as Urgency};
use longshore_wire::quote::{quoted, shortened};

use crate::agent::RunnerError;
use crate::background::Background;
use crate::bot::Bot;
use crate::conversation::life;
use crate::gather::merge::whole;
use crate::lane::Carried;
use crate::situation::{self, object, situation};
use crate::store::StoreError;
use crate::store::corrections::{Changed, Correction, Rewritten};
use crate::store::messages::{MessageRow, MessageState};
use crate::store::sessions::SessionState;
use crate::telegram::update::{Content, Incoming};
use crate::{door, express, words};

/// Seconds for which a session that cannot be heard is tried.
const PATIENCE: i64 = 120;
/// Longest quotation of what was corrected, in bytes.
const QUOTED_BYTES: usize = 3_000;

/// Takes an edit.
pub async fn take(bot: &Arc<Bot>, update: i64, message: Incoming, at: i64) -> Result<(), StoreError> {
    let id = longshore_wire::MessageId::from_telegram(message.place.chat, message.message);
    let known = bot.store.message(id).await?;
    let (Some(row), Content::Text(text)) = (known, &message.content) else {
        // What was never taken is not taken because it has changed.
        return bot.store.skip_update(update).await;
    };
    // Of what was put together from several messages it is the first.
    let text = &whole(text, row.background.rest.as_deref());
    if message.forwarded.is_some() || row.knows_edit(at, text) || text.trim().is_empty() {
        return bot.store.skip_update(update).await;
    }
    let (chat, message_id) = (row.place.chat, row.message);
    let waits = row.state == MessageState::Routed && may_change(&row.decision.mode);
    if waits && rewritten(bot, update, &row, &message, text, at).await? {
        tracing::info!(chat, message_id, "a message that waits was changed");
        return Ok(());
    }
    let correction = correction(bot, &row, text).await?;
    let changed = bot
        .store
        .change_later(update, row.row, at, text.clone(), correction)
        .await?;
    tracing::info!(chat, message_id, ?changed, "a message that does not wait was changed");
    if changed == Changed::Corrected {
        bot.wake(row.place);
    }
    bot.outbox.wake(chat);
    Ok(())
}

/// Whether a message with such a decision waits for its turn; everything else is carried out at once.
fn may_change(mode: &Mode) -> bool {
    matches!(
        mode,
        Mode::Task { .. }
            | Mode::StartSession { instead_of: None, .. }
            | Mode::ToSession { .. }
            | Mode::WakeSession { .. }
    )
}

/// Decides about a message as it is written now, unless it waits no more.
async fn rewritten(
    bot: &Arc<Bot>,
    update: i64,
    row: &MessageRow,
    message: &Incoming,
    text: &str,
    at: i64,
) -> Result<bool, StoreError> {
    let mut situation = situation(bot, row.place, row.user).await?;
    // It is not to go to the session that only it has asked for.
    if matches!(row.decision.mode, Mode::StartSession { .. }) {
        situation.session = situation
            .session
            .filter(|session| Some(&session.name) != row.object.as_ref());
    }
    situation.task = situation.task.filter(|task| Some(task) != row.object.as_ref());
    let router = bot.policies.router().await;
    let decision = situation::decide(bot, &router, &situation, &written(row, text)).decision;
    let decision = situation::anew(decision, "it was changed while it waited", words::NO_LONGER);
    let object = object(
        &decision,
        &situation,
        row.message,
        bot.moved.former(row.place.chat).is_some(),
    );
    let background = Background {
        written: text.to_owned(),
        left_out: message.left_out.map(str::to_owned),
        ..row.background.clone()
    };
    let row = row.row;
    let new = Rewritten {
        row,
        at,
        decision,
        object,
        background,
    };
    if !bot.store.rewrite(update, new).await? {
        return Ok(false);
    }
    // Whoever waits with the old words looks again.
    bot.changed();
    bot.wake(message.place);
    bot.outbox.wake(message.place.chat);
    let mut express = bot.store.express().await?.into_iter();
    if let Some(row) = express.find(|express| express.row == row) {
        bot.spawn("express", express::carry_out(bot.clone(), row));
    }
    Ok(true)
}

fn written<'a>(row: &MessageRow, text: &'a str) -> Message<'a> {
    Message {
        user: row.user,
        chat: row.place.chat,
        thread: row.place.thread,
        content: Ok(text),
        file: !row.files.is_empty(),
    }
}

/// What the session that has the message is told, if one has and the new words are for it as well.
async fn correction(bot: &Bot, row: &MessageRow, text: &str) -> Result<Option<String>, StoreError> {
    if !matches!(row.decision.mode, Mode::ToSession { .. } | Mode::StartSession { .. }) {
        return Ok(None);
    }
    let situation = situation(bot, row.place, row.user).await?;
    let router = bot.policies.router().await;
    let decision = situation::decide(bot, &router, &situation, &written(row, text)).decision;
    Ok(match decision.mode {
        Mode::ToSession { session, text, .. } if Some(&session) == row.object.as_ref() => Some(text),
        // A question of claude's waits, but these words were no answer when they were written.
        Mode::Answer { text, .. } => Some(text),
        _ => None,
    })
}

/// Tells a session what was corrected.
pub async fn hand_on(bot: &Arc<Bot>, correction: &Correction) -> Result<Carried, StoreError> {
    let told = match post(bot, correction).await? {
        Some(told) => told,
        None if bot.now() - correction.at / 1000 < PATIENCE => return Ok(Carried::Later),
        None => false,
    };
    bot.store.close_correction(correction, told).await?;
    Ok(Carried::Done)
}

/// Whether the session has it; none when it may be tried again.
async fn post(bot: &Bot, correction: &Correction) -> Result<Option<bool>, StoreError> {
    let message = &correction.message;
    let Some(name) = message
        .object
        .as_ref()
        .filter(|_| message.state == MessageState::Handed)
    else {
        return Ok(Some(false));
    };
    let state = bot.store.session(name).await?.map(|session| session.state);
    let asleep = bot.cluster.session(name).is_some_and(|seen| life::is_asleep(&seen));
    if asleep || state.is_none_or(|state| state >= SessionState::Ending) {
        return Ok(Some(false));
    }
    let Some(door) = door::of(bot, name, false).await else {
        return Ok(None);
    };
    let author = message.background.author.clone();
    let who = author.as_deref().unwrap_or(&message.user_name);
    let post = PostMessage {
        id: correction.id,
        text: correction.text.clone(),
        attachments: Vec::new(),
        context: Some(context(who, &correction.before)),
        author: author.clone(),
        priority: Urgency::Next,
    };
    Ok(match bot.runners.post(&door, &post).await {
        Ok(_) => Some(true),
        Err(RunnerError::Refused(_) | RunnerError::WindingDown | RunnerError::Ended) => Some(false),
        Err(error) => {
            tracing::debug!(session = name, %error, "a correction waits");
            None
        }
    })
}

fn context(who: &str, before: &str) -> String {
    format!(
        "[Longshore] {who} corrected a message that you were given. The next message replaces it. What it said before is quoted:\n{}",
        quoted(&shortened(before.trim(), QUOTED_BYTES))
    )
}
