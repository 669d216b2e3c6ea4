//! Question and answer of a finished turn, gathered from the journal's own records.
//!
//! Feeds the topic's history file and a task's result. Works the same on live records and on records of earlier lives, so
//! both can be written after a crash.

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{TaskResult, Usage};
use longshore_wire::event::{Event, Record};
use serde::{Deserialize, Serialize};

/// Longest text of a task's result, in bytes.
const RESULT_TEXT: usize = 64 * 1024;

/// A finished turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Sequence of its `turn_finished`.
    pub seq: u64,
    /// When it ended.
    pub time: Timestamp,
    /// What was asked; empty for a turn that claude began by itself.
    pub messages: Vec<Asked>,
    /// All blocks of the answer.
    pub answer: String,
    /// Whether it failed or was stopped.
    pub is_error: bool,
    /// Why it ended.
    pub terminal_reason: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Its id.
    pub id: MessageId,
    /// When it was accepted.
    pub time: Timestamp,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its text.
    pub text: String,
}

/// Gathers exchanges from records.
#[derive(Clone, Debug, Default)]
pub struct Exchanges {
    asked: BTreeMap<MessageId, Asked>,
    answers: BTreeMap<u64, Vec<String>>,
}

impl Exchanges {
    /// Takes the next record; returns the exchange that it ends.
    pub fn absorb(&mut self, record: &Record) -> Option<Exchange> {
        match &record.event {
            Event::Accepted { id, author, text, .. } => {
                let asked = Asked {
                    id: *id,
                    time: record.at,
                    author: author.clone(),
                    text: text.clone(),
                };
                self.asked.insert(*id, asked);
                None
            }
            Event::Text { turn, text, .. } => {
                self.answers.entry(*turn).or_default().push(text.clone());
                None
            }
            Event::TurnFinished {
                turn,
                message_ids,
                is_error,
                terminal_reason,
                error,
                ..
            } => Some(Exchange {
                seq: record.seq,
                time: record.at,
                messages: message_ids.iter().filter_map(|id| self.asked.remove(id)).collect(),
                answer: self.answers.remove(turn).unwrap_or_default().join("\n\n"),
                is_error: *is_error,
                terminal_reason: terminal_reason.clone(),
                error: error.clone(),
            }),
            _ => None,
        }
    }
}

/// The result of a task from its exchanges: the first one that answered a message, and what claude added by itself when
/// background work ended. None while nothing was answered.
pub fn outcome_of(exchanges: &[Exchange], usage: Usage, seq: u64) -> Option<TaskResult> {
    let first = exchanges.iter().position(|exchange| !exchange.messages.is_empty())?;
    let told = &exchanges[first..];
    let last = told.last()?;
    let failed = told.iter().find(|exchange| exchange.is_error).unwrap_or(last);
    let texts = told.iter().flat_map(|exchange| {
        let error = exchange.error.as_deref().unwrap_or_default();
        [exchange.answer.as_str(), error]
    });
    let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
    let mut text = texts.join("\n\n");
    let truncated = text.len() > RESULT_TEXT;
    if truncated {
        text.truncate(text.floor_char_boundary(RESULT_TEXT));
    }
    Some(TaskResult {
        text,
        truncated,
        is_error: failed.is_error,
        terminal_reason: failed.terminal_reason.clone(),
        usage,
        finished_at: last.time,
        seq,
        escalation: None,
    })
}
