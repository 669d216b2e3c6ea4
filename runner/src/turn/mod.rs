//! The turn machine: what claude's lines and people's wishes mean.
//!
//! Owns which accepted messages are unfinished, which turn runs, what it has said, which prompts wait for a person, and
//! the rule for what becomes of all that when claude is started again. Its promise: every accepted message ends in
//! exactly one `turn_finished`, whatever the order of lines, crashes and commands.
//!
//! It is pure. An [`Input`] and the time go in, [`Output`]s come out, in the order in which they must happen; it knows no
//! file, no process, no clock and no HTTP. It never fails: what it does not understand comes out as [`Output::Unknown`].
//!
//! How to read it: [`Machine::step`] sends each input to the file that handles it.
//!
//! | file | what is decided there |
//! |---|---|
//! | `lines` | what a line of claude's means |
//! | `running` | the turn that runs: its text, preview and tools |
//! | `finish` | how a turn ended and what that costs |
//! | `desk` | the tools that the runner itself serves |
//! | `approvals` | prompts, their answers and their expiry |
//! | `commands` | interrupt, settings, questions, winding down |
//! | `now` | how claude is set and what it does, for people who ask |
//! | `watch` | silence and endless retries |
//! | `recovery` | the restart rule |
//! | `past` | what the journal says about earlier lives |
//! | `exchange` | question and answer of a finished turn, for the history and a task's result |

mod approvals;
mod commands;
mod describe;
pub mod desk;
mod exchange;
mod finish;
mod lines;
pub mod money;
mod now;
mod past;
mod recovery;
mod running;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use longshore_wire::MessageId;
use longshore_wire::api::{AgentProblem, Approval, ApprovalKind, Busy, Interrupted, Priority, Settings, Usage};
use longshore_wire::author;
use longshore_wire::claude::{self, Line, UserContent, UserMessage};
use longshore_wire::event::{Event, Meets, Preview};
use uuid::Uuid;

use crate::journal::Mark;
use crate::outgoing::Kept;

pub use approvals::DecideError;
pub use exchange::{Asked, Exchange, Exchanges, outcome_of};
pub use past::{Past, is_activity};
pub use recovery::{Found, Searched};

use approvals::Approvals;
use running::Turn;

/// Times after which the machine acts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A turn without a sign of life is stopped.
    pub silence: SignedDuration,
    /// A turn whose model requests only fail is stopped.
    pub retries: SignedDuration,
    /// A turn that was asked to stop and did not is killed.
    pub obey: SignedDuration,
    /// A prompt without an answer is denied.
    pub approval: SignedDuration,
    /// A claude that has not answered since it was started is killed.
    pub start: SignedDuration,
}

/// Silence while claude compacts its conversation may last this many times longer.
const COMPACTING_PATIENCE: i32 = 4;
/// How long claude may take to begin a turn about background work that ended (measured: 40 ms).
const SETTLING: SignedDuration = SignedDuration::from_secs(3);
/// A message that claude has died of this often is given up.
const MAX_ATTEMPTS: u32 = 5;

/// Names a caller that waits for a [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A message that was journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its text.
    pub text: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Files, as paths below the workspace.
    pub attachments: Vec<String>,
    /// What it refers to and how it came.
    pub context: Option<String>,
    /// How it meets a running turn.
    pub priority: Priority,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A message was journalled.
    Accept(Message),
    /// claude printed a line.
    Line(Line),
    /// claude is about to be started; comes before [`Input::Spawned`] and carries what its transcript says.
    Recover(Searched),
    /// claude's process exists.
    Spawned {
        /// What it shall read in front of the first message of a new conversation.
        preface: Vec<String>,
    },
    /// claude's process is gone.
    Exited,
    /// A file that [`Output::Copy`] asked for was copied, or will not be sent.
    Copied {
        /// What was asked for.
        call: desk::files::ToCopy,
        /// The copy, or what to tell the agent.
        copied: Result<Kept, String>,
    },
    /// A person wants the turn stopped.
    Interrupt {
        /// Who waits for the reply.
        token: Token,
        /// Drop waiting messages too.
        cancel_queued: bool,
    },
    /// A person wants other settings.
    Settings {
        /// Who waits for the reply.
        token: Token,
        /// The settings.
        settings: Settings,
    },
    /// A question on top of the conversation.
    Ask {
        /// Who waits for the reply.
        token: Token,
        /// The question.
        question: String,
    },
    /// There will be no claude, since the workspace lacks its repository.
    NoRepository {
        /// What to tell.
        why: String,
    },
    /// There will be no claude, since the task's `when` did not say that it is needed.
    NotAsked {
        /// It could not find out.
        failed: bool,
        /// What to tell.
        why: String,
    },
    /// Stop what runs and start nothing more.
    WindDown(WindDown),
    /// claude may leave.
    Leave,
    /// Time passed.
    Tick {
        /// When the model endpoint last sent something.
        upstream: Option<Timestamp>,
    },
}

