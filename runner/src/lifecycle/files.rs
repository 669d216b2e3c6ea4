//! Files that the agent sends: copying them beside the loop, and keeping the copies until they were taken.
//!
//! Which copies are wanted follows from the journal, so a crash in between loses none and leaves none behind.

use std::collections::BTreeMap;

use longshore_wire::agent::AgentKind;
use longshore_wire::api::Undelivered;
use longshore_wire::event::{Event, Record};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::Agent;
use crate::journal::{Entry, Mark};
use crate::outgoing::{Kept, Outgoing};
use crate::turn::desk::files::ToCopy;
use crate::turn::{Input, Past};

/// The result of a task waits so long for its files to be taken: what is behind it goes with the pod.
const FILES_FIRST: Duration = Duration::from_secs(120);

/// Files that are named where some have not reached the chat.
const NAMED: usize = 10;

/// A file that nobody has taken.
#[derive(Clone, Debug)]
struct Sent {
    seq: u64,
    name: String,
}

/// What becomes of a call.
#[derive(Debug)]
pub struct Copied {
    call: ToCopy,
    copied: Result<Kept, String>,
}

/// The files of this agent.
#[derive(Debug)]
pub struct Files {
    outgoing: Outgoing,
    kind: AgentKind,
    untaken: BTreeMap<Uuid, Sent>,
    copying: JoinSet<Copied>,
    /// The result of the task has been waiting since then.
    waiting: Option<Instant>,
}

impl Files {
    /// The files that earlier lives have sent; copies of others are removed.
    pub fn new(outgoing: Outgoing, kind: AgentKind, entries: &[Entry], past: &Past) -> Self {
        let mut files = Self {
            outgoing,
            kind,
            untaken: BTreeMap::new(),
            copying: JoinSet::new(),
            waiting: None,
        };
        for entry in entries {
            match entry {
                Entry::Record(record) => files.record(record),
                Entry::Mark(Mark::FileTaken { id }) => drop(files.untaken.remove(id)),
                Entry::Mark(_) => {}
            }
        }
        files.acked(past.acked);
        files.outgoing.retain(|id| files.untaken.contains_key(&id));
        if kind == AgentKind::Session {
            files.outgoing.forget_others();
        }
        files
    }

    /// Takes note of a new record.
    pub fn record(&mut self, record: &Record) {
        if let Event::File { file, .. } = &record.event {
            let (seq, name) = (record.seq, file.name.clone());
            self.untaken.insert(file.id, Sent { seq, name });
        }
    }

    /// A consumer of a session has stored everything up to here. With that of a task its result is meant, by whoever takes no files.
    pub fn acked(&mut self, acked: u64) {
        if self.kind == AgentKind::Session {
            let taken: Vec<Uuid> = self
                .untaken
                .iter()
                .filter(|(_, sent)| sent.seq <= acked)
                .map(|(id, _)| *id)
                .collect();
            for id in taken {
                self.taken(id);
            }
        }
    }

    /// A consumer has this file. False when it had it before.
    pub fn taken(&mut self, id: Uuid) -> bool {
        let known = self.untaken.remove(&id).is_some();
        if known {
            self.outgoing.discard(id);
        }
        known
    }

    /// What is said of files that nobody has taken, and then what to do; none without any.
    pub fn in_words(&self, then: &str) -> Option<String> {
        let names: Vec<&str> = self
            .untaken
            .values()
            .map(|sent| sent.name.as_str())
            .take(NAMED)
            .collect();
        let more = match self.untaken.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let note = format!(
            "[Longshore] Files that have not reached the chat: {}{more}. {then}",
            names.join(", ")
        );
        (!names.is_empty()).then_some(note)
    }

    /// Whether the result of a task still waits for its files to be taken.
    fn hold_up(&mut self) -> bool {
        if self.untaken.is_empty() {
            return false;
        }
        self.waiting.get_or_insert_with(Instant::now).elapsed() < FILES_FIRST
    }

    /// Nobody can take anything any more.
    pub fn give_up(&mut self) {
        for id in std::mem::take(&mut self.untaken).into_keys() {
            self.outgoing.discard(id);
        }
    }
}

/// The next copy that is made; never ready when none is being made.
pub async fn copied(files: &mut Files) -> Copied {
    loop {
        match files.copying.join_next().await {
            Some(Ok(copied)) => return copied,
            Some(Err(error)) => tracing::error!(%error, "copying a file failed"),
            None => std::future::pending().await,
        }
    }
}

impl Agent {
    /// Copies a file beside the loop.
    pub(super) fn copy(&mut self, call: ToCopy) {
        let outgoing = self.files.outgoing.clone();
        self.files.copying.spawn_blocking(move || {
            let copied = outgoing.keep(Uuid::new_v4(), &call.path);
            let copied = copied.map_err(|refusal| refusal.to_string());
            Copied { call, copied }
        });
    }

    pub(super) fn was_copied(&mut self, copied: Copied) {
        let Copied { call, copied } = copied;
        self.step(Input::Copied { call, copied });
    }

    pub(super) fn discard(&self, id: Uuid) {
        self.files.outgoing.discard(id);
    }

    /// A consumer has this file.
    pub(super) fn file_taken(&mut self, id: Uuid) {
        if self.files.taken(id) {
            self.parts.journal.mark(Mark::FileTaken { id });
        }
    }

    /// Answers that nobody has acknowledged; the newest says which files nobody has taken.
    pub(super) fn undelivered(&self) -> Vec<Undelivered> {
        let mut answers = self.chronicle.undelivered();
        let note = self
            .files
            .in_words("They come when the session wakes up; if it has ended, they lie in the workspace.");
        if let (Some(answer), Some(note)) = (answers.last_mut(), note) {
            answer.text = format!("{}\n\n{note}", answer.text);
        }
        answers
    }

    /// Whether the result of a task still waits for its files to be taken.
    pub(super) fn files_come_first(&mut self) -> bool {
        self.files.hold_up()
    }
}
