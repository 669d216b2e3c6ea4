//! Bodies of the runner's HTTP API, `http://<pod>:7411/v1/...`.
//!
//! Every route but `/healthz` wants `Authorization: Bearer <topic token>`. Errors are a [`Problem`] with a matching status.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::agent::AgentKind;

/// Largest body of a request, in bytes, without the files of a message; more is refused with 413.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Largest sum of the files of a message, in bytes; more is refused with 413. It is what Telegram lets a bot download.
pub const MAX_FILES_BYTES: usize = 20 << 20;

/// Largest file that an agent may send, in bytes. It is what Telegram lets a bot upload.
pub const MAX_SENT_FILE_BYTES: u64 = 50_000_000;

/// Identity of a message, and the `uuid` that claude stores with it. The same id is never run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

impl MessageId {
    /// Namespace of all name-based ids. Random, and fixed for ever: under another one, messages that were delivered
    /// already would be new.
    const NAMESPACE: Uuid = Uuid::from_bytes([
        0x0a, 0x2c, 0x6b, 0x0e, 0x4b, 0x0f, 0x52, 0x1c, 0x9d, 0x6a, 0x1d, 0x7e, 0x3a, 0x5b, 0x8c, 0x11,
    ]);

    /// Id of a Telegram message: the same update gives the same id, however often it is fetched.
    pub fn from_telegram(chat_id: i64, message_id: i64) -> Self {
        Self(Uuid::new_v5(
            &Self::NAMESPACE,
            format!("telegram/{chat_id}/{message_id}").as_bytes(),
        ))
    }

    /// Id of a run of the ScheduledTask with this UID. `minute` counts from the Unix epoch.
    pub fn from_run(schedule_uid: &str, minute: i64) -> Self {
        Self(Uuid::new_v5(
            &Self::NAMESPACE,
            format!("schedule/{schedule_uid}/{minute}").as_bytes(),
        ))
    }

    /// Id of the prompt in the spec of the object with this UID, for objects that no chat message stands behind.
    pub fn from_object(uid: &str) -> Self {
        Self(Uuid::new_v5(&Self::NAMESPACE, format!("object/{uid}").as_bytes()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a message meets a running turn (claude's `priority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// Folded into the running turn at its next tool result, else the next turn.
    #[default]
    Next,
    /// A turn of its own after the running one.
    Later,
    /// Aborts the running turn and runs at once.
    Now,
}

/// A file that comes with a message. The runner saves it under `inbox/` of the workspace and names it to claude.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// File name as the sender gave it; path separators and control characters are replaced when saved.
    pub name: String,
    /// Content, standard base64.
    pub data: String,
}

/// `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostMessage {
    /// Identity; a repeated id gives the same answer and no second turn.
    pub id: MessageId,
    /// What the person wrote, taken literally: no slash command, no `@file` expansion.
    pub text: String,
    /// Files that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Who wrote it, for claude and for the history; none for the author of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What it refers to and how it came, in Longshore's words: claude reads it in front of the text. At most 16 KiB of it count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// How it meets a running turn.
    #[serde(default)]
    pub priority: Priority,
}

/// 202 to `POST /v1/messages`: the message is journalled and fsynced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageAccepted {
    /// The id that was posted.
    pub id: MessageId,
    /// Journal sequence of its `accepted` event; the same for every repetition.
    pub seq: u64,
}

/// Where the runner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunnerState {
    /// claude has not answered `initialize` yet; messages are accepted and wait.
    Starting,
    /// claude is there.
    Ready,
    /// Winding down after `POST /v1/quiesce` or SIGTERM; new messages get 503.
    Quiescing,
    /// Wound down: no claude process, nothing more will happen; new messages get 409.
    Quiesced,
    /// claude cannot be started; [`Status::problem`] says why. The runner goes on trying.
    Failed,
}

/// Why the agent must not be taken for idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Busy {
    /// A turn runs, or accepted messages wait for one.
    TurnRunning,
    /// A permission prompt or plan waits for a person.
    WaitingForApproval,
    /// A question of claude's waits for a person.
    WaitingForAnswer,
    /// A background command or subagent runs.
    BackgroundTask,
    /// A terminal follows the event stream.
    TerminalAttached,
}

/// Why claude cannot work. The variant is the condition reason that the operator shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentProblem {
    /// Kind of the problem.
    pub kind: AgentProblemKind,
    /// One sentence for a person: what failed and what to do.
    pub message: String,
}

/// Kinds of [`AgentProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentProblemKind {
    /// No or refused credentials.
    NotLoggedIn,
    /// A directory that must be writable is not.
    NotWritable,
    /// claude exits again and again, or refuses to start.
    CrashLoop,
    /// The topic's repository cannot be cloned into its workspace.
    RepositoryCloneFailed,
}

/// Memory of the pod's cgroup, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// In use now, without the reclaimable page cache.
    pub current_bytes: u64,
    /// Highest value of `current_bytes` that the runner saw.
    pub peak_bytes: u64,
    /// The limit; none when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Processes that the kernel killed for memory over the life of this session or task, as far as the runner saw it.
    #[serde(default)]
    pub oom_kills: u64,
}

