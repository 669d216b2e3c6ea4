//! Which places are known to be out of reach. Kept in memory: after a restart the first failing post tells again.

use std::collections::HashMap;

use crate::chat::Place;

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
    pub fn lost(&mut self, place: Place, whole_chat: bool, problem: Problem) {
        if whole_chat {
            self.chats.insert(place.chat, problem);
        } else {
            self.places.insert(place, problem);
        }
    }

    /// Something was posted in a place. Tells whether that is news for the whole chat, and for the place.
    pub fn found(&mut self, place: Place) -> (bool, bool) {
        let (chat, place) = (
            self.chats.remove(&place.chat).is_some(),
            self.places.remove(&place).is_some(),
        );
        (chat, chat || place)
    }

    /// Something is known of a chat that makes it reachable, but for its topics that are out of reach by themselves.
    pub fn chat_found(&mut self, chat: i64) {
        self.chats.remove(&chat);
    }

    /// The problem of a place.
    pub fn problem(&self, place: Place) -> Option<&Problem> {
        self.places.get(&place).or_else(|| self.chats.get(&place.chat))
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
