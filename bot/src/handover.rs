//! Decisions about prompts on their way to the runner.
//!
//! Every decision is in the store before it goes on its way, so whatever happens to the bot or the runner it is handed on once the
//! session is heard again, until the runner has taken it or does not wait for it any more.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use longshore_crds::PersistentSession;
use longshore_wire::MessageId;

use crate::agent::RunnerError;
use crate::bot::Bot;
use crate::conversation::life;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Reached};
use crate::wake::{Wake, wake};
use crate::{door, words};

/// How often a decision is tried while somebody waits for it.
const TRIES: usize = 5;
/// Time between two rounds for decisions that wait.
const ROUND: Duration = Duration::from_secs(5);

/// What came of handing a decision on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The runner has it.
    Taken,
    /// The runner does not wait for it any more.
    Gone,
    /// The runner cannot be heard; it is tried again.
    Later,
    /// In a sentence.
    Other(String),
}

/// Hands on what is decided in a session, until nothing waits any more.
pub async fn run(bot: Arc<Bot>, uid: String) -> Result<(), StoreError> {
    let handing = || bot.handing.lock().unwrap_or_else(PoisonError::into_inner);
    // Once more behind the last round: a decision that came at its end has found somebody at work.
    while !bot.store.undelivered_decisions(&uid).await?.is_empty() {
        let is_first = handing().insert(uid.clone());
        if !is_first {
            break;
        }
        let result = rounds(&bot, &uid).await;
        handing().remove(&uid);
        result?;
    }
    Ok(())
}

async fn rounds(bot: &Bot, uid: &str) -> Result<(), StoreError> {
    loop {
        let waiting = bot.store.undelivered_decisions(uid).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        for row in waiting {
            if hand(bot, &row, 1).await? == Handed::Later {
                break;
            }
        }
        if bot.store.undelivered_decisions(uid).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Hands a decision to the runner, while somebody waits for what comes of it. What does not arrive is shown as decided, and tried
/// again later.
pub async fn now(bot: &Arc<Bot>, row: &ApprovalRow) -> Result<Handed, StoreError> {
    let handed = hand(bot, row, TRIES).await?;
    if handed == Handed::Later {
        bot.store.show_approval(row.prompt.row).await?;
        bot.outbox.wake(row.place.chat);
        bot.spawn("decisions", run(bot.clone(), row.session.clone()));
    }
    Ok(handed)
}

async fn hand(bot: &Bot, row: &ApprovalRow, tries: usize) -> Result<Handed, StoreError> {
    let (Some(session), Some(pressed)) = (
        bot.store.session_by_uid(&row.session).await?,
        row.prompt.pressed.as_ref(),
    ) else {
        return Ok(Handed::Gone);
    };
    let id = &row.prompt.approval.id;
    let reached = |reached| bot.store.decision_reached(row.prompt.row, reached);
    for attempt in 0..tries {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if let Some(seen) = bot.cluster.session(&session.name).filter(|seen| life::is_asleep(seen)) {
            reached(Reached::Gone).await?;
            return Ok(Handed::Other(rouse(bot, &seen, &row.session, id).await));
        }
        let Some(door) = door::of(bot, &session.name, attempt > 0).await else {
            return Ok(Handed::Later);
        };
        match bot.runners.decide(&door, id, &pressed.decision).await {
            Ok(()) => {
                reached(Reached::Yes).await?;
                tell(row);
                return Ok(Handed::Taken);
            }
            Err(RunnerError::NotFound | RunnerError::Ended) => {
                reached(Reached::Gone).await?;
                return Ok(Handed::Gone);
            }
            Err(RunnerError::Refused(why)) => {
                reached(Reached::Gone).await?;
                return Ok(Handed::Other(why));
            }
            Err(error) => {
                if matches!(error, RunnerError::Silent(_)) {
                    reached(Reached::Maybe).await?;
                }
                tracing::info!(session = session.name, %error, "a decision is tried again");
            }
        }
    }
    Ok(Handed::Later)
}

/// What nobody was asked about stands in the log: the tool, not what it does.
fn tell(row: &ApprovalRow) {
    if row.is_quiet() {
        tracing::info!(
            chat = row.place.chat,
            thread = row.place.thread,
            tool = row.prompt.approval.tool_name,
            by = row
                .prompt
                .pressed
                .as_ref()
                .and_then(|pressed| pressed.decision.by.as_deref()),
            "allowed without asking, since it is always allowed in this topic"
        );
    }
}

/// Somebody decided about a prompt of a session that has fallen asleep, and the prompt with it.
async fn rouse(bot: &Bot, session: &PersistentSession, uid: &str, prompt: &str) -> String {
    let cause = MessageId::from_object(&format!("{uid}/{prompt}")).to_string();
    match wake(bot, session, &cause).await {
        Ok(Wake::Asked) => words::PROMPT_SLEPT.to_owned(),
        Ok(Wake::HeldDown) => words::SESSION_ASLEEP.to_owned(),
        Ok(Wake::NotNeeded | Wake::Rests(_)) => words::TRY_AGAIN.to_owned(),
        Err(error) => {
            tracing::info!(session = session.name_any(), %error, "waking failed");
            words::TRY_AGAIN.to_owned()
        }
    }
}
