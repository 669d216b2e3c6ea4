//! Updates as they came. A replayed update is a no-op, whatever has become of it since.

use longshore_wire::MessageId;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::messages::NewMessage;
use super::{Json, Store, StoreError};

/// How long updates are remembered that nothing is left to do for. Telegram repeats none after a day.
const REMEMBER_SECONDS: i64 = 7 * 86_400;

/// Nothing is left to do for this update.
pub(super) fn done(connection: &Connection, update: i64) -> Result<(), StoreError> {
    connection.execute("UPDATE inbox SET done = 1 WHERE update_id = ?1", [update])?;
    Ok(())
}

impl Store {
    /// Stores updates that are not known yet.
    pub async fn receive(&self, updates: Vec<(i64, Value)>, now: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let mut insert =
                tx.prepare_cached("INSERT OR IGNORE INTO inbox (update_id, raw, received_at) VALUES (?1, ?2, ?3)")?;
            for (id, raw) in updates {
                insert.execute(params![id, Json(raw), now])?;
            }
            let forgotten = tx.execute(
                "DELETE FROM inbox WHERE done = 1 AND received_at < ?1
                 AND update_id NOT IN (SELECT update_id FROM pieces WHERE part_of IS NULL)",
                [now - REMEMBER_SECONDS],
            )?;
            if forgotten > 0 {
                super::pieces::clean(tx)?;
            }
            Ok(())
        })
        .await
    }

    /// The oldest update that nothing has been decided about.
    pub async fn next_update(&self) -> Result<Option<(i64, Value)>, StoreError> {
        self.call(|connection| {
            let mut select = connection
                .prepare_cached("SELECT update_id, raw FROM inbox WHERE done = 0 ORDER BY update_id LIMIT 1")?;
            let mut rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, Json<Value>>(1)?.0)))?;
            Ok(rows.next().transpose()?)
        })
        .await
    }

    /// The update that waits behind this one.
    pub async fn update_after(&self, update: i64) -> Result<Option<Value>, StoreError> {
        self.call(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT raw FROM inbox WHERE done = 0 AND update_id > ?1 ORDER BY update_id LIMIT 1")?;
            let mut rows = select.query_map([update], |row| Ok(row.get::<_, Json<Value>>(0)?.0))?;
            Ok(rows.next().transpose()?)
        })
        .await
    }

    /// When an update came, in Unix seconds.
    pub async fn received_at(&self, update: i64) -> Result<Option<i64>, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached("SELECT received_at FROM inbox WHERE update_id = ?1")?;
            Ok(select.query_row([update], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Nothing becomes of this update.
    pub async fn skip_update(&self, update: i64) -> Result<(), StoreError> {
        self.call(move |connection| done(connection, update)).await
    }

    /// This message becomes of the update. From here on the message carries on by itself.
    pub async fn decide(&self, update: i64, message: NewMessage) -> Result<(), StoreError> {
        self.decide_together(vec![update], message).await
    }

    /// The same of the updates that are its pieces.
    pub async fn decide_together(&self, updates: Vec<i64>, message: NewMessage) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            super::messages::insert(tx, &message)?;
            for update in &updates {
                done(tx, *update)?;
            }
            let id = MessageId::from_telegram(message.place.chat, message.message);
            match super::messages::by_wire_id(tx, id)? {
                Some(row) => super::pieces::became(tx, &updates, row.row),
                None => Ok(()),
            }
        })
        .await
    }
}
