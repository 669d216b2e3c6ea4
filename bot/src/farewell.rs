//! A word such as “done” ends the session, but claude may have been meant to read it: for a while a button keeps the session going.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::bot::Bot;
use crate::conversation::{farewell, life};
use crate::store::StoreError;
use crate::store::messages::MessageRow;
use crate::store::posts::Content;
use crate::telegram::update::Press;
use crate::words;

/// What is to be done about a word that ends the session.
pub enum End {
    /// It cannot be undone any more.
    Now,
    /// It may be undone until then.
    At(Instant),
    /// It was undone.
    Undone,
}

/// Offers to undo the end that a word asks for, and tells how long to wait with it.
pub async fn of(bot: &Bot, row: &MessageRow, word: &str) -> Result<End, StoreError> {
    let keep_going = bot.settings.keep_going;
    if keep_going.is_zero() {
        bot.show_progress(row, words::ENDING).await?;
        return Ok(End::Now);
    }
    let now = Timestamp::now().as_millisecond();
    let latest = now.saturating_add(keep_going.as_millis().try_into().unwrap_or(i64::MAX));
    let offer = farewell::offer(row.row, word, keep_going.as_secs());
    let Some(due) = bot.store.farewell(row, latest, offer).await? else {
        return Ok(End::Undone);
    };
    // A clock that was set back does not make it longer.
    if let Ok(left) = u64::try_from(due.min(latest) - now)
        && left > 0
    {
        return Ok(End::At(Instant::now() + Duration::from_millis(left)));
    }
    let over = Content::plain(words::ENDING);
    Ok(match bot.store.close_farewell(row.row, over).await? {
        true => End::Now,
        false => End::Undone,
    })
}

/// Somebody has pressed the button.
pub async fn pressed(bot: &Bot, press: &Press, row: i64) -> Result<String, StoreError> {
    let too_late = Ok(words::TOO_LATE.to_owned());
    let Some(message) = bot.store.open_farewell(row, (press.chat, press.message)).await? else {
        return too_late;
    };
    // It may have ended for another reason.
    let session = message.object.as_deref().and_then(|name| bot.cluster.session(name));
    if session.is_none_or(|session| life::is_ending(&session)) {
        return too_late;
    }
    let reason = format!("{} keeps the session going", press.user_name);
    if !bot.store.undo_end(row, reason, Content::plain(words::GOES_ON)).await? {
        return too_late;
    }
    tracing::info!(
        chat = press.chat,
        user = press.user,
        message_id = message.message,
        "the end of a session was undone"
    );
    bot.changed();
    bot.wake(message.place);
    Ok(words::GOES_ON.to_owned())
}
