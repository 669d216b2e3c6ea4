//! Tools that are always allowed in a topic, by an approver who said so at a prompt.
//!
//! Kept here and not on the topic's volume, where the agent could write. A grant holds for one tool of one place, over sessions,
//! restarts and sleep, until an approver stops it or who gave it is no approver any more; then it is over for good. It covers
//! permission prompts only, never a plan or a question. The prompt by which it was given shows it, with a button to stop it.

use longshore_wire::api::{Decision, Verdict};
use rusqlite::{Transaction, params};

use super::approvals::{self, ApprovalRow};
use super::{Json, Store, StoreError};
use crate::chat::Place;
use crate::conversation::prompt::{How, Over, Pressed, Writer};

/// A tool that is always allowed in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Row of the prompt by which it was given.
    pub approval: i64,
    /// Where.
    pub place: Place,
    /// Name of the tool.
    pub tool: String,
    /// Who said so.
    pub by: Writer,
    pub(super) post: i64,
}

impl GrantRow {
    /// What is decided about a prompt of the tool.
    pub(super) fn pressed(&self, now: i64) -> Pressed {
        Pressed {
            decision: Decision {
                verdict: Verdict::Allow,
                remember: false,
                message: None,
                answers: Default::default(),
                by: Some(format!("{}, for always in this topic", self.by.name)),
            },
            word: None,
            at: now,
            how: How::Granted,
        }
    }
}

fn select(tx: &Transaction<'_>, condition: &str, values: impl rusqlite::Params) -> Result<Vec<GrantRow>, StoreError> {
    let sql = "SELECT g.approval, g.chat, g.thread, g.tool, g.by_user, g.by_name, a.post FROM grants g
        JOIN approvals a ON a.row = g.approval WHERE g.over IS NULL AND ";
    let mut select = tx.prepare_cached(&format!("{sql}{condition}"))?;
    let rows = select.query_map(values, |row| {
        Ok(GrantRow {
            approval: row.get(0)?,
            place: Place::from_key(row.get(1)?, row.get(2)?),
            tool: row.get(3)?,
            by: Writer {
                user: row.get(4)?,
                name: row.get(5)?,
            },
            post: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What holds for a tool in a place.
pub(super) fn held(tx: &Transaction<'_>, place: Place, tool: &str) -> Result<Option<GrantRow>, StoreError> {
    let there = "g.chat = ?1 AND g.thread = ?2 AND g.tool = ?3";
    Ok(select(tx, there, params![place.chat, place.thread_key(), tool])?.pop())
}

/// The tool of this prompt is always allowed in its place, unless it is already.
pub(super) fn make(tx: &Transaction<'_>, row: &ApprovalRow, by: &Writer, now: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO grants (chat, thread, tool, by_user, by_name, made, approval) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.place.chat,
            row.place.thread_key(),
            row.prompt.approval.tool_name,
            by.user,
            by.name,
            now,
            row.prompt.row
        ],
    )?;
    Ok(())
}

impl Store {
    /// What holds for a tool in a place.
    pub async fn grant(&self, place: Place, tool: &str) -> Result<Option<GrantRow>, StoreError> {
        let tool = tool.to_owned();
        self.transaction(move |tx| held(tx, place, &tool)).await
    }

    /// All tools that are always allowed somewhere.
    pub async fn grants(&self) -> Result<Vec<GrantRow>, StoreError> {
        self.transaction(|tx| select(tx, "1 ORDER BY g.row", [])).await
    }

    /// Ends what was allowed by this prompt. False when it was over already.
    pub async fn end_grant(&self, approval: i64, over: Over) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            let ended = tx.execute(
                "UPDATE grants SET over = ?2 WHERE approval = ?1 AND over IS NULL",
                params![approval, Json(&over)],
            )?;
            if let Some(row) = approvals::one(tx, approval)?.filter(|_| ended > 0) {
                approvals::show(tx, &row)?;
            }
            Ok(ended > 0)
        })
        .await
    }
}
