//! Ways to the end: quiesce, SIGTERM, and the result of a task.
//!
//! Each is a series of phases that the loop passes through; no phase waits longer than its deadline.

use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::agent::AgentKind;
use longshore_wire::api::{Busy, Escalation, Quiesce, RunnerState, TaskResult};
use longshore_wire::notice::{NoticeKind, TerminationMessage};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::Agent;
use super::run::next_said;
use crate::claude::process::Said;
use crate::http::ApiError;
use crate::journal::Mark;
use crate::turn::{Input, WindDown};

/// A turn that is stopped for SIGTERM may take this long to save its text.
const LAST_TEXT: Duration = Duration::from_secs(1);
/// A turn that is stopped for quiesce may take this long.
const STOPPING: Duration = Duration::from_secs(5);
/// What is kept of the deadline for everything after the summary.
pub const RESERVE: Duration = Duration::from_secs(3);
/// Patience with each way of asking claude to leave: end_session, closed stdin, SIGINT.
const LEAVE: [Duration; 3] = [
    Duration::from_millis(800),
    Duration::from_millis(500),
    Duration::from_millis(700),
];
/// Last writes to the journal.
const FLUSH: Duration = Duration::from_secs(3);
/// A task's background work may hold up its result for this long after its answer.
const BACKGROUND: Duration = Duration::from_secs(600);
/// Longest text of a termination message, in bytes.
const TERMINATION_TEXT: usize = 3072;
/// The same beside an escalation, of which the reason and the plan get the rest.
const TERMINATION_PART: usize = 1024;
const TERMINATION_REASON: usize = 512;

/// How far the way to the end has come.
#[derive(Debug, Default)]
pub struct Winding {
    phase: Phase,
    summary: Option<Result<String, String>>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Working,
    /// The running turn is being stopped; then, if wanted, the summary.
    Stopping { quiesce: Quiesce, until: Instant },
    /// claude is asked for the summary.
    Summarizing { until: Instant },
    /// claude is asked to leave, for good.
    Leaving,
    /// Wound down; serves what there is until SIGTERM.
    Quiesced,
    /// A task's result waits to be taken.
    Lingering { until: Instant },
    /// SIGTERM: the running turn is being stopped and stays unfinished.
    Terminating { until: Instant },
    /// Nothing is left but to exit.
    Over,
}

impl Winding {
    /// claude must not be started again.
    pub fn is_over(&self) -> bool {
        !matches!(self.phase, Phase::Working)
    }

    pub fn answered(&mut self, answer: Result<String, String>) {
        self.summary = Some(answer);
    }
}

impl Agent {
    /// Begins to wind down. Whether the agent is idle is decided here, where everything that could end its idleness must
    /// pass: from the next command on it is winding down.
    pub(super) fn quiesce(&mut self, quiesce: Quiesce) -> Result<(), ApiError> {
        if self.winding.is_over() {
            return Ok(());
        }
        if let Some(after) = quiesce.unless_active_after
            && (!self.busy().is_empty() || self.last_activity() > after)
        {
            return Err(ApiError::active());
        }
        tracing::info!(summarize = quiesce.summarize, "winding down");
        self.state = RunnerState::Quiescing;
        self.start_no_more();
        self.step(Input::WindDown(WindDown::Finish));
        let until = Instant::now() + STOPPING.min(left(quiesce.deadline, RESERVE));
        self.winding.phase = Phase::Stopping { quiesce, until };
        Ok(())
    }

    /// SIGTERM.
    pub(super) fn terminate(&mut self) {
        self.start_no_more();
        match self.winding.phase {
            Phase::Terminating { .. } => {}
            Phase::Quiesced | Phase::Lingering { .. } | Phase::Over => self.winding.phase = Phase::Over,
            Phase::Stopping { .. } | Phase::Summarizing { .. } | Phase::Leaving => {
                self.winding.phase = Phase::Terminating { until: Instant::now() };
            }
            Phase::Working => {
                tracing::info!("terminating");
                self.state = RunnerState::Quiescing;
                self.step(Input::WindDown(WindDown::Suspend));
                self.winding.phase = Phase::Terminating {
                    until: Instant::now() + LAST_TEXT,
                };
            }
        }
    }

    fn start_no_more(&mut self) {
        self.attempts.stop();
        self.repository.stop();
        self.need.stop();
        self.predecessors = None;
    }

