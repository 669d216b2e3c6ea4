//! Where a clone of the topic's repository is made, and how it becomes the workspace.
//!
//! git works in a folder of its own beside the workspace. What it has finished is moved into place by renames, each step of
//! which the next pod goes on with: a workspace is empty or has the whole clone, never half of one. Files that people sent
//! before there was a clone lie in the workspace's `inbox` and go along. Knows nothing of git and of the agent; whatever
//! cannot be read or moved is a [`VolumeError`].

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use longshore_wire::agent::RepositoryConfig;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::volume::{INBOX, VolumeError, WRITE_TEST};

/// What the workspace was last found or made to stand for; people are told when that is not what the Topic names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    url: String,
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// What there is to do about the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The workspace is empty: clone.
    Clone,
    /// A finished clone waits to be moved into place.
    Move,
    /// Nothing; the workspace stands for this repository.
    Nothing,
    /// Nothing; the workspace has other files, which nobody was told yet.
    OtherFiles,
}

/// The places.
#[derive(Clone, Debug)]
pub struct Checkout {
    workspace: PathBuf,
    folder: PathBuf,
    wanted: Stand,
}

impl Checkout {
    /// Of this repository in this workspace; `folder` is on the same volume.
    pub fn new(workspace: PathBuf, folder: PathBuf, repository: &RepositoryConfig) -> Self {
        let wanted = Stand {
            url: repository.url.clone(),
            reference: repository.reference.clone(),
        };
        Self {
            workspace,
            folder,
            wanted,
        }
    }

    fn finished(&self) -> PathBuf {
        self.folder.join("cloned")
    }

    fn stand(&self) -> PathBuf {
        self.folder.join("workspace.json")
    }

    /// Looks at the workspace.
    pub fn lack(&self) -> Result<Lack, VolumeError> {
        if self.has_files()? {
            // One that cannot be read says nothing.
            let stand = std::fs::read(self.stand()).unwrap_or_default();
            let stand = serde_json::from_slice::<Stand>(&stand).ok();
            return Ok(match stand == Some(self.wanted.clone()) {
                true => Lack::Nothing,
                false => Lack::OtherFiles,
            });
        }
        Ok(match self.finished().exists() {
            true => Lack::Move,
            false => Lack::Clone,
        })
    }

    /// Whether there is anything in the workspace but what the runner itself puts there.
    fn has_files(&self) -> Result<bool, VolumeError> {
        let entries = std::fs::read_dir(&self.workspace);
        let entries = entries.and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(failed(&self.workspace))?;
        let own = |name: &str| name == INBOX || name.starts_with(WRITE_TEST);
        Ok(entries.iter().any(|entry| !entry.file_name().to_str().is_some_and(own)))
    }

    /// Makes room for a clone: a folder that does not exist, in one that does. What earlier pods left is taken away.
    pub fn begin(&self) -> Result<PathBuf, VolumeError> {
        remove(&self.finished())?;
        std::fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        let entries = std::fs::read_dir(&self.folder).map_err(failed(&self.folder))?;
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with("cloning-") {
                remove(&entry.path())?;
            }
        }
        Ok(self.folder.join(format!("cloning-{}", Uuid::new_v4())))
    }

    /// The clone is whole: from here on it is only moved.
    pub fn finish(&self, clone: &Path) -> Result<(), VolumeError> {
        let exclude = clone.join(".git/info");
        std::fs::create_dir_all(&exclude).map_err(failed(&exclude))?;
        // What people send is no change of the repository.
        let exclude = exclude.join("exclude");
        std::fs::write(&exclude, format!("/{INBOX}/\n")).map_err(failed(&exclude))?;
        let folder = File::open(&self.folder).map_err(failed(&self.folder))?;
        // Or a node that loses power would leave files without their contents behind a finished rename.
        nix::unistd::syncfs(folder).map_err(|error| failed(&self.folder)(error.into()))?;
        std::fs::rename(clone, self.finished()).map_err(failed(&self.finished()))
    }

    /// Moves a finished clone into place.
    pub fn place(&self) -> Result<(), VolumeError> {
        // First, so that a pod that dies after the rename does not take the clone for somebody else's files.
        self.take_note()?;
        self.bring_inbox()?;
        let entries = std::fs::read_dir(&self.workspace).map_err(failed(&self.workspace))?;
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(WRITE_TEST) {
                remove(&entry.path())?;
            }
        }
        // Over an empty folder only: whatever came in meanwhile is not lost.
        std::fs::rename(self.finished(), &self.workspace).map_err(failed(&self.workspace))
    }

    fn bring_inbox(&self) -> Result<(), VolumeError> {
        let (from, to) = (self.workspace.join(INBOX), self.finished().join(INBOX));
        let files = match std::fs::read_dir(&from) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            files => files.map_err(failed(&from))?,
        };
        std::fs::create_dir_all(&to).map_err(failed(&to))?;
        for file in files {
            let file = file.map_err(failed(&from))?;
            let place = to.join(file.file_name());
            std::fs::rename(file.path(), &place).map_err(failed(&place))?;
        }
        std::fs::remove_dir(&from).map_err(failed(&from))
    }

    /// Notes that people know what the workspace stands for.
    pub fn take_note(&self) -> Result<(), VolumeError> {
        std::fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        let (path, half) = (self.stand(), self.folder.join("workspace.json.new"));
        let write = || {
            let mut file = File::create(&half)?;
            serde_json::to_writer(&file, &self.wanted)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&half, &path)
        };
        write().map_err(failed(&path))
    }
}

