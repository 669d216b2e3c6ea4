//! Whether the bot can post in a chat, kept as the condition `ChatReachable` of its Topics. Written on a change only.
//!
//! What is out of reach is remembered until it is reachable again, since the Topic may be seen later than the trouble.

use std::sync::{Arc, PoisonError};

use kube::ResourceExt;
use longshore_crds::Topic;
use tokio::sync::mpsc;

use crate::bot::Bot;
use crate::migrate;
use crate::outbox::Reach;
use crate::store::StoreError;

/// Takes reports until the bot stops.
pub async fn run(bot: Arc<Bot>, mut reports: mpsc::UnboundedReceiver<Reach>) -> Result<(), StoreError> {
    while let Some(report) = reports.recv().await {
        match report.moved_to {
            Some(chat) => migrate::chat(&bot, report.place.chat, chat).await?,
            None => self::report(&bot, &report).await,
        }
    }
    Ok(())
}

/// Writes one report down.
pub async fn report(bot: &Bot, report: &Reach) {
    let place = bot.moved.place(report.place);
    let (whole_chat, news) = {
        let mut out_of_reach = bot.out_of_reach.lock().unwrap_or_else(PoisonError::into_inner);
        match &report.problem {
            Some(problem) => {
                out_of_reach.lost(place, report.whole_chat, problem.clone());
                (report.whole_chat, true)
            }
            None => {
                let (whole_chat, news) = out_of_reach.found(place);
                (whole_chat || report.whole_chat, news)
            }
        }
    };
    if report.problem.is_none()
        && whole_chat
        && let Err(error) = bot.outbox.reachable(place, true).await
    {
        tracing::warn!(chat = place.chat, %error, "posts of other topics wait longer than they must");
    }
    for topic in bot.cluster.topics_of(place, whole_chat) {
        write(bot, &topic, news).await;
    }
}

/// A Topic is there or changed; it may not know yet that its chat is out of reach, or where it is now.
pub async fn seen(bot: &Bot, topic: &Topic) {
    let Some(place) = bot.cluster.place_of(topic) else {
        return;
    };
    let troubled = bot
        .out_of_reach
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .problem(place)
        .is_some();
    if troubled || bot.cluster.has_moved(topic) {
        write(bot, topic, false).await;
    }
}

/// A condition that cannot be written is not worth stopping for; the next report tries again.
async fn write(bot: &Bot, topic: &Topic, news: bool) {
    let Some(place) = bot.cluster.place_of(topic) else {
        return;
    };
    let problem = bot
        .out_of_reach
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .problem(place)
        .cloned();
    let problem = problem.as_ref().map(|(reason, why)| (*reason, why.as_str()));
    if let Err(error) = bot
        .cluster
        .set_reachable(topic, problem, news, jiff::Timestamp::now())
        .await
    {
        tracing::warn!(topic = topic.name_any(), %error, "ChatReachable was not written");
    }
}
