//! The loop, and carrying out what the turn machine decides.

use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::api::{AgentProblem, AgentProblemKind, RunnerState};
use longshore_wire::claude::{self, Line};
use longshore_wire::event::{Event, MemoryLevel, Record};
use longshore_wire::notice::NoticeKind;
use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::Instant;

use super::{Agent, Shown, Waiting, checkout, files, need, predecessors};
use crate::claude::process::{Process, Said};
use crate::turn::{Input, Output, Reply, Token, is_activity};

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two looks at the memory.
const MEMORY_TICKS: u64 = 4;
/// Ticks between two looks at the space on the volume.
const SPACE_TICKS: u64 = 20;

/// SIGTERM and SIGINT. The kernel drops them for a process 1 that does not handle them yet, unless they are blocked.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Stream,
    interrupt: Stream,
}

impl StopSignals {
    /// Blocks them in this thread and those that it starts, so that one that comes now waits until [`Self::listen`]. Programs that
    /// are started have nothing blocked: the standard library sees to that.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn hold() -> nix::Result<()> {
        set().thread_block()
    }

    /// Starts listening; takes up what was held. To be called in the thread that held them.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn listen() -> std::io::Result<Self> {
        let listening = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        set().thread_unblock()?;
        Ok(listening)
    }

    /// Waits for one.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What [`StopSignals`] are.
fn set() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

impl Agent {
    /// Runs until the agent has ended; returns the exit status.
    pub async fn run(mut self, mut stop: StopSignals) -> u8 {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut ticks = 0_u64;
        self.begin();
        loop {
            tokio::select! {
                biased;
                () = stop.recv() => self.terminate(),
                Some(command) = self.parts.commands.recv() => self.command(command),
                Some(said) = next_said(&mut self.process) => self.said(said).await,
                Ok(()) = self.parts.terminals.changed() => {}
                outcome = checkout::done(&mut self.repository) => self.cloned(outcome),
                copied = files::copied(&mut self.files) => self.was_copied(copied),
                verdict = need::done(&mut self.need) => self.judged(verdict),
                () = predecessors::done(&mut self.predecessors) => self.attempts.begin(),
                _ = tick.tick() => {
                    let upstream = self.parts.proxy.upstream();
                    self.step(Input::Tick { upstream });
                    self.look_around(ticks).await;
                    ticks += 1;
                }
            }
            self.clone_when_due();
            self.refuse_without_repository();
            self.refuse_unneeded();
            self.start_when_due();
            let ended = self.wind().await;
            self.publish();
            if let Some(status) = ended {
                self.chronicle.close().await;
                return status;
            }
        }
    }

    /// What must be looked at from time to time, as long as there is somebody to be told.
    async fn look_around(&mut self, ticks: u64) {
        if self.winding.is_over() {
            return;
        }
        self.order_kills();
        if ticks.is_multiple_of(MEMORY_TICKS) {
            self.look_at_memory().await;
        }
        if ticks.is_multiple_of(SPACE_TICKS) {
            self.look_at_space();
        }
    }

    async fn said(&mut self, said: Said) {
        match said {
            Said::Line(line) => {
                if matches!(line, Line::User(_)) {
                    // Perhaps the result of a tool that was killed: it still counts as running.
                    self.notice_kills();
                }
                // Also the line that ends the work: a turn, or a command in the background.
                let works = !self.machine.busy().is_empty();
                self.step(Input::Line(line));
                if works || !self.machine.busy().is_empty() {
                    self.last_activity = Timestamp::now();
                }
            }
            Said::Exited(exit) => self.exited(exit).await,
        }
    }

    /// One step of the machine.
    pub(super) fn step(&mut self, input: Input) {
        let outputs = self.machine.step(Timestamp::now(), input);
        self.carry_out(outputs);
    }

