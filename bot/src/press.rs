//! Pressed buttons: who may at all, and which part of the bot each belongs to. A button that is pressed twice or late is
//! answered kindly; the buttons themselves go away when what they are about is decided.

use std::sync::Arc;

use crate::bot::Bot;
use crate::command::setting;
use crate::conversation::{self, activity, menu, prompt, wish};
use crate::store::StoreError;
use crate::telegram::update::Press;
use crate::{farewell, judge, offer, running, situation, words};

/// Longest text that Telegram shows for a pressed button.
const NOTE_CHARS: usize = 200;

/// Answers a pressed button.
pub async fn answer(bot: Arc<Bot>, press: Press) -> Result<(), StoreError> {
    let text = carry_out(&bot, &press).await?;
    bot.outbox.wake(press.chat);
    let text = text.chars().take(NOTE_CHARS).collect::<String>();
    // Details are to be read in peace; a note is gone after a moment.
    let alert = matches!(activity::read_data(&press.data), Some((_, activity::Choice::Details)));
    if let Err(error) = bot.telegram.answer_callback(&press.query, &text, alert).await {
        // The waiting sign goes away by itself; what was decided is decided.
        tracing::debug!(%error, "a pressed button was not answered");
    }
    Ok(())
}

async fn carry_out(bot: &Arc<Bot>, press: &Press) -> Result<String, StoreError> {
    let router = bot.policies.router().await;
    let mut guest = bot.store.guest(press.user, press.chat).await?;
    let chat = situation::known_as(bot, &router, press.chat);
    if let Some(guest) = &mut guest {
        guest.chat = chat;
    }
    let standing = router.standing_with(press.user, chat, guest.as_ref());
    let Some(role) = standing.map(|standing| standing.role) else {
        tracing::debug!(
            user = press.user,
            chat = press.chat,
            "a button was pressed by somebody who has no access"
        );
        return Ok(words::NOT_YOURS.to_owned());
    };
    if let Some((post, choice)) = activity::read_data(&press.data) {
        return running::pressed(bot, press, post, choice).await;
    }
    if let Some((row, yes)) = wish::read_data(&press.data) {
        return escalation(bot, press, row, yes).await;
    }
    if let Some((row, choice)) = conversation::offer::read_data(&press.data) {
        return offer::pressed(bot, press, role, row, choice).await;
    }
    if let Some(row) = conversation::farewell::read_data(&press.data) {
        return farewell::pressed(bot, press, row).await;
    }
    if let Some((row, number)) = menu::read_data(&press.data) {
        return setting::pressed(bot, press, role, row, number).await;
    }
    match prompt::read_data(&press.data) {
        Some((row, choice)) => judge::pressed(bot, press, role, row, choice).await,
        None => Ok(words::TOO_LATE.to_owned()),
    }
}

/// Whether a session shall take over from a task. Whoever may start one may say so.
async fn escalation(bot: &Bot, press: &Press, row: i64, yes: bool) -> Result<String, StoreError> {
    let (shown_at, by) = ((press.chat, press.message), press.user_name.clone());
    let decided = bot.store.decide_escalation(row, shown_at, yes, by, bot.now()).await?;
    let Some(place) = decided else {
        return Ok(words::TOO_LATE.to_owned());
    };
    tracing::info!(
        chat = press.chat,
        user = press.user,
        yes,
        "a session that an agent asked for was decided about"
    );
    bot.wake(place);
    Ok(if yes {
        words::SESSION_STARTS
    } else {
        words::NO_SESSION_STARTS
    }
    .to_owned())
}