/// Space on the topic's volume, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Free for a non-root user.
    pub free_bytes: u64,
    /// Size of the file system; 0 when it could not be looked at.
    pub total_bytes: u64,
}

impl Disk {
    /// Little is free below this share of the volume, in percent...
    const LOW_PERCENT: u64 = 5;
    /// ... unless the share is large in itself: of a disk of terabytes 5 % are plenty.
    const LOW_BYTES: u64 = 500 << 20;

    /// Whether so many times as much is free as makes a volume nearly full. One that cannot be looked at says nothing.
    pub fn has_room(&self, times: u64) -> Option<bool> {
        let percent = self.free_bytes.saturating_mul(100).checked_div(self.total_bytes)?;
        Some(percent >= Self::LOW_PERCENT * times || self.free_bytes >= Self::LOW_BYTES * times)
    }

    /// Whether the volume is nearly full, if it was before: there is room again at twice as much.
    pub fn is_nearly_full(&self, was: bool) -> Option<bool> {
        Some(!self.has_room(if was { 2 } else { 1 })?)
    }
}

/// Use of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Finished turns.
    pub turns: u64,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// US dollars as a decimal string, by claude's own price list.
    pub cost_usd: String,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the runner.
    pub version: String,
    /// Version of claude, once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_version: Option<String>,
    /// Process id of claude inside the pod; a follow-up that meets the same id meets the same process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_pid: Option<u32>,
    /// Session or task.
    pub kind: AgentKind,
    /// UID of the PersistentSession or ContainerTask; also claude's session id.
    pub uid: Uuid,
    /// Where the runner stands.
    pub state: RunnerState,
    /// Why claude cannot work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<AgentProblem>,
    /// Empty means idle.
    #[serde(default)]
    pub busy: Vec<Busy>,
    /// When a person or claude last did something.
    pub last_activity: Timestamp,
    /// Accepted messages without a finished turn.
    #[serde(default)]
    pub unfinished: Vec<MessageId>,
    /// Prompts and questions that wait for a person.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// Memory of the pod.
    pub memory: Memory,
    /// Space on the topic's volume.
    pub disk: Disk,
    /// Use of the model over the life of this session or task.
    pub usage: Usage,
    /// Sequence of the newest journal record.
    pub seq: u64,
    /// Newest sequence that a consumer acknowledged.
    pub acked: u64,
    /// How often claude was started again over the life of this session or task.
    pub restarts: u32,
    /// The last summary, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Why the summary that `POST /v1/quiesce` asked for could not be written. None with an older or no summary means
    /// that there was nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary_error: Option<String>,
    /// How often claude was restarted to free memory, over the life of this session or task.
    #[serde(default)]
    pub recycled: u32,
    /// Once `quiesced`: answers after `acked`, oldest first, at most 16 and 64 KiB in all; the newest when there are more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<Undelivered>,
    /// How claude is set, and what it does.
    #[serde(default)]
    pub claude: ClaudeStatus,
}

/// How claude is set, and what it does, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaudeStatus {
    /// Model of the following turns; none while the choice is claude's own and no turn has shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Permission mode of the following turns, in claude's spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// Models that claude offers, at most 16; empty until it has started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelChoice>,
    /// When the running turn began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_since: Option<Timestamp>,
    /// Tools that run now, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningTool>,
}

/// A model that claude offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelChoice {
    /// What [`Settings::model`] takes.
    pub value: String,
    /// Its name for people.
    pub name: String,
}

/// A tool that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningTool {
    /// Its name.
    pub name: String,
    /// What it does, in one line; may be empty.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
}

/// Key outcomes of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// File below the topic's volume, e.g. `state/summaries/<uid>.md`.
    pub path: String,
    /// When it was written.
    pub time: Timestamp,
    /// Its text, at most 4 KiB.
    pub text: String,
}

/// What a prompt asks a person for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalKind {
    /// May this tool run?
    Permission,
    /// AskUserQuestion.
    Question,
    /// ExitPlanMode: is this plan good?
    Plan,
}

/// A prompt or question that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// claude's `request_id`; part of the route that answers it.
    pub id: String,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// Tool that asks.
    pub tool_name: String,
    /// One readable line, at most 512 characters.
    pub summary: String,
    /// The tool's input as claude gave it.
    pub input: Value,
    /// When it is denied by itself.
    pub expires_at: Timestamp,
    /// claude's `tool_use_id`: the use of the tool that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// Path for which claude asks, at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_path: Option<String>,
    /// Why claude asks, in its own words, at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What [`Decision::remember`] would allow for the session, a line each; empty when that is nothing. None from a runner
    /// that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rememberable: Option<Vec<String>>,
}

impl Approval {
    /// A prompt of which no more is known than what every runner says.
    pub fn new(id: impl Into<String>, kind: ApprovalKind, tool_name: impl Into<String>, input: Value) -> Self {
        Self {
            id: id.into(),
            kind,
            tool_name: tool_name.into(),
            summary: String::new(),
            input,
            expires_at: Timestamp::UNIX_EPOCH,
            tool_use_id: None,
            blocked_path: None,
            reason: None,
            rememberable: None,
        }
    }
}

