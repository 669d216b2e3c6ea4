//! The journal: every request that arrived, with what became of it.
//!
//! In memory and bounded: the newest [`ENTRIES`] entries, the newest [`BODIES`] of them with their bodies. It keeps
//! header values as they came, keys included, because showing who saw which key is what it is for.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

const ENTRIES: usize = 10_000;
const BODIES: usize = 256;

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, in order of arrival; not reset when the journal is cleared.
    pub seq: u64,
    pub unix_ms: u64,
    pub method: String,
    pub path: String,
    /// Lower-case names; repeated ones joined by a comma.
    pub headers: BTreeMap<String, String>,
    pub body_bytes: usize,
    pub model: String,
    pub stream: bool,
    /// The CLI's session id, empty for other clients.
    pub session: String,
    pub side_question: bool,
    /// Length of `messages`.
    pub messages: usize,
    /// Turns people opened.
    pub turns: usize,
    /// Words of the last user text, cut at 4,000 characters.
    pub last_user: String,
    /// Which rule answered.
    pub rule: String,
    pub outcome: Outcome,
    /// Milliseconds from arrival to the outcome; absent while it runs.
    pub took_ms: Option<u64>,
    /// The body as JSON, only when asked for and still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Running,
    /// Answered to the end.
    Finished,
    /// Refused with this status.
    Status(u16),
    /// Cut by a script.
    Dropped,
    /// The client went away first.
    Aborted,
}

#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    entries: VecDeque<(Entry, Option<Bytes>)>,
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            inner: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }
}

impl Journal {
    /// Adds a request; its outcome is reported through what this returns.
    pub fn open(self: &Arc<Self>, mut entry: Entry, body: Bytes) -> Pending {
        let mut inner = self.lock();
        inner.last += 1;
        entry.seq = inner.last;
        entry.unix_ms = unix_ms();
        let pending = Pending {
            journal: self.clone(),
            seq: entry.seq,
            started: entry.unix_ms,
            outcome: Outcome::Aborted,
        };
        inner.entries.push_back((entry, Some(body)));
        if inner.entries.len() > ENTRIES {
            inner.entries.pop_front();
        }
        if let Some(too_many) = inner.entries.len().checked_sub(BODIES + 1) {
            inner.entries[too_many].1 = None;
        }
        drop(inner);
        self.changed.send_replace(());
        pending
    }

    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    pub fn entries(&self, full: bool) -> Vec<Entry> {
        let shown = |(entry, body): &(Entry, Option<Bytes>)| {
            let body = body
                .as_ref()
                .filter(|_| full)
                .and_then(|body| serde_json::from_slice(body).ok());
            Entry { body, ..entry.clone() }
        };
        self.lock().entries.iter().map(shown).collect()
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request being answered. Dropped without a word it counts as aborted by the client.
#[derive(Debug)]
pub struct Pending {
    journal: Arc<Journal>,
    pub seq: u64,
    started: u64,
    outcome: Outcome,
}

impl Pending {
    pub fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut inner = self.journal.lock();
        if let Some((entry, _)) = inner.entries.iter_mut().rev().find(|(entry, _)| entry.seq == self.seq) {
            entry.outcome = self.outcome.clone();
            entry.took_ms = Some(unix_ms().saturating_sub(self.started));
        }
        drop(inner);
        self.journal.changed.send_replace(());
    }
}

pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
