//! Files that the agent sends: opening what it names, and the copies that are kept until they were taken.
//!
//! The runner can read more than claude's tools can, above all its own `/proc/self`. So a path is opened folder by folder from
//! the workspace down, following no link: what is opened is what was checked, whatever the agent does meanwhile. A copy is
//! made at once, so that later changes of the file change nothing that was announced.
//!
//! Knows nothing of claude's protocol or the journal. Refusals are sentences for the agent.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use longshore_wire::api::MAX_SENT_FILE_BYTES;
use longshore_wire::file_name;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use uuid::Uuid;

/// Copies that are kept at a time, in bytes.
const KEPT_BYTES: u64 = 200_000_000;
/// Longest name of a file that is sent, in bytes.
const NAME: usize = 100;

/// Why a file is not sent. Told to the agent.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing to send.
    #[error("There is no file {0}.")]
    Missing(String),
    /// Not where files may be sent from.
    #[error("{path} does not lie in {places}. Copy it there first; links that lead out are not followed.")]
    Outside {
        /// What was named.
        path: String,
        /// Where files may lie.
        places: String,
    },
    /// A folder, a pipe, a device.
    #[error("{0} is no regular file. Pack a folder into an archive first.")]
    NotRegular(String),
    /// Telegram takes no empty files.
    #[error("{0} is empty; an empty file cannot be sent.")]
    Empty(String),
    /// Larger than Telegram lets a bot upload.
    #[error("{0} is too large: at most 50 MB can be sent. Pack it, split it, or send the part that matters.")]
    TooLarge(String),
    /// The person has not got the earlier ones.
    #[error("Files of 200 MB wait already to be delivered to the chat. Send this one later.")]
    Full,
    /// The file or the volume fails.
    #[error("{path} cannot be sent: {source}")]
    Io {
        /// What was named.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its identity.
    pub id: Uuid,
    /// Name for people.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// The copies of one agent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The topic's volume.
    root: PathBuf,
    /// Folder below it.
    folder: PathBuf,
    /// Where files may be sent from; a path that is not absolute starts at the first.
    places: Vec<PathBuf>,
    /// Bytes that may be kept at a time.
    room: u64,
}

impl Outgoing {
    /// The copies of the agent with this UID.
    pub fn new(root: &Path, uid: Uuid, places: Vec<PathBuf>) -> Self {
        Self {
            root: root.to_owned(),
            folder: PathBuf::from(".runner/outgoing").join(uid.to_string()),
            places,
            room: KEPT_BYTES,
        }
    }

    fn path(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    /// Copies the file that the agent names.
    pub fn keep(&self, id: Uuid, named: &str) -> Result<Kept, Refusal> {
        let failed = |source: io::Error| Refusal::Io {
            path: named.to_owned(),
            source,
        };
        let (file, path) = self.open_named(named)?;
        let size = file.metadata().map_err(failed)?.len();
        match size {
            0 => return Err(Refusal::Empty(named.to_owned())),
            1..=MAX_SENT_FILE_BYTES => {}
            _ => return Err(Refusal::TooLarge(named.to_owned())),
        }
        if self.kept_bytes() + size > self.room {
            return Err(Refusal::Full);
        }
        let size = self.copy(id, file).map_err(failed)?;
        // It may have been written while it was copied.
        let refused = match size {
            0 => Refusal::Empty(named.to_owned()),
            1..=MAX_SENT_FILE_BYTES => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let name = file_name::sanitised(&name, NAME);
                return Ok(Kept { id, name, size });
            }
            _ => Refusal::TooLarge(named.to_owned()),
        };
        self.discard(id);
        Err(refused)
    }

    fn copy(&self, id: Uuid, file: File) -> io::Result<u64> {
        std::fs::create_dir_all(self.path())?;
        let copied = self.write(id, file);
        if copied.is_err() {
            self.discard(id);
        }
        copied
    }

