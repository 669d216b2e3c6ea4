//! How to reach a runner: its endpoint from the cluster, its tokens from the access Secret.

use kube::ResourceExt;
use longshore_crds::{ContainerTask, PersistentSession};

use crate::agent::Door;
use crate::bot::Bot;

/// How to reach the runner of a session, while it has one. `fresh` reads the tokens again.
pub async fn of(bot: &Bot, name: &str, fresh: bool) -> Option<Door> {
    of_session(bot, bot.cluster.session(name)?.as_ref(), fresh).await
}

/// How to reach the runner of a session that was read just now.
pub async fn of_session(bot: &Bot, session: &PersistentSession, fresh: bool) -> Option<Door> {
    let endpoint = session.status.as_ref()?.endpoint.clone()?;
    open(bot, &session.spec.topic_ref.name, endpoint, fresh).await
}

/// How to reach the runner of a task, while it has one.
pub async fn of_task(bot: &Bot, task: &ContainerTask, fresh: bool) -> Option<Door> {
    let endpoint = task.status.as_ref()?.endpoint.clone()?;
    open(bot, &task.spec.topic_ref.name, endpoint, fresh).await
}

async fn open(bot: &Bot, topic: &str, endpoint: String, fresh: bool) -> Option<Door> {
    let uid = bot.cluster.topic(topic)?.uid()?;
    match bot.cluster.tokens(&uid, fresh).await {
        Ok(tokens) => Some(Door { endpoint, tokens }),
        Err(error) => {
            tracing::warn!(topic, %error, "there is no token for this topic");
            None
        }
    }
}
