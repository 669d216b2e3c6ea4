//! Groups that became supergroups: where they are now.
//!
//! Telegram gives an upgraded group another id, and its messages new numbers. What was decided and written down before keeps the
//! former id, by which specs and runners know it; wherever something leaves for the chat, or comes from it, the two are one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::chat::Place;

/// Handle to what is known of moved chats. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    chats: Arc<RwLock<HashMap<i64, i64>>>,
}

impl Moved {
    /// Remembers where groups are now, as pairs of the former id and the new one.
    pub fn note(&self, moves: impl IntoIterator<Item = (i64, i64)>) {
        let mut chats = self.chats.write().unwrap_or_else(PoisonError::into_inner);
        chats.extend(moves);
    }

    /// Where a chat is now.
    pub fn now(&self, chat: i64) -> i64 {
        let chats = self.chats.read().unwrap_or_else(PoisonError::into_inner);
        chats.get(&chat).copied().unwrap_or(chat)
    }

    /// Which chat this one was before.
    pub fn former(&self, chat: i64) -> Option<i64> {
        let chats = self.chats.read().unwrap_or_else(PoisonError::into_inner);
        let found = chats.iter().find(|(_, now)| **now == chat);
        found.map(|(former, _)| *former)
    }

    /// Where a place is now.
    pub fn place(&self, place: Place) -> Place {
        Place {
            chat: self.now(place.chat),
            ..place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_a_former_chat_is_where_that_is_now() {
        let moved = Moved::default();
        moved.note([(-5, -100)]);
        let at = |chat| Place { chat, thread: None };
        assert_eq!(
            (moved.place(at(-5)), moved.place(at(-100)), moved.place(at(7))),
            (at(-100), at(-100), at(7))
        );
        assert_eq!((moved.former(-100), moved.former(-5)), (Some(-5), None));
    }
}