    pub(super) fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Event(event) => {
                    self.record(event);
                }
                Output::Mark(mark) => {
                    self.parts.journal.mark(mark);
                }
                Output::Preview(preview) => {
                    let json = serde_json::to_string(&preview).expect("a preview has string keys only");
                    // Nobody may be listening.
                    let _ = self.parts.previews.send(Shown {
                        after: self.parts.journal.seq(),
                        json: json.into(),
                    });
                }
                Output::Write(input) => self.write(&input),
                Output::Copy(call) => self.copy(call),
                Output::Discard(id) => self.discard(id),
                Output::Reply(token, reply) => self.reply(token, reply),
                Output::Ready { version, .. } => self.ready(version),
                Output::StartRefused(why) => self.refused(why),
                Output::Kill(why) => {
                    tracing::warn!(why, "claude is killed");
                    self.attempts.killed(why);
                    if let Some(process) = &self.process {
                        process.signal(Signal::SIGKILL);
                    }
                }
                Output::Problem(problem) => self.set_problem(problem),
                Output::Unknown(what) => tracing::warn!(what, "a line of claude's was not understood"),
            }
        }
    }

    /// Journals an event and takes note of it.
    pub(super) fn record(&mut self, event: Event) -> Record {
        let (record, appended) = self.parts.journal.append(Timestamp::now(), event);
        match &record.event {
            Event::Restarted { .. } => self.restarts += 1,
            Event::Memory { level, .. } => self.recycled += u32::from(*level == MemoryLevel::Recycled),
            Event::Summary { summary } => {
                self.summary = Some(summary.clone());
                self.news = false;
                self.settle_summary();
            }
            Event::TurnStarted { .. } => self.owe_summary(record.at),
            Event::TurnFinished { .. } => self.attempts.worked(),
            _ => {}
        }
        if is_activity(&record.event) {
            self.last_activity = record.at;
        }
        self.chronicle.record(&record, appended.entry);
        self.files.record(&record);
        record
    }

    /// A message, or an answer to a tool of ours, is written only once the disk has what was journalled before it; everything else
    /// at once.
    fn write(&self, input: &claude::Input) {
        let after = match input {
            claude::Input::User(_) | claude::Input::Mcp { .. } | claude::Input::Permission { .. } => {
                self.parts.journal.entries()
            }
            _ => 0,
        };
        if let Some(process) = &self.process {
            process.write(input.encode(), after);
        }
    }

    fn reply(&mut self, token: Token, reply: Reply) {
        match (self.waiting.remove(&token), reply) {
            (Some(Waiting::Interrupted(sender)), Reply::Interrupted(interrupted)) => {
                // The caller may have gone away.
                let _ = sender.send(interrupted);
            }
            (Some(Waiting::Settings(sender)), Reply::Settings(result)) => {
                let _ = sender.send(result);
            }
            (Some(Waiting::Summary), Reply::Answer(answer)) => self.winding.answered(answer),
            (waiting, _) => tracing::debug!(?token, known = waiting.is_some(), "a reply that nobody waits for"),
        }
    }

    pub(super) fn token(&mut self, waiting: Waiting) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.waiting.insert(token, waiting);
        token
    }

    fn ready(&mut self, version: Option<String>) {
        self.claude_version = version;
        self.attempts.ready(Instant::now());
        if self.state == RunnerState::Starting || self.state == RunnerState::Failed {
            self.state = RunnerState::Ready;
            self.parts.notifier.post(NoticeKind::Ready);
        }
        // These are about the process before this one. That credentials are good again, only a turn can show.
        let of_process = |problem: &AgentProblem| match problem.kind {
            AgentProblemKind::CrashLoop | AgentProblemKind::NotWritable | AgentProblemKind::RepositoryCloneFailed => {
                true
            }
            AgentProblemKind::NotLoggedIn => false,
        };
        self.problem.take_if(|problem| of_process(problem));
        tracing::info!(version = self.claude_version, "claude is ready");
    }

    pub(super) fn set_problem(&mut self, problem: Option<AgentProblem>) {
        if self.problem != problem {
            if let Some(problem) = &problem {
                tracing::warn!(kind = ?problem.kind, message = problem.message, "claude cannot work");
                self.parts.notifier.post(NoticeKind::Problem);
            }
            self.problem = problem;
        }
    }
}

/// The next word of the process; never ready without one.
pub(super) async fn next_said(process: &mut Option<Process>) -> Option<Said> {
    match process {
        Some(process) => process.said.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_stop_signal_that_came_before_anybody_listened_is_taken_up() {
        // Process 1 would lose it; this process would be killed by it.
        StopSignals::hold().unwrap();
        raise(Signal::SIGTERM).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut signals = StopSignals::listen().unwrap();
            let heard = tokio::time::timeout(Duration::from_secs(60), signals.recv());
            heard.await.expect("the held signal is heard");
        });
    }
}
