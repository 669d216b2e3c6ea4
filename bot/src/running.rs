//! Turns that run now, by the post that shows them, and what the buttons below it do: tell what claude is doing, and stop it.
//!
//! In memory: whoever shows a turn says so here, again after a restart of the bot. A button of a turn that is over says that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_routing::StopTarget;

use crate::bot::Bot;
use crate::chat::Place;
use crate::conversation::Progress;
use crate::conversation::activity::{self, Choice};
use crate::store::StoreError;
use crate::store::posts::Content;
use crate::telegram::update::Press;
use crate::{express, words};

/// A turn that runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Where it is shown.
    pub place: Place,
    /// What stops it.
    pub target: StopTarget,
    /// Its last tool calls.
    pub details: String,
}

/// Turns that run now, by the post that shows them.
#[derive(Default)]
pub struct RunningTurns(Mutex<HashMap<i64, Running>>);

impl RunningTurns {
    fn turns(&self) -> MutexGuard<'_, HashMap<i64, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn that this post shows is over.
    pub fn over(&self, post: i64) {
        self.turns().remove(&post);
    }
}

/// Shows how a running turn looks. Unless it is `fresh`, only its clock has gone on.
pub fn show(bot: &Bot, post: i64, place: Place, target: &StopTarget, progress: Progress, fresh: bool) {
    let buttons = activity::buttons(post, !progress.details.is_empty());
    let running = Running {
        place,
        target: target.clone(),
        details: progress.details,
    };
    bot.running.turns().insert(post, running);
    let content = Content {
        rich: progress.rich,
        buttons,
        ..Content::default()
    };
    if fresh {
        bot.outbox.progress(place, post, content);
    } else {
        bot.outbox.tick(place, post, content);
    }
}

/// Does what a button below a running turn says. Whoever may use the bot in the chat may press it.
pub async fn pressed(bot: &Bot, press: &Press, post: i64, choice: Choice) -> Result<String, StoreError> {
    let running = bot.running.turns().get(&post).cloned();
    let Some(running) = running.filter(|running| running.place.chat == press.chat) else {
        // Right after a start of the bot it may not be known yet what runs.
        let unknown = bot.store.open_for_progress(post).await? == Some(press.message);
        return Ok(if unknown { words::TRY_AGAIN } else { words::TURN_OVER }.to_owned());
    };
    match choice {
        Choice::Details if running.details.is_empty() => Ok(words::NO_TOOLS.to_owned()),
        Choice::Details => Ok(running.details),
        Choice::Stop => {
            tracing::info!(chat = press.chat, user = press.user, "a turn is stopped by its button");
            express::stop(bot, &running.target).await
        }
    }
}
