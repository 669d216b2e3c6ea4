//! Sessions that agents of tasks ask for: they are made by the lane of their place, and people are not asked for ever.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use longshore_crds::{ContainerTask, Origin, PersistentSession, TelegramOrigin, names};

use crate::bot::Bot;
use crate::cluster::write::WriteError;
use crate::conversation::wish::Wish;
use crate::store::StoreError;
use crate::store::escalations::Wanted;
use crate::store::messages::MessageRow;
use crate::store::posts::Content;

/// Time between two looks for questions that nobody has answered.
const LOOK: Duration = Duration::from_secs(15);

/// Closes questions that nobody answers, until the bot stops.
pub async fn run(bot: Arc<Bot>) -> Result<(), StoreError> {
    loop {
        for chat in bot.store.expire_escalations(bot.now()).await? {
            bot.outbox.wake(chat);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers the message of a task whose agent asks for a session, and asks people, or has the session made.
pub async fn take(
    bot: &Bot,
    task: &ContainerTask,
    row: &MessageRow,
    parts: Vec<Content>,
    wish: Wish,
) -> Result<(), StoreError> {
    let session = names::for_escalation(&task.name_any());
    tracing::info!(
        task = task.name_any(),
        session,
        mode = ?wish.mode,
        "the agent of a task asks for a session"
    );
    bot.store
        .answer_and_escalate(row.row, parts, session, wish, bot.now())
        .await?;
    bot.outbox.wake(row.place.chat);
    bot.wake(row.place);
    Ok(())
}

/// Makes the session. What it says comes as its own messages: the message of the task is answered.
pub async fn make(bot: &Bot, topic: &str, wanted: &Wanted) -> Result<PersistentSession, WriteError> {
    let message = &wanted.message;
    let origin = Origin {
        telegram: Some(TelegramOrigin {
            chat_id: message.place.chat,
            thread_id: message.place.thread,
            // The person's message is the task's: the session's first one is another.
            message_id: None,
            user_id: None,
            author: None,
            context: None,
        }),
    };
    let (prompt, class) = (wanted.wish.handover.clone(), wanted.wish.agent_class.clone());
    bot.cluster
        .create_session(&wanted.session, topic, Some(prompt), class, origin)
        .await
}
