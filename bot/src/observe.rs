//! What changes in the cluster, and what follows from it for the chat.
//!
//! Every step looks at the object as it is and writes what is not written yet, so seeing the same thing twice changes
//! nothing. Answers of tasks come from `status.result` alone; streams only make waiting shorter.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{ContainerTask, PersistentSession, TelegramOrigin, meta};
use longshore_routing::Mode;
use tokio::sync::mpsc;

use crate::bot::Bot;
use crate::chat::Place;
use crate::cluster::Observed;
use crate::conversation::{life, outcome, wish};
use crate::outbox::pace::Priority;
use crate::preview::{self, Followed};
use crate::render::Rich;
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use crate::store::posts::Content;
use crate::store::sessions::SessionState;
use crate::{escalate, reach, words};

/// Follows the cluster until the bot stops.
pub async fn run(bot: Arc<Bot>, mut events: mpsc::UnboundedReceiver<Observed>) -> Result<(), StoreError> {
    while let Some(event) = events.recv().await {
        match event {
            Observed::Task(seen) => task(&bot, &seen).await?,
            Observed::TaskGone(gone) => task_gone(&bot, &gone.name_any()).await?,
            Observed::Session(seen) => session(&bot, &seen).await?,
            Observed::SessionGone(gone) => session_gone(&bot, &gone.name_any(), Some(&gone)).await?,
            Observed::Topic(seen) => {
                bot.cluster.shown(Some(&seen.name_any()));
                reach::seen(&bot, &seen).await;
            }
            Observed::TopicGone => {}
            Observed::Synced => everything(&bot).await?,
        }
        bot.changed();
    }
    Ok(())
}

/// Looks at everything once: at the start, and after a watch began anew and may have missed something.
async fn everything(bot: &Arc<Bot>) -> Result<(), StoreError> {
    bot.cluster.shown(None);
    for seen in bot.cluster.sessions() {
        session(bot, &seen).await?;
    }
    for open in bot.store.open_sessions().await? {
        let unseen = open.uid.is_some() && bot.cluster.session(&open.name).is_none();
        if unseen && matches!(bot.cluster.live_session(&open.name).await, Ok(None)) {
            session_gone(bot, &open.name, None).await?;
        }
    }
    for row in bot.store.handed().await? {
        let (Mode::Task { .. }, Some(name)) = (&row.decision.mode, &row.object) else {
            continue;
        };
        match bot.cluster.task(name) {
            Some(seen) => task(bot, &seen).await?,
            None => {
                if let Ok(None) = bot.cluster.live_task(name).await {
                    task_gone(bot, name).await?;
                }
            }
        }
    }
    Ok(())
}

async fn answer(bot: &Bot, row: &MessageRow, parts: Vec<Content>, error: bool) -> Result<(), StoreError> {
    let priority = if error { Priority::Notice } else { Priority::Answer };
    bot.store.answer(row.row, parts, priority).await?;
    bot.outbox.wake(row.place.chat);
    Ok(())
}

/// Answers the message behind a task as soon as the task has an answer.
async fn task(bot: &Arc<Bot>, task: &Arc<ContainerTask>) -> Result<(), StoreError> {
    // Without an origin nobody in a chat waits for it.
    let Some(origin) = task.spec.origin.as_ref().and_then(|origin| origin.telegram.as_ref()) else {
        return Ok(());
    };
    let has_runner = task.status.as_ref().is_some_and(|status| status.endpoint.is_some());
    if origin.message_id.is_none() {
        if has_runner && outcome::of_task(task).is_none() {
            let place = Place {
                chat: origin.chat_id,
                thread: origin.thread_id,
            };
            preview::start(bot, task, Followed { place, message: None });
        }
        return result(bot, task, origin).await;
    }
    let rows = bot.store.unanswered_for(&task.name_any()).await?;
    let Some(row) = rows
        .into_iter()
        .find(|row| matches!(row.decision.mode, Mode::Task { .. }))
    else {
        return Ok(());
    };
    if let Some((rich, error)) = outcome::of_task(task) {
        let parts = Content::parts(&rich);
        return match wish::of_task(task, &row.decision) {
            Some(wish) => escalate::take(bot, task, &row, parts, wish).await,
            None => answer(bot, &row, parts, error).await,
        };
    }
    if has_runner {
        let (place, message) = (row.place, Some(row.message));
        preview::start(bot, task, Followed { place, message });
    } else if let Some(waits) = life::task_waits(task) {
        bot.show_progress(&row, &waits).await?;
    }
    Ok(())
}

