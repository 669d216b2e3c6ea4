//! What is kept of finished turns beside the journal: the topic's history file, the result of a task, and the answers of
//! a session that no consumer has acknowledged.
//!
//! All follow from the journal's records, so all are completed after a crash.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_wire::agent::AgentKind;
use longshore_wire::api::{Escalation, TaskResult, Undelivered, Usage};
use longshore_wire::event::{Event, Record};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::journal::{Entry, Journal};
use crate::turn::{Exchange, Exchanges, Past, outcome_of};
use crate::volume::Volume;

/// Patience with the disk before an exchange is written to the history.
const DISK: Duration = Duration::from_secs(3600);
/// Longest wait for the last exchanges at the end: nobody comes after a task to write what is missing.
const LAST: Duration = Duration::from_secs(5);
/// Pause before an exchange that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Answers that are kept for whoever has not taken them, the longest text of one and of all, in bytes.
const UNDELIVERED: usize = 16;
const UNDELIVERED_TEXT: usize = 8 * 1024;
const UNDELIVERED_TEXTS: usize = 64 * 1024;

/// Gathers exchanges.
#[derive(Debug)]
pub struct Chronicle {
    exchanges: Exchanges,
    /// All exchanges of a task; of a session none is kept.
    of_task: Option<Vec<Exchange>>,
    /// The agent of a task asked for a session.
    escalation: Option<Escalation>,
    result: Option<TaskResult>,
    /// Newest answers of a session after what was acknowledged, by their sequence; of a task none is kept: it has a result.
    unacknowledged: VecDeque<(u64, Undelivered)>,
    /// To the writer of the history file; none once it is closed.
    history: Option<mpsc::UnboundedSender<(u64, Exchange)>>,
    writer: Option<JoinHandle<()>>,
}

impl Chronicle {
    /// Catches up with what earlier lives did not get to write.
    pub fn new(volume: &Volume, journal: Journal, kind: AgentKind, entries: &[Entry], past: &Past) -> Self {
        let (history, lines) = mpsc::unbounded_channel();
        let written = volume.history_seq();
        let writer = tokio::spawn(write_history(volume.clone(), journal, lines));
        let mut chronicle = Self {
            exchanges: Exchanges::default(),
            of_task: (kind == AgentKind::Task).then(Vec::new),
            escalation: None,
            result: past.result.clone(),
            unacknowledged: VecDeque::new(),
            history: Some(history),
            writer: Some(writer),
        };
        for entry in entries {
            if let Entry::Record(record) = entry {
                chronicle.absorb(record, 0, written);
            }
        }
        chronicle.delivered(past.acked);
        chronicle
    }

    /// Takes a new record, which is the given entry of the journal.
    pub fn record(&mut self, record: &Record, entry: u64) {
        self.absorb(record, entry, 0);
    }

    fn absorb(&mut self, record: &Record, entry: u64, written: u64) {
        if let Event::Escalation { escalation, .. } = &record.event {
            self.escalation = Some(escalation.clone());
        }
        let Some(exchange) = self.exchanges.absorb(record) else {
            return;
        };
        if let Some(of_task) = &mut self.of_task {
            of_task.push(exchange.clone());
        } else {
            self.keep(&exchange);
        }
        if exchange.seq > written
            && !exchange.messages.is_empty()
            && was_asked(&exchange)
            && let Some(history) = &self.history
        {
            // The writer lives until it is closed.
            let _ = history.send((entry, exchange));
        }
    }

    /// Waits until the history file has all exchanges. None is taken from here on.
    pub async fn close(&mut self) {
        self.history = None;
        let Some(writer) = self.writer.take() else { return };
        if tokio::time::timeout(LAST, writer).await.is_err() {
            tracing::error!("the history lacks the last turns: they could not be written in time");
        }
    }

    /// Keeps an answer until it is acknowledged; the oldest makes room.
    fn keep(&mut self, exchange: &Exchange) {
        let error = exchange.error.as_deref().unwrap_or_default();
        let texts = [exchange.answer.as_str(), error].into_iter();
        let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
        if texts.is_empty() {
            return;
        }
        let mut text = texts.join("\n\n");
        text.truncate(text.floor_char_boundary(UNDELIVERED_TEXT));
        if self.unacknowledged.len() == UNDELIVERED {
            self.unacknowledged.pop_front();
        }
        let answer = Undelivered {
            message_ids: exchange.messages.iter().map(|asked| asked.id).collect(),
            text,
            is_error: exchange.is_error,
        };
        self.unacknowledged.push_back((exchange.seq, answer));
    }

