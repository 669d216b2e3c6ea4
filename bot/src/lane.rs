//! Carrying out decisions, in order inside a place and in parallel between places.
//!
//! A lane takes the oldest message of its place that is not carried out, does what was decided, and goes on. What it does
//! can be done again without harm, so a crash in between only means that it is done again. An API server that does not
//! answer holds a lane up; a refusal is told to the person and the lane goes on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use longshore_crds::{Origin, TelegramOrigin};
use longshore_routing::Mode;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::bot::{Bot, LONGEST_WAIT};
use crate::chat::Place;
use crate::cluster::write::{WantedTask, WriteError};
use crate::deliver::Again;
use crate::outbox::pace::Priority;
use crate::store::StoreError;
use crate::store::corrections::Correction;
use crate::store::escalations::Wanted;
use crate::store::messages::{MessageRow, MessageState};
use crate::store::posts::Content;
use crate::store::sessions::SessionState;
use crate::{deliver, edit, escalate, farewell, hear, observe, words};

/// How long the cluster may take to make something, with what the client tries again by itself, before the try counts as one.
const ONE_TRY: Duration = Duration::from_secs(10);

/// What came of a try.
pub enum Carried {
    /// It is done, or answered.
    Done,
    /// Not yet: try again after a while.
    Later,
    /// Not before then, unless something changes in the place.
    At(Instant),
}

/// Takes up what the last run left.
pub async fn resume(bot: &Bot) -> Result<(), StoreError> {
    for place in bot.store.places_with_work().await? {
        bot.wake(place);
    }
    Ok(())
}

/// Keeps a lane for every place that has had work, until the bot stops.
pub async fn run(bot: Arc<Bot>, mut places: mpsc::UnboundedReceiver<Place>) -> Result<(), StoreError> {
    let mut lanes = HashMap::<Place, Arc<Notify>>::new();
    while let Some(place) = places.recv().await {
        let lane = lanes.entry(place).or_insert_with(|| {
            let lane = Arc::new(Notify::new());
            bot.spawn("lane", work(bot.clone(), place, lane.clone()));
            lane
        });
        lane.notify_one();
    }
    Ok(())
}

async fn work(bot: Arc<Bot>, place: Place, lane: Arc<Notify>) -> Result<(), StoreError> {
    let mut wait = Duration::from_millis(500);
    loop {
        // First, since messages that come behind it are for that session.
        let carried = match bot.store.wanted_in(place).await? {
            Some(wanted) => escalate(&bot, &wanted).await?,
            None => match next(&bot, place).await? {
                Some(Next::Correction(correction)) => edit::hand_on(&bot, &correction).await?,
                Some(Next::Message(row)) => carry_out(&bot, &row).await?,
                None => {
                    lane.notified().await;
                    continue;
                }
            },
        };
        match carried {
            Carried::Done => wait = Duration::from_millis(500),
            Carried::Later => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            Carried::At(then) => {
                bot.outbox.wake(place.chat);
                tokio::select! {
                    () = tokio::time::sleep_until(then) => {}
                    () = lane.notified() => {}
                }
            }
        }
        bot.outbox.wake(place.chat);
    }
}

/// What a lane does next.
enum Next {
    Correction(Box<Correction>),
    Message(Box<MessageRow>),
}

/// Corrections first: they belong to what was written earlier.
async fn next(bot: &Bot, place: Place) -> Result<Option<Next>, StoreError> {
    if let Some(correction) = bot.store.correction_in(place).await? {
        return Ok(Some(Next::Correction(Box::new(correction))));
    }
    let row = bot.store.next_in(place).await?;
    Ok(row.map(|row| Next::Message(Box::new(row))))
}

async fn carry_out(bot: &Arc<Bot>, row: &MessageRow) -> Result<Carried, StoreError> {
    if let Some(written) = &row.unheard {
        let done = hear::listen(bot, row, written).await?;
        return Ok(if done { Carried::Done } else { Carried::Later });
    }
    let row = &noting_lateness(bot, row).await?;
    let carried = match creates(row) {
        // What was made but not answered is found when it is tried again.
        true => tokio::time::timeout(ONE_TRY, decided(bot, row))
            .await
            .unwrap_or(Ok(Carried::Later))?,
        false => decided(bot, row).await?,
    };
    if matches!(carried, Carried::Later) && !row.background.delayed {
        bot.store.delay(row.row).await?;
    }
    Ok(carried)
}

/// Whether all that is done about a message is to make something in the cluster.
fn creates(row: &MessageRow) -> bool {
    match row.decision.mode {
        Mode::Task { .. } => true,
        Mode::StartSession { .. } => row.files.is_empty(),
        _ => false,
    }
}

