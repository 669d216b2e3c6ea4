//! Starting claude, again and again if it must be.

use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::api::{AgentProblem, AgentProblemKind, RunnerState};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{Agent, Parts, predecessors};
use crate::claude::environment::{self, Conversation};
use crate::claude::process::Process;
use crate::claude::reaper::Exit;
use crate::claude::{instructions, transcript};
use crate::history;
use crate::turn::{Input, Past, Searched};

/// Pauses before the next start, by the number of failures in a row.
const PAUSES_MS: [u64; 7] = [0, 200, 1000, 3000, 10_000, 30_000, 60_000];
/// Failures in a row from which on it is called a crash loop.
const CRASH_LOOP: usize = 3;
/// A process that worked for this long is no part of a crash loop.
const HEALTHY: Duration = Duration::from_secs(120);

/// The record of starts.
#[derive(Debug)]
pub struct Attempts {
    /// When to start next; none while a process runs or must not run.
    due: Option<Instant>,
    /// What people are told about why it is started; none for a first or a clean start.
    cause: Option<String>,
    failures: usize,
    /// When the process answered.
    ready: Option<Instant>,
    /// What claude said when it refused to start.
    refusal: Option<String>,
    /// The transcript is there and claude cannot resume it: use this flag instead.
    insist: Option<Conversation>,
    /// claude has had a conversation that should still be there.
    has_past: bool,
    /// claude was asked to end and will be started again: that is no failure.
    end_is_expected: bool,
    /// Why the runner itself killed claude.
    killed: Option<&'static str>,
}

impl Attempts {
    /// What the journal says about the last life.
    pub fn after(past: &Past) -> Self {
        let quiet = past.is_empty() || past.closed;
        Self {
            due: None,
            cause: (!quiet).then(|| "The agent's pod was stopped and has started again.".to_owned()),
            failures: 0,
            ready: None,
            refusal: None,
            insist: None,
            has_past: past.had_turns(),
            end_is_expected: false,
            killed: None,
        }
    }

    /// claude answered.
    pub fn ready(&mut self, now: Instant) {
        self.ready = Some(now);
        self.refusal = None;
        self.insist = None;
    }

    /// A turn has ended, so this claude works.
    pub fn worked(&mut self) {
        self.failures = 0;
        self.has_past = true;
    }

    /// The first start.
    pub fn begin(&mut self) {
        self.due = Some(Instant::now());
    }

    /// A start or a process has failed. Returns how many did in a row, and the pause before the next one.
    fn failed(&mut self, now: Instant) -> (usize, u64) {
        // One that hung before it answered has lived long as well, but it never worked.
        let worked = self.ready.take().map(|ready| now.duration_since(ready));
        if worked.is_some_and(|worked| worked >= HEALTHY) {
            self.failures = 0;
        }
        self.failures += 1;
        let pause = PAUSES_MS[(self.failures - 1).min(PAUSES_MS.len() - 1)];
        self.due = Some(now + Duration::from_millis(pause));
        (self.failures, pause)
    }

    /// claude is asked to end.
    pub fn expect_end(&mut self) {
        self.end_is_expected = true;
    }

    /// The runner kills claude.
    pub fn killed(&mut self, why: &'static str) {
        self.killed = Some(why);
    }

    /// No more starts.
    pub fn stop(&mut self) {
        self.due = None;
    }
}

impl Agent {
    /// The first start, once the topic's state says all that earlier sessions have left behind.
    pub(super) fn begin(&mut self) {
        if self.news {
            self.mark_owed(Timestamp::now());
        }
        self.parts.notifier.post(longshore_wire::notice::NoticeKind::Announce);
        if self.chronicle.result().is_some() {
            // A second pod of a finished task has nothing to run.
            self.finish_task();
        } else {
            self.prepare_workspace();
        }
        self.start_when_due();
        self.publish();
    }

    /// What is owed comes first, then claude.
    pub(super) fn summarize_predecessors(&mut self) {
        self.predecessors = predecessors::summarize(&self.parts);
        if self.predecessors.is_none() {
            self.attempts.begin();
        }
    }