/// `POST /v1/approvals/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Allow or deny.
    pub verdict: Verdict,
    /// Also allow what claude suggests to allow for the rest of the session. Ignored with a denial.
    #[serde(default)]
    pub remember: bool,
    /// Told to claude with a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For a question: text of the question -> label of the option, or free text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Outcome of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The tool runs.
    Allow,
    /// The tool does not run; the turn goes on.
    Deny,
}

/// `POST /v1/ack`: everything up to `seq` is stored by the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// Journal sequence.
    pub seq: u64,
}

/// `POST /v1/interrupt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interrupt {
    /// Also drop the messages that wait for the next turn.
    #[serde(default)]
    pub cancel_queued: bool,
}

/// Answer to `POST /v1/interrupt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interrupted {
    /// Messages of the turn that was stopped; empty when nothing ran.
    pub stopped: Vec<MessageId>,
    /// Waiting messages that were dropped.
    pub cancelled: Vec<MessageId>,
    /// Waiting messages that run next.
    pub still_queued: Vec<MessageId>,
}

/// `POST /v1/settings`. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Model for the following turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Permission mode for the following turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
}

/// `POST /v1/quiesce`: wind down. Answered with 202 at once; progress is in [`Status::state`] and by notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quiesce {
    /// When the runner must be quiesced whatever has or has not worked.
    pub deadline: Timestamp,
    /// Ask claude for the key outcomes and write them to the topic's state files first.
    pub summarize: bool,
    /// Refuse with 409 `Active` when the agent is busy or somebody did something after this time: idle no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_active_after: Option<Timestamp>,
}

/// `POST /v1/warn`: tell the people of the topic that the session will be idle. Answered with 202; the same deadline is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warn {
    /// When the session is idle, if nothing happens.
    pub deadline: Timestamp,
    /// What happens then.
    pub then: IdleEnd,
}

/// What becomes of an idle session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdleEnd {
    /// Its pod goes; the next message brings it back.
    Suspend,
    /// It ends.
    End,
}

/// An answer that no consumer had acknowledged when the runner was wound down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undelivered {
    /// Messages that it answers.
    pub message_ids: Vec<MessageId>,
    /// All blocks of the answer, or what to tell the person when `is_error`; at most 8 KiB.
    pub text: String,
    /// Whether the turn failed or was stopped.
    pub is_error: bool,
}

/// A file that the agent has sent. The runner keeps a copy and serves it at `GET /v1/files/{id}` until it was taken: by
/// `DELETE /v1/files/{id}`, or in a session by an [`Ack`] of its event. Name and caption are written by a model: untrusted text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentFile {
    /// Its identity.
    pub id: Uuid,
    /// Name without a path.
    pub name: String,
    /// Size in bytes, from 1 to [`MAX_SENT_FILE_BYTES`].
    pub size: u64,
    /// What stands under it, at most [`Self::CAPTION_UNITS`] UTF-16 units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
}

impl SentFile {
    /// Longest caption, in UTF-16 units, as Telegram counts.
    pub const CAPTION_UNITS: usize = 1024;
}

/// What the agent of a task says when it asks for a session. Written by a model: untrusted text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// Why a task is not enough, at most [`Self::REASON_CHARS`] characters.
    pub reason: String,
    /// What it would do, Markdown, at most [`Self::PLAN_BYTES`] bytes.
    pub plan: String,
}

impl Escalation {
    /// Longest reason, in characters.
    pub const REASON_CHARS: usize = 500;
    /// Longest plan, in bytes.
    pub const PLAN_BYTES: usize = 4096;

    /// The same within the bounds.
    pub fn bounded(&self) -> Self {
        Self {
            reason: self.reason.chars().take(Self::REASON_CHARS).collect(),
            plan: self.plan[..self.plan.floor_char_boundary(Self::PLAN_BYTES)].to_owned(),
        }
    }
}

/// `GET /v1/result` of a finished task; 404 while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// Text of claude's answer, all blocks, cut to at most 64 KiB.
    pub text: String,
    /// Whether `text` was cut.
    pub truncated: bool,
    /// Whether the turn failed.
    pub is_error: bool,
    /// claude's `terminal_reason`, or the runner's own, such as [`Self::NOT_NEEDED`].
    pub terminal_reason: String,
    /// Use of the model.
    pub usage: Usage,
    /// When the turn ended.
    pub finished_at: Timestamp,
    /// Journal sequence to acknowledge once this is stored.
    pub seq: u64,
    /// The agent asked for a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}

impl TaskResult {
    /// Reason of a task whose `when` has found that claude need not be asked; the text says so.
    pub const NOT_NEEDED: &str = "not_needed";
    /// Reason of a task whose `when` could not be run to its end; the text says why.
    pub const WHEN_FAILED: &str = "when_failed";
}

/// Body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Machine-readable kind, e.g. `Quiescing`, `Ended`, `QueueFull`, `TooLarge`, `Unauthorized`, `NotFound`, `Invalid`.
    pub error: String,
    /// One sentence for a person.
    pub message: String,
}
