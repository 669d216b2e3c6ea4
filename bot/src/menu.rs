//! The menu of commands that Telegram offers, kept in step with the RoutingPolicies.
//!
//! One menu for all chats: what a command of a policy does in a place, and for whom, is up to the rules.

use std::sync::Arc;
use std::time::Duration;

use longshore_routing::{COMMANDS, Router};
use tokio::time::Instant;

use crate::bot::Bot;
use crate::store::StoreError;
use crate::timer::until;
use crate::words;

/// Telegram takes no more commands.
const MOST: usize = 100;
/// Longest name of a command that Telegram takes.
const NAME_CHARS: usize = 32;
/// Pause before a menu is set again that Telegram has not taken.
const AGAIN: Duration = Duration::from_secs(60);

/// Sets the menu whenever it is to be another one, until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    let mut policies = bot.policies.subscribe();
    let mut shown = Vec::new();
    loop {
        let wanted = policies.borrow_and_update().as_deref().map(of);
        let mut again = None;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != shown) {
            match bot.telegram.set_my_commands(&wanted).await {
                Ok(()) => shown = wanted,
                Err(error) => {
                    tracing::warn!(%error, "the menu of commands was not set; it is tried again");
                    again = Some(Instant::now() + AGAIN);
                }
            }
        }
        tokio::select! {
            () = bot.stop.cancelled() => return Ok(()),
            changed = policies.changed() => if changed.is_err() {
                return Ok(());
            },
            () = until(again) => {}
        }
    }
}

/// Commands with what they do: the bot's own, then those of the policies.
fn of(router: &Router) -> Vec<(String, String)> {
    let own = COMMANDS.map(|(_, name, what)| (name.to_owned(), what.to_owned()));
    let others = router.commands().filter(|name| name.len() <= NAME_CHARS);
    let others = others.map(|name| (name.to_owned(), words::COMMAND_OF_POLICY.to_owned()));
    own.into_iter().chain(others).take(MOST).collect()
}
