//! Whether the bot can post in a chat, kept as the condition `ChatReachable` of its Topics. Written on a change only.

use std::sync::{Arc, PoisonError};

use kube::ResourceExt;
use tokio::sync::mpsc;

use crate::bot::Bot;
use crate::outbox::Reach;
use crate::store::StoreError;

/// Takes reports until the bot stops.
pub async fn run(bot: Arc<Bot>, mut reports: mpsc::UnboundedReceiver<Reach>) -> Result<(), StoreError> {
    while let Some(report) = reports.recv().await {
        self::report(&bot, &report).await;
    }
    Ok(())
}

/// Writes one report down. A condition that cannot be written is not worth stopping for; the next report tries again.
pub async fn report(bot: &Bot, report: &Reach) {
    let now = jiff::Timestamp::now();
    let problem = report.problem.as_ref().map(|(reason, why)| (*reason, why.as_str()));
    for topic in bot.cluster.topics_of(report.place, report.whole_chat) {
        let name = topic.name_any();
        // The reflector may not show yet what was written a moment ago.
        let was_cut_off = bot
            .cut_off
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&name);
        match bot.cluster.set_reachable(&topic, problem, was_cut_off, now).await {
            Ok(()) => {
                let mut cut_off = bot.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
                if problem.is_some() {
                    cut_off.insert(name);
                } else {
                    cut_off.remove(&name);
                }
            }
            Err(error) => tracing::warn!(topic = name, %error, "ChatReachable was not written"),
        }
    }
}
