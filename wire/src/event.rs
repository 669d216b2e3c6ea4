//! The runner's journal and event stream.
//!
//! Durable events are journal records: they carry a sequence, survive restarts and are sent as SSE with that sequence as
//! `id`. Ephemeral events (previews) have none, are never stored, and mean nothing once the finished block has come.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::{Approval, Disk, Escalation, IdleEnd, Memory, MessageId, SentFile, Summary, Usage, Verdict};

/// One durable event with its place in the journal. Also the `data` of its SSE message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Starts at 1 and has no gaps.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Durable events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A message was journalled.
    Accepted {
        /// Its id.
        id: MessageId,
        /// Who wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<String>,
        /// Its text.
        text: String,
        /// Files that came with it, as paths below the workspace.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
        /// What it refers to and how it came, in Longshore's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// claude began to work. Turns that claude starts by itself (a background command ended) have no message.
    /// A turn that a crash cut short goes on under the same number, so each start has exactly one end.
    TurnStarted {
        /// Number of the turn, from 1 over the whole session.
        turn: u64,
        /// Messages it answers as far as known; folded ones join in `turn_finished`.
        message_ids: Vec<MessageId>,
    },
    /// A finished block of claude's answer.
    Text {
        /// Turn.
        turn: u64,
        /// Number of the block in its turn, from 0.
        block: u32,
        /// Whole text of the block, Markdown.
        text: String,
    },
    /// A tool began or ended.
    Tool {
        /// Turn.
        turn: u64,
        /// claude's `tool_use_id`.
        id: String,
        /// Name of the tool.
        name: String,
        /// One readable line, at most 256 characters.
        summary: String,
        /// Began or ended.
        state: ToolState,
    },
    /// A prompt or question waits for a person.
    Approval {
        /// Turn.
        turn: u64,
        /// The prompt.
        #[serde(flatten)]
        approval: Approval,
    },
    /// The process that asked is gone before the tool had run, whatever was decided: claude asks again if it still needs to know.
    /// Of a prompt that waited, its `approval_closed` follows.
    ApprovalLost {
        /// The prompt's id.
        id: String,
    },
    /// A prompt no longer waits.
    ApprovalClosed {
        /// The prompt's id.
        id: String,
        /// How it ended.
        outcome: ApprovalOutcome,
        /// Who decided it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A turn ended. Every accepted message stands in exactly one `turn_finished`.
    TurnFinished {
        /// Turn.
        turn: u64,
        /// Messages that it answered.
        message_ids: Vec<MessageId>,
        /// Whether it failed or was stopped.
        is_error: bool,
        /// claude's `terminal_reason` (`completed`, `aborted_streaming`, `api_error`, ...), or the runner's own:
        /// `cancelled` (dropped before it ran), `silence` or `retries` (ended by the watchdog), `not_logged_in` (the
        /// model endpoint refused the credentials), `quiesced` (the session was wound down), `crashed` (claude died of
        /// it again and again), `repository_clone_failed` (a task's workspace lacks its repository), `not_needed` (a task's
        /// `when` has found that claude need not be asked), `when_failed` (it could not find out), `restarted` (a turn
        /// without a message was lost with its process), `ended` (claude stopped working on it without saying how it
        /// went).
        terminal_reason: String,
        /// What to tell the person when `is_error`, or why claude was not asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// Use of the model by this turn.
        usage: Usage,
    },
    /// Memory crossed a threshold, or the kernel killed something for it.
    Memory {
        /// What happened.
        level: MemoryLevel,
        /// One sentence for a person, with what was running.
        message: String,
        /// The figures.
        #[serde(flatten)]
        memory: Memory,
    },
    /// Free space on the topic's volume crossed a threshold.
    Disk {
        /// What happened.
        level: DiskLevel,
        /// One sentence for a person.
        message: String,
        /// The figures.
        #[serde(flatten)]
        disk: Disk,
    },
    /// The topic's repository was cloned into the workspace, or will not be since that holds something else.
    Repository {
        /// One sentence for a person.
        message: String,
    },
    /// The session will soon be suspended or ended for being idle; a message before then cancels it.
    IdleWarning {
        /// When.
        deadline: Timestamp,
        /// What happens then.
        then: IdleEnd,
    },
    /// claude was started again with its conversation.
    Restarted {
        /// One sentence for a person: what happened and what becomes of the running turn.
        message: String,
    },
    /// Key outcomes were written.
    Summary {
        /// The summary.
        #[serde(flatten)]
        summary: Summary,
    },
    /// Key outcomes of an earlier session of the topic were written, which had failed to do so itself.
    EarlierSummary {
        /// Name of that session.
        session: String,
        /// The summary.
        #[serde(flatten)]
        summary: Summary,
    },
    /// The agent of a task asked for a session. At most once in a task.
    Escalation {
        /// Turn.
        turn: u64,
        /// What it said.
        #[serde(flatten)]
        escalation: Escalation,
    },
    /// The agent sent a file to its chat.
    File {
        /// Turn.
        turn: u64,
        /// The file.
        #[serde(flatten)]
        file: SentFile,
    },
}

/// What happened to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemoryLevel {
    /// Below the warning threshold again.
    Normal,
    /// Above the warning threshold.
    Warning,
    /// claude was restarted with its conversation to free memory.
    Recycled,
    /// The kernel killed a process for using more than the limit.
    OutOfMemory,
}

