//! Calls that count against the budget of their chat, so that a bot that is started again does not spend it twice.
//!
//! A call is written down before it is made, since it counts even if nobody hears of its end. These rows need not survive a crash of
//! the machine, after which no bot is back within the minute that they matter for; so they are written without waiting for the disk,
//! and a call costs next to nothing more.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};

/// How long calls matter, in milliseconds, with some room.
const REMEMBERED: i64 = 90_000;

/// What an earlier run has left of a chat's budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How long ago calls were over; zero for those of which nobody heard the end.
    pub ages: Vec<Duration>,
    /// How long ago Telegram asked to wait, and how long.
    pub refused: Option<(Duration, Duration)>,
}

/// Runs a write without waiting until it is on the disk.
fn quickly<R>(
    connection: &mut Connection,
    run: impl FnOnce(&Connection) -> rusqlite::Result<R>,
) -> Result<R, StoreError> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let result = run(connection);
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(result?)
}

fn millis(span: i64) -> Duration {
    // A clock that was turned back makes nothing older than it is.
    Duration::from_millis(span.try_into().unwrap_or(0))
}

impl Store {
    /// A call into a chat is about to be made. Returns its row.
    pub async fn call_begins(&self, chat: i64, now: i64) -> Result<i64, StoreError> {
        self.call(move |connection| {
            quickly(connection, |connection| {
                let mut forget = connection.prepare_cached("DELETE FROM calls WHERE chat = ?1 AND at < ?2")?;
                forget.execute([chat, now - REMEMBERED])?;
                let mut insert = connection.prepare_cached("INSERT INTO calls (chat, at) VALUES (?1, ?2)")?;
                insert.insert([chat, now])
            })
        })
        .await
    }

    /// It is over, with or without an answer.
    pub async fn call_over(&self, row: i64, now: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            quickly(connection, |connection| {
                let mut update = connection.prepare_cached("UPDATE calls SET at = ?2, over = 1 WHERE row = ?1")?;
                update.execute([row, now]).map(drop)
            })
        })
        .await
    }

    /// Telegram asks to send nothing to a chat for so long.
    pub async fn silence(&self, chat: i64, now: i64, wait: Duration) -> Result<(), StoreError> {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.call(move |connection| {
            let sql = "INSERT OR REPLACE INTO silences (chat, told, wait) VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![chat, now, wait])?;
            Ok(())
        })
        .await
    }

    /// What an earlier run has left of a chat's budget.
    pub async fn spent(&self, chat: i64, now: i64) -> Result<Spent, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached("SELECT at, over FROM calls WHERE chat = ?1 ORDER BY at")?;
            let rows = select.query_map([chat], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let age = |(at, over): (i64, bool)| {
                let unheard_of = !over && now - at < REMEMBERED;
                if unheard_of { Duration::ZERO } else { millis(now - at) }
            };
            let ages = rows.map(|row| row.map(age));
            let ages = ages.collect::<Result<_, _>>()?;
            let mut select = connection.prepare_cached("SELECT told, wait FROM silences WHERE chat = ?1")?;
            let refused = select.query_row([chat], |row| {
                Ok((millis(now - row.get::<_, i64>(0)?), millis(row.get(1)?)))
            });
            Ok(Spent {
                ages,
                refused: refused.optional()?,
            })
        })
        .await
    }

    /// How many calls an earlier run has made since then, over all chats.
    pub async fn calls_since(&self, at: i64) -> Result<usize, StoreError> {
        self.call(move |connection| {
            let mut count =
                connection.prepare_cached("SELECT count(*) FROM calls WHERE at >= ?1 OR (over = 0 AND at >= ?2)")?;
            let calls = count.query_row([at, at - REMEMBERED], |row| row.get::<_, i64>(0))?;
            Ok(calls.try_into().unwrap_or(0))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_spent_is_known_to_the_next_run_and_a_call_without_an_end_counts_as_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.db");
        let store = Store::open(&path).await.unwrap();
        let (seconds, ms) = (Duration::from_secs, |n: i64| 1_000_000 + n * 1_000);
        let first = store.call_begins(-7, ms(0)).await.unwrap();
        store.call_over(first, ms(1)).await.unwrap();
        store.call_begins(-7, ms(2)).await.unwrap();
        store.call_begins(8, ms(2)).await.unwrap();
        store.silence(-7, ms(3), seconds(30)).await.unwrap();
        drop(store);
        let store = Store::open(&path).await.unwrap();
        let spent = store.spent(-7, ms(11)).await.unwrap();
        let expected = Spent {
            ages: vec![seconds(10), Duration::ZERO],
            refused: Some((seconds(8), seconds(30))),
        };
        assert_eq!(spent, expected);
        let turned_back = store.spent(-7, ms(-900)).await.unwrap();
        assert_eq!(turned_back.ages, [Duration::ZERO; 2]);
        assert_eq!(turned_back.refused, Some((Duration::ZERO, seconds(30))));
        assert_eq!(store.spent(99, ms(11)).await.unwrap(), Spent::default());
        assert_eq!(store.calls_since(ms(10)).await.unwrap(), 2);
        store.call_begins(-7, ms(200)).await.unwrap();
        assert_eq!(store.spent(-7, ms(200)).await.unwrap().ages, [Duration::ZERO]);
    }
}
