//! The summary: asking claude for the key outcomes of a session, beside its conversation, and writing them where the next
//! agent of the topic reads them.
//!
//! As long as turns lack their summary a marker on the volume says so, for the case that this pod does not get to it.

use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::agent::AgentKind;
use longshore_wire::api::Quiesce;
use longshore_wire::event::Event;
use tokio::time::Instant;

use super::winding::{RESERVE, cut, left};
use super::{Agent, Waiting};
use crate::owed::Owed;
use crate::turn::Input;

/// Longest wait for a summary.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest text of a summary, in bytes.
const TEXT: usize = 4096;

/// What claude is asked.
pub const QUESTION: &str = "This session is being closed. Summarise its key outcomes for whoever works on this topic \
     next, who will not see this conversation. Use these headings and leave out those without content: **Decisions** \
     (what was asked for, what was decided and why), **Changed files** (paths, branches, other results), **Open \
     points**, **How to continue** (the next step, and what to know for it). Markdown bullets, at most 250 words, no \
     preamble.";

/// Heading of a session's summary.
pub fn title(name: &str) -> String {
    format!("Session {name}")
}

/// A summary as it is kept.
pub fn shortened(text: &str) -> &str {
    cut(text.trim(), TEXT)
}

impl Agent {
    /// Asks, if that is wanted and there is something to tell. Returns until when to wait for the answer.
    pub(super) fn ask_for_summary(&mut self, quiesce: Quiesce) -> Option<Instant> {
        if !quiesce.summarize {
            // Nobody wants one, so it is not owed either.
            self.settle_summary();
            return None;
        }
        if !self.news {
            return None;
        }
        if self.process.is_none() {
            self.write_summary(Err("claude is not running".to_owned()));
            return None;
        }
        let until = Instant::now() + PATIENCE.min(left(quiesce.deadline, RESERVE));
        let token = self.token(Waiting::Summary);
        let question = QUESTION.to_owned();
        self.step(Input::Ask { token, question });
        Some(until)
    }

    pub(super) fn write_summary(&mut self, answer: Result<String, String>) {
        let agent = &self.parts.settings.agent;
        let title = match agent.kind {
            AgentKind::Session => title(&agent.name),
            AgentKind::Task => format!("Task {}", agent.name),
        };
        let written = answer.and_then(|text| {
            let text = shortened(&text);
            let written = self.parts.volume.write_summary(&title, text, Timestamp::now());
            written.map_err(|error| error.to_string())
        });
        match written {
            Ok(summary) => {
                self.summary_error = None;
                self.record(Event::Summary { summary });
            }
            Err(error) => {
                tracing::warn!(error, "the summary could not be written");
                self.summary_error = Some(error);
            }
        }
    }

    /// A turn has begun that no summary tells of.
    pub(super) fn owe_summary(&mut self, since: Timestamp) {
        if !std::mem::replace(&mut self.news, true) {
            self.mark_owed(since);
        }
    }

    /// Marks this session on the volume. Of a task the result is what is kept.
    pub(super) fn mark_owed(&self, since: Timestamp) {
        let agent = &self.parts.settings.agent;
        if agent.kind == AgentKind::Task {
            return;
        }
        let owed = Owed {
            uid: agent.uid,
            name: agent.name.clone(),
            since,
            attempts: 0,
        };
        if let Err(error) = self.parts.volume.owed().owe(&owed) {
            tracing::warn!(%error, "if this pod is lost, nobody will know that its summary is missing");
        }
    }

    pub(super) fn settle_summary(&self) {
        if let Err(error) = self.parts.volume.owed().settle(self.parts.settings.agent.uid) {
            tracing::warn!(%error, "a summary that is written still counts as owed");
        }
    }
}