/// Posts the result of a task that no message asked for. What was posted before this bot's store began is known from the task.
async fn result(bot: &Bot, task: &ContainerTask, place: &TelegramOrigin) -> Result<(), StoreError> {
    let (Some(uid), false) = (task.uid(), task.annotations().contains_key(meta::DELIVERED)) else {
        return Ok(());
    };
    let Some((rich, error)) = outcome::of_task(task).filter(|_| !task.was_not_needed()) else {
        return Ok(());
    };
    let place = Place {
        chat: place.chat_id,
        thread: place.thread_id,
    };
    let parts = Content::parts(&Rich::plain(outcome::heading(task)).paragraph(rich));
    let priority = if error { Priority::Notice } else { Priority::Answer };
    bot.store
        .post_result(&uid, &task.name_any(), place, parts, priority)
        .await?;
    bot.outbox.wake(place.chat);
    Ok(())
}

async fn task_gone(bot: &Bot, name: &str) -> Result<(), StoreError> {
    for row in bot.store.unanswered_for(name).await? {
        if row.state == MessageState::Handed && matches!(row.decision.mode, Mode::Task { .. }) {
            answer(bot, &row, vec![Content::plain(outcome::TASK_DELETED)], true).await?;
        }
    }
    Ok(())
}

/// How far a session has come, as routing sees it.
fn state(session: &PersistentSession) -> SessionState {
    let conditions = session
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if outcome::is_true(conditions, types::ENDED) {
        return SessionState::Ended;
    }
    if life::is_ending(session) {
        SessionState::Ending
    } else {
        SessionState::Live
    }
}

/// Versions of one object are numbers that grow (KEP-5504).
fn is_newer(one: &PersistentSession, other: &PersistentSession) -> bool {
    let version = |session: &PersistentSession| session.resource_version()?.parse::<u64>().ok();
    version(one) > version(other)
}

/// Keeps the store in step with a session, and follows it.
pub async fn session(bot: &Arc<Bot>, session: &PersistentSession) -> Result<(), StoreError> {
    let name = session.name_any();
    // Lanes look, too. One look at a time, and never at less than is known: what is shown must not go back.
    let _one = bot.observing.lock().await;
    let seen = bot.cluster.session(&name).filter(|seen| is_newer(seen, session));
    let session = seen.as_deref().unwrap_or(session);
    let known = bot.store.session(&name).await?;
    let bound = bot
        .cluster
        .topic(&session.spec.topic_ref.name)
        .and_then(|topic| bot.cluster.place_of(&topic));
    // A session of a topic without a chat is nobody's business here.
    let Some(place) = known.as_ref().map(|known| known.place).or(bound) else {
        return Ok(());
    };
    let Some(uid) = session.uid() else { return Ok(()) };
    let state = state(session);
    if known.is_none() && state == SessionState::Ended {
        return Ok(());
    }
    // That it is over is recorded when the last events are in.
    let recorded = state.min(SessionState::Ending);
    let same = known
        .as_ref()
        .is_some_and(|known| known.uid.as_deref() == Some(&uid) && known.state >= recorded);
    if !same {
        bot.store
            .observe_session(name.clone(), uid.clone(), place, recorded)
            .await?;
    }
    let first_sight = known.is_none();
    let over = known.is_some_and(|known| known.state == SessionState::Ended && known.uid.as_deref() == Some(&uid));
    if over {
        return Ok(());
    }
    if session.status.as_ref().is_some_and(|status| status.endpoint.is_some()) {
        ready(bot, &name).await?;
        if bot.store.note_goes_on(&uid).await? {
            bot.outbox.wake(place.chat);
        }
    } else if life::has_no_pod(session) {
        asleep(bot, session, &uid, place, first_sight).await?;
    } else if state == SessionState::Live {
        waits(bot, session, &uid, place).await?;
    }
    bot.follow(&name, &uid, place);
    Ok(())
}

/// A session that sleeps says why, once. What was asleep before this bot knew it is no news.
async fn asleep(
    bot: &Bot,
    session: &PersistentSession,
    uid: &str,
    place: Place,
    first_sight: bool,
) -> Result<(), StoreError> {
    // Prompts are gone with the process that asked.
    bot.store.close_approvals(uid, bot.now()).await?;
    bot.store
        .take_undelivered(uid, place, life::undelivered(session))
        .await?;
    if let Some((mark, text)) = life::sleep_note(session).filter(|_| !life::wakes_up(session)) {
        let text = (!first_sight).then_some(text);
        bot.store.note_sleep(uid, place, mark, text).await?;
    }
    bot.outbox.wake(place.chat);
    Ok(())
}

