//! Files that posts bring, in a folder beside the database.
//!
//! A file is there before a post names it and goes when that post was sent. Its name is made from what it belongs to, never
//! from what somebody called it, so the same file that is kept again after a crash replaces itself. What a crash left without
//! a post goes at the next start. Fails with [`std::io::Error`]; knows nothing of Telegram.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::posts::{Body, Content};
use super::{Json, Store, StoreError};

const NAMESPACE: Uuid = Uuid::from_u128(0x8f6f_5d0a_52b7_4c0e_9d0b_6c1b_b1d7_1f3e);

/// The folder.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The folder beside this database, which is made if it is not there.
    pub(super) fn beside(database: &Path) -> io::Result<Self> {
        let folder = database.with_file_name("files");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Keeps a file, and returns the name for [`Body::Kept`]. `owner` says what it belongs to, like `<session>/<event>`; of the
    /// same owner there is one file. On the disk when this returns.
    pub async fn keep(&self, owner: &str, content: Vec<u8>) -> io::Result<String> {
        let name = Uuid::new_v5(&NAMESPACE, owner.as_bytes()).simple().to_string();
        let path = self.folder.join(&name);
        let folder = self.folder.clone();
        on_disk(move || {
            let part = path.with_extension("part");
            let mut file = std::fs::File::create(&part)?;
            io::Write::write_all(&mut file, &content)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            std::fs::File::open(folder)?.sync_all()
        })
        .await?;
        Ok(name)
    }

    /// What is kept under a name.
    pub async fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name)?;
        on_disk(move || std::fs::read(path)).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name)?;
        on_disk(move || std::fs::remove_file(path)).await
    }

    /// Only names that [`Files::keep`] makes lead to a file.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        match Uuid::try_parse(name) {
            Ok(_) => Ok(self.folder.join(name)),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of a kept file")),
        }
    }

    /// Removes all but these.
    fn retain(&self, wanted: &HashSet<String>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !wanted.contains(entry.file_name().to_string_lossy().as_ref()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

async fn on_disk<R: Send + 'static>(run: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
    tokio::task::spawn_blocking(run).await.map_err(io::Error::other)?
}

impl Store {
    /// Files that posts bring.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Lets go of a file that no post waits to bring any more. One that cannot be removed now goes at the next start.
    pub async fn drop_file(&self, name: &str) -> Result<(), StoreError> {
        let wanted = self.call(|connection| waiting(connection)).await?;
        if !wanted.contains(name)
            && let Err(error) = self.files.remove(name).await
        {
            tracing::warn!(%error, "a file that was sent could not be removed");
        }
        Ok(())
    }

    /// Removes what no post waits to bring. Only at the start, when nobody keeps a file for a post that is not written yet.
    pub(super) async fn sweep_files(&self) -> Result<(), StoreError> {
        let files = self.files.clone();
        self.call(move |connection| Ok(files.retain(&waiting(connection)?)?))
            .await
    }
}

/// Names of the files of posts that were not sent.
fn waiting(connection: &rusqlite::Connection) -> Result<HashSet<String>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT content FROM posts WHERE (sent_as IS NULL OR version > shown) AND content ->> '$.file.body.kept' IS NOT NULL",
    )?;
    let rows = select.query_map([], |row| Ok(row.get::<_, Json<Content>>(0)?.0))?;
    let mut names = HashSet::new();
    for content in rows {
        if let Some(Body::Kept(name)) = content?.file.map(|file| file.body) {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::posts::Upload;
    use super::*;
    use crate::chat::Place;
    use crate::outbox::pace::Priority;

    fn bringing(name: &str) -> Content {
        let file = Upload {
            name: "report.pdf".to_owned(),
            body: Body::Kept(name.to_owned()),
        };
        Content {
            file: Some(file),
            ..Content::default()
        }
    }

    #[tokio::test]
    async fn a_file_stays_until_its_post_was_sent_and_what_a_crash_left_goes_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("bot.db");
        let store = Store::open(&database).await.unwrap();
        let name = store.files().keep("s/1", b"one".to_vec()).await.unwrap();
        assert_eq!(store.files().keep("s/1", b"two".to_vec()).await.unwrap(), name);
        let orphan = store.files().keep("s/2", b"x".to_vec()).await.unwrap();
        let place = Place { chat: 1, thread: None };
        let post = store
            .post("key".into(), place, None, Some(bringing(&name)), Priority::Answer)
            .await
            .unwrap();
        drop(store);
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.files().read(&name).await.unwrap(), b"two");
        assert!(store.files().read(&orphan).await.is_err());
        store.drop_file(&name).await.unwrap();
        assert!(store.files().read(&name).await.is_ok(), "a post waits to bring it");
        store.sent_whole(post, 7, 1).await.unwrap();
        store.drop_file(&name).await.unwrap();
        assert!(store.files().read(&name).await.is_err());
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("bot.db")).await.unwrap();
        for name in ["../bot.db", "bot.db", "", "/etc/hostname"] {
            let error = store.files().read(name).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