/// What happened to the space on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskLevel {
    /// There is room again.
    Normal,
    /// It is nearly full.
    Low,
}

/// State of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolState {
    /// It began.
    Started,
    /// It ended well.
    Finished,
    /// It failed or was refused.
    Failed,
}

/// How a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalOutcome {
    /// A person allowed it.
    Allowed,
    /// A person denied it.
    Denied,
    /// Nobody answered in time; denied.
    Expired,
    /// It became moot: the turn was stopped, or claude was restarted.
    Cancelled,
}

impl From<Verdict> for ApprovalOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allowed,
            Verdict::Deny => Self::Denied,
        }
    }
}

/// Ephemeral events: SSE without `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Preview {
    /// More text of a block that is being written.
    TextDelta {
        /// Turn.
        turn: u64,
        /// Block.
        block: u32,
        /// Text to append.
        text: String,
    },
    /// Throw the preview of this block away: claude starts it anew.
    TextReset {
        /// Turn.
        turn: u64,
        /// Block.
        block: u32,
    },
    /// How a message meets the turn that runs. Ephemeral, since `turn_finished` names every message that a turn has answered: who
    /// misses this knows later.
    Meeting {
        /// The turn.
        turn: u64,
        /// The message.
        id: MessageId,
        /// How.
        meets: Meets,
    },
}

/// How a message meets a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Meets {
    /// It waits: claude takes it at the next tool result, or in a turn of its own after this one.
    Waiting,
    /// claude has read it in the middle of the turn.
    Folded,
    /// It had waited, and this turn is its own.
    Begun,
}

/// One message of an event stream, read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time is held, and most are events")]
pub enum Heard {
    /// A durable event.
    Event(Record),
    /// A preview.
    Preview(Preview),
    /// A durable event of a kind that this version does not know; its sequence counts all the same.
    Unknown(u64),
}

impl Heard {
    /// Reads the `data` of an SSE message; none when it is nothing of ours. The message's `id` is not needed: ephemeral events
    /// have none, but SSE clients repeat the last one they saw.
    pub fn read(data: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(data).ok()?;
        match value["seq"].as_u64() {
            Some(seq) => Some(serde_json::from_value(value).map_or(Self::Unknown(seq), Self::Event)),
            None => serde_json::from_value(value).ok().map(Self::Preview),
        }
    }
}

/// Query of `GET /v1/events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsQuery {
    /// Send what comes after this sequence. `Last-Event-ID` wins over it.
    #[serde(default)]
    pub after: u64,
    /// Who listens. A terminal keeps the session busy, the bot does not.
    #[serde(default)]
    pub client: EventsClient,
}

/// Who listens to the event stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventsClient {
    /// The bot.
    #[default]
    Bot,
    /// A person's terminal.
    Terminal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_stream_are_told_apart_by_their_data() {
        let event = r#"{"seq":4,"at":"2026-01-01T00:00:00Z","type":"restarted","message":"again"}"#;
        assert!(matches!(Heard::read(event), Some(Heard::Event(Record { seq: 4, .. }))));
        let delta = r#"{"type":"text_delta","turn":1,"block":0,"text":"a"}"#;
        assert!(matches!(Heard::read(delta), Some(Heard::Preview(_))));
        let meeting = r#"{"type":"meeting","turn":1,"id":"00000000-0000-0000-0000-000000000000","meets":"folded"}"#;
        assert!(matches!(Heard::read(meeting), Some(Heard::Preview(_))));
        let newer = r#"{"seq":5,"at":"2026-01-01T00:00:00Z","type":"unheard_of"}"#;
        assert_eq!(Heard::read(newer), Some(Heard::Unknown(5)));
        assert_eq!(Heard::read("no json"), None);
        assert_eq!(Heard::read(r#"{"type":"unheard_of"}"#), None);
    }
}
