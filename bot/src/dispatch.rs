//! From the inbox to decisions: one update after the other, in the order in which they came.
//!
//! Deciding is quick and touches only the store; carrying out is the work of the lanes. What overtakes (`/stop`, answers,
//! buttons, `/status`) is carried out at once, beside them.

use std::sync::Arc;

use jiff::Timestamp;
use longshore_routing::{Explanation, Message, Mode};

use crate::bot::Bot;
use crate::chat::Place;
use crate::outbox::Reach;
use crate::situation::{object, situation};
use crate::store::StoreError;
use crate::store::messages::NewMessage;
use crate::telegram::update::{self, Content, Incoming, Update};
use crate::{express, offer, press, reach};

/// Decides about updates until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    for row in bot.store.express().await? {
        bot.spawn("express", express::carry_out(bot.clone(), row));
    }
    loop {
        while let Some((id, raw)) = bot.store.next_update().await? {
            handle(&bot, id, update::read(&raw)).await?;
        }
        bot.inbox.notified().await;
    }
}

async fn handle(bot: &Arc<Bot>, id: i64, update: Update) -> Result<(), StoreError> {
    match update {
        Update::Message(message) => return incoming(bot, id, message).await,
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

async fn incoming(bot: &Arc<Bot>, id: i64, message: Incoming) -> Result<(), StoreError> {
    let place = message.place;
    let content = match &message.content {
        Content::Text(text) => Ok(text.as_str()),
        Content::Unsupported(kind) => Err(*kind),
    };
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
        return bot.store.skip_update(id).await;
    }
    if decision.mode == Mode::Offer {
        return offer::take(bot, id, message).await;
    }
    let title = match (&message.topic_name, place.thread) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => bot.store.topic_name(place).await?.or(message.chat_title),
        (None, None) => message.chat_title,
    };
    let object = object(&decision, &situation, message.message);
    let new = NewMessage {
        place,
        message: message.message,
        user: message.user,
        user_name: message.user_name,
        title,
        decision,
        object,
        files: message.files,
        now: bot.now(),
    };
    bot.store.decide(id, new).await?;
    // Somebody writes here, so the bot can, too.
    bot.outbox.reachable(place, false).await?;
    bot.outbox.wake(place.chat);
    let id = longshore_wire::MessageId::from_telegram(place.chat, message.message);
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