/// Removes a file or a folder with all that is in it, if it is there.
pub fn remove(path: &Path) -> Result<(), VolumeError> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> VolumeError + use<> {
    let path = path.to_owned();
    move |source| VolumeError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        workspace: PathBuf,
        checkout: Checkout,
    }

    fn repository(url: &str) -> RepositoryConfig {
        RepositoryConfig {
            url: url.to_owned(),
            reference: None,
            depth: 1,
        }
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        std::fs::create_dir(&workspace).unwrap();
        let checkout = Checkout::new(workspace.clone(), folder.path().join("repository"), &repository("a"));
        Place {
            _folder: folder,
            workspace,
            checkout,
        }
    }

    /// As git does.
    fn clone(checkout: &Checkout) -> PathBuf {
        let clone = checkout.begin().unwrap();
        std::fs::create_dir_all(clone.join(".git")).unwrap();
        std::fs::write(clone.join("a.txt"), "a").unwrap();
        clone
    }

    #[test]
    fn what_people_sent_before_there_was_a_clone_is_in_it() {
        let place = place();
        std::fs::create_dir(place.workspace.join(INBOX)).unwrap();
        std::fs::write(place.workspace.join("inbox/sent.txt"), "sent").unwrap();
        std::fs::write(place.workspace.join(format!("{WRITE_TEST}7")), "x").unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Clone);
        let clone = clone(&place.checkout);
        std::fs::create_dir(clone.join(INBOX)).unwrap();
        std::fs::write(clone.join("inbox/own.txt"), "of the repository").unwrap();
        place.checkout.finish(&clone).unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Move);
        place.checkout.place().unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Nothing);
        for there in ["a.txt", "inbox/sent.txt", "inbox/own.txt"] {
            assert!(place.workspace.join(there).exists(), "{there}");
        }
        assert_eq!(std::fs::read_dir(&place.workspace).unwrap().count(), 3);
    }

    #[test]
    fn a_pod_that_dies_at_any_step_leaves_it_to_the_next_and_no_file_is_lost() {
        let place = place();
        std::fs::create_dir(place.workspace.join(INBOX)).unwrap();
        std::fs::write(place.workspace.join("inbox/sent.txt"), "sent").unwrap();
        // While git works.
        clone(&place.checkout);
        assert_eq!(place.checkout.lack().unwrap(), Lack::Clone);
        let clone = clone(&place.checkout);
        place.checkout.finish(&clone).unwrap();
        // In the middle of moving.
        place.checkout.take_note().unwrap();
        place.checkout.bring_inbox().unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Move);
        place.checkout.place().unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Nothing);
        assert!(place.workspace.join("inbox/sent.txt").exists());
        let left = std::fs::read_dir(place.checkout.folder.clone()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["workspace.json"], "no half clone stays");
    }

    #[test]
    fn files_that_are_there_stay_and_that_is_news_once_for_each_repository() {
        let place = place();
        std::fs::write(place.workspace.join("mine.txt"), "mine").unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::OtherFiles);
        place.checkout.take_note().unwrap();
        assert_eq!(place.checkout.lack().unwrap(), Lack::Nothing);
        let other = Checkout::new(
            place.workspace.clone(),
            place.checkout.folder.clone(),
            &repository("another"),
        );
        assert_eq!(other.lack().unwrap(), Lack::OtherFiles);
        let clone = clone(&place.checkout);
        place.checkout.finish(&clone).unwrap();
        place.checkout.place().unwrap_err();
        assert!(place.workspace.join("mine.txt").exists());
    }
}
