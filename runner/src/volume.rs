//! The topic's volume: which file lies where, and the files that the runner itself writes for people.
//!
//! Knows nothing of claude's protocol. A folder that cannot be written is told as [`VolumeError`]; the caller makes it a
//! problem of the agent and tries again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{Disk, Summary};
use longshore_wire::file_name;
use serde::Deserialize;
use uuid::Uuid;

use crate::outgoing::Outgoing;
use crate::owed::OwedSummaries;
use crate::state;
use crate::turn::Exchange;

/// Folder of the workspace for files that people send.
pub const INBOX: &str = "inbox";
/// Beginning of the names of files that only show that a folder can be written.
pub const WRITE_TEST: &str = ".longshore-write-test-";
/// Longest name of a saved attachment, in bytes, without the part that makes it unique.
const ATTACHMENT_NAME: usize = 100;
/// Longest reason for a missing summary, in bytes.
const REASON: usize = 300;

/// A place that must be writable is not, or a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} is not writable: {source}")]
pub struct VolumeError {
    /// The place.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// The layout.
#[derive(Clone, Debug)]
pub struct Volume {
    root: PathBuf,
    uid: Uuid,
    /// Workspace and state belong to others, and are only read.
    read_only: bool,
}

impl Volume {
    /// The volume of this session or task.
    pub fn new(root: &Path, uid: Uuid) -> Self {
        Self {
            root: root.to_owned(),
            uid,
            read_only: false,
        }
    }

    /// The volume of a task that only reads the workspace and the topic's state. All that it writes is its own.
    pub fn for_reading(root: &Path, uid: Uuid) -> Self {
        Self {
            read_only: true,
            ..Self::new(root, uid)
        }
    }

    /// claude's working directory.
    pub fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// State of the topic that outlives sessions.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// What every agent of the topic reads first.
    pub fn state_file(&self) -> PathBuf {
        self.state().join("state.md")
    }

    /// claude's HOME and configuration.
    pub fn claude_config(&self) -> PathBuf {
        self.root.join(".runner/claude")
    }

    /// Where the topic's repository is cloned before it is moved into the workspace.
    pub fn repository(&self) -> PathBuf {
        self.root.join(".runner/repository")
    }

    /// Markers of sessions without a summary.
    pub fn owed(&self) -> OwedSummaries {
        OwedSummaries::new(self.root.join(".runner/pending"))
    }

    /// Copies of files that the agent sends, from the workspace and its scratch.
    pub fn outgoing(&self) -> Outgoing {
        let places = [Some(self.workspace()), self.scratch()];
        Outgoing::new(&self.root, self.uid, places.into_iter().flatten().collect())
    }

    /// The volume as another session or task of the topic sees it.
    pub fn of(&self, uid: Uuid) -> Self {
        Self { uid, ..self.clone() }
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join(".runner/journal").join(format!("{}.jsonl", self.uid))
    }

    /// Where every agent of the topic writes its turns, each into a file of its own.
    pub fn histories(&self) -> PathBuf {
        self.state().join("history")
    }

    /// Where an agent may write that must not write into the workspace.
    pub fn scratch(&self) -> Option<PathBuf> {
        self.read_only.then(|| self.root.join("scratch"))
    }

    /// Folder for files that people send.
    fn inbox(&self) -> PathBuf {
        self.scratch().unwrap_or_else(|| self.workspace()).join(INBOX)
    }

    /// This agent's file of turns, an [`Exchange`] in a line.
    pub fn history(&self) -> PathBuf {
        let folder = match self.read_only {
            false => self.histories(),
            true => self.root.join(".runner"),
        };
        folder.join(format!("{}.jsonl", self.uid))
    }

    /// Creates what is missing and writes a byte everywhere where something will be written.
    pub fn prepare(&self, tmp: &Path) -> Result<(), VolumeError> {
        let shared = [
            self.workspace(),
            self.state(),
            self.state().join("summaries"),
            self.histories(),
        ];
        let own = [
            self.root.join(".runner/journal"),
            self.root.join(".runner/pending"),
            self.claude_config(),
            tmp.to_owned(),
        ];
        let shared = shared.into_iter().filter(|_| !self.read_only);
        for folder in shared.chain(own).chain(self.scratch()) {
            test_write(&folder).map_err(|source| VolumeError { path: folder, source })?;
        }
        Ok(())
    }