    pub(super) fn start_when_due(&mut self) {
        let due = self.attempts.due.is_some_and(|due| due <= Instant::now());
        if due && self.process.is_none() {
            self.attempts.due = None;
            if let Err(error) = self.start() {
                self.failed(&error);
            }
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let Self { parts, attempts, .. } = self;
        let volume = &parts.volume;
        let missing = |error: &dyn std::fmt::Display| error.to_string();
        instructions::write(&parts.settings, volume).map_err(|error| missing(&error))?;
        let session = parts.settings.agent.uid;
        let found = transcript::find(&volume.claude_config(), session);
        let conversation = attempts.insist.unwrap_or(match found {
            Some(_) => Conversation::Resumed,
            None => Conversation::New,
        });
        let mut searched = Searched {
            cause: attempts.cause.clone(),
            ..Searched::default()
        };
        let forgets = found.is_none() && attempts.has_past;
        // A conversation that is gone says nothing about what had run.
        searched.may_have_run = self.machine.decided();
        if let Some(path) = &found {
            let decided = std::mem::take(&mut searched.may_have_run);
            searched.may_have_run = transcript::results(path, decided).map_err(|error| missing(&error))?;
            let anchors = self.machine.anchors();
            searched.found = transcript::search(path, &anchors).map_err(|error| missing(&error))?;
        } else if forgets {
            let cause = searched.cause.get_or_insert_default();
            cause.push_str(" The file of its conversation is gone, so claude begins anew and remembers nothing.");
        }
        let changed = self.machine.settings();
        let command = environment::command(&parts.settings, volume, &parts.proxy, conversation, changed);
        let process = Process::start(command, &parts.reaper, parts.journal.clone());
        let process = process.map_err(|error| format!("{}: {error}", parts.settings.flags.claude.display()))?;
        tracing::info!(pid = process.pid, ?conversation, "claude is started");
        self.process = Some(process);
        // Only now is it told: a start that did not work leaves the news to the next one.
        self.attempts.cause = None;
        self.attempts.has_past &= !forgets;
        self.step(Input::Recover(searched));
        let preface = self.preface(conversation);
        self.step(Input::Spawned { preface });
        Ok(())
    }

    /// What a task that begins is told in front of its prompt.
    fn preface(&self, conversation: Conversation) -> Vec<String> {
        if conversation != Conversation::New {
            return Vec::new();
        }
        let told = [self.earlier_turns(), self.need.told()];
        told.into_iter().flatten().collect()
    }

    /// What was said in the topic before.
    fn earlier_turns(&self) -> Option<String> {
        let Parts { settings, volume, .. } = &self.parts;
        let limits = settings.agent.history?;
        let replay = history::replay(volume, limits)?;
        tracing::info!(
            turns = replay.turns,
            bytes = replay.text.len(),
            "earlier turns are told"
        );
        Some(replay.text)
    }

    /// claude's process is gone.
    pub(super) async fn exited(&mut self, exit: Exit) {
        // While it is still known what ran.
        let killed = self.attempts.killed.take();
        let by_kernel = killed.is_none() && exit == Exit::Signal(Signal::SIGKILL);
        let out_of_memory = self.kills_at_end(by_kernel) && by_kernel;
        let Some(process) = self.process.take() else { return };
        // Whatever it left behind would go on working beside the next one.
        process.signal(Signal::SIGKILL);
        self.parts.reaper.kill_orphans().await;
        self.step(Input::Exited);
        tracing::info!(%exit, "claude has ended");
        let expected = std::mem::take(&mut self.attempts.end_is_expected);
        if self.winding.is_over() || expected {
            return;
        }
        let errors = process.errors();
        let refusal = self.attempts.refusal.take();
        // Only a claude that had answered can crash; one that had not is a start that failed, however many failed before.
        if self.state != RunnerState::Ready || refusal.is_some() {
            let why = refusal.into_iter().chain((!errors.is_empty()).then_some(errors));
            let why = why.collect::<Vec<_>>().join("\n");
            if self.repaired(&why) {
                self.attempts.due = Some(Instant::now());
                return;
            }
            self.failed(&if why.is_empty() { exit.to_string() } else { why });
            return;
        }
        self.attempts.cause = Some(cause(exit, out_of_memory, killed));
        self.state = RunnerState::Starting;
        self.failed(&format!("it ends unexpectedly ({exit})"));
    }

    /// claude printed why it does not start. Its end follows.
    pub(super) fn refused(&mut self, why: String) {
        // The first word is the reason; that it then hangs is not.
        self.attempts.refusal.get_or_insert(why);
        if let Some(process) = &mut self.process {
            process.close();
        }
    }

    /// Takes the known obstacles out of the way.
    fn repaired(&mut self, why: &str) -> bool {
        let config = self.parts.volume.claude_config();
        if why.contains(".claude.json") && why.contains("corrupted") {
            let broken = config.join(".claude.json");
            let aside = config.join(format!(".claude.json.corrupt-{}", Timestamp::now().as_second()));
            tracing::warn!("claude's settings are corrupt and are moved away");
            return std::fs::rename(broken, aside).is_ok();
        }
        if why.contains("No conversation found") && self.attempts.insist.is_none() {
            if let Some(path) = transcript::find(&config, self.parts.settings.agent.uid) {
                tracing::warn!("claude cannot read its conversation; the file is moved away");
                let aside = path.with_extension(format!("unreadable-{}", Timestamp::now().as_second()));
                if std::fs::rename(&path, aside).is_err() {
                    return false;
                }
            }
            self.attempts.has_past = true;
            self.attempts.insist = Some(Conversation::New);
            return true;
        }
        if why.contains("already in use") && self.attempts.insist.is_none() {
            self.attempts.insist = Some(Conversation::Resumed);
            return true;
        }
        false
    }

    /// Plans the next start after a failed one.
    fn failed(&mut self, why: &str) {
        let (failures, pause) = self.attempts.failed(Instant::now());
        let last = why
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("no reason given");
        tracing::warn!(failures, pause, why = last, "claude will be started again");
        if failures >= CRASH_LOOP {
            self.state = RunnerState::Failed;
            self.set_problem(Some(AgentProblem {
                kind: AgentProblemKind::CrashLoop,
                message: format!("claude cannot be kept running: {last}. It is tried again and again."),
            }));
        }
    }
}

/// Why claude is started again, for a chat.
fn cause(exit: Exit, out_of_memory: bool, killed: Option<&str>) -> String {
    let what = match (exit, killed) {
        (_, Some(why)) => format!("claude was killed because {why}"),
        (Exit::Signal(_), None) if out_of_memory => "claude was killed because the memory ran out".to_owned(),
        (Exit::Signal(signal @ (Signal::SIGKILL | Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)), None) => {
            format!("claude was killed from outside ({signal})")
        }
        (Exit::Signal(signal), None) => format!("claude crashed ({signal})"),
        (Exit::Code(0), None) => "claude ended by itself".to_owned(),
        (Exit::Code(code), None) => format!("claude ended with an error (exit status {code})"),
    };
    format!("{what} and was started again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_answered_and_then_lived_ends_a_row_of_failures() {
        let mut attempts = Attempts::after(&Past::default());
        let mut now = Instant::now();
        for failures in 1..4 {
            // It hangs for longer than a healthy one must live.
            now += HEALTHY * 2;
            assert_eq!(attempts.failed(now).0, failures);
        }
        attempts.ready(now);
        now += HEALTHY / 2;
        assert_eq!(attempts.failed(now).0, 4);
        attempts.ready(now);
        now += HEALTHY;
        assert_eq!(attempts.failed(now), (1, 0));
    }

    #[test]
    fn people_are_told_in_words_why_claude_was_started_again() {
        let check = |exit, out_of_memory, killed, told: &str| {
            assert_eq!(
                cause(exit, out_of_memory, killed),
                format!("{told} and was started again.")
            );
        };
        let kill = Exit::Signal(Signal::SIGKILL);
        check(kill, true, None, "claude was killed because the memory ran out");
        check(kill, false, None, "claude was killed from outside (SIGKILL)");
        check(
            kill,
            false,
            Some("it did not stop"),
            "claude was killed because it did not stop",
        );
        check(Exit::Signal(Signal::SIGSEGV), false, None, "claude crashed (SIGSEGV)");
        check(Exit::Code(0), false, None, "claude ended by itself");
        check(Exit::Code(3), false, None, "claude ended with an error (exit status 3)");
    }
}
