//! What is kept of finished turns beside the journal: the topic's history file and the result of a task.
//!
//! Both follow from the journal's records, so both are completed after a crash.

use longshore_wire::agent::AgentKind;
use longshore_wire::api::{TaskResult, Usage};
use longshore_wire::event::Record;
use std::time::Duration;
use tokio::sync::mpsc;

use crate::journal::{Entry, Journal};
use crate::turn::{Exchange, Exchanges, Past, outcome_of};
use crate::volume::Volume;

/// Patience with the disk before an exchange is written to the history.
const DISK: Duration = Duration::from_secs(3600);

/// Gathers exchanges.
#[derive(Debug)]
pub struct Chronicle {
    exchanges: Exchanges,
    /// All exchanges of a task; of a session none is kept.
    of_task: Option<Vec<Exchange>>,
    result: Option<TaskResult>,
    history: mpsc::UnboundedSender<(u64, Exchange)>,
}

impl Chronicle {
    /// Catches up with what earlier lives did not get to write.
    pub fn new(volume: &Volume, journal: Journal, kind: AgentKind, entries: &[Entry], past: &Past) -> Self {
        let (history, lines) = mpsc::unbounded_channel();
        let written = volume.history_seq();
        tokio::spawn(write_history(volume.clone(), journal, lines));
        let mut chronicle = Self {
            exchanges: Exchanges::default(),
            of_task: (kind == AgentKind::Task).then(Vec::new),
            result: past.result.clone(),
            history,
        };
        for entry in entries {
            if let Entry::Record(record) = entry {
                chronicle.absorb(record, 0, written);
            }
        }
        chronicle
    }

    /// Takes a new record, which is the given entry of the journal.
    pub fn record(&mut self, record: &Record, entry: u64) {
        self.absorb(record, entry, 0);
    }

    fn absorb(&mut self, record: &Record, entry: u64, written: u64) {
        let Some(exchange) = self.exchanges.absorb(record) else {
            return;
        };
        if let Some(of_task) = &mut self.of_task {
            of_task.push(exchange.clone());
        }
        if exchange.seq > written && !exchange.messages.is_empty() {
            // The writer lives as long as the runtime.
            let _ = self.history.send((entry, exchange));
        }
    }

    /// The result of a task that has one.
    pub fn result(&self) -> Option<&TaskResult> {
        self.result.as_ref()
    }

    /// A message of a task was answered, but its result is not recorded.
    pub fn has_answer(&self) -> bool {
        let answered = |exchange: &Exchange| !exchange.messages.is_empty();
        self.result.is_none() && self.of_task.as_ref().is_some_and(|all| all.iter().any(answered))
    }

    /// Makes the result from what was answered.
    pub fn conclude(&mut self, usage: Usage, seq: u64) -> Option<&TaskResult> {
        if self.result.is_none() {
            self.result = outcome_of(self.of_task.as_deref()?, usage, seq);
        }
        self.result.as_ref()
    }
}

/// The one writer of the history file. An exchange is written once the journal has it, so that a crash in between
/// leaves it to the next life instead of doubling it.
async fn write_history(volume: Volume, journal: Journal, mut lines: mpsc::UnboundedReceiver<(u64, Exchange)>) {
    while let Some((entry, exchange)) = lines.recv().await {
        while journal.wait(entry, DISK).await.is_err() {}
        let volume = volume.clone();
        let written = tokio::task::spawn_blocking(move || volume.append_history(&exchange)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "an exchange is missing in the history"),
            Err(error) => tracing::error!(%error, "the history's writer failed"),
        }
    }
}
