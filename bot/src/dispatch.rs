//! From the inbox to decisions: one update after the other, in the order in which they came.
//!
//! Deciding is quick and touches only the store; carrying out is the work of the lanes. What overtakes (`/stop`, answers,
//! buttons, `/status`) is carried out at once, beside them.

use std::sync::Arc;

use longshore_crds::conditions::reasons;
use longshore_routing::{Decision, Explanation, Message, Mode};
use tokio::time::Instant;

use crate::background::{self, Background};
use crate::bot::Bot;
use crate::chat::Place;
use crate::gather::group::{Gathering, Piece};
use crate::gather::merge::merge;
use crate::outbox::Reach;
use crate::situation::{self, may_speak, object, situation};
use crate::store::StoreError;
use crate::store::messages::NewMessage;
use crate::telegram::reference::Referred;
use crate::telegram::update::{self, Content, Incoming, Update};
use crate::timer::until;
use crate::{edit, express, gather, hear, migrate, offer, press, reach};

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

async fn handle(bot: &Arc<Bot>, gathering: &mut Gathering, id: i64, update: Update) -> Result<(), StoreError> {
    match update {
        Update::Message(message) => return message_in(bot, gathering, id, message).await,
        Update::Press(press) => bot.spawn("press", press::answer(bot.clone(), press)),
        Update::Topic { place, name, open } => {
            if let Some(name) = name {
                bot.store.name_topic(place, name).await?;
            }
            match open {
                Some(true) => reopened(bot, place).await?,
                Some(false) => closed(bot, place).await?,
                None => {}
            }
        }
        Update::Membership { chat, reachable } => membership(bot, chat, reachable).await?,
        Update::Edited { message, at } => {
            return match gathering.change(&message) {
                Some(piece) => bot.store.amend(piece, id).await,
                None => edit::take(bot, id, message, at).await,
            };
        }
        Update::Migrated { from, to } => migrate::chat(bot, from, to).await?,
        Update::Other => {}
    }
    bot.store.skip_update(id).await
}

/// The bot was let in, thrown out, blocked or unblocked.
async fn membership(bot: &Bot, chat: i64, reachable: bool) -> Result<(), StoreError> {
    // A group that became a supergroup loses all its members.
    if bot.moved.now(chat) != chat {
        return Ok(());
    }
    let place = Place { chat, thread: None };
    let problem = match (reachable, Place::is_group(chat)) {
        (true, _) => None,
        (false, true) => Some((reasons::BOT_REMOVED, "The bot was removed from the chat.".to_owned())),
        (false, false) => Some((reasons::BOT_BLOCKED, "The person has blocked the bot.".to_owned())),
    };
    if reachable {
        bot.outbox.reachable(place, true).await?;
    } else {
        bot.store.park(place, true, true).await?;
    }
    let report = Reach {
        place,
        whole_chat: true,
        problem,
        moved_to: None,
    };
    reach::report(bot, &report).await;
    Ok(())
}

/// A forum topic was closed. An administrator may write there all the same; everybody else is refused from now on.
async fn closed(bot: &Bot, place: Place) -> Result<(), StoreError> {
    match bot.telegram.writes_in_closed_topics(place.chat).await {
        Ok(false) => {}
        Ok(true) => return Ok(()),
        Err(error) => {
            // The next post finds out.
            tracing::debug!(chat = place.chat, %error, "the bot does not know what it may do in a closed topic");
            return Ok(());
        }
    }
    bot.store.park(place, false, true).await?;
    let why = "The forum topic was closed; posts wait until it is open again.".to_owned();
    let report = Reach {
        place,
        whole_chat: false,
        problem: Some((reasons::TOPIC_CLOSED, why)),
        moved_to: None,
    };
    reach::report(bot, &report).await;
    Ok(())
}

/// A forum topic was made, or opened again.
async fn reopened(bot: &Bot, place: Place) -> Result<(), StoreError> {
    bot.outbox.reachable(place, false).await?;
    let report = Reach {
        place,
        whole_chat: false,
        problem: None,
        moved_to: None,
    };
    reach::report(bot, &report).await;
    Ok(())
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
    let explanation = situation::decide(bot, &router, &situation, &written);
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
    let object = object(
        &decision,
        &situation,
        message.message,
        bot.moved.former(place.chat).is_some(),
    );
    let new = NewMessage {
        decision,
        object,
        ..undecided(bot, updates.first().copied(), message).await?
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
        ..undecided(bot, updates.first().copied(), message).await?
    };
    take(bot, updates, new).await
}

/// What is known of a message before anything is decided.
async fn undecided(bot: &Bot, update: Option<i64>, message: Incoming) -> Result<NewMessage, StoreError> {
    let place = message.place;
    let title = match (&message.topic_name, place.thread) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => bot.store.topic_name(place).await?.or(message.chat_title.clone()),
        (None, None) => message.chat_title.clone(),
    };
    let background = background(bot, update, &message).await?;
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
        background,
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
    let Some(row) = bot.store.message(id).await? else {
        return Ok(());
    };
    // What overtakes may still end a wait in the lane.
    bot.wake(place);
    if ends_a_session(&row.decision.mode) {
        // What waits for that session finds another way.
        bot.changed();
    }
    if row.decision.mode.overtakes() {
        bot.spawn("express", express::carry_out(bot.clone(), row));
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

/// What is known of a message beside its words.
async fn background(bot: &Bot, update: Option<i64>, message: &Incoming) -> Result<Background, StoreError> {
    let (chat, user, now) = (message.place.chat, message.user, bot.now());
    let received = match update {
        Some(update) => bot.store.received_at(update).await?.unwrap_or(now),
        None => now,
    };
    // What an approver let in late has waited for that, and for nothing else.
    let taken = if bot.was_away_since(received) { now } else { received };
    let namesake = bot.store.namesake(chat, user, message.user_name.clone()).await?;
    let refers_to_bot = match message.refers.as_ref().map(|refers| &refers.to) {
        Some(Referred::Message { message, .. }) => bot.store.is_ours(chat, *message).await?,
        _ => false,
    };
    let background = Background {
        written: match &message.content {
            Content::Text(text) => text.clone(),
            Content::Unsupported(_) => String::new(),
        },
        author: Some(background::author(
            user,
            &message.user_name,
            message.username.as_deref(),
            namesake,
        )),
        rest: message.rest.clone(),
        date: message.date,
        received,
        refers: message.refers.clone(),
        refers_to_bot,
        left_out: message.left_out.map(str::to_owned),
        ..Background::default()
    };
    Ok(Background {
        late: background.age(taken, bot.settings.stale_after),
        ..background
    })
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