    /// Space on the volume.
    pub fn disk(&self) -> Disk {
        match nix::sys::statvfs::statvfs(&self.root) {
            Ok(stat) => Disk {
                free_bytes: stat.blocks_available() * stat.fragment_size(),
                total_bytes: stat.blocks() * stat.fragment_size(),
            },
            Err(_) => Disk::default(),
        }
    }

    /// Saves a file that came with a message; returns its path, below the workspace if it lies there. Saving it again changes nothing.
    pub fn save_attachment(
        &self,
        message: MessageId,
        index: usize,
        name: &str,
        content: &[u8],
    ) -> Result<String, VolumeError> {
        let short: String = message.0.simple().to_string().chars().take(8).collect();
        let name = format!("{short}-{index}-{}", file_name::sanitised(name, ATTACHMENT_NAME));
        let path = self.inbox().join(&name);
        let failed = |source| VolumeError {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(self.inbox()).map_err(failed)?;
        if path.symlink_metadata().is_err() {
            write_whole(&path, content)?;
        }
        Ok(match self.read_only {
            false => format!("{INBOX}/{name}"),
            true => path.display().to_string(),
        })
    }

    /// Appends an exchange to this agent's history file.
    pub fn append_history(&self, exchange: &Exchange) -> Result<(), VolumeError> {
        let mut line = serde_json::to_string(exchange).expect("an exchange has string keys only");
        line.push('\n');
        let path = self.history();
        let write = || {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            let whole = end_of_last_line(&file)?;
            if whole < file.metadata()?.len() {
                // Half a line of a write that failed would swallow this one.
                file.set_len(whole)?;
            }
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        write().map_err(|source| VolumeError {
            path: path.clone(),
            source,
        })
    }

    /// Sequence of the newest exchange in the history file.
    pub fn history_seq(&self) -> u64 {
        #[derive(Deserialize)]
        struct Line {
            seq: u64,
        }
        let Ok(file) = File::open(self.history()) else {
            return 0;
        };
        let (mut reader, mut line, mut newest) = (BufReader::new(file), Vec::new(), 0);
        // A last line without an end does not count: the next append cuts it off.
        while reader.read_until(b'\n', &mut line).is_ok() && line.ends_with(b"\n") {
            if let Ok(Line { seq }) = serde_json::from_slice(&line) {
                newest = newest.max(seq);
            }
            line.clear();
        }
        newest
    }

    /// Writes the summary to its own file and as a section of the topic's state file.
    pub fn write_summary(&self, title: &str, text: &str, now: Timestamp) -> Result<Summary, VolumeError> {
        let below = format!("state/summaries/{}.md", self.uid);
        let path = self.root.join(&below);
        write_whole(&path, format!("# {title}\n\n{text}\n").as_bytes())?;
        self.add_section(title, text, now)?;
        Ok(Summary {
            path: below,
            time: now,
            text: text.to_owned(),
        })
    }

    /// Writes into the topic's state file that there is no summary, and why.
    pub fn write_missing_summary(&self, title: &str, why: &str, now: Timestamp) -> Result<(), VolumeError> {
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let why = &why[..why.floor_char_boundary(REASON)];
        let text = format!(
            "It ended without a summary: {why}. What was said stands in `state/history/{}.jsonl`.",
            self.uid
        );
        self.add_section(title, &text, now)
    }

    fn add_section(&self, title: &str, text: &str, now: Timestamp) -> Result<(), VolumeError> {
        let section = format!("\n## {title}, {}\n\n{text}\n", now.strftime("%Y-%m-%d %H:%M UTC"));
        let path = self.state_file();
        append(&path, section.as_bytes())?;
        // Claude reads all of it at each start. Bytes of an agent that are no text are nothing of ours to shorten.
        match std::fs::read_to_string(&path)
            .ok()
            .and_then(|state| state::shortened(&state))
        {
            Some(shorter) => write_whole(&path, shorter.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Length of a file without a last line that has no end.
fn end_of_last_line(file: &File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(part, start)?;
        if let Some(newline) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Writes a file that is there whole or not at all: what a full disk cut would pass for the file for ever.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let write = || {
        // What an earlier try left behind, or the agent, is not written into.
        match std::fs::remove_file(&half) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    };
    write().map_err(|source| {
        // It would only take up the room that is missing.
        let _ = std::fs::remove_file(&half);
        VolumeError {
            path: path.to_owned(),
            source,
        }
    })
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    let write = || {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_data()
    };
    write().map_err(|source| VolumeError {
        path: path.to_owned(),
        source,
    })
}

fn test_write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join(format!("{WRITE_TEST}{}", std::process::id()));
    std::fs::write(&probe, b"x")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(seq: u64) -> Exchange {
        Exchange {
            seq,
            time: Timestamp::UNIX_EPOCH,
            messages: Vec::new(),
            answer: "é".repeat(4000),
            is_error: false,
            terminal_reason: "completed".to_owned(),
            error: None,
        }
    }

    #[test]
    fn an_attachment_is_saved_once_below_the_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::new(folder.path(), Uuid::nil());
        volume.prepare(&folder.path().join("tmp")).unwrap();
        let id = MessageId::from_telegram(1, 2);
        let below = volume.save_attachment(id, 0, "../x.txt", b"one").unwrap();
        assert!(below.starts_with("inbox/"), "{below}");
        assert_eq!(volume.save_attachment(id, 0, "../x.txt", b"two").unwrap(), below);
        assert_eq!(std::fs::read(volume.workspace().join(below)).unwrap(), b"one");
    }

    #[test]
    fn half_a_line_at_the_end_of_the_history_swallows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::new(folder.path(), Uuid::nil());
        volume.prepare(&folder.path().join("tmp")).unwrap();
        for whole_lines in 0..3 {
            let mut expected = String::new();
            for seq in 1..=whole_lines {
                volume.append_history(&exchange(seq)).unwrap();
                expected = std::fs::read_to_string(volume.history()).unwrap();
            }
            assert_eq!(expected.lines().count() as u64, whole_lines);
            volume.append_history(&exchange(9)).unwrap();
            let whole = std::fs::read(volume.history()).unwrap();
            // Also inside a character.
            for cut in [
                expected.len() + 1,
                whole.len() - 4000,
                whole.len() - 4001,
                whole.len() - 1,
            ] {
                std::fs::write(volume.history(), &whole[..cut]).unwrap();
                assert_eq!(volume.history_seq(), whole_lines);
                volume.append_history(&exchange(9)).unwrap();
                assert!(std::fs::read(volume.history()).unwrap() == whole, "cut at {cut}");
            }
            std::fs::remove_file(volume.history()).unwrap();
        }
    }

    #[test]
    fn who_only_reads_writes_nothing_where_others_work() {
        let folder = tempfile::tempdir().unwrap();
        for shared in ["workspace", "state/history"] {
            std::fs::create_dir_all(folder.path().join(shared)).unwrap();
        }
        let volume = Volume::for_reading(folder.path(), Uuid::nil());
        volume.prepare(&folder.path().join("tmp")).unwrap();
        let sent = volume
            .save_attachment(MessageId(Uuid::nil()), 0, "plan.txt", b"piers")
            .unwrap();
        assert!(sent.starts_with(volume.scratch().unwrap().to_str().unwrap()), "{sent}");
        volume.append_history(&exchange(1)).unwrap();
        assert_eq!(volume.history_seq(), 1);
        for shared in ["workspace", "state/history"] {
            let found = std::fs::read_dir(folder.path().join(shared)).unwrap().count();
            assert_eq!(found, 0, "something lies in {shared}");
        }
    }

    #[test]
    fn a_summary_has_its_own_file_and_a_section_in_the_state_file() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::new(folder.path(), Uuid::nil());
        volume.prepare(&folder.path().join("tmp")).unwrap();
        std::fs::write(volume.state_file(), "# Topic\n").unwrap();
        let summary = volume.write_summary("s1", "- done", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join(&summary.path)).unwrap(),
            "# s1\n\n- done\n"
        );
        let state = std::fs::read_to_string(volume.state_file()).unwrap();
        assert_eq!(state, "# Topic\n\n## s1, 1970-01-01 00:00 UTC\n\n- done\n");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("workspace"), "a file in the way").unwrap();
        let error = Volume::new(folder.path(), Uuid::nil())
            .prepare(folder.path())
            .unwrap_err();
        assert!(error.to_string().contains("workspace is not writable"), "{error}");
    }
}
