//! Prompts and questions of claude's: which post shows each, what was answered so far, and whether it still waits.

use std::collections::BTreeMap;

use longshore_wire::api::Approval;
use longshore_wire::event::ApprovalOutcome;
use rusqlite::{OptionalExtension, Transaction, params};

use super::posts;
use super::{Json, Store, StoreError};
use crate::chat::Place;
use crate::conversation::prompt;
use crate::outbox::pace::Priority;

/// A prompt or question in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRow {
    /// Row; buttons carry it.
    pub row: i64,
    /// UID of the session.
    pub session: String,
    /// Post that shows it.
    pub post: i64,
    /// Chat and id of the message that shows it.
    pub shown_at: (i64, Option<i64>),
    /// What is asked.
    pub approval: Approval,
    /// Answers so far, by the text of the question.
    pub answers: BTreeMap<String, String>,
    /// Whether it still waits.
    pub open: bool,
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ApprovalRow> {
    Ok(ApprovalRow {
        row: row.get(0)?,
        session: row.get(1)?,
        post: row.get(2)?,
        shown_at: (row.get(3)?, row.get(4)?),
        approval: row.get::<_, Json<Approval>>(5)?.0,
        answers: row.get::<_, Json<BTreeMap<String, String>>>(6)?.0,
        open: row.get::<_, String>(7)? == "open",
    })
}

const SELECT: &str = "SELECT a.row, a.session, a.post, p.chat, p.sent_as, a.approval, a.answers, a.state
    FROM approvals a JOIN posts p ON p.post = a.post WHERE ";

/// Shows a prompt with its buttons.
pub(super) fn open(tx: &Transaction<'_>, uid: &str, place: Place, approval: &Approval) -> Result<(), StoreError> {
    let post = posts::ensure(tx, &format!("approval/{uid}/{}", approval.id), place, None, None)?;
    tx.execute(
        "INSERT OR IGNORE INTO approvals (session, id, post, approval, state) VALUES (?1, ?2, ?3, ?4, 'open')",
        params![uid, approval.id, post, Json(approval)],
    )?;
    let row = tx.query_row(
        "SELECT row FROM approvals WHERE session = ?1 AND id = ?2",
        params![uid, approval.id],
        |row| row.get(0),
    )?;
    posts::show(
        tx,
        post,
        &prompt::asking(row, approval, &BTreeMap::new()),
        Priority::Answer,
    )
}

/// Takes the buttons away and says how it ended.
pub(super) fn close(
    tx: &Transaction<'_>,
    uid: &str,
    id: &str,
    outcome: ApprovalOutcome,
    by: Option<&str>,
) -> Result<(), StoreError> {
    let sql = format!("{SELECT} a.session = ?1 AND a.id = ?2");
    let Some(row) = tx.query_row(&sql, params![uid, id], read).optional()? else {
        return Ok(());
    };
    tx.execute("UPDATE approvals SET state = 'closed' WHERE row = ?1", [row.row])?;
    posts::show(
        tx,
        row.post,
        &prompt::closed(&row.approval, &row.answers, outcome, by),
        Priority::Answer,
    )
}

impl Store {
    /// The prompt in this row.
    pub async fn approval(&self, row: i64) -> Result<Option<ApprovalRow>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{SELECT} a.row = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([row], read).optional()?)
        })
        .await
    }

    /// The oldest question of a session that waits for words.
    pub async fn open_question(&self, uid: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let rows = self.open_approvals(uid).await?;
        Ok(rows
            .into_iter()
            .find(|row| prompt::next_question(&row.approval, &row.answers).is_some()))
    }

    /// Questions of a session that are answered, as far as this store knows, while claude still waits.
    pub async fn answered_questions(&self, uid: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let mut rows = self.open_approvals(uid).await?;
        rows.retain(|row| !row.answers.is_empty() && prompt::next_question(&row.approval, &row.answers).is_none());
        Ok(rows)
    }

    async fn open_approvals(&self, uid: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let uid = uid.to_owned();
        self.call(move |connection| {
            let sql = format!("{SELECT} a.session = ?1 AND a.state = 'open' ORDER BY a.row");
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map([uid], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Keeps an answer to one of several questions and shows the next.
    pub async fn keep_answer(
        &self,
        row: i64,
        question: String,
        answer: String,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        self.transaction(move |tx| {
            let sql = format!("{SELECT} a.row = ?1 AND a.state = 'open'");
            let Some(mut approval) = tx.query_row(&sql, [row], read).optional()? else {
                return Ok(None);
            };
            approval.answers.insert(question, answer);
            tx.execute(
                "UPDATE approvals SET answers = ?2 WHERE row = ?1",
                params![row, Json(&approval.answers)],
            )?;
            posts::show(
                tx,
                approval.post,
                &prompt::asking(row, &approval.approval, &approval.answers),
                Priority::Answer,
            )?;
            Ok(Some(approval))
        })
        .await
    }

    /// Closes what still waits in a session that is over.
    pub async fn close_approvals(&self, uid: &str) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            let mut select = tx.prepare_cached("SELECT id FROM approvals WHERE session = ?1 AND state = 'open'")?;
            let ids = select
                .query_map([&uid], |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            for id in ids {
                close(tx, &uid, &id, ApprovalOutcome::Cancelled, None)?;
            }
            Ok(())
        })
        .await
    }

    /// Remembers the name of a forum topic.
    pub async fn name_topic(&self, place: Place, name: String) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "INSERT INTO topic_names VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET name = ?3",
                params![place.chat, place.thread_key(), name],
            )?;
            Ok(())
        })
        .await
    }

    /// Name of a forum topic, as far as it is known.
    pub async fn topic_name(&self, place: Place) -> Result<Option<String>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT name FROM topic_names WHERE chat = ?1 AND thread = ?2";
            let name = connection.query_row(sql, params![place.chat, place.thread_key()], |row| row.get(0));
            Ok(name.optional()?)
        })
        .await
    }
}
