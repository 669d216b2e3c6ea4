//! What overtakes the lanes: `/stop`, answers to questions, and commands that only tell or set something.
//!
//! Each is tried for a short while and then answered with a sentence, whatever came of it: somebody waits for it now.

use std::sync::Arc;
use std::time::Duration;

use longshore_routing::{Mode, StopTarget};
use longshore_wire::api::Interrupted;

use crate::agent::RunnerError;
use crate::bot::Bot;
use crate::conversation::{Conversation, life, outcome};
use crate::outbox::pace::Priority;
use crate::render::Rich;
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use crate::store::posts::Content;
use crate::{command, door, judge, situation, words};

/// How often something is tried that somebody waits for.
const TRIES: usize = 5;

/// Carries out a decision that overtakes.
pub async fn carry_out(bot: Arc<Bot>, mut row: MessageRow) -> Result<(), StoreError> {
    let text = loop {
        match said(&bot, &row).await? {
            Said::Words(text) => break text,
            Said::Nothing => return Ok(()),
            // The words were meant as an answer, but the question is gone: they go where any other message would.
            Said::Elsewhere(text) => {
                situation::decide_again(&bot, &row, &text).await?;
                let Some(again) = bot
                    .store
                    .express()
                    .await?
                    .into_iter()
                    .find(|again| again.row == row.row)
                else {
                    bot.wake(row.place);
                    bot.outbox.wake(row.place.chat);
                    return Ok(());
                };
                row = again;
            }
        }
    };
    let parts = Content::parts(&Rich::plain(text));
    bot.store.answer(row.row, parts, Priority::Answer).await?;
    bot.outbox.wake(row.place.chat);
    Ok(())
}

enum Said {
    Words(String),
    Nothing,
    Elsewhere(String),
}

async fn said(bot: &Arc<Bot>, row: &MessageRow) -> Result<Said, StoreError> {
    if matches!(row.decision.mode, Mode::Stop { .. }) {
        bot.store.leave_words(row.place).await?;
    }
    let text = match &row.decision.mode {
        Mode::Status => command::status(bot, row).await?,
        Mode::Usage => command::usage(bot, row).await?,
        Mode::History { turns } => command::history(bot, row, *turns).await?,
        Mode::Setting { session, setting } => {
            match setting.is_change() {
                true => command::setting::change(bot, row, session).await?,
                false => command::setting::offer(bot, row, session, setting).await?,
            }
            bot.outbox.wake(row.place.chat);
            return Ok(Said::Nothing);
        }
        Mode::Stop {
            target: StopTarget::Session(name),
            all,
        } => match overtaken(bot, row, name).await? {
            true => words::STOP_OVERTAKEN.to_owned(),
            false => stop_session(bot, name, *all).await,
        },
        Mode::Stop {
            target: StopTarget::Task(name),
            ..
        } => stop_task(bot, row, name).await?,
        Mode::Answer { question, text } => match judge::words_for(bot, row, *question, text).await? {
            Some(said) => said,
            None => return Ok(Said::Elsewhere(text.clone())),
        },
        _ => return Ok(Said::Nothing),
    };
    Ok(Said::Words(text))
}

/// Stops a turn that runs, for who waits for a sentence.
pub async fn stop(bot: &Bot, target: &StopTarget) -> Result<String, StoreError> {
    let name = match target {
        StopTarget::Session(name) => return Ok(stop_session(bot, name, false).await),
        StopTarget::Task(name) => name,
    };
    for attempt in 0..TRIES {
        match bot.cluster.live_task(name).await {
            Ok(Some(task)) if outcome::of_task(&task).is_none() => {
                let door = door::of_task(bot, &task, attempt > 0).await;
                let stopped = match &door {
                    Some(door) => bot.runners.interrupt(door, true).await,
                    None => return Ok(words::NOTHING_TO_STOP.to_owned()),
                };
                match stopped {
                    Ok(stopped) if stopped != Interrupted::default() => return Ok(words::STOPPED.to_owned()),
                    Ok(_) => return Ok(words::NOTHING_TO_STOP.to_owned()),
                    Err(error) => tracing::info!(task = name, %error, "stopping is tried again"),
                }
            }
            Ok(_) => return Ok(words::NOTHING_TO_STOP.to_owned()),
            Err(error) => tracing::info!(task = name, %error, "stopping is tried again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(words::TRY_AGAIN.to_owned())
}

/// Whether all that a session is at was asked for after this /stop was written: it came late, and was not meant for that.
async fn overtaken(bot: &Bot, row: &MessageRow, name: &str) -> Result<bool, StoreError> {
    let Some(uid) = bot.store.session(name).await?.and_then(|session| session.uid) else {
        return Ok(false);
    };
    let talk = Conversation::rebuild(&bot.store.events(&uid).await?);
    let mut asked = Vec::new();
    match talk.running() {
        Some(running) => {
            for id in running {
                asked.extend(bot.store.message_behind(*id).await?);
            }
            if asked.is_empty() {
                // claude began by itself, nobody knows about what.
                return Ok(row.background.late.is_some());
            }
        }
        // What it was given, it may be at, though that is not known yet.
        None => {
            let given = bot.store.unanswered_for(name).await?.into_iter();
            asked.extend(given.filter(|given| given.state == MessageState::Handed));
        }
    }
    let newer = |asked: &MessageRow| asked.place.chat == row.place.chat && asked.message > row.message;
    Ok(!asked.is_empty() && asked.iter().all(newer))
}

async fn stop_session(bot: &Bot, name: &str, all: bool) -> String {
    for attempt in 0..TRIES {
        // Read past the reflector: somebody waits for this, and it may have become ready just now.
        let door = match bot.cluster.live_session(name).await {
            Ok(Some(session)) if life::is_asleep(&session) => return words::SESSION_ASLEEP.to_owned(),
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
        match bot.runners.interrupt(&door, all).await {
            Ok(stopped) if !stopped.cancelled.is_empty() => return words::DROPPED.to_owned(),
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
