//! The way of answers back to their authors: the bot fetches them from runners, and what is left in statuses.
//!
//! What is promised: an answer is kept by the runner until the bot has it. A session that has wound down in order says in its status
//! what the bot has not fetched by then, so that nothing is lost when the pod goes; the bot may be away for as long as it likes.
//!
//! Not promised: answers of a session whose object somebody deletes while the bot is away, or whose runner died before it was asked.
//! Those stand in the topic's history only.

use std::sync::Arc;

use longshore_wire::MessageId;
use longshore_wire::api::Undelivered;

use super::invariants::topic;
use super::kind::Kind;
use super::runners::Journal;
use super::server::{Change, Object};
use super::world::{Event, World};

impl Journal {
    /// Ids of what is answered and has not come to its author.
    fn untold(&self) -> Vec<String> {
        let untold = self.entries.iter().filter(|entry| entry.done && !entry.told);
        untold.map(|entry| entry.id.to_string()).collect()
    }

    /// What a runner that is wound down says of them.
    pub fn undelivered(&self) -> Vec<Undelivered> {
        const MOST: usize = 16;
        let mut untold: Vec<_> = self.entries.iter().filter(|entry| entry.done && !entry.told).collect();
        let newest = untold.split_off(untold.len().saturating_sub(MOST));
        newest
            .iter()
            .map(|entry| Undelivered {
                message_ids: vec![MessageId(entry.id)],
                text: "hello".to_owned(),
                is_error: false,
            })
            .collect()
    }
}

/// Ids of the answers in a status.
fn left_in(session: &Object) -> Vec<&str> {
    let answers = session.value["status"]["undelivered"].as_array();
    let ids = answers
        .into_iter()
        .flatten()
        .filter_map(|answer| answer["messageIds"].as_array());
    ids.flatten().filter_map(|id| id.as_str()).collect()
}

/// Whether it has wound down by this change.
fn has_wound_down(change: &Change) -> bool {
    let down = |object: &Arc<Object>| object.holds("Ended") || object.holds("Suspended");
    down(&change.object) && !change.before.as_ref().is_some_and(down)
}

impl World {
    /// The bot's stream brings it something, a little later.
    pub fn stream(&mut self, pid: u64) {
        let delay = self.chance.delay(300, 20_000);
        self.later(delay, Event::Fetch(pid));
    }

    /// The bot stores what the runner has for it, and says so to the runner.
    pub fn fetch(&mut self, pid: u64) {
        if !self.trouble.bot.is_empty() {
            return;
        }
        let process = self.processes.get(&pid).filter(|process| process.listens());
        let Some(process) = process.filter(|process| !self.is_silent(process.node) && self.is_of_topic(process)) else {
            return;
        };
        let journal = self.journals.entry(process.uid.clone()).or_default();
        let answered = journal.entries.iter_mut().filter(|entry| entry.done);
        answered.for_each(|entry| entry.told = true);
    }

    /// The bot reads a status, the last one of an object that is gone included.
    fn take(&mut self, session: &Object) {
        let left = left_in(session);
        let Some(journal) = self.journals.get_mut(&session.uid) else {
            return;
        };
        let taken = journal
            .entries
            .iter_mut()
            .filter(|entry| left.contains(&entry.id.to_string().as_str()));
        taken.for_each(|entry| entry.told = true);
    }

    /// The bot is back, and looks at everything.
    pub fn bot_returns(&mut self) {
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            self.stream(pid);
        }
        for session in self.server.all(Kind::Session).cloned().collect::<Vec<_>>() {
            self.take(&session);
        }
    }

    /// A session's status or end, as the bot sees it, and what it must say.
    pub fn session_changed(&mut self, change: &Change) {
        let session = &change.object;
        if !change.gone && has_wound_down(change) {
            self.check_answers(session);
        }
        if !left_in(session).is_empty() {
            *self.troubles.entry("status with answers").or_default() += u64::from(has_wound_down(change));
            if self.trouble.bot.is_empty() {
                self.take(session);
            }
        }
    }

    /// Nothing may be missing if nothing went wrong since the runner was through.
    fn check_answers(&mut self, session: &Object) {
        let calm = |process: &&super::runners::Process| {
            process.uid == session.uid
                && !self.is_silent(process.node)
                && process.quiesced.is_some_and(|at| self.watchdog.is_calm_since(at))
        };
        if !self.processes.values().any(|process| calm(&process)) {
            return;
        }
        let Some(journal) = self.journals.get_mut(&session.uid) else {
            return;
        };
        journal.kept = true;
        let left = left_in(session);
        let lost = journal.untold().into_iter().find(|id| !left.contains(&id.as_str()));
        if let Some(id) = lost {
            let what = format!("the answer to {id} is not in the status of {}", session.name);
            self.watchdog.breaks("answers are kept", topic(session), what);
        }
    }

    /// When everything has settled and the bot is there: an answer of this session that has not come to its author.
    pub fn unsettled_answer(&self, session: &Object) -> Option<String> {
        let journal = self.journals.get(&session.uid)?;
        let over = session.holds("Ended") || session.holds("Suspended");
        let to_be_told = session.holds("Ready") || (over && journal.kept);
        if !to_be_told {
            return None;
        }
        let id = journal.untold().into_iter().next()?;
        Some(format!("the answer to {id} has not come to its author"))
    }
}
