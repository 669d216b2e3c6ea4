//! The queue of updates and who is polling it.
//!
//! An update stays until a later `getUpdates` confirms it by a higher offset. Two pollers are told apart by generation: a
//! new call makes an older, hanging one end with 409, as the real server does.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::ApiError;

/// What is delivered when a bot has never said what it wants.
const NOT_BY_DEFAULT: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

#[derive(Debug)]
pub struct Queue {
    pending: VecDeque<Value>,
    last_id: i64,
    allowed: Option<Vec<String>>,
    /// Counts `getUpdates` calls; a hanging poll of an older generation has been replaced.
    generation: u64,
    confirmed: u64,
}

/// The queue as a test sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    pub pending: Vec<Value>,
    /// How many updates the bot has confirmed.
    pub confirmed: u64,
    pub allowed_updates: Option<Vec<String>>,
}

impl Default for Queue {
    fn default() -> Self {
        // Ids start anywhere in reality; a round number is easy to read in a log.
        Queue {
            pending: VecDeque::new(),
            last_id: 900_000,
            allowed: None,
            generation: 0,
            confirmed: 0,
        }
    }
}

impl Queue {
    /// Queues an update of this kind, unless the bot does not want such. Returns its id.
    pub fn push(&mut self, kind: &str, content: Value) -> Option<i64> {
        let wanted = match &self.allowed {
            Some(allowed) => allowed.iter().any(|name| name == kind),
            None => !NOT_BY_DEFAULT.contains(&kind),
        };
        wanted.then(|| {
            self.last_id += 1;
            self.pending
                .push_back(json!({"update_id": self.last_id, kind: content}));
            self.last_id
        })
    }

    /// Queues anything at all, with an id of ours.
    pub fn push_raw(&mut self, mut update: Value) -> i64 {
        self.last_id += 1;
        update["update_id"] = json!(self.last_id);
        self.pending.push_back(update);
        self.last_id
    }

    /// An empty list means the default again.
    pub fn allow(&mut self, kinds: Vec<String>) {
        self.allowed = (!kinds.is_empty()).then_some(kinds);
    }

    /// Starts a poll: replaces hanging ones, confirms what lies below `offset`.
    pub fn begin_poll(&mut self, offset: i64) -> u64 {
        self.generation += 1;
        let drop = if offset < 0 {
            let keep = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            self.pending.len().saturating_sub(keep)
        } else {
            self.pending
                .iter()
                .take_while(|update| update["update_id"].as_i64() < Some(offset))
                .count()
        };
        self.pending.drain(..drop);
        self.confirmed += drop as u64;
        self.generation
    }

    /// What a poll may take now.
    pub fn take(&self, limit: usize) -> Vec<Value> {
        self.pending.iter().take(limit).cloned().collect()
    }

    /// Fails when a newer poll has begun.
    pub fn still_polling(&self, generation: u64) -> Result<(), ApiError> {
        if self.generation == generation {
            return Ok(());
        }
        Err(ApiError::conflict(
            "terminated by other getUpdates request; make sure that only one bot instance is running",
        ))
    }

    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn clear(&mut self) {
        self.pending.clear();
    }

    pub fn backlog(&self) -> Backlog {
        Backlog {
            pending: self.pending.iter().cloned().collect(),
            confirmed: self.confirmed,
            allowed_updates: self.allowed.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(count: i64) -> Queue {
        let mut queue = Queue::default();
        for n in 0..count {
            queue.push("message", json!({"text": n}));
        }
        queue
    }

    fn ids(queue: &Queue) -> Vec<i64> {
        queue
            .take(100)
            .iter()
            .filter_map(|update| update["update_id"].as_i64())
            .collect()
    }

    #[test]
    fn an_offset_confirms_only_lower_ids() {
        let mut queue = with(3);
        queue.begin_poll(0);
        assert_eq!(ids(&queue), [900_001, 900_002, 900_003]);
        queue.begin_poll(900_002);
        assert_eq!(ids(&queue), [900_002, 900_003]);
        queue.begin_poll(900_002);
        assert_eq!(ids(&queue), [900_002, 900_003], "unconfirmed updates come again");
        queue.begin_poll(900_004);
        assert!(queue.is_empty());
        assert_eq!(queue.backlog().confirmed, 3);
    }

    #[test]
    fn a_negative_offset_keeps_the_last_ones() {
        let mut queue = with(3);
        queue.begin_poll(-1);
        assert_eq!(ids(&queue), [900_003]);
        queue.begin_poll(-100);
        assert_eq!(ids(&queue), [900_003]);
    }

    #[test]
    fn unwanted_kinds_are_not_queued() {
        let mut queue = Queue::default();
        assert_eq!(queue.push("message_reaction", json!({})), None);
        queue.allow(vec!["callback_query".to_owned()]);
        assert_eq!(queue.push("message", json!({})), None);
        assert!(queue.push("callback_query", json!({})).is_some());
        queue.allow(Vec::new());
        assert!(queue.push("message", json!({})).is_some());
    }

    #[test]
    fn a_newer_poll_replaces_an_older_one() {
        let mut queue = with(0);
        let first = queue.begin_poll(0);
        let second = queue.begin_poll(0);
        assert_eq!(queue.still_polling(first).unwrap_err().code, 409);
        assert!(queue.still_polling(second).is_ok());
    }
}
