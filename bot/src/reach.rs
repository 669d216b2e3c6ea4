//! Whether the bot can post in a chat, kept as the condition `ChatReachable` of its Topics. Written on a change only.
//!
//! What is out of reach is remembered until it is reachable again, since the Topic may be seen later than the trouble.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use kube::ResourceExt;
use longshore_crds::Topic;
use tokio::sync::mpsc;

use crate::bot::Bot;
use crate::chat::Place;
use crate::cluster::place_of;
use crate::outbox::Reach;
use crate::store::StoreError;

/// Condition reason and Telegram's words.
pub type Problem = (&'static str, String);

/// What is known to be out of reach. After a restart the first failing post tells again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutOfReach {
    chats: HashMap<i64, Problem>,
    places: HashMap<Place, Problem>,
}

impl OutOfReach {
    /// Remembers a problem.
    fn lost(&mut self, place: Place, whole_chat: bool, problem: Problem) {
        if whole_chat {
            self.chats.insert(place.chat, problem);
        } else {
            self.places.insert(place, problem);
        }
    }

    /// Something was posted in a place. Tells whether that is news for the whole chat, and for the place.
    fn found(&mut self, place: Place) -> (bool, bool) {
        let (chat, place) = (
            self.chats.remove(&place.chat).is_some(),
            self.places.remove(&place).is_some(),
        );
        (chat, chat || place)
    }

    /// The problem of a place.
    fn problem(&self, place: Place) -> Option<&Problem> {
        self.places.get(&place).or_else(|| self.chats.get(&place.chat))
    }
}

/// Takes reports until the bot stops.
pub async fn run(bot: Arc<Bot>, mut reports: mpsc::UnboundedReceiver<Reach>) -> Result<(), StoreError> {
    while let Some(report) = reports.recv().await {
        self::report(&bot, &report).await;
    }
    Ok(())
}

/// Writes one report down.
pub async fn report(bot: &Bot, report: &Reach) {
    let place = report.place;
    let (whole_chat, news) = {
        let mut out_of_reach = bot.out_of_reach.lock().unwrap_or_else(PoisonError::into_inner);
        match &report.problem {
            Some(problem) => {
                out_of_reach.lost(place, report.whole_chat, problem.clone());
                (report.whole_chat, true)
            }
            None => out_of_reach.found(place),
        }
    };
    for topic in bot.cluster.topics_of(place, whole_chat) {
        write(bot, &topic, news).await;
    }
}

/// A Topic is there or changed; it may not know yet that its chat is out of reach.
pub async fn seen(bot: &Bot, topic: &Topic) {
    let Some(place) = place_of(topic) else { return };
    let troubled = bot
        .out_of_reach
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .problem(place)
        .is_some();
    if troubled {
        write(bot, topic, false).await;
    }
}

/// A condition that cannot be written is not worth stopping for; the next report tries again.
async fn write(bot: &Bot, topic: &Topic, news: bool) {
    let Some(place) = place_of(topic) else { return };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_that_answers_again_leaves_its_closed_topics_closed() {
        let (open, closed) = (
            Place { chat: -1, thread: None },
            Place {
                chat: -1,
                thread: Some(5),
            },
        );
        let mut out_of_reach = OutOfReach::default();
        out_of_reach.lost(closed, false, ("TopicClosed", "closed".into()));
        out_of_reach.lost(open, true, ("BotRemoved", "out".into()));
        assert_eq!(out_of_reach.problem(open).unwrap().0, "BotRemoved");
        assert_eq!(out_of_reach.found(open), (true, true));
        assert_eq!(out_of_reach.found(open), (false, false));
        assert_eq!(
            (out_of_reach.problem(open), out_of_reach.problem(closed).unwrap().0),
            (None, "TopicClosed")
        );
        assert_eq!(out_of_reach.found(closed), (false, true));
        assert_eq!(out_of_reach, OutOfReach::default());
    }
}
