//! Results of tasks that no message asked for, such as runs of a schedule: which are posted, and whether their task was told.
//!
//! The row and the posts come in one transaction, under the task's UID, so seeing a result again posts nothing.

use rusqlite::params;

use super::posts::{self, Content};
use super::{Store, StoreError};
use crate::chat::Place;
use crate::outbox::pace::Priority;

/// A result that stands in the chat and whose task does not know it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownResult {
    /// UID of the ContainerTask.
    pub uid: String,
    /// Its name.
    pub task: String,
}

impl Store {
    /// Posts the result of a task, unless that was done before.
    pub async fn post_result(
        &self,
        uid: &str,
        task: &str,
        place: Place,
        parts: Vec<Content>,
        priority: Priority,
    ) -> Result<(), StoreError> {
        let (uid, task) = (uid.to_owned(), task.to_owned());
        self.transaction(move |tx| {
            let new = tx.execute(
                "INSERT OR IGNORE INTO results (uid, task) VALUES (?1, ?2)",
                params![uid, task],
            )?;
            for (part, content) in parts.iter().enumerate().filter(|_| new > 0) {
                let post = posts::ensure(tx, &format!("result/{uid}/{part}"), place, None, None)?;
                posts::show(tx, post, content, priority)?;
            }
            Ok(())
        })
        .await
    }

    /// Results of which every word stands in the chat and whose tasks were not told so.
    pub async fn shown_results(&self) -> Result<Vec<ShownResult>, StoreError> {
        self.call(|connection| {
            // '0' is the character after '/', so these are the keys that begin with the UID.
            let mut select = connection.prepare_cached(
                "SELECT uid, task FROM results WHERE told = 0 AND NOT EXISTS (
                    SELECT 1 FROM posts WHERE key > 'result/' || uid || '/' AND key < 'result/' || uid || '0'
                    AND (sent_as IS NULL OR version > shown))",
            )?;
            let rows = select.query_map([], |row| {
                Ok(ShownResult {
                    uid: row.get(0)?,
                    task: row.get(1)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The task was told that its result stands in the chat.
    pub async fn result_told(&self, uid: &str) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.call(move |connection| {
            connection.execute("UPDATE results SET told = 1 WHERE uid = ?1", [uid])?;
            Ok(())
        })
        .await
    }
}
