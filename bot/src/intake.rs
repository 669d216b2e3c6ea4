//! Fetching updates: into the store first, then told to Telegram as received.
//!
//! The offset moves only after the commit, so a crash at any point means that updates come again, and the inbox knows
//! them. One poll at a time; a second poller with the same token is explained and waited out, never fought.

use std::sync::Arc;
use std::time::Duration;

use crate::bot::{Bot, LONGEST_WAIT};
use crate::store::StoreError;
use crate::telegram::{CallError, update};

/// Fetches updates until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    let mut offset = None;
    let mut failures = 0;
    loop {
        match bot.telegram.get_updates(offset).await {
            Ok(raw) => {
                failures = 0;
                let updates = raw
                    .into_iter()
                    .filter_map(|raw| Some((update::update_id(&raw)?, raw)))
                    .collect::<Vec<_>>();
                if let Some(newest) = updates.iter().map(|(id, _)| *id).max() {
                    bot.store.receive(updates, bot.now()).await?;
                    offset = Some(newest + 1);
                    bot.inbox.notify_one();
                }
            }
            Err(error) => {
                let wait = wait(&error, failures);
                failures += 1;
                explain(&error, wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn wait(error: &CallError, failures: u32) -> Duration {
    let doubled = Duration::from_millis(500 << failures.min(6)).min(LONGEST_WAIT);
    match error {
        CallError::RetryAfter(wait) => *wait,
        // The other poller holds its poll for up to 50 s; asking often would only throw it out again and again.
        CallError::Conflict(_) => doubled.max(Duration::from_secs(5)),
        _ => doubled,
    }
}

fn explain(error: &CallError, wait: Duration) {
    let seconds = wait.as_secs_f32();
    match error {
        CallError::Conflict(_) => tracing::error!(
            %error,
            seconds,
            "two programs fetch this bot's updates, or a webhook is set. Run one bot per token (replicas: 1, strategy \
             Recreate), and remove a webhook with deleteWebhook"
        ),
        CallError::Unauthorized(_) => {
            tracing::error!(%error, seconds, "check TELEGRAM_BOT_TOKEN; @BotFather shows the right one");
        }
        _ => tracing::warn!(%error, seconds, "no updates; trying again"),
    }
}
