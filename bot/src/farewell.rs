//! A word such as “done” ends the session, but claude may have been meant to read it: for a while a button keeps the session going.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::bot::Bot;
use crate::conversation::{farewell, life};
use crate::lane::Carried;
use crate::store::StoreError;
use crate::store::farewells::Farewell;
use crate::store::messages::MessageRow;
use crate::store::posts::Content;
use crate::telegram::update::Press;
use crate::words;

/// Holds the end of a session up for as long as it can be undone, if a word asks for it. None when it is to be carried out.
pub async fn hold(bot: &Bot, row: &MessageRow, word: Option<&str>) -> Result<Option<Carried>, StoreError> {
    let keep_going = bot.settings.keep_going;
    let Some(word) = word.filter(|_| !keep_going.is_zero()) else {
        bot.show_progress(row, words::ENDING).await?;
        return Ok(None);
    };
    let now = Timestamp::now().as_millisecond();
    let latest = now.saturating_add(keep_going.as_millis().try_into().unwrap_or(i64::MAX));
    let offer = farewell::offer(row.row, word, keep_going.as_secs());
    let over = Content::plain(words::ENDING);
    Ok(match bot.store.farewell(row.row, (now, latest), offer, over).await? {
        Farewell::Until(due) => {
            let left = Duration::from_millis(due.abs_diff(now));
            Some(Carried::At(Instant::now() + left))
        }
        Farewell::Over => None,
        // The lane looks at it again.
        Farewell::Undone => Some(Carried::Done),
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
