//! The agent: one task that owns the turn machine, claude's process and the way from start to end.
//!
//! Everything that changes something goes through its loop one by one: commands of the API, lines of claude, time,
//! signals. It carries out what the turn machine decides and decides itself only about processes:
//!
//! | file | what is done there |
//! |---|---|
//! | `run` | the loop, and carrying out the machine's outputs |
//! | `commands` | what the API asks for |
//! | `start` | starting claude, its refusals, back-off |
//! | `winding` | quiesce, SIGTERM, the end of a task |
//! | `summary` | asking for the key outcomes and writing them down |
//! | `memory`, `pressure` | when memory is short or has run out |
//! | `checkout` | cloning the topic's repository before claude is first started |
//! | `need` | the command that decides whether a task's claude is asked at all |
//! | `space` | when the volume is nearly full |
//! | `predecessors` | the same for earlier sessions of the topic that failed to |
//! | `files` | copies of files that the agent sends |
//! | `chronicle` | history file, the result of a task, answers that nobody took |

mod checkout;
mod chronicle;
mod commands;
mod files;
mod memory;
mod need;
mod predecessors;
mod pressure;
mod run;
mod space;
mod start;
mod summary;
mod winding;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{
    AgentProblem, Approval, Busy, ClaudeStatus, Decision, Interrupted, PostMessage, Quiesce, RunnerState,
    Settings as Change, Summary, TaskResult, Undelivered, Usage, Warn,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::claude::process::Process;
use crate::claude::processes::OomOrder;
use crate::claude::reaper::Reaper;
use crate::http::ApiError;
use crate::journal::{Entry, Journal};
use crate::memory::MemoryProbe;
use crate::notice::Notifier;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::turn::{Machine, Past, Token, Unset};
use crate::volume::Volume;

pub use run::StopSignals;

use checkout::Repository;
use chronicle::Chronicle;
use files::Files;
use memory::Kills;
use need::Need;
use predecessors::Predecessors;
use pressure::Pressure;
use space::Space;
use start::Attempts;
use winding::Winding;

/// Messages without a finished turn that are taken before callers are sent away.
pub const MAX_UNFINISHED: usize = 64;

/// What the API asks for.
#[derive(Debug)]
pub enum Command {
    /// `POST /v1/messages`; `files` are its attachments, decoded.
    Post {
        message: PostMessage,
        files: Vec<(String, Vec<u8>)>,
        reply: oneshot::Sender<Result<Posted, ApiError>>,
    },
    /// `POST /v1/ack`.
    Ack { seq: u64, reply: oneshot::Sender<()> },
    /// `DELETE /v1/files/{id}`.
    FileTaken { id: Uuid, reply: oneshot::Sender<()> },
    /// `POST /v1/interrupt`.
    Interrupt {
        cancel_queued: bool,
        reply: oneshot::Sender<Interrupted>,
    },
    /// `POST /v1/approvals/{id}`.
    Decide {
        id: String,
        decision: Decision,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// `POST /v1/settings`.
    Settings {
        settings: Change,
        reply: oneshot::Sender<Result<(), Unset>>,
    },
    /// `POST /v1/warn`.
    Warn { warn: Warn, reply: oneshot::Sender<()> },
    /// `POST /v1/quiesce`.
    Quiesce {
        quiesce: Quiesce,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
}

/// Event streams of people's terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminals {
    /// How many follow now.
    pub attached: usize,
    /// When one last came or went.
    pub changed: Option<Timestamp>,
}

/// A message that was taken; it is safe once this sequence is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Sequence of its `accepted` event.
    pub seq: u64,
}

/// A preview on its way to the event streams.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Newest record before it.
    pub after: u64,
    /// It.
    pub json: Arc<str>,
}

/// Where the agent stands, for those who only look.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub state: RunnerState,
    pub problem: Option<AgentProblem>,
    pub claude_version: Option<String>,
    pub claude_pid: Option<u32>,
    pub busy: Vec<Busy>,
    pub last_activity: Timestamp,
    pub unfinished: Vec<MessageId>,
    pub approvals: Vec<Approval>,
    pub usage: Usage,
    pub acked: u64,
    pub restarts: u32,
    pub recycled: u32,
    pub summary: Option<Summary>,
    pub summary_error: Option<String>,
    pub result: Option<TaskResult>,
    pub undelivered: Vec<Undelivered>,
    pub claude: ClaudeStatus,
}

impl Snapshot {
    /// Before anything is known.
    pub fn starting(now: Timestamp) -> Self {
        Self {
            state: RunnerState::Starting,
            problem: None,
            claude_version: None,
            claude_pid: None,
            busy: Vec::new(),
            last_activity: now,
            unfinished: Vec::new(),
            approvals: Vec::new(),
            usage: Usage::default(),
            acked: 0,
            restarts: 0,
            recycled: 0,
            summary: None,
            summary_error: None,
            result: None,
            undelivered: Vec::new(),
            claude: ClaudeStatus::default(),
        }
    }
}

