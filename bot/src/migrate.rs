//! A group became a supergroup: everything of it goes on there.
//!
//! Told by a message in either chat, or by Telegram's refusal of a call to the former one. May be told any number of times. The Topic
//! stays bound to what its author wrote; where the chat is now stands in its status.

use std::sync::Arc;

use crate::bot::Bot;
use crate::chat::Place;
use crate::outbox::Reach;
use crate::store::StoreError;
use crate::{lane, reach};

/// Takes a group's new id.
pub async fn chat(bot: &Arc<Bot>, former: i64, chat: i64) -> Result<(), StoreError> {
    if former == chat || !Place::is_group(former) || !Place::is_group(chat) {
        return Ok(());
    }
    let news = bot.store.move_chat(former, chat).await?;
    bot.moved.note([(former, chat)]);
    if !news {
        return Ok(());
    }
    tracing::info!(former, chat, "a group became a supergroup");
    let place = Place { chat, thread: None };
    // Also writes the new id down at the Topics.
    let report = Reach {
        place,
        whole_chat: true,
        problem: None,
        moved_to: None,
    };
    reach::report(bot, &report).await;
    lane::resume(bot).await?;
    bot.outbox.wake(chat);
    bot.changed();
    Ok(())
}