    fn write(&self, id: Uuid, file: File) -> io::Result<u64> {
        let folder = descend(&self.root, &self.folder)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let name = id.to_string();
        let mut copy = File::from(openat(&folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let size = io::copy(&mut file.take(MAX_SENT_FILE_BYTES + 1), &mut copy)?;
        copy.sync_all()?;
        nix::unistd::fsync(&folder)?;
        Ok(size)
    }

    /// Opens the file that the agent names; returns its true path as well.
    fn open_named(&self, named: &str) -> Result<(File, PathBuf), Refusal> {
        let Some(first) = self.places.first() else {
            return Err(Refusal::Missing(named.to_owned()));
        };
        if named.trim().is_empty() || named.contains('\0') {
            return Err(Refusal::Missing(format!("{named:?}")));
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Refusal::Missing(named.to_owned()),
            _ => Refusal::Io {
                path: named.to_owned(),
                source,
            },
        };
        let path = first.join(named).canonicalize().map_err(failed)?;
        let found = self.places.iter().find_map(|place| {
            let place = place.canonicalize().ok()?;
            let below = path.strip_prefix(&place).ok()?.to_owned();
            Some((place, below))
        });
        let Some((place, below)) = found else {
            return Err(Refusal::Outside {
                path: named.to_owned(),
                places: self.places_in_words(),
            });
        };
        match open_regular(&place, &below).map_err(failed)? {
            Some(file) => Ok((file, path)),
            None => Err(Refusal::NotRegular(named.to_owned())),
        }
    }

    fn places_in_words(&self) -> String {
        let places: Vec<String> = self.places.iter().map(|place| place.display().to_string()).collect();
        places.join(" or ")
    }

    /// Opens a copy.
    pub fn open(&self, id: Uuid) -> io::Result<File> {
        let copy = open_regular(&self.root, &self.folder.join(id.to_string()))?;
        copy.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Removes a copy.
    pub fn discard(&self, id: Uuid) {
        let removed = std::fs::remove_file(self.path().join(id.to_string()));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%id, %error, "a file that was sent cannot be removed");
        }
    }

    /// Removes all copies but these.
    pub fn retain(&self, wanted: impl Fn(Uuid) -> bool) {
        for entry in std::fs::read_dir(self.path()).into_iter().flatten().flatten() {
            match entry.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) {
                Some(id) if wanted(id) => {}
                Some(id) => self.discard(id),
                // Nothing of ours.
                None => {}
            }
        }
    }

    /// Removes what other agents of the topic have left: when a session begins, all of them have ended.
    pub fn forget_others(&self) {
        let Some(all) = self.path().parent().map(Path::to_owned) else {
            return;
        };
        for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
            let ours = Some(entry.file_name().as_os_str()) == self.folder.file_name();
            if !ours && let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "files that an earlier agent sent cannot be removed");
            }
        }
    }

    fn kept_bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.path()).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }
}