/// A session that was started without a first message says that it is there.
async fn ready(bot: &Bot, name: &str) -> Result<(), StoreError> {
    for row in bot.store.unanswered_for(name).await? {
        if matches!(row.decision.mode, Mode::StartSession { prompt: None, .. }) {
            answer(bot, &row, vec![Content::plain(words::SESSION_READY)], false).await?;
        }
    }
    Ok(())
}

/// Tells what a session waits for: at the message that started it, else, once it is worth telling, in a post of its own. At
/// messages that wait for it their lane tells.
async fn waits(bot: &Bot, session: &PersistentSession, uid: &str, place: Place) -> Result<(), StoreError> {
    let rows = bot.store.unanswered_for(&session.name_any()).await?;
    let begun = session
        .status
        .as_ref()
        .is_some_and(|status| status.start_time.is_some());
    let starting = |row: &&MessageRow| !begun && matches!(row.decision.mode, Mode::StartSession { .. });
    let mut told = rows
        .iter()
        .any(|row| row.state < MessageState::Handed && matches!(row.decision.mode, Mode::ToSession { .. }));
    if let Some(waits) = life::session_waits(session) {
        for row in rows.iter().filter(starting) {
            let waits = match for_the_end_of_another(bot, row).await? {
                true => words::NEW_WAITS,
                false => &waits,
            };
            bot.show_progress(row, waits).await?;
            told = true;
        }
    }
    if let Some(held_up) = life::session_held_up(session).filter(|_| !told) {
        bot.store.note_held_up(uid, place, held_up).await?;
        bot.outbox.wake(place.chat);
    }
    Ok(())
}

/// Whether the session of this message only waits until the one before it has ended.
async fn for_the_end_of_another(bot: &Bot, row: &MessageRow) -> Result<bool, StoreError> {
    let Mode::StartSession {
        instead_of: Some(old), ..
    } = &row.decision.mode
    else {
        return Ok(false);
    };
    let old = bot.store.session(old).await?;
    Ok(old.is_some_and(|old| old.state < SessionState::Ended))
}

/// `last` is how it looked in the end, where that was seen.
async fn session_gone(bot: &Arc<Bot>, name: &str, last: Option<&Arc<PersistentSession>>) -> Result<(), StoreError> {
    let Some(known) = bot
        .store
        .session(name)
        .await?
        .filter(|known| known.state != SessionState::Ended)
    else {
        return Ok(());
    };
    bot.store.advance_session(name, SessionState::Ending).await?;
    if let Some(uid) = known.uid {
        if let Some(last) = last.filter(|last| last.uid().as_ref() == Some(&uid)) {
            bot.remember_gone(&uid, last.clone());
        }
        bot.follow(name, &uid, known.place);
    }
    Ok(())
}

/// Whether a session is over for good: it says so, or it is not there any more.
pub async fn is_over(bot: &Bot, name: &str) -> Result<bool, StoreError> {
    match bot.cluster.session(name) {
        Some(session) => Ok(state(&session) == SessionState::Ended),
        // One that was made just now may not be seen yet; one that is ending and not there is gone.
        None => Ok(bot
            .store
            .session(name)
            .await?
            .is_none_or(|known| known.state >= SessionState::Ending)),
    }
}

/// Says the last words about a session whose last events are in.
pub async fn session_over(bot: &Arc<Bot>, name: &str, uid: &str, place: Place) -> Result<(), StoreError> {
    let last = bot.last_of(name, uid);
    let status = last.as_ref().and_then(|last| last.status.as_ref());
    let began = status.is_none_or(|status| status.start_time.is_some());
    bot.store.close_approvals(uid, bot.now()).await?;
    if let Some(last) = &last {
        bot.store.take_undelivered(uid, place, life::undelivered(last)).await?;
    }
    let note = last.as_deref().map_or_else(|| Rich::plain(life::GONE), life::end_note);
    bot.store.note_end(name, uid, place, note, began).await?;
    for row in bot.store.unanswered_for(name).await? {
        match &row.decision.mode {
            Mode::StartSession { .. } | Mode::ToSession { .. } if row.state == MessageState::Handed => {
                answer(bot, &row, vec![Content::plain(outcome::SESSION_OVER)], true).await?;
            }
            Mode::EndSession { .. } => answer(bot, &row, vec![Content::plain(words::NO_SESSION)], false).await?,
            // The lane finds another way for what no session took.
            _ => bot.wake(row.place),
        }
    }
    bot.store.advance_session(name, SessionState::Ended).await?;
    bot.clear_reactions().await?;
    bot.outbox.wake(place.chat);
    bot.changed();
    Ok(())
}
