//! The journal: one append-only JSONL file per session or task, the truth about what was accepted and what was said.
//!
//! Owns sequence numbers, durability and reading back. [`Journal::append`] returns at once; a writer thread writes what
//! has gathered and syncs it in one go, then moves the [`Durable`] watermark. Who must not speak before the disk has it
//! waits for the watermark.
//!
//! The file is locked by whoever writes it: after a forced deletion Kubernetes starts a pod's successor while the pod
//! still winds down, and two writers would give the same sequence numbers to different events.
//!
//! Knows nothing of claude or HTTP. A half-written last line is cut off at [`Journal::open`]; a line that cannot be read
//! in the middle is skipped. A failing disk stops the watermark, is told by [`Durable::failure`], and is tried again.

mod entry;
mod writer;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::event::{Event, Record};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::watch;

pub use entry::{Entry, Mark};
use writer::Chunk;

/// What went wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or cut.
    #[error("the journal {path} cannot be opened: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes it.
    #[error("the journal {path} is still written by another agent")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Reading back failed.
    #[error("the journal cannot be read: {0}")]
    Read(std::io::Error),
    /// The disk did not take it in time.
    #[error("the journal cannot be written: {0}")]
    Write(String),
}

/// How far the disk has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Entries (records and marks) on disk.
    pub entries: u64,
    /// Newest record on disk.
    pub seq: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Why it does not come further.
    pub failure: Option<String>,
}

/// Place of an appended entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Number of the entry, to compare with [`Durable::entries`].
    pub entry: u64,
    /// Newest sequence including this entry.
    pub seq: u64,
}

/// Handle to the journal; clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tail: Mutex<Tail>,
    reader: File,
    durable: watch::Receiver<Durable>,
}

#[derive(Debug)]
struct Tail {
    entries: u64,
    seq: u64,
    bytes: u64,
    /// Where the record with sequence `index + 1` begins.
    offsets: Vec<u64>,
    chunks: mpsc::Sender<Chunk>,
}

impl Journal {
    /// Opens or creates the file, locks it until the last clone of the journal is dropped and everything is written, and
    /// returns what it holds.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let failed = |source| JournalError::Open {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(failed)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => JournalError::InUse { path: path.to_owned() },
            error => failed(error.into()),
        })?;
        let found = read_all(&file).map_err(failed)?;
        if found.bytes < file.metadata().map_err(failed)?.len() {
            tracing::warn!(
                kept = found.bytes,
                "the journal ended in the middle of a line; the rest is cut off"
            );
            file.set_len(found.bytes).map_err(failed)?;
        }
        if let Some(folder) = path.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(failed)?;
        }
        let reader = File::open(path).map_err(failed)?;
        let start = Durable {
            entries: found.entries.len() as u64,
            seq: found.offsets.len() as u64,
            bytes: found.bytes,
            failure: None,
        };
        let (chunks, durable) = writer::start(file, start.clone());
        let journal = Self {
            shared: Arc::new(Shared {
                tail: Mutex::new(Tail {
                    entries: start.entries,
                    seq: start.seq,
                    bytes: start.bytes,
                    offsets: found.offsets,
                    chunks,
                }),
                reader,
                durable,
            }),
        };
        Ok((journal, found.entries))
    }

    /// Appends a durable event and gives it the next sequence.
    pub fn append(&self, at: Timestamp, event: Event) -> (Record, Appended) {
        let mut tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record {
            seq: tail.seq + 1,
            at,
            event,
        };
        let start = tail.bytes;
        tail.seq = record.seq;
        tail.offsets.push(start);
        let appended = tail.push(&Entry::Record(record.clone()));
        (record, appended)
    }

    /// Appends a mark: state of the runner that no consumer sees.
    pub fn mark(&self, mark: Mark) -> Appended {
        let mut tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.push(&Entry::Mark(mark))
    }

    /// Newest sequence, on disk or not.
    pub fn seq(&self) -> u64 {
        self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner).seq
    }

    /// Newest entry, on disk or not.
    pub fn entries(&self) -> u64 {
        self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner).entries
    }

    /// The watermark.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared.durable.clone()
    }

    /// Waits until the entry is on disk.
    pub async fn wait(&self, entry: u64, limit: Duration) -> Result<(), JournalError> {
        self.wait_for(limit, |durable| durable.entries >= entry).await
    }

    /// Waits until the record is on disk.
    pub async fn wait_seq(&self, seq: u64, limit: Duration) -> Result<(), JournalError> {
        self.wait_for(limit, |durable| durable.seq >= seq).await
    }

    async fn wait_for(&self, limit: Duration, reached: impl FnMut(&Durable) -> bool) -> Result<(), JournalError> {
        let mut durable = self.durable();
        match tokio::time::timeout(limit, durable.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(JournalError::Write(
                self.shared
                    .durable
                    .borrow()
                    .failure
                    .clone()
                    .unwrap_or_else(|| "the disk is too slow".to_owned()),
            )),
        }
    }

    /// Durable records after a sequence, oldest first, about `limit` bytes of them and at least one if there is one.
    /// Each is its sequence and its JSON.
    pub fn read_after(&self, after: u64, limit: u64) -> Result<Vec<(u64, String)>, JournalError> {
        let durable = self.shared.durable.borrow().clone();
        if after >= durable.seq {
            return Ok(Vec::new());
        }
        let (places, end) = {
            let tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.places(after, &durable, limit)
        };
        let Some((_, start)) = places.first().copied() else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        self.shared
            .reader
            .read_exact_at(&mut bytes, start)
            .map_err(JournalError::Read)?;
        let record = |(seq, place): (u64, u64)| {
            let rest = bytes.get(usize::try_from(place - start).ok()?..)?;
            let line = String::from_utf8_lossy(rest.split(|byte| *byte == b'\n').next()?);
            (entry::seq_of(&line)? == seq).then(|| (seq, line.into_owned()))
        };
        Ok(places.into_iter().filter_map(record).collect())
    }
}

