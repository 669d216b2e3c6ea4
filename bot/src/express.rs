//! What overtakes the lanes: `/stop`, answers to questions, `/status`.
//!
//! Each is tried for a short while and then answered with a sentence, whatever came of it: somebody waits for it now.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use longshore_crds::{ContainerTask, SessionPhase};
use longshore_wire::api::{Decision, Interrupted, Verdict};

use crate::agent::RunnerError;
use crate::bot::Bot;
use crate::conversation::{outcome, prompt};
use crate::door;
use crate::outbox::pace::Priority;
use crate::route::{Mode, StopTarget, words};
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use crate::store::posts::Content;

/// How often something is tried that somebody waits for.
const TRIES: usize = 5;

/// Carries out a decision that overtakes.
pub async fn carry_out(bot: Arc<Bot>, row: MessageRow) -> Result<(), StoreError> {
    let text = match &row.decision.mode {
        Mode::Status => status(&bot, &row).await?,
        Mode::Stop {
            target: StopTarget::Session(name),
        } => stop_session(&bot, name).await,
        Mode::Stop {
            target: StopTarget::Task(name),
        } => stop_task(&bot, &row, name).await?,
        Mode::Answer { question, text } => answer(&bot, &row, *question, text).await?,
        _ => return Ok(()),
    };
    bot.store
        .answer(row.row, vec![Content::plain(text)], Priority::Answer)
        .await?;
    bot.outbox.wake(row.place.chat);
    Ok(())
}