/// Who waits for a reply of the machine.
#[derive(Debug)]
enum Waiting {
    Interrupted(oneshot::Sender<Interrupted>),
    Settings(oneshot::Sender<Result<(), Unset>>),
    /// The summary.
    Summary,
}

/// What the agent works with.
#[derive(Debug)]
pub struct Parts {
    pub settings: Arc<Settings>,
    pub volume: Volume,
    pub journal: Journal,
    pub proxy: Proxy,
    pub reaper: Reaper,
    pub notifier: Notifier,
    pub snapshot: watch::Sender<Snapshot>,
    pub commands: mpsc::Receiver<Command>,
    pub previews: broadcast::Sender<Shown>,
    pub terminals: watch::Receiver<Terminals>,
    pub memory: Arc<MemoryProbe>,
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    parts: Parts,
    machine: Machine,
    process: Option<Process>,
    attempts: Attempts,
    winding: Winding,
    chronicle: Chronicle,
    files: Files,
    /// The topic's repository comes before everything else.
    repository: Repository,
    /// Then whether a task needs claude at all.
    need: Need,
    /// Summaries of earlier sessions are being made; claude is started after them.
    predecessors: Option<Predecessors>,
    accepted: BTreeMap<MessageId, u64>,
    waiting: BTreeMap<Token, Waiting>,
    tokens: u64,
    state: RunnerState,
    problem: Option<AgentProblem>,
    claude_version: Option<String>,
    last_activity: Timestamp,
    /// Deadline of idleness that people were last warned of.
    warned: Option<Timestamp>,
    acked: u64,
    restarts: u32,
    summary: Option<Summary>,
    summary_error: Option<String>,
    /// Turns have begun since the last summary.
    news: bool,
    memory: Arc<MemoryProbe>,
    pressure: Pressure,
    oom_order: OomOrder,
    /// Kills for memory that people were told of.
    oom_kills: u64,
    kills: Option<Kills>,
    space: Space,
    recycled: u32,
}

impl Agent {
    /// An agent that goes on where its journal ends.
    pub fn new(parts: Parts, entries: &[Entry], now: Timestamp) -> Self {
        let past = Past::read(entries);
        parts.memory.add_earlier_kills(past.oom_kills);
        let config = &parts.settings.agent;
        let chronicle = Chronicle::new(
            &parts.volume,
            parts.journal.clone(),
            parts.settings.agent.kind,
            entries,
            &past,
        );
        let files = Files::new(parts.volume.outgoing(), config.kind, entries, &past);
        Self {
            attempts: Attempts::after(&past),
            winding: Winding::default(),
            chronicle,
            files,
            repository: Repository::default(),
            need: Need::after(&past),
            predecessors: None,
            accepted: past.accepted.clone(),
            waiting: BTreeMap::new(),
            tokens: 0,
            state: RunnerState::Starting,
            problem: None,
            claude_version: None,
            last_activity: past.last_activity.unwrap_or(now),
            warned: past.warned,
            acked: past.acked,
            restarts: past.restarts,
            summary: past.summary.clone(),
            summary_error: None,
            news: past.news,
            pressure: Pressure::new(config.memory_warn_percent, config.memory_recycle_percent),
            oom_order: OomOrder::below_this_process(),
            oom_kills: past.oom_kills,
            kills: None,
            space: Space::default(),
            recycled: past.recycled,
            memory: parts.memory.clone(),
            machine: Machine::restore(past, parts.settings.limits, now).serving(&parts.settings.agent),
            process: None,
            parts,
        }
    }

    /// Why the agent must not be taken for idle.
    fn busy(&self) -> Vec<Busy> {
        let mut busy = self.machine.busy();
        if self.parts.terminals.borrow().attached > 0 {
            busy.push(Busy::TerminalAttached);
        }
        busy
    }

    /// When a person or claude last did something.
    fn last_activity(&self) -> Timestamp {
        let terminals = self.parts.terminals.borrow().changed;
        terminals.map_or(self.last_activity, |changed| changed.max(self.last_activity))
    }

    /// Shows where the agent stands.
    fn publish(&self) {
        self.parts.snapshot.send_replace(Snapshot {
            state: self.state,
            problem: self.problem.clone(),
            claude_version: self.claude_version.clone(),
            claude_pid: self.process.as_ref().map(|process| process.pid),
            busy: self.busy(),
            last_activity: self.last_activity(),
            unfinished: self.machine.unfinished(),
            approvals: self.machine.approvals(),
            usage: self.machine.usage(),
            acked: self.acked,
            restarts: self.restarts,
            recycled: self.recycled,
            summary: self.summary.clone(),
            summary_error: self.summary_error.clone(),
            result: self.chronicle.result().cloned(),
            undelivered: match self.state {
                RunnerState::Quiesced => self.undelivered(),
                _ => Vec::new(),
            },
            claude: self.machine.now(),
        });
    }
}
