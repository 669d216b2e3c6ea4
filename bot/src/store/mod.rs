//! What the bot must not forget: SQLite in WAL mode with `synchronous=FULL`, so that what is committed survives a crash
//! of the machine.
//!
//! Owns the tables ([`schema`]) and every statement on them, one module per table: updates ([`inbox`]), messages and what
//! becomes of them ([`messages`]), what the bot shows ([`posts`]) and the files of that ([`kept`]), sessions and their events ([`sessions`]), what is
//! told about them ([`notes`]), messages that come in pieces ([`pieces`]), prompts ([`approvals`]), tools that are always allowed
//! ([`grants`]), results that nobody asked for ([`results`]), sessions that agents
//! asked for ([`escalations`]), unknown senders that approvers are asked about ([`offers`]), calls that count against a budget
//! ([`calls`]), settings that people chose ([`choices`]), what was said before ([`history`]), what people changed in their messages
//! ([`corrections`]), ends of sessions that can be undone ([`farewells`]), and chats that have another id now ([`moved`]). Every method is one transaction, and repeating one changes
//! nothing. Knows nothing of Telegram's API or of Kubernetes. Fails with [`StoreError`]; without its store the bot must not go on.

pub mod approvals;
pub mod calls;
pub mod choices;
pub mod corrections;
pub mod escalations;
pub mod farewells;
pub mod grants;
pub mod history;
pub mod inbox;
pub mod kept;
pub mod messages;
pub mod moved;
pub mod notes;
pub mod offers;
pub mod pieces;
pub mod posts;
pub mod results;
mod schema;
pub mod sessions;

use std::path::Path;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Handle to the store. Clones share one connection, which runs one statement after the other on a thread of its own.
#[derive(Clone)]
pub struct Store {
    connection: tokio_rusqlite::Connection,
    files: kept::Files,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite.
    #[error("the store failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The folder with the files of posts.
    #[error("the folder for files beside the store failed: {0}")]
    Files(#[from] std::io::Error),
    /// The thread of the connection is gone.
    #[error("the store is closed")]
    Closed,
    /// The file was written by a newer bot.
    #[error("the store has version {has}, this bot knows {knows}: use the newer bot, or another --store")]
    Newer {
        /// Version of the file.
        has: usize,
        /// Newest known version.
        knows: usize,
    },
}

impl From<tokio_rusqlite::Error<StoreError>> for StoreError {
    fn from(error: tokio_rusqlite::Error<StoreError>) -> Self {
        match error {
            tokio_rusqlite::Error::Error(error) => error,
            _ => Self::Closed,
        }
    }
}

impl Store {
    /// Opens or makes the database file.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = tokio_rusqlite::Connection::open(path).await?;
        let files = kept::Files::beside(path)?;
        let store = Self { connection, files };
        store
            .call(|connection| {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update(None, "foreign_keys", "ON")?;
                connection.busy_timeout(std::time::Duration::from_secs(10))?;
                schema::migrate(connection)
            })
            .await?;
        store.sweep_files().await?;
        Ok(store)
    }

    /// Runs statements on the connection's thread.
    async fn call<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut rusqlite::Connection) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        Ok(self.connection.call(run).await?)
    }

    /// Runs statements in one transaction.
    async fn transaction<R: Send + 'static>(
        &self,
        run: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction()?;
            let result = run(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
    }
}

/// A value that is kept as JSON text.
struct Json<T>(T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text =
            serde_json::to_string(&self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Json)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}

#[cfg(test)]
mod tests;