/// What becomes of unfinished messages when the agent winds down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindDown {
    /// They stay unfinished and are continued by the next start (SIGTERM).
    Suspend,
    /// They are finished as `quiesced`.
    Finish,
}

/// What must be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Journal this event and tell consumers.
    Event(Event),
    /// Journal this mark; a following [`Output::Write`] waits until it is on disk.
    Mark(Mark),
    /// Tell whoever listens right now.
    Preview(Preview),
    /// Write this to claude.
    Write(claude::Input),
    /// Copy a file that the agent sends; [`Input::Copied`] follows.
    Copy(desk::files::ToCopy),
    /// Remove the copy of a file that is not sent after all.
    Discard(Uuid),
    /// Answer a caller.
    Reply(Token, Reply),
    /// claude answered `initialize`.
    Ready {
        /// Its process id by its own account.
        pid: Option<u32>,
        /// Its version.
        version: Option<String>,
    },
    /// claude refuses to start.
    StartRefused(String),
    /// Kill claude's process group; it does not obey.
    Kill(&'static str),
    /// claude cannot work, or can again.
    Problem(Option<AgentProblem>),
    /// A line that was not understood.
    Unknown(String),
}

/// Reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Input::Interrupt`].
    Interrupted(Interrupted),
    /// To [`Input::Settings`].
    Settings(Result<(), Unset>),
    /// To [`Input::Ask`].
    Answer(Result<String, String>),
}

/// Why a setting was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unset {
    /// claude is not there; it can be tried again.
    NotRunning,
    /// claude refuses it, in its own words.
    Refused(String),
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    limits: Limits,
    /// Time of the step.
    at: Timestamp,
    /// Messages without a finished turn, in order of acceptance.
    unfinished: Vec<Unfinished>,
    continuations: Vec<Continuation>,
    /// Continuations that wait to be written.
    to_continue: VecDeque<Uuid>,
    turn: Option<Turn>,
    /// A turn that a crash cut short and that goes on under its number.
    suspended: Option<Turn>,
    /// Turns of earlier lives that nothing goes on with.
    orphaned: Vec<Turn>,
    last_turn: u64,
    approvals: Approvals,
    background: BTreeSet<String>,
    /// The last background work ended just now: claude is about to begin a turn about it.
    settling: Option<Timestamp>,
    pending: BTreeMap<String, Pending>,
    requests: u64,
    ready: bool,
    winding: Option<WindDown>,
    stopping: Option<watch::Stopping>,
    watch: watch::Watch,
    stop_asked: BTreeSet<MessageId>,
    /// The last request was stopped, and claude has not been told.
    untold_stop: bool,
    /// What claude reads in front of the next message.
    preface: Vec<String>,
    usage: money::Total,
    not_logged_in: bool,
    settings: Settings,
    found: now::Found,
    desk: desk::Desk,
}

/// An accepted message without a finished turn.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unfinished {
    message: Message,
    place: Place,
    /// How often claude died of it, as far as one can tell.
    attempts: u32,
    /// The turn that ran when claude was given it, until it is part of one.
    met: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not written to claude's present process.
    Waiting,
    /// Written; claude has it in its queue.
    Sent,
    /// Part of a turn.
    Started,
}

/// What claude reads in front of the first message after one that was stopped. Of a request that is interrupted before
/// its first word claude 2.1.330 notes nothing: it hands it to the model once more, as if it belonged to the next message.
const AFTER_STOP: &str = "[Longshore] The request before this message was stopped by a person. Leave it, unless you are \
                          asked for it again.";

