//! Updates that are pieces of one message, and which message they became.

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::inbox::done;
use super::{Json, Store, StoreError};
use crate::chat::Place;

/// These pieces became the message in this row.
pub(super) fn became(tx: &Transaction<'_>, updates: &[i64], row: i64) -> Result<(), StoreError> {
    for update in updates {
        tx.execute("UPDATE pieces SET part_of = ?2 WHERE update_id = ?1", [*update, row])?;
    }
    Ok(())
}

/// Forgets pieces whose updates are forgotten.
pub(super) fn clean(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM pieces WHERE update_id NOT IN (SELECT update_id FROM inbox)",
        [],
    )?;
    Ok(())
}

/// These updates are pieces no more.
fn forget(tx: &Transaction<'_>, updates: &[i64]) -> Result<(), StoreError> {
    for update in updates {
        tx.execute("DELETE FROM pieces WHERE update_id = ?1", [update])?;
    }
    Ok(())
}

impl Store {
    /// Sets an update aside until the others are there with which it is one message.
    pub async fn set_aside(&self, update: i64, place: Place, message: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO pieces (update_id, chat, message) VALUES (?1, ?2, ?3)",
                params![update, place.chat, message],
            )?;
            done(tx, update)?;
            Ok(())
        })
        .await
    }

    /// The message of an update that is set aside is what this edit says from now on.
    pub async fn amend(&self, piece: i64, edit: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let amend = "UPDATE inbox SET raw = (
                    SELECT json_object('update_id', ?1, 'message', json_extract(edit.raw, '$.edited_message'))
                    FROM inbox edit WHERE edit.update_id = ?2
                ) WHERE update_id = ?1";
            tx.execute(amend, [piece, edit])?;
            done(tx, edit)?;
            Ok(())
        })
        .await
    }

    /// Updates that are set aside and became nothing yet, oldest first.
    pub async fn set_aside_before(&self) -> Result<Vec<(i64, Value)>, StoreError> {
        self.call(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT update_id, raw FROM pieces JOIN inbox USING (update_id) WHERE part_of IS NULL ORDER BY update_id",
            )?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, Json<Value>>(1)?.0)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Somebody else has taken these updates over.
    pub async fn forget_pieces(&self, updates: Vec<i64>) -> Result<(), StoreError> {
        self.transaction(move |tx| forget(tx, &updates)).await
    }

    /// Nothing becomes of these updates.
    pub async fn skip_updates(&self, updates: Vec<i64>) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            for update in &updates {
                done(tx, *update)?;
            }
            forget(tx, &updates)
        })
        .await
    }
}
