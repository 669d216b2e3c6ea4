//! Messages that Telegram sends in pieces: albums, and what is forwarded together, behind the comment to it.
//!
//! A piece is set aside in the store until all of them are there ([`group`]); then they are one message ([`merge`]), which
//! stands where the first piece does. The update, that it is set aside, and what becomes of it are one transaction each, so
//! a crash in between costs nothing but the wait: what is set aside is gathered anew at the next start.

pub mod group;
pub mod merge;

use tokio::time::Instant;

use crate::bot::Bot;
use crate::store::StoreError;
use crate::telegram::update::{self, Incoming, Update};
use group::{Gathering, Piece};

/// What the last run had set aside.
pub async fn resume(bot: &Bot) -> Result<Gathering, StoreError> {
    let mut gathering = Gathering::new(bot.settings.gather);
    for (update, raw) in bot.store.set_aside_before().await? {
        match update::read(&raw) {
            Update::Message(message) => gathering.add(Piece { update, message }, Instant::now()),
            // It was a message when it was set aside.
            _ => bot.store.skip_updates(vec![update]).await?,
        }
    }
    Ok(gathering)
}

/// Whether this message must wait for others that belong to it.
pub async fn waits_for_more(
    bot: &Bot,
    gathering: &Gathering,
    update: i64,
    message: &Incoming,
) -> Result<bool, StoreError> {
    if !gathering.is_on() {
        return Ok(false);
    }
    if group::is_piece(message) {
        return Ok(true);
    }
    if !group::may_be_comment(message) {
        return Ok(false);
    }
    // Others are not held up: only what has come already tells a comment.
    let next = bot.store.update_after(update).await?;
    Ok(next.is_some_and(|raw| match update::read(&raw) {
        Update::Message(next) => group::follows(message, &next),
        _ => false,
    }))
}
