//! Receipts: when every word of an answer stands in the chat, the message is closed and its task is told, so that the
//! task's time to live begins. A result that no message asked for has no message to close.

use std::sync::Arc;
use std::time::Duration;

use longshore_wire::MessageId;

use crate::bot::Bot;
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use longshore_routing::Mode;

/// A receipt that was not taken is tried again after this long.
const RETRY: Duration = Duration::from_secs(15);

/// Hands out receipts until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    loop {
        let delivered = bot.store.delivered().await?;
        for row in bot.store.answered().await? {
            if delivered.contains(&row.row) && receipt(&bot, &row).await {
                bot.store.advance_message(row.row, MessageState::Closed).await?;
            }
        }
        for shown in bot.store.shown_results().await? {
            let now = jiff::Timestamp::now();
            match bot.cluster.mark_result_delivered(&shown.task, &shown.uid, now).await {
                Ok(()) => bot.store.result_told(&shown.uid).await?,
                Err(error) => tracing::warn!(task = shown.task, %error, "the receipt is tried again"),
            }
        }
        // A timeout is no failure: it is time to look again.
        let _ = tokio::time::timeout(RETRY, bot.outbox.deliveries()).await;
    }
}

async fn receipt(bot: &Bot, row: &MessageRow) -> bool {
    let (Mode::Task { .. }, Some(task)) = (&row.decision.mode, &row.object) else {
        return true;
    };
    match bot.cluster.mark_delivered(task, jiff::Timestamp::now()).await {
        Ok(()) => true,
        Err(error) => {
            let id = MessageId::from_telegram(row.place.chat, row.message);
            tracing::warn!(task, %id, %error, "the receipt is tried again");
            false
        }
    }
}
