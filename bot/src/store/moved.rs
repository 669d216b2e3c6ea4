//! Groups that became supergroups, and what moves with them, in one transaction.
//!
//! Messages keep the chat in which they were written: ids of messages start anew in the new one, so theirs would meet others there.
//! Their posts, the sessions and who was let in move. A post that shall still change goes out anew, since nothing can be edited where
//! nothing is any more.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError};
use crate::chat::Place;

/// Condition for rows of `messages` that belong to a place, which is given as ?1 and ?2: also those written before it moved.
pub(super) const HERE: &str = "(chat = ?1 OR chat IN (SELECT former FROM moved WHERE moved.chat = ?1)) AND thread = ?2";

/// Where a chat is now; none when it is where it was.
pub(super) fn now(tx: &Transaction<'_>, chat: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT chat FROM moved WHERE former = ?1";
    Ok(tx.prepare_cached(sql)?.query_row([chat], |row| row.get(0)).optional()?)
}

/// Where a place is now.
pub(super) fn place(tx: &Transaction<'_>, place: Place) -> Result<Place, StoreError> {
    let chat = now(tx, place.chat)?.unwrap_or(place.chat);
    Ok(Place { chat, ..place })
}

/// A post that changes goes to where its chat is now.
pub(super) fn take_along(tx: &Transaction<'_>, post: i64) -> Result<(), StoreError> {
    let sql = "UPDATE posts SET chat = (SELECT chat FROM moved WHERE former = posts.chat),
                reply_to = NULL, sent_as = NULL, shown = 0, parked = 0
               WHERE post = ?1 AND chat IN (SELECT former FROM moved)";
    tx.prepare_cached(sql)?.execute([post])?;
    Ok(())
}

fn take_all_along(tx: &Transaction<'_>, former: i64) -> Result<(), StoreError> {
    let open = "SELECT post FROM posts WHERE chat = ?1 AND (sent_as IS NULL OR version > shown
        OR subject IN (SELECT row FROM messages WHERE state IN ('routed', 'posting', 'handed'))
        OR post IN (SELECT post FROM approvals WHERE state = 'open')
        OR post IN (SELECT post FROM escalations WHERE state <> 'closed')
        OR post IN (SELECT post FROM offers WHERE state IN ('open', 'granted')))";
    let posts = tx
        .prepare(open)?
        .query_map([former], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    posts.into_iter().try_for_each(|post| take_along(tx, post))
}

impl Store {
    /// A group became a supergroup. False when that is known.
    pub async fn move_chat(&self, former: i64, chat: i64) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            let ids = params![former, chat];
            if tx.execute("INSERT OR IGNORE INTO moved (former, chat) VALUES (?1, ?2)", ids)? == 0 {
                return Ok(false);
            }
            take_all_along(tx, former)?;
            tx.execute("UPDATE sessions SET chat = ?2 WHERE chat = ?1", ids)?;
            // Who has come to the new chat before this is known there already.
            tx.execute("UPDATE OR IGNORE offers SET chat = ?2 WHERE chat = ?1", ids)?;
            tx.execute("UPDATE OR IGNORE grants SET chat = ?2 WHERE chat = ?1", ids)?;
            tx.execute("UPDATE OR IGNORE topic_names SET chat = ?2 WHERE chat = ?1", ids)?;
            Ok(true)
        })
        .await
    }

    /// Groups that became supergroups, as pairs of the former id and the new one.
    pub async fn moved(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        self.call(|connection| {
            let mut select = connection.prepare_cached("SELECT former, chat FROM moved")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