    /// A consumer has stored everything up to here.
    pub fn delivered(&mut self, acked: u64) {
        self.unacknowledged.retain(|(seq, _)| *seq > acked);
    }

    /// Answers that no consumer has acknowledged, oldest first; the newest as far as there is room.
    pub fn undelivered(&self) -> Vec<Undelivered> {
        let mut room = UNDELIVERED_TEXTS;
        let fitting = self.unacknowledged.iter().rev().take_while(|(_, answer)| {
            let fits = answer.text.len() <= room;
            room = room.saturating_sub(answer.text.len());
            fits
        });
        let mut answers: Vec<Undelivered> = fitting.map(|(_, answer)| answer.clone()).collect();
        answers.reverse();
        answers
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

    /// Makes the result from what was answered, with a note under it.
    pub fn conclude(&mut self, usage: Usage, seq: u64, note: Option<String>) -> Option<&TaskResult> {
        if self.result.is_none() {
            let result = outcome_of(self.of_task.as_deref()?, usage, seq)?;
            let texts = [Some(result.text).filter(|text| !text.is_empty()), note];
            let texts: Vec<String> = texts.into_iter().flatten().collect();
            self.result = Some(TaskResult {
                escalation: self.escalation.clone(),
                text: texts.join("\n\n"),
                ..result
            });
        }
        self.result.as_ref()
    }
}

/// Whether claude was asked. What it was not asked would only crowd out the topic's real turns.
fn was_asked(exchange: &Exchange) -> bool {
    ![TaskResult::NOT_NEEDED, TaskResult::WHEN_FAILED].contains(&exchange.terminal_reason.as_str())
}

/// The one writer of the history file. An exchange is written once the journal has it, so that a crash in between
/// leaves it to the next life instead of doubling it.
async fn write_history(volume: Volume, journal: Journal, mut lines: mpsc::UnboundedReceiver<(u64, Exchange)>) {
    while let Some((entry, exchange)) = lines.recv().await {
        while journal.wait(entry, DISK).await.is_err() {}
        let exchange = Arc::new(exchange);
        // One that is left out stays out: the next life goes on after the newest that is there.
        loop {
            let (volume, exchange) = (volume.clone(), exchange.clone());
            match tokio::task::spawn_blocking(move || volume.append_history(&exchange)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::error!(%error, "the history cannot be written; trying again"),
                Err(error) => {
                    tracing::error!(%error, "the history's writer failed");
                    break;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::MessageId;

    fn answer(seq: u64, length: usize) -> Exchange {
        Exchange {
            seq,
            time: jiff::Timestamp::UNIX_EPOCH,
            messages: vec![crate::turn::Asked {
                id: MessageId::from_telegram(1, 1),
                time: jiff::Timestamp::UNIX_EPOCH,
                author: None,
                text: String::new(),
            }],
            answer: "é".repeat(length / 2),
            is_error: false,
            terminal_reason: "completed".to_owned(),
            error: None,
        }
    }

    fn check(answers: impl IntoIterator<Item = Exchange>, acked: u64, lengths: &[usize]) {
        let mut chronicle = Chronicle {
            exchanges: Exchanges::default(),
            of_task: None,
            escalation: None,
            result: None,
            unacknowledged: VecDeque::new(),
            history: None,
            writer: None,
        };
        for answer in answers {
            chronicle.keep(&answer);
        }
        chronicle.delivered(acked);
        let left: Vec<usize> = chronicle.undelivered().iter().map(|answer| answer.text.len()).collect();
        assert_eq!(left, lengths);
    }

    #[test]
    fn the_newest_answers_are_kept_as_far_as_there_is_room() {
        check([], 0, &[]);
        check([answer(1, 0), answer(2, 4)], 0, &[4]);
        check((1..=3).map(|seq| answer(seq, 2 * seq as usize)), 2, &[6]);
        check(
            (1..=20).map(|seq| answer(seq, 2 * seq as usize)),
            0,
            &(5..=20).map(|n| 2 * n).collect::<Vec<_>>(),
        );
        check((1..=10).map(|seq| answer(seq, 9000)), 0, &[8192; 8]);
        check([answer(1, 10), answer(2, 9000)], 0, &[10, 8192]);
    }
}