    /// Goes on as far as it can without waiting. Returns the exit status at the end.
    pub(super) async fn wind(&mut self) -> Option<u8> {
        let now = Instant::now();
        match &self.winding.phase {
            Phase::Working => self.conclude_task(),
            Phase::Stopping { quiesce, until } => {
                // A claude that is just being started can be asked for the summary in a moment.
                let starting = quiesce.summarize && self.process.is_some() && !self.machine.is_ready();
                if !(self.machine.is_working() || starting) || now >= *until {
                    self.winding.phase = match self.ask_for_summary(*quiesce) {
                        Some(until) => Phase::Summarizing { until },
                        None => Phase::Leaving,
                    };
                }
            }
            Phase::Summarizing { until } => {
                let late = now >= *until || self.process.is_none();
                let answer = self.winding.summary.take();
                let answer = answer.or_else(|| late.then(|| Err("claude took too long to answer".to_owned())));
                if let Some(answer) = answer {
                    self.write_summary(answer);
                    self.winding.phase = Phase::Leaving;
                }
            }
            Phase::Leaving => {
                self.end_claude().await;
                self.parts.journal.mark(Mark::Closed { at: Timestamp::now() });
                self.flush().await;
                self.state = RunnerState::Quiesced;
                self.winding.phase = Phase::Quiesced;
                self.parts.notifier.post(NoticeKind::Quiesced);
            }
            Phase::Quiesced => {}
            Phase::Lingering { until } => {
                let taken = self.chronicle.result().is_some_and(|result| self.acked >= result.seq);
                if taken || now >= *until {
                    self.winding.phase = Phase::Over;
                }
            }
            Phase::Terminating { until } => {
                if !self.machine.is_working() || now >= *until {
                    self.end_claude().await;
                    if self.machine.unfinished().is_empty() {
                        self.parts.journal.mark(Mark::Closed { at: Timestamp::now() });
                    }
                    self.winding.phase = Phase::Over;
                }
            }
            Phase::Over => {
                self.flush().await;
                // A Job that was stopped before its result must not pass for complete.
                let is_task = self.parts.settings.agent.kind == AgentKind::Task;
                let cut_short = is_task && self.chronicle.result().is_none();
                return Some(if cut_short { 143 } else { 0 });
            }
        }
        None
    }

    /// Records the result of a task once its answer is complete.
    fn conclude_task(&mut self) {
        if !self.chronicle.has_answer() {
            return;
        }
        let busy = self.machine.busy();
        let waits =
            busy.contains(&Busy::TurnRunning) || (busy.contains(&Busy::BackgroundTask) && !self.background_is_late());
        if waits || self.files_come_first() {
            return;
        }
        let (usage, seq) = (self.machine.usage(), self.parts.journal.seq());
        let left = self.files.in_words("Ask for them again.");
        if let Some(result) = self.chronicle.conclude(usage, seq, left) {
            let result = result.clone();
            self.parts.journal.mark(Mark::Result { result });
        }
        self.files.give_up();
        self.finish_task();
    }

    fn background_is_late(&self) -> bool {
        let quiet = Timestamp::now().duration_since(self.last_activity);
        quiet.unsigned_abs() >= BACKGROUND
    }

    /// Tells of the result and waits for it to be taken. claude is not needed any more.
    pub(super) fn finish_task(&mut self) {
        self.attempts.stop();
        self.need.stop();
        self.state = RunnerState::Quiesced;
        let drain = Duration::from_secs(self.parts.settings.agent.drain_seconds);
        self.winding.phase = Phase::Lingering {
            until: Instant::now() + drain,
        };
        let Some(result) = self.chronicle.result() else { return };
        let message = last_words(result);
        let path = &self.parts.settings.flags.termination_log;
        let json = serde_json::to_string(&message).expect("a termination message has string keys only");
        if let Err(error) = std::fs::write(path, json) {
            tracing::warn!(%error, path = %path.display(), "the termination message cannot be written");
        }
        self.step(Input::Leave);
        let (journal, notifier) = (self.parts.journal.clone(), self.parts.notifier.clone());
        tokio::spawn(async move {
            // The operator must not see a result that a crash could take back.
            let _ = journal.wait(journal.entries(), FLUSH).await;
            notifier.post(NoticeKind::Finished);
        });
    }

    /// Asks claude to leave, ever less politely.
    pub(super) async fn end_claude(&mut self) {
        self.step(Input::Leave);
        for (way, patience) in LEAVE.into_iter().enumerate() {
            match way {
                0 => {}
                1 => {
                    if let Some(process) = &mut self.process {
                        process.close();
                    }
                }
                _ => self.signal(Signal::SIGINT),
            }
            self.listen_until_exit(patience).await;
        }
        self.signal(Signal::SIGKILL);
        self.listen_until_exit(FLUSH).await;
        self.parts.reaper.kill_orphans().await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Hears claude out.
    async fn listen_until_exit(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.process.is_some() {
            match tokio::time::timeout_at(until, next_said(&mut self.process)).await {
                Ok(Some(Said::Line(line))) => self.step(Input::Line(line)),
                Ok(Some(Said::Exited(exit))) => self.exited(exit).await,
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn flush(&self) {
        let journal = &self.parts.journal;
        if let Err(error) = journal.wait(journal.entries(), FLUSH).await {
            tracing::error!(%error, "the last records are not on disk");
        }
    }
}

/// What the kubelet finds when nobody has fetched the result.
fn last_words(result: &TaskResult) -> TerminationMessage {
    let escalation = result.escalation.as_ref().map(|asked| Escalation {
        reason: cut(&asked.reason, TERMINATION_REASON).to_owned(),
        plan: cut(&asked.plan, TERMINATION_PART).to_owned(),
    });
    let room = escalation.as_ref().map_or(TERMINATION_TEXT, |_| TERMINATION_PART);
    TerminationMessage {
        v: 1,
        is_error: result.is_error,
        reason: result.terminal_reason.clone(),
        text: cut(&result.text, room).to_owned(),
        escalation,
    }
}

/// Time left until a deadline, without what comes after.
pub fn left(deadline: Timestamp, reserve: Duration) -> Duration {
    let left = deadline.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or_default().saturating_sub(reserve)
}

/// The beginning of a text.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