/// Opens a folder below another, following no link.
fn descend(root: &Path, below: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut folder = open(root, flags, Mode::empty())?;
    for component in below.components() {
        let Component::Normal(name) = component else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        folder = openat(&folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    Ok(folder)
}

/// Opens a regular file below a folder, following no link; none when it is something else.
fn open_regular(root: &Path, below: &Path) -> io::Result<Option<File>> {
    let Some(name) = below.file_name() else {
        return Ok(None);
    };
    let folder = descend(root, below.parent().unwrap_or(Path::new("")))?;
    if !is_regular(&folder, name)? {
        return Ok(None);
    }
    // A pipe that has taken its place meanwhile would make us wait without O_NONBLOCK.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Err(Errno::ELOOP) => return Ok(None),
        opened => opened?,
    };
    let regular = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    Ok(regular.then(|| File::from(file)))
}

/// Devices must not even be opened.
fn is_regular(folder: impl AsFd, name: &OsStr) -> io::Result<bool> {
    let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        outgoing: Outgoing,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for name in ["workspace/sub", "scratch", ".runner"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let places = vec![root.join("workspace"), root.join("scratch")];
        let outgoing = Outgoing::new(&root, Uuid::nil(), places);
        Place { folder, outgoing }
    }

    impl Place {
        fn path(&self, below: &str) -> PathBuf {
            self.folder.path().join(below)
        }

        fn write(&self, below: &str, text: &str) {
            std::fs::write(self.path(below), text).unwrap();
        }

        fn refused(&self, named: &str) -> Refusal {
            let id = Uuid::from_u128(9);
            let refusal = self.outgoing.keep(id, named).unwrap_err();
            assert!(self.outgoing.open(id).is_err(), "{named}: a copy is left");
            refusal
        }
    }

    #[test]
    fn a_copy_is_made_of_what_lies_in_the_workspace_and_keeps_what_it_was() {
        let place = place();
        place.write("workspace/sub/plan.txt", "piers");
        place.write("scratch/notes.txt", "notes");
        symlink("sub/plan.txt", place.path("workspace/link")).unwrap();
        let scratch = place.path("scratch/notes.txt").display().to_string();
        let whole = place.path("workspace/sub/plan.txt").display().to_string();
        for (n, named, name) in [
            (1, "sub/plan.txt", "plan.txt"),
            (2, "./sub/../sub/plan.txt", "plan.txt"),
            (3, "link", "plan.txt"),
            (4, whole.as_str(), "plan.txt"),
            (5, scratch.as_str(), "notes.txt"),
        ] {
            let kept = place.outgoing.keep(Uuid::from_u128(n), named).unwrap();
            assert_eq!((kept.name.as_str(), kept.size), (name, 5), "{named}");
        }
        place.write("workspace/sub/plan.txt", "something else");
        let mut text = String::new();
        let mut copy = place.outgoing.open(Uuid::from_u128(1)).unwrap();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "piers");
        place.outgoing.retain(|id| id == Uuid::from_u128(2));
        assert!(place.outgoing.open(Uuid::from_u128(1)).is_err());
        assert!(place.outgoing.open(Uuid::from_u128(2)).is_ok());
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        let place = place();
        place.write("secret", "s");
        place.write("workspace/empty", "");
        symlink(place.path("secret"), place.path("workspace/out")).unwrap();
        symlink("/proc/self", place.path("workspace/proc")).unwrap();
        symlink("..", place.path("workspace/up")).unwrap();
        mkfifo(&place.path("workspace/pipe"), Mode::S_IRWXU).unwrap();
        let large = File::create(place.path("workspace/large")).unwrap();
        large.set_len(MAX_SENT_FILE_BYTES + 1).unwrap();
        let whole = place.path("secret").display().to_string();
        for named in [
            "out",
            "proc/environ",
            "up/secret",
            "../secret",
            "/proc/self/environ",
            &whole,
            "/dev/zero",
        ] {
            assert!(matches!(place.refused(named), Refusal::Outside { .. }), "{named}");
        }
        for named in ["sub", ".", "pipe"] {
            assert!(matches!(place.refused(named), Refusal::NotRegular(_)), "{named}");
        }
        for named in ["", "nothing", "sub/nothing", "a\0b"] {
            assert!(matches!(place.refused(named), Refusal::Missing(_)), "{named:?}");
        }
        assert!(matches!(place.refused("empty"), Refusal::Empty(_)));
        assert!(matches!(place.refused("large"), Refusal::TooLarge(_)));
    }

    #[test]
    fn copies_are_bounded_in_all() {
        let mut place = place();
        place.outgoing.room = 10;
        place.write("workspace/a", "12345");
        for n in 1..=2 {
            place.outgoing.keep(Uuid::from_u128(n), "a").unwrap();
        }
        assert!(matches!(place.refused("a"), Refusal::Full));
        place.outgoing.discard(Uuid::from_u128(1));
        place.outgoing.keep(Uuid::from_u128(5), "a").unwrap();
    }

    #[test]
    fn a_copy_is_not_read_through_links_that_took_its_place() {
        let place = place();
        place.write("secret", "s");
        place.write("workspace/a", "a");
        let id = Uuid::from_u128(1);
        place.outgoing.keep(id, "a").unwrap();
        let copy = place.outgoing.path().join(id.to_string());
        std::fs::remove_file(&copy).unwrap();
        symlink(place.path("secret"), &copy).unwrap();
        assert!(place.outgoing.open(id).is_err());
        std::fs::remove_dir_all(place.outgoing.path()).unwrap();
        std::fs::create_dir(place.path("elsewhere")).unwrap();
        std::fs::write(place.path("elsewhere").join(id.to_string()), "s").unwrap();
        symlink(place.path("elsewhere"), place.outgoing.path()).unwrap();
        assert!(place.outgoing.open(id).is_err());
    }

    #[test]
    fn what_earlier_agents_left_is_forgotten() {
        let place = place();
        place.write("workspace/a", "a");
        place.outgoing.keep(Uuid::from_u128(1), "a").unwrap();
        let other = Outgoing::new(place.folder.path(), Uuid::from_u128(7), place.outgoing.places.clone());
        other.keep(Uuid::from_u128(2), "a").unwrap();
        place.outgoing.forget_others();
        assert!(place.outgoing.open(Uuid::from_u128(1)).is_ok() && other.open(Uuid::from_u128(2)).is_err());
    }
}
