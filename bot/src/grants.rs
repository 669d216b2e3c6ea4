//! Tools that are always allowed in a topic: for how long, and who may stop it.
//!
//! What an approver has allowed for always holds only as long as that person is an approver of the chat by the policies in force.
//! What does not hold any more is over for good, so that no later change of a policy brings it back.

use std::sync::Arc;

use longshore_crds::Role;

use crate::bot::Bot;
use crate::chat::Place;
use crate::conversation::prompt::Over;
use crate::situation;
use crate::store::StoreError;
use crate::store::grants::GrantRow;

/// Ends what does not hold any more whenever the policies change, until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    let mut policies = bot.policies.subscribe();
    loop {
        policies.mark_unchanged();
        for grant in bot.store.grants().await? {
            hold(&bot, &grant).await?;
        }
        if policies.changed().await.is_err() {
            // The policies are not watched any more: the bot is shutting down.
            return Ok(());
        }
    }
}

/// Before a prompt of a tool is taken up: ends what does not hold any more.
pub async fn check(bot: &Bot, place: Place, tool: &str) -> Result<(), StoreError> {
    match bot.store.grant(place, tool).await? {
        Some(grant) => hold(bot, &grant).await,
        None => Ok(()),
    }
}

async fn hold(bot: &Bot, grant: &GrantRow) -> Result<(), StoreError> {
    let chat = grant.place.chat;
    let router = bot.policies.router().await;
    let holds = router
        .standing(grant.by.user, situation::known_as(bot, &router, chat))
        .is_some_and(|standing| standing.role >= Role::Approver);
    if !holds && bot.store.end_grant(grant.approval, Over::NoApprover).await? {
        tracing::info!(
            chat,
            thread = grant.place.thread,
            tool = grant.tool,
            by = grant.by.user,
            "a tool is not always allowed any more, since who had said so is no approver"
        );
        bot.outbox.wake(chat);
    }
    Ok(())
}