impl Tail {
    fn push(&mut self, entry: &Entry) -> Appended {
        let line = entry.encode();
        self.entries += 1;
        self.bytes += line.len() as u64;
        let chunk = Chunk {
            line,
            entries: self.entries,
            seq: self.seq,
        };
        if self.chunks.send(chunk).is_err() {
            tracing::error!("the journal's writer is gone");
        }
        Appended {
            entry: self.entries,
            seq: self.seq,
        }
    }

    /// Sequences after `after` with the beginnings of their lines, and where the last of these lines ends. Other lines stand
    /// between them: marks, and what was skipped at the start.
    fn places(&self, after: u64, durable: &Durable, limit: u64) -> (Vec<(u64, u64)>, u64) {
        let durable_seq = usize::try_from(durable.seq).unwrap_or(usize::MAX);
        let known = &self.offsets[..durable_seq.min(self.offsets.len())];
        let first = usize::try_from(after).unwrap_or(usize::MAX).min(known.len());
        let mut places = Vec::new();
        for (seq, offset) in (after + 1..).zip(&known[first..]) {
            let start = places.first().map_or(*offset, |(_, start)| *start);
            // The first line is read however long it is.
            if offset - start >= limit.max(1) {
                return (places, *offset);
            }
            places.push((seq, *offset));
        }
        (places, durable.bytes)
    }
}

#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    offsets: Vec<u64>,
    bytes: u64,
}

impl Found {
    /// Whether a record with this sequence may come next, when at most so many were lost before it.
    fn accepts(&self, seq: u64, lost: u64) -> bool {
        let missing = seq.checked_sub(self.offsets.len() as u64 + 1);
        missing.is_some_and(|missing| missing <= lost)
    }
}

/// No record has a shorter line than this.
const SHORTEST_RECORD: u64 = 48;

/// Reads every whole line. `bytes` is where the first half-written one begins.
///
/// Sequences have no gaps, so a record may run ahead only by as many as the lines that were skipped since the last good
/// one can have held. Any other sequence is wrong: the agent runs as our user and can write here, and disks err.
fn read_all(file: &File) -> std::io::Result<Found> {
    let mut found = Found::default();
    let mut lost = 0;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok(found);
        }
        let start = found.bytes;
        found.bytes += length;
        match entry::decode(&line) {
            Some(Entry::Record(record)) if found.accepts(record.seq, lost) => {
                found.offsets.resize(usize::try_from(record.seq).unwrap_or(0), start);
                found.entries.push(Entry::Record(record));
                lost = 0;
            }
            Some(Entry::Mark(mark)) => found.entries.push(Entry::Mark(mark)),
            Some(Entry::Record(_)) | None => {
                // It may have run several into one.
                lost += (length / SHORTEST_RECORD).max(1);
                tracing::warn!(offset = start, "a line of the journal cannot be read and is skipped");
            }
        }
    }
}

#[cfg(test)]
mod tests;