async fn stop_session(bot: &Bot, name: &str) -> String {
    for attempt in 0..TRIES {
        // Read past the reflector: somebody waits for this, and it may have become ready just now.
        let door = match bot.cluster.live_session(name).await {
            Ok(Some(session)) => door::of_session(bot, &session, attempt > 0).await,
            Ok(None) => None,
            Err(error) => {
                tracing::info!(session = name, %error, "/stop is tried again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(door) = door else {
            return words::SESSION_NOT_THERE.to_owned();
        };
        match bot.runners.interrupt(&door, false).await {
            Ok(stopped) if stopped.stopped.is_empty() => return words::SESSION_IDLE.to_owned(),
            Ok(_) => return words::STOPPED.to_owned(),
            Err(RunnerError::Ended) => return words::NOTHING_TO_STOP.to_owned(),
            Err(RunnerError::Refused(why)) => return words::not_stopped(&why),
            Err(error) => tracing::info!(session = name, %error, "/stop is tried again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    words::TRY_AGAIN.to_owned()
}

/// Stops a task. One that has no runner yet is stopped as soon as it has one; the message waits for that, also over a
/// restart of the bot.
async fn stop_task(bot: &Bot, row: &MessageRow, name: &str) -> Result<String, StoreError> {
    let mut changes = bot.changes.subscribe();
    let mut told = false;
    let mut fresh = false;
    loop {
        changes.mark_unchanged();
        // One that was made just now may not be in the reflector, or not even made.
        match bot.cluster.live_task(name).await {
            Ok(Some(task)) if outcome::of_task(&task).is_some() => return Ok(words::NOTHING_TO_STOP.to_owned()),
            Ok(Some(task)) => match door::of_task(bot, &task, fresh).await {
                Some(door) => match bot.runners.interrupt(&door, true).await {
                    Ok(stopped) if stopped != Interrupted::default() => return Ok(words::STOPPED.to_owned()),
                    // Its prompt has not arrived yet.
                    Ok(_) => {}
                    Err(error) => {
                        fresh = error == RunnerError::Unauthorized;
                        tracing::info!(task = name, %error, "/stop is tried again");
                    }
                },
                None if !told => {
                    told = true;
                    bot.show_progress(row, words::STOPPED_LATER).await?;
                }
                None => {}
            },
            Ok(None) => {
                let waits = bot
                    .store
                    .unanswered_for(name)
                    .await?
                    .iter()
                    .any(|row| row.state == MessageState::Routed);
                if !waits {
                    return Ok(words::NOTHING_TO_STOP.to_owned());
                }
            }
            Err(error) => tracing::info!(task = name, %error, "/stop is tried again"),
        }
        bot.change(&mut changes, Duration::from_secs(1)).await;
    }
}

async fn answer(bot: &Arc<Bot>, row: &MessageRow, question: i64, text: &str) -> Result<String, StoreError> {
    let Some(approval) = bot.store.approval(question).await?.filter(|approval| approval.open) else {
        return Ok(words::TOO_LATE.to_owned());
    };
    let Some((_, asked)) = prompt::next_question(&approval.approval, &approval.answers) else {
        return Ok(words::TOO_LATE.to_owned());
    };
    give_answer(bot, question, asked.text, text.to_owned(), &row.user_name).await
}

/// Keeps the answer to one question, and hands all of them on once the last one is there.
pub async fn give_answer(bot: &Bot, row: i64, question: String, text: String, by: &str) -> Result<String, StoreError> {
    let Some(approval) = bot.store.keep_answer(row, question, text).await? else {
        return Ok(words::TOO_LATE.to_owned());
    };
    if prompt::next_question(&approval.approval, &approval.answers).is_some() {
        return Ok(words::ANSWER_TAKEN.to_owned());
    }
    let decision = Decision {
        verdict: Verdict::Allow,
        remember: false,
        message: None,
        answers: approval.answers.clone(),
        by: Some(by.to_owned()),
    };
    Ok(
        match decide(bot, &approval.session, &approval.approval.id, &decision).await? {
            Ok(()) => words::ANSWER_TAKEN.to_owned(),
            Err(sentence) => sentence,
        },
    )
}

/// Hands a decision to the runner of a session. The outer error is the store's, the inner one a sentence.
pub async fn decide(bot: &Bot, uid: &str, id: &str, decision: &Decision) -> Result<Result<(), String>, StoreError> {
    let Some(session) = bot.store.session_by_uid(uid).await? else {
        return Ok(Err(words::TOO_LATE.to_owned()));
    };
    for attempt in 0..TRIES {
        let Some(door) = door::of(bot, &session.name, attempt > 0).await else {
            return Ok(Err(words::TRY_AGAIN.to_owned()));
        };
        match bot.runners.decide(&door, id, decision).await {
            Ok(()) => return Ok(Ok(())),
            Err(RunnerError::NotFound | RunnerError::Ended) => return Ok(Err(words::TOO_LATE.to_owned())),
            Err(RunnerError::Refused(why)) => return Ok(Err(why)),
            Err(error) => tracing::info!(session = session.name, %error, "a decision is tried again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(Err(words::TRY_AGAIN.to_owned()))
}

async fn status(bot: &Bot, row: &MessageRow) -> Result<String, StoreError> {
    let Some(topic) = bot.cluster.topic_at(row.place) else {
        return Ok("Nothing has been run here yet.".to_owned());
    };
    let mut lines = vec![format!("Topic {}.", topic.name_any())];
    match bot.store.active_session(row.place).await? {
        None => lines.push("No session is active; /deep starts one.".to_owned()),
        Some(session) => {
            let live = bot.cluster.session(&session.name);
            let phase = live
                .as_ref()
                .and_then(|live| live.status.as_ref()?.phase)
                .unwrap_or(SessionPhase::Starting);
            lines.push(format!(
                "Session {}: {}.",
                session.name,
                format!("{phase:?}").to_lowercase()
            ));
            lines.extend(live.and_then(|live| outcome::session_waits(&live)));
        }
    }
    let mut tasks = bot.cluster.unfinished_tasks(&topic.name_any());
    tasks.sort_by_key(|task| task.creation_timestamp().map(|time| time.0));
    lines.extend(tasks.iter().map(|task| task_line(task)));
    Ok(lines.join("\n"))
}

fn task_line(task: &ContainerTask) -> String {
    let phase = task
        .status
        .as_ref()
        .and_then(|status| status.phase)
        .map_or("new".to_owned(), |phase| format!("{phase:?}"));
    let beginning = task
        .spec
        .prompt
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(60)
        .collect::<String>();
    format!("Task {}: {} – “{beginning}”", task.name_any(), phase.to_lowercase())
}
