//! What a line of the journal can be.

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::TaskResult;
use longshore_wire::event::Record;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A durable event, as consumers see it.
    Record(Record),
    /// What only the runner itself needs to know after a restart.
    Mark(Mark),
}

/// State of the runner between records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Mark {
    /// A consumer stored everything up to here.
    Acked {
        /// Journal sequence.
        seq: u64,
    },
    /// A continuation text with this uuid is about to be sent in place of these messages.
    Continued {
        /// uuid of the continuation.
        uuid: Uuid,
        /// Messages that it stands for.
        message_ids: Vec<MessageId>,
    },
    /// A person asked to stop the turn of these messages; a crash does not bring it back.
    StopAsked {
        /// Messages of the turn.
        message_ids: Vec<MessageId>,
    },
    /// Settings that a person changed.
    Settings {
        /// Model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// Permission mode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission_mode: Option<String>,
    },
    /// The task's `when` has found that claude is needed; it is not run again from here on.
    Needed {
        /// What it printed, as far as it is kept.
        printed: String,
    },
    /// A consumer has this file.
    FileTaken {
        /// The file.
        id: Uuid,
    },
    /// The result of a task.
    Result {
        /// It.
        result: TaskResult,
    },
    /// Wound down on purpose: the next start is no restart.
    Closed {
        /// When.
        at: Timestamp,
    },
}

impl Entry {
    /// The line, with its end.
    pub fn encode(&self) -> String {
        let encoded = match self {
            Self::Record(record) => serde_json::to_string(record),
            Self::Mark(mark) => serde_json::to_string(mark),
        };
        let mut line = encoded.expect("our types have string keys and no failing serialisers");
        line.push('\n');
        line
    }
}

/// Reads a line; none when it is neither a record nor a mark of this version.
pub fn decode(line: &[u8]) -> Option<Entry> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    if value.get("mark").is_some() {
        Mark::deserialize(value).ok().map(Entry::Mark)
    } else {
        Record::deserialize(value).ok().map(Entry::Record)
    }
}

/// Sequence of a line that is a record.
pub fn seq_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        seq: u64,
        #[serde(default)]
        mark: Option<serde::de::IgnoredAny>,
    }
    let head: Head = serde_json::from_str(line).ok()?;
    head.mark.is_none().then_some(head.seq)
}
