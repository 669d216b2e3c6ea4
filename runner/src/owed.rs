//! Summaries that are owed: a marker on the volume for every session that has turns without a summary.
//!
//! A marker is only a pointer: whether the session still lacks its summary stands in its journal. It is written whole or
//! not at all; one that cannot be read is left alone and skipped.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::volume::VolumeError;

/// A session that lacks its summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// UID of the session.
    pub uid: Uuid,
    /// Its name.
    pub name: String,
    /// When its first turn without a summary began.
    pub since: Timestamp,
    /// How often another pod has tried to make the summary.
    #[serde(default)]
    pub attempts: u32,
}

/// The folder of the markers.
#[derive(Clone, Debug)]
pub struct OwedSummaries {
    folder: PathBuf,
}

impl OwedSummaries {
    /// In this folder, which exists.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, uid: Uuid) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }

    /// Marks a session; a marker that is there already stays as it is.
    pub fn owe(&self, owed: &Owed) -> Result<(), VolumeError> {
        if self.path(owed.uid).exists() {
            return Ok(());
        }
        self.write(owed)
    }

    /// Writes a marker anew.
    pub fn write(&self, owed: &Owed) -> Result<(), VolumeError> {
        let path = self.path(owed.uid);
        let half = path.with_extension("json.new");
        let write = || {
            let mut file = File::create(&half)?;
            serde_json::to_writer(&file, owed)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&half, &path)
        };
        write().map_err(|source| VolumeError {
            path: path.clone(),
            source,
        })
    }

    /// Takes a marker away.
    pub fn settle(&self, uid: Uuid) -> Result<(), VolumeError> {
        let path = self.path(uid);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(VolumeError { path, source }),
            _ => Ok(()),
        }
    }

    /// Markers of all sessions but this one, oldest first.
    pub fn of_others(&self, own: Uuid) -> Vec<Owed> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let markers = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read = markers.filter_map(|path| serde_json::from_slice::<Owed>(&std::fs::read(path).ok()?).ok());
        let mut owed: Vec<Owed> = read.filter(|owed| owed.uid != own).collect();
        owed.sort_by_key(|owed| (owed.since, owed.uid));
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_kept_until_they_are_settled_and_the_oldest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let summaries = OwedSummaries::new(folder.path().to_owned());
        let owed = |n: u8| Owed {
            uid: Uuid::from_u128(n.into()),
            name: format!("s{n}"),
            since: Timestamp::from_second(100 - i64::from(n)).unwrap(),
            attempts: 0,
        };
        for n in 1..=3 {
            summaries.owe(&owed(n)).unwrap();
        }
        let tried = Owed { attempts: 2, ..owed(3) };
        summaries.write(&tried).unwrap();
        summaries.owe(&owed(3)).unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        assert_eq!(summaries.of_others(owed(1).uid), [tried.clone(), owed(2)]);
        summaries.settle(owed(2).uid).unwrap();
        summaries.settle(owed(2).uid).unwrap();
        assert_eq!(summaries.of_others(owed(1).uid), [tried]);
    }
}