/// A message that only now can be handed on, since the cluster could not be asked or the bot was not there, says since when.
async fn noting_lateness(bot: &Bot, row: &MessageRow) -> Result<MessageRow, StoreError> {
    let mut row = row.clone();
    let background = &row.background;
    let begins = matches!(row.decision.mode, Mode::Task { .. } | Mode::StartSession { .. });
    let away = background.delayed || (begins && bot.was_away_since(background.received));
    if background.late.is_none()
        && away
        && let Some(late) = background.age(bot.now(), bot.settings.stale_after)
    {
        bot.store.came_late(row.row, late).await?;
        row.background.late = Some(late);
    }
    Ok(row)
}

async fn decided(bot: &Arc<Bot>, row: &MessageRow) -> Result<Carried, StoreError> {
    match &row.decision.mode {
        Mode::Task {
            prompt,
            agent_class,
            escalation,
            read_only,
        } => {
            let wanted = WantedTask {
                prompt,
                agent_class: agent_class.clone(),
                escalation: escalation.as_ref().map(|escalation| escalation.mode),
                read_only: *read_only,
            };
            start_task(bot, row, wanted).await
        }
        Mode::StartSession {
            prompt,
            agent_class,
            instead_of,
        } => {
            if let Some(old) = instead_of
                && let Some(held_up) = end_for_another(bot, row, old).await?
            {
                return Ok(held_up);
            }
            start_session(bot, row, prompt.clone(), agent_class.clone()).await
        }
        Mode::ToSession {
            session,
            text,
            deep,
            written,
        } => {
            let again = Again {
                deep: *deep,
                written: written.as_deref(),
            };
            deliver::to_session(bot, row, session, Some(text), again).await?;
            Ok(Carried::Done)
        }
        Mode::WakeSession { session } => {
            let again = Again {
                deep: true,
                written: None,
            };
            deliver::to_session(bot, row, session, None, again).await?;
            Ok(Carried::Done)
        }
        Mode::EndSession { session, word } => match farewell::hold(bot, row, word.as_deref()).await? {
            Some(carried) => Ok(carried),
            None => end_session(bot, row, session).await,
        },
        // Carried out beside the lanes, or while deciding.
        Mode::Ignore
        | Mode::Offer
        | Mode::Reply { .. }
        | Mode::Status
        | Mode::Usage
        | Mode::History { .. }
        | Mode::Setting { .. }
        | Mode::Stop { .. }
        | Mode::Answer { .. } => {
            bot.store.advance_message(row.row, MessageState::Closed).await?;
            Ok(Carried::Done)
        }
    }
}

fn origin(row: &MessageRow) -> Origin {
    Origin {
        telegram: Some(TelegramOrigin {
            chat_id: row.place.chat,
            thread_id: row.place.thread,
            message_id: Some(row.message),
            user_id: Some(row.user),
            author: row.background.author.clone(),
            context: row.background.told(row.user),
        }),
    }
}

/// Answers with a sentence about something that did not work.
async fn explain(bot: &Bot, row: &MessageRow, text: String) -> Result<Carried, StoreError> {
    bot.store
        .answer(row.row, vec![Content::plain(text)], Priority::Notice)
        .await?;
    Ok(Carried::Done)
}

/// A failed write is told to the person, unless trying again can help.
async fn failed(bot: &Bot, row: &MessageRow, what: &str, error: WriteError) -> Result<Carried, StoreError> {
    match error {
        WriteError::Later(_) => {
            tracing::warn!(chat = row.place.chat, message_id = row.message, %error, "{what} is tried again");
            Ok(Carried::Later)
        }
        error => {
            tracing::warn!(chat = row.place.chat, message_id = row.message, %error, "{what} was refused");
            explain(bot, row, words::refused(what, &error.to_string())).await
        }
    }
}

/// The place's Topic, which is made if there is none.
async fn topic(bot: &Bot, row: &MessageRow) -> Result<String, WriteError> {
    if let Some(topic) = bot.cluster.topic_at(row.place) {
        return Ok(topic.name_any());
    }
    let name = longshore_crds::names::telegram_topic(row.place.chat, row.place.thread);
    let router = bot.policies.router().await;
    let template = router.topic_template(row.place.chat, row.place.thread);
    let made = bot
        .cluster
        .create_topic(&name, row.place, row.title.clone(), &bot.settings.topic, template)
        .await?;
    Ok(made.name_any())
}