/// A text that stands in for messages whose turn was cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Continuation {
    uuid: Uuid,
    ids: Vec<MessageId>,
}

/// A control request of ours that claude has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pending {
    Initialize,
    Interrupt { token: Token, stopped: Vec<MessageId> },
    Setting { token: Token, change: Settings, last: bool },
    Ask { token: Token },
    Unanswered,
}

impl Machine {
    /// A machine that goes on where the journal ends.
    pub fn restore(past: Past, limits: Limits, now: Timestamp) -> Self {
        past.into_machine(limits, now)
    }

    /// One step.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        self.at = now;
        let mut out = Vec::new();
        match input {
            Input::Accept(message) => self.accept(message),
            Input::Line(line) => self.line(now, line, &mut out),
            Input::Recover(searched) => self.recover(now, searched, &mut out),
            Input::Spawned { preface } => {
                self.preface = preface;
                self.spawned(now, &mut out);
            }
            Input::Exited => self.exited(&mut out),
            Input::Copied { call, copied } => self.copied(call, copied, &mut out),
            Input::Interrupt { token, cancel_queued } => self.interrupt(now, token, cancel_queued, &mut out),
            Input::Settings { token, settings } => self.set(token, settings, &mut out),
            Input::Ask { token, question } => self.ask(token, question, &mut out),
            Input::NoRepository { why } => self.finish_everything(&finish::no_repository(&why), &mut out),
            Input::NotAsked { failed, why } => self.finish_everything(&finish::not_asked(failed, why), &mut out),
            Input::WindDown(how) => self.wind_down(now, how, &mut out),
            Input::Leave => self.leave(&mut out),
            Input::Tick { upstream } => self.tick(now, upstream, &mut out),
        }
        self.send_waiting(now, &mut out);
        out
    }

    fn accept(&mut self, message: Message) {
        self.unfinished.push(Unfinished {
            message,
            place: Place::Waiting,
            attempts: 0,
            met: None,
        });
    }

    fn spawned(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.watch.starts(now);
        let mcp_servers = self.mcp_servers();
        self.control(claude::Request::Initialize { mcp_servers }, Pending::Initialize, out);
    }

    /// Writes what waits, continuations first: they belong to what was asked earlier.
    fn send_waiting(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.ready || self.winding.is_some() {
            return;
        }
        while let Some(uuid) = self.to_continue.pop_front() {
            let partial = self.suspended.as_ref().and_then(|turn| turn.lost_text.clone());
            out.push(Output::Write(claude::Input::User(UserMessage {
                uuid,
                content: UserContent::Text(recovery::continuation_text(partial.as_deref())),
                priority: Priority::Next,
            })));
            self.watch.sign(now);
        }
        for unfinished in &mut self.unfinished {
            if unfinished.place == Place::Waiting {
                unfinished.place = Place::Sent;
                let after_stop = std::mem::take(&mut self.untold_stop).then(|| AFTER_STOP.to_owned());
                let notes = self.preface.drain(..).chain(after_stop);
                out.push(Output::Write(claude::Input::User(
                    unfinished.message.to_claude(notes.collect()),
                )));
                self.watch.sign(now);
                if let Some(turn) = self.turn.as_ref().filter(|turn| turn.announced) {
                    unfinished.met = Some(turn.number);
                    out.push(meeting(turn.number, unfinished.message.id, Meets::Waiting));
                }
            }
        }
    }

    fn control(&mut self, request: claude::Request, pending: Pending, out: &mut Vec<Output>) {
        self.requests += 1;
        let request_id = format!("longshore-{}", self.requests);
        self.pending.insert(request_id.clone(), pending);
        out.push(Output::Write(claude::Input::Control { request_id, request }));
    }

    /// Messages that a uuid of claude's stands for: one of ours, or those of a continuation.
    fn ids_of(&self, uuid: Uuid) -> Vec<MessageId> {
        match self.continuations.iter().find(|continuation| continuation.uuid == uuid) {
            Some(continuation) => continuation.ids.clone(),
            None => vec![MessageId(uuid)],
        }
    }

    fn is_unfinished(&self, id: MessageId) -> bool {
        self.unfinished.iter().any(|unfinished| unfinished.message.id == id)
    }

    fn place(&mut self, id: MessageId, place: Place) {
        if let Some(unfinished) = self.unfinished.iter_mut().find(|open| open.message.id == id) {
            unfinished.place = place;
        }
    }

    /// A message is part of a turn from now on. The turn that ran when claude was given it, if one did.
    fn begin(&mut self, id: MessageId) -> Option<u64> {
        self.place(id, Place::Started);
        let unfinished = self.unfinished.iter_mut().find(|open| open.message.id == id);
        unfinished.and_then(|open| open.met.take())
    }

    /// Takes messages off the books. Every caller emits the one `turn_finished` that names them.
    fn settle(&mut self, ids: &[MessageId]) {
        self.unfinished.retain(|open| !ids.contains(&open.message.id));
        self.stop_asked.retain(|id| !ids.contains(id));
        let unfinished = &self.unfinished;
        self.continuations.retain(|continuation| {
            continuation
                .ids
                .iter()
                .any(|id| unfinished.iter().any(|open| open.message.id == *id))
        });
        let continuations = &self.continuations;
        self.to_continue
            .retain(|uuid| continuations.iter().any(|continuation| continuation.uuid == *uuid));
    }

    /// Accepted messages without a finished turn.
    pub fn unfinished(&self) -> Vec<MessageId> {
        self.unfinished.iter().map(|open| open.message.id).collect()
    }

    /// Prompts that wait for a person.
    pub fn approvals(&self) -> Vec<Approval> {
        self.approvals.waiting()
    }

    /// Use of the model so far.
    pub fn usage(&self) -> Usage {
        self.usage.to_wire()
    }

    /// Settings that people changed, to start claude with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// claude has answered `initialize`.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// A turn runs, or something is on its way into one.
    pub fn is_working(&self) -> bool {
        match self.winding {
            Some(WindDown::Suspend) => self.turn.is_some(),
            _ => self.turn.is_some() || !self.unfinished.is_empty(),
        }
    }

    /// What runs below claude, each in a few words.
    pub fn running(&self) -> Vec<String> {
        let tools = self.turn.iter().flat_map(|turn| turn.tools.values());
        let tools = tools.map(|tool| match tool.summary.as_str() {
            "" => tool.name.clone(),
            summary => format!("{} ({summary})", tool.name),
        });
        let background = (!self.background.is_empty()).then(|| "work in the background".to_owned());
        tools.chain(background).collect()
    }

    /// Why the agent must not be taken for idle.
    pub fn busy(&self) -> Vec<Busy> {
        let mut busy = Vec::new();
        if self.turn.is_some() || !self.unfinished.is_empty() {
            busy.push(Busy::TurnRunning);
        }
        let waiting = self.approvals.waiting();
        if waiting.iter().any(|approval| approval.kind != ApprovalKind::Question) {
            busy.push(Busy::WaitingForApproval);
        }
        if waiting.iter().any(|approval| approval.kind == ApprovalKind::Question) {
            busy.push(Busy::WaitingForAnswer);
        }
        if !self.background.is_empty() || self.settling.is_some() {
            busy.push(Busy::BackgroundTask);
        }
        busy
    }
}

impl Message {
    /// The message as claude gets it. Our notes, the author and the files stand in blocks of their own, so that the text
    /// stays literally what the person wrote.
    fn to_claude(&self, notes: Vec<String>) -> UserMessage {
        let mut texts = notes;
        texts.extend(self.context.clone());
        if let Some(author) = &self.author {
            texts.push(format!("From {}:", author::clean(author)));
        }
        texts.push(self.text.clone());
        if !self.attachments.is_empty() {
            texts.push(format!("Files that came with it:\n- {}", self.attachments.join("\n- ")));
        }
        let content = match texts.len() {
            1 => UserContent::Text(self.text.clone()),
            _ => UserContent::Texts(texts),
        };
        UserMessage {
            uuid: self.id.0,
            content,
            priority: self.priority,
        }
    }
}

fn meeting(turn: u64, id: MessageId, meets: Meets) -> Output {
    Output::Preview(Preview::Meeting { turn, id, meets })
}

#[cfg(test)]
mod tests;
