//! Memory of the pod: telling people when it is short, restarting claude between turns, and noticing what the kernel
//! killed for it.
//!
//! On cgroup v2 Kubernetes lets the kernel kill the container as a whole; then this process is gone too, and what
//! happened stands only in the pod's status.

use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::agent::AgentKind;
use longshore_wire::api::RunnerState;
use longshore_wire::event::{Event, MemoryLevel};
use longshore_wire::notice::NoticeKind;
use tokio::time::Instant;

use super::Agent;
use super::pressure::{Holders, out_of_memory, sentence};
use crate::claude::processes::Processes;

/// The end of a killed claude is heard of within this time.
const HEARD: Duration = Duration::from_millis(1500);

/// Kills that people have not been told of.
#[derive(Debug)]
pub struct Kills {
    at: Instant,
    running: Vec<String>,
}

impl Agent {
    /// Looks at figures, kills and the order of kills.
    pub(super) async fn look_at_memory(&mut self) {
        self.notice_kills();
        let memory = self.memory.read();
        if let Some(level) = self.pressure.look(&memory) {
            let message = sentence(level, &memory, self.holders());
            self.tell_of_memory(level, message);
        }
        if self.pressure.wants_recycling(&memory, Timestamp::now()) && self.may_recycle() {
            self.recycle().await;
        }
    }

    /// Lets the kernel take tools before claude. Tools come and go, so it is done again and again while any may run.
    pub(super) fn order_kills(&self) {
        if let Some(process) = &self.process
            && !self.machine.busy().is_empty()
        {
            let processes = Processes::read();
            self.oom_order.establish(&processes, std::process::id(), process.pid);
        }
    }

    /// Notices processes that the kernel has killed, and what ran. They are told of a moment later: whether claude is
    /// among them shows only when its end is heard of.
    pub(super) fn notice_kills(&mut self) {
        if self.memory.read().oom_kills <= self.oom_kills {
            return;
        }
        let noticed = self.kills.get_or_insert_with(|| Kills {
            at: Instant::now(),
            running: self.machine.running(),
        });
        if noticed.at.elapsed() >= HEARD {
            self.tell_of_kills(false);
        }
    }

    /// Tells of kills at the end of claude. Returns whether there were any.
    pub(super) fn kills_at_end(&mut self, claude_was_killed: bool) -> bool {
        self.notice_kills();
        let any = self.kills.is_some();
        if any {
            self.tell_of_kills(claude_was_killed);
        }
        any
    }

    fn tell_of_kills(&mut self, claude_died: bool) {
        let Some(Kills { running, .. }) = self.kills.take() else {
            return;
        };
        let memory = self.memory.read();
        self.oom_kills = memory.oom_kills;
        let message = out_of_memory(&memory, claude_died, &running);
        self.tell_of_memory(MemoryLevel::OutOfMemory, message);
    }

    fn tell_of_memory(&mut self, level: MemoryLevel, message: String) {
        tracing::warn!(?level, message, "memory");
        let memory = self.memory.read();
        self.record(Event::Memory { level, message, memory });
        self.parts.notifier.post(NoticeKind::Memory);
    }

    /// Who holds the memory.
    fn holders(&self) -> Holders {
        let processes = Processes::read();
        let claude = self.process.as_ref().map(|process| process.pid.cast_signed());
        let mut tools = processes.below(std::process::id().cast_signed());
        tools.retain(|pid| Some(*pid) != claude);
        Holders {
            claude: processes.memory(&claude.into_iter().collect::<Vec<_>>()),
            tools: processes.memory(&tools),
        }
    }

    /// Between turns, and only where a conversation goes on afterwards. Who only watches from a terminal loses nothing.
    fn may_recycle(&self) -> bool {
        let agent = &self.parts.settings.agent;
        let idle = self.machine.is_ready() && self.machine.busy().is_empty() && self.waiting.is_empty();
        agent.kind == AgentKind::Session && self.state == RunnerState::Ready && !self.winding.is_over() && idle
    }

    /// Ends claude politely; it is started again with its conversation at once.
    async fn recycle(&mut self) {
        let now = Timestamp::now();
        self.pressure.recycled(now);
        let message = sentence(MemoryLevel::Recycled, &self.memory.read(), self.holders());
        self.attempts.expect_end();
        self.end_claude().await;
        self.tell_of_memory(MemoryLevel::Recycled, message);
        self.attempts.begin();
    }
}