async fn start_task(bot: &Arc<Bot>, row: &MessageRow, wanted: WantedTask<'_>) -> Result<Carried, StoreError> {
    let topic = match topic(bot, row).await {
        Ok(topic) => topic,
        Err(error) => return failed(bot, row, "The topic", error).await,
    };
    let Some(name) = &row.object else {
        return Ok(Carried::Done);
    };
    match bot.cluster.create_task(name, &topic, wanted, origin(row)).await {
        Ok(as_wanted) => {
            bot.store.hand_on(row, as_wanted).await?;
            Ok(Carried::Done)
        }
        Err(error) => failed(bot, row, "The task", error).await,
    }
}

async fn start_session(
    bot: &Arc<Bot>,
    row: &MessageRow,
    prompt: Option<String>,
    class: Option<String>,
) -> Result<Carried, StoreError> {
    let Some(name) = &row.object else {
        return Ok(Carried::Done);
    };
    // What the operator gives a session has no files: with some it begins without a prompt, and this is its first message.
    let (prompt, message) = match row.files.is_empty() {
        true => (prompt, None),
        false => (None, Some(prompt.unwrap_or_default())),
    };
    let wanted = prompt.clone();
    let made = match topic(bot, row).await {
        Ok(topic) => {
            bot.cluster
                .create_session(name, &topic, prompt, class, origin(row))
                .await
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(session) => {
            let uid = session.uid().unwrap_or_default();
            bot.store
                .observe_session(name.clone(), uid, row.place, SessionState::Live)
                .await?;
            if message.is_none() {
                bot.store.hand_on(row, session.spec.prompt == wanted).await?;
            }
            observe::session(bot, &session).await?;
            if let Some(text) = message {
                let again = Again {
                    deep: true,
                    written: None,
                };
                deliver::to_session(bot, row, name, Some(&text), again).await?;
            }
            Ok(Carried::Done)
        }
        Err(error) => {
            let carried = failed(bot, row, "The session", error).await?;
            if matches!(carried, Carried::Done) {
                bot.store.advance_session(name, SessionState::Ended).await?;
            }
            Ok(carried)
        }
    }
}

/// Makes the session that the agent of a task has asked for.
async fn escalate(bot: &Arc<Bot>, wanted: &Wanted) -> Result<Carried, StoreError> {
    let made = match topic(bot, &wanted.message).await {
        Ok(topic) => escalate::make(bot, &topic, wanted).await,
        Err(error) => Err(error),
    };
    let (place, session) = (wanted.message.place, &wanted.session);
    match made {
        Ok(made) => {
            let uid = made.uid().unwrap_or_default();
            bot.store
                .observe_session(session.clone(), uid, place, SessionState::Live)
                .await?;
            bot.store.escalated(wanted.row).await?;
            observe::session(bot, &made).await?;
            Ok(Carried::Done)
        }
        Err(WriteError::Later(error)) => {
            tracing::warn!(session, %error, "the session that an agent asked for is tried again");
            Ok(Carried::Later)
        }
        Err(error) => {
            tracing::warn!(session, %error, "the session that an agent asked for was refused");
            bot.store.not_escalated(wanted.row, error.to_string()).await?;
            Ok(Carried::Done)
        }
    }
}

/// Ends the session that another one takes the place of. The other one may be made at once: it waits for the topic. None when it
/// can be, else what came of it.
async fn end_for_another(bot: &Arc<Bot>, row: &MessageRow, old: &str) -> Result<Option<Carried>, StoreError> {
    let why = format!("another one was asked for in the chat by {}", row.user_name);
    match bot.cluster.end_session(old, &why).await {
        Ok(()) => {
            bot.show_progress(row, words::NEW_WAITS).await?;
            Ok(None)
        }
        Err(WriteError::NotFound) => {
            bot.store.advance_session(old, SessionState::Ended).await?;
            Ok(None)
        }
        Err(error) => {
            let carried = failed(bot, row, "The end of the session", error).await?;
            if let (Carried::Done, Some(name)) = (&carried, &row.object) {
                bot.store.advance_session(name, SessionState::Ended).await?;
            }
            Ok(Some(carried))
        }
    }
}

async fn end_session(bot: &Arc<Bot>, row: &MessageRow, name: &str) -> Result<Carried, StoreError> {
    match bot
        .cluster
        .end_session(name, &format!("asked for in the chat by {}", row.user_name))
        .await
    {
        Ok(()) => {
            bot.store.advance_message(row.row, MessageState::Handed).await?;
            // It may have ended before the message was ready to be told.
            if let Some(session) = bot.cluster.session(name) {
                observe::session(bot, &session).await?;
            }
            Ok(Carried::Done)
        }
        Err(WriteError::NotFound) => {
            bot.store.advance_session(name, SessionState::Ended).await?;
            explain(bot, row, words::NO_SESSION.to_owned()).await
        }
        Err(error) => failed(bot, row, "The end of the session", error).await,
    }
}
