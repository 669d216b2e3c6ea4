//! What was asked in a place and what came of it, from the messages and posts that are kept anyway.

use rusqlite::params;

use super::messages::{COLUMNS, MessageRow, MessageState, read};
use super::posts::Content;
use super::{Json, Store, StoreError};
use crate::chat::Place;

/// A turn as people remember it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTurn {
    /// What was asked, and by whom.
    pub message: MessageRow,
    /// When, in Unix seconds.
    pub at: i64,
    /// The first part of the final words, once there are any.
    pub answer: Option<String>,
}

impl Store {
    /// The newest turns of a place, oldest first: what went to a task or a session.
    pub async fn history(&self, place: Place, turns: usize) -> Result<Vec<PastTurn>, StoreError> {
        self.call(move |connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS}, received_at,
                    (SELECT content FROM posts WHERE subject = messages.row ORDER BY post LIMIT 1) AS answer
                 FROM messages WHERE chat = ?1 AND thread = ?2
                    AND json_extract(decision, '$.mode.mode') IN ('task', 'startSession', 'toSession')
                 ORDER BY row DESC LIMIT ?3",
            ))?;
            let limit = i64::try_from(turns).unwrap_or(i64::MAX);
            let rows = select.query_map(params![place.chat, place.thread_key(), limit], |row| {
                let message = read(row)?;
                let answer = row.get::<_, Option<Json<Content>>>("answer")?;
                let answered = message.state >= MessageState::Answered;
                Ok(PastTurn {
                    message,
                    at: row.get("received_at")?,
                    answer: answer.filter(|_| answered).map(|content| content.0.rich.text),
                })
            })?;
            let mut found = rows.collect::<Result<Vec<_>, _>>()?;
            found.reverse();
            Ok(found)
        })
        .await
    }
}
