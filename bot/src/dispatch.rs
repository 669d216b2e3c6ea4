//! From the inbox to decisions: one update after the other, in the order in which they came.
//!
//! Deciding is quick and touches only the store; carrying out is the work of the lanes. What overtakes (`/stop`, answers,
//! buttons, `/status`) is carried out at once, beside them.

use std::sync::Arc;

use jiff::Timestamp;
use longshore_routing::{Decision, Explanation, Message, Mode};
use tokio::time::Instant;

use crate::bot::Bot;
use crate::chat::Place;
use crate::gather::group::{Gathering, Piece};
use crate::gather::merge::merge;
use crate::outbox::Reach;
use crate::situation::{may_speak, object, situation};
use crate::store::StoreError;
use crate::store::messages::NewMessage;
use crate::telegram::update::{self, Content, Incoming, Update};
use crate::{express, gather, hear, offer, press, reach};

/// Decides about updates until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    for row in bot.store.express().await? {
        bot.spawn("express", express::carry_out(bot.clone(), row));
    }
    let mut gathering = gather::resume(&bot).await?;
    loop {
        while let Some((id, raw)) = bot.store.next_update().await? {
            handle(&bot, &mut gathering, id, update::read(&raw)).await?;
            complete(&bot, &mut gathering).await?;
        }
        complete(&bot, &mut gathering).await?;
        tokio::select! {
            () = bot.inbox.notified() => {}
            () = until(gathering.next()) => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn handle(bot: &Arc<Bot>, gathering: &mut Gathering, id: i64, update: Update) -> Result<(), StoreError> {
    match update {
        Update::Message(message) => return message_in(bot, gathering, id, message).await,
        Update::Press(press) => bot.spawn("press", press::answer(bot.clone(), press)),
        Update::Topic { place, name, open } => {
            if let Some(name) = name {
                bot.store.name_topic(place, name).await?;
            }
            if open == Some(true) {
                bot.outbox.reachable(place, false).await?;
            }
        }
        Update::Membership { chat, reachable } => {
            let place = Place { chat, thread: None };
            if reachable {
                bot.outbox.reachable(place, true).await?;
            } else {
                bot.store.park(place, true, true).await?;
                let why = "The bot was removed from the chat or blocked.".to_owned();
                let problem = Some((longshore_crds::conditions::reasons::BOT_REMOVED, why));
                reach::report(
                    bot,
                    &Reach {
                        place,
                        whole_chat: true,
                        problem,
                    },
                )
                .await;
            }
        }
        Update::Other => {}
    }
    bot.store.skip_update(id).await
}

/// Decides about a message, or sets it aside until the others are there with which it is one.
async fn message_in(
    bot: &Arc<Bot>,
    gathering: &mut Gathering,
    update: i64,
    message: Incoming,
) -> Result<(), StoreError> {
    if let Some(group) = gathering.completed_by(&message) {
        together(bot, group.pieces).await?;
    }
    let piece = Piece { update, message };
    if gather::waits_for_more(bot, gathering, update, &piece.message).await? {
        let (place, message) = (piece.message.place, piece.message.message);
        bot.store.set_aside(update, place, message).await?;
        gathering.add(piece, Instant::now());
        return Ok(());
    }
    together(bot, vec![piece]).await
}

/// Decides about what is complete by now.
async fn complete(bot: &Arc<Bot>, gathering: &mut Gathering) -> Result<(), StoreError> {
    while let Some(group) = gathering.complete(Instant::now()) {
        together(bot, group.pieces).await?;
    }
    Ok(())
}

async fn together(bot: &Arc<Bot>, pieces: Vec<Piece>) -> Result<(), StoreError> {
    let messages = pieces.iter().map(|piece| piece.message.clone()).collect();
    match merge(messages) {
        Some(message) => incoming(bot, pieces, message).await,
        None => Ok(()),
    }
}

/// Decides about a message, which came in these pieces.
async fn incoming(bot: &Arc<Bot>, pieces: Vec<Piece>, message: Incoming) -> Result<(), StoreError> {
    let updates = pieces.iter().map(|piece| piece.update).collect::<Vec<_>>();
    let place = message.place;
    let content = match &message.content {
        Content::Text(text) => Ok(text.as_str()),
        Content::Unsupported(kind) => Err(*kind),
    };
    if hear::must(bot, &message.files) && may_speak(bot, place, message.user).await? {
        return unheard(bot, updates, message).await;
    }
    let situation = situation(bot, place, message.user).await?;
    let router = bot.policies.router().await;
    let written = Message {
        user: message.user,
        chat: place.chat,
        thread: place.thread,
        content,
        file: !message.files.is_empty(),
    };
    let explanation = router.decide(&situation, &written, Timestamp::now());
    log(&message, &explanation);
    let decision = explanation.decision;
    if decision.mode == Mode::Ignore {
        return bot.store.skip_updates(updates).await;
    }
    if decision.mode == Mode::Offer {
        for piece in pieces {
            offer::take(bot, piece.update, piece.message).await?;
        }
        return bot.store.forget_pieces(updates).await;
    }
    let object = object(&decision, &situation, message.message);
    let new = NewMessage {
        decision,
        object,
        ..undecided(bot, message).await?
    };
    take(bot, updates, new).await
}

/// A message that somebody must listen to before anything can be decided about it. Its lane does.
async fn unheard(bot: &Arc<Bot>, updates: Vec<i64>, message: Incoming) -> Result<(), StoreError> {
    let written = match &message.content {
        Content::Text(text) => text.clone(),
        Content::Unsupported(_) => String::new(),
    };
    let (place, id) = (message.place, message.message);
    tracing::info!(
        chat = place.chat,
        message_id = id,
        "a voice message is to be listened to"
    );
    let new = NewMessage {
        unheard: Some(written),
        ..undecided(bot, message).await?
    };
    take(bot, updates, new).await
}

/// What is known of a message before anything is decided.
async fn undecided(bot: &Bot, message: Incoming) -> Result<NewMessage, StoreError> {
    let place = message.place;
    let title = match (&message.topic_name, place.thread) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => bot.store.topic_name(place).await?.or(message.chat_title),
        (None, None) => message.chat_title,
    };
    Ok(NewMessage {
        place,
        message: message.message,
        user: message.user,
        user_name: message.user_name,
        title,
        decision: Decision {
            mode: Mode::Ignore,
            reason: "nothing is decided yet".to_owned(),
        },
        object: None,
        files: message.files,
        unheard: None,
        now: bot.now(),
    })
}

/// Takes a message on, and lets whoever carries it out know.
async fn take(bot: &Arc<Bot>, updates: Vec<i64>, new: NewMessage) -> Result<(), StoreError> {
    let (place, message) = (new.place, new.message);
    bot.store.decide_together(updates, new).await?;
    // Somebody writes here, so the bot can, too.
    bot.outbox.reachable(place, false).await?;
    bot.outbox.wake(place.chat);
    let id = longshore_wire::MessageId::from_telegram(place.chat, message);
    match bot.store.message(id).await? {
        Some(row) if row.decision.mode.overtakes() => bot.spawn("express", express::carry_out(bot.clone(), row)),
        Some(row) => {
            bot.wake(place);
            if ends_a_session(&row.decision.mode) {
                // What waits for that session finds another way.
                bot.changed();
            }
        }
        None => {}
    }
    Ok(())
}

fn ends_a_session(mode: &Mode) -> bool {
    matches!(
        mode,
        Mode::EndSession { .. }
            | Mode::StartSession {
                instead_of: Some(_),
                ..
            }
    )
}

/// What was decided and why; not what was written.
fn log(message: &Incoming, explanation: &Explanation) {
    let (chat, thread, id) = (message.place.chat, message.place.thread, message.message);
    let decision = &explanation.decision;
    let (mode, reason) = (decision.mode.in_words(), &decision.reason);
    // What strangers write in a group is no news.
    if decision.mode == Mode::Ignore && explanation.rule.is_none() {
        tracing::debug!(chat, thread, message_id = id, reason, "ignored");
        return;
    }
    tracing::info!(chat, thread, message_id = id, mode, reason, "decided");
    for passed in &explanation.passed {
        tracing::debug!(
            chat,
            thread,
            message_id = id,
            step = passed.step,
            why = passed.why,
            "passed"
        );
    }
}
