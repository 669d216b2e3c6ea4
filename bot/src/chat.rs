//! Where something is said: a chat and, in a forum, one of its topics.
//!
//! Pure values. Knows nothing of Telegram's API beyond two facts: the General topic, plain groups and private chats
//! without topics have no thread, and groups have negative ids.

use serde::{Deserialize, Serialize};

/// A chat and a forum topic in it. Also the dispatch key: things in one place happen in order, different places run in
/// parallel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Chat id; negative for groups.
    pub chat: i64,
    /// Topic of a forum or of a private chat; none for the General topic and for chats without topics.
    pub thread: Option<i64>,
}

impl Place {
    /// Thread as the store keeps it: 0 stands for none, so that it can be part of a key.
    pub fn thread_key(self) -> i64 {
        self.thread.unwrap_or(0)
    }

    /// The reverse of [`Place::thread_key`].
    pub fn from_key(chat: i64, thread: i64) -> Self {
        Self {
            chat,
            thread: (thread != 0).then_some(thread),
        }
    }

    /// Groups share one rate limit over all their topics; private chats have a wider one.
    pub fn is_group(chat: i64) -> bool {
        chat < 0
    }
}
