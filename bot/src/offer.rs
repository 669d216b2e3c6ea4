//! Unknown senders, where the policies offer them to approvers: asking about them, and keeping who was let in only as long as the
//! policies in force mean it.

use std::sync::Arc;
use std::time::Duration;

use longshore_crds::Role;
use longshore_routing::{Guest, Welcome};

use crate::bot::Bot;
use crate::conversation::offer::{Choice, End, Stranger};
use crate::store::StoreError;
use crate::store::offers::{Knock, Knocked, OfferRow};
use crate::telegram::update::{Content, Incoming, Press};
use crate::words;

/// Time between two looks for offers that nobody has answered.
const LOOK: Duration = Duration::from_secs(15);

/// Ends what nobody answers and what the policies do not mean any more, until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    let mut policies = bot.policies.subscribe();
    loop {
        policies.mark_unchanged();
        sweep(&bot).await?;
        for chat in bot.store.expire_offers(bot.now()).await? {
            bot.outbox.wake(chat);
        }
        if let Ok(Err(_)) = tokio::time::timeout(LOOK, policies.changed()).await {
            // The policies are not watched any more: the bot is shutting down.
            return Ok(());
        }
    }
}

/// Holds every offer and everybody who was let in against the policies in force. What does not count is ended for good, so that
/// no later change of a policy brings it back.
async fn sweep(bot: &Bot) -> Result<(), StoreError> {
    let router = bot.policies.router().await;
    for offer in bot.store.offers().await? {
        let (user, chat) = (offer.stranger.user, offer.chat);
        let end = match offer.by {
            Some(by) => match router.welcome(&Guest { user, chat, by }) {
                Welcome::Counts => continue,
                Welcome::ByPolicy => End::ByPolicy,
                Welcome::Void(why) => End::Void(why),
            },
            None if router.standing(user, chat).is_some() => End::ByPolicy,
            None if router.offers(user, chat) => continue,
            None => End::Void("the policies in force offer nobody here to approvers any more"),
        };
        finish(bot, offer, end).await?;
    }
    Ok(())
}

async fn finish(bot: &Bot, offer: OfferRow, end: End) -> Result<(), StoreError> {
    let chat = offer.chat;
    tracing::info!(chat, user = offer.stranger.user, ?end, "an offer is over");
    bot.store.end_offer(offer, end, bot.now()).await?;
    // What was held may wait there again.
    bot.inbox.notify_one();
    bot.outbox.wake(chat);
    Ok(())
}

/// Asks approvers about who wrote this, and holds the message.
pub async fn take(bot: &Bot, update: i64, message: Incoming) -> Result<(), StoreError> {
    let (place, user) = (message.place, message.user);
    let text = match &message.content {
        Content::Text(text) => text.as_str(),
        Content::Unsupported(kind) => kind,
    };
    let knock = Knock {
        update,
        place,
        message: message.message,
        stranger: Stranger::new(user, &message.user_name, text),
        now: bot.now(),
    };
    match bot.store.knock(knock).await? {
        Knocked::Asked => {
            tracing::info!(chat = place.chat, user, "approvers are asked about an unknown sender");
            bot.outbox.reachable(place, false).await?;
            bot.outbox.wake(place.chat);
        }
        Knocked::Held => tracing::debug!(chat = place.chat, user, "a message of an unknown sender is held"),
        Knocked::Dropped(why) => tracing::debug!(chat = place.chat, user, why, "an unknown sender is passed over"),
    }
    Ok(())
}

/// What a button about an unknown sender came to, in a sentence.
pub async fn pressed(bot: &Bot, press: &Press, role: Role, row: i64, choice: Choice) -> Result<String, StoreError> {
    if role < Role::Approver {
        return Ok(words::NOT_AN_APPROVER.to_owned());
    }
    let Some(offer) = bot.store.offer(row).await? else {
        return Ok(words::TOO_LATE.to_owned());
    };
    let (user, chat) = (offer.stranger.user, press.chat);
    let guest = Guest {
        user,
        chat,
        by: press.user,
    };
    if choice == Choice::Allow && bot.policies.router().await.welcome(&guest) != Welcome::Counts {
        // The sweep says why.
        return Ok(words::TOO_LATE.to_owned());
    }
    let (shown_at, by) = ((chat, press.message), (press.user, press.user_name.clone()));
    if !bot.store.decide_offer(row, shown_at, choice, by, bot.now()).await? {
        return Ok(words::TOO_LATE.to_owned());
    }
    tracing::info!(
        chat,
        user,
        by = press.user,
        ?choice,
        "an approver decided about somebody"
    );
    bot.inbox.notify_one();
    Ok(match choice {
        Choice::Allow => words::LET_IN,
        Choice::Ignore => words::NOT_LET_IN,
        Choice::Revoke => words::REVOKED,
    }
    .to_owned())
}
