//! `/status` and `/usage`: gathers what the cluster and the runner say.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::{AgentClass, PersistentSession, Topic};
use longshore_routing::Mode;
use longshore_wire::api::{Status, Usage};

use super::{MOMENT, ask};
use crate::bot::Bot;
use crate::conversation::life;
use crate::conversation::standing::{self, Known, of_object, spent, total};
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use crate::words;

/// What is going on in the place of a message.
pub async fn status(bot: &Bot, row: &MessageRow) -> Result<String, StoreError> {
    let Some(topic) = bot.cluster.topic_at(row.place) else {
        return Ok(words::NOTHING_YET.to_owned());
    };
    let mut tasks = bot.cluster.unfinished_tasks(&topic.name_any());
    tasks.sort_by_key(|task| task.creation_timestamp().map(|time| time.0));
    let Some(session) = bot.store.active_session(row.place).await? else {
        return Ok(standing::status(&topic, None, &tasks, Timestamp::now()).join("\n"));
    };
    let object = bot.cluster.session(&session.name);
    let (runner, class) = match &object {
        Some(object) => tokio::join!(awake(bot, object), class(bot, &topic, object)),
        None => (None, None),
    };
    let waiting = bot.store.unanswered_for(&session.name).await?;
    let known = Known {
        name: &session.name,
        object: object.as_deref(),
        runner: runner.as_ref(),
        class: class.as_ref(),
        choices: &bot.store.choices(&session.name).await?,
        waiting: waiting.iter().filter(|row| waits(row)).count(),
    };
    Ok(standing::status(&topic, Some(&known), &tasks, Timestamp::now()).join("\n"))
}

fn waits(row: &MessageRow) -> bool {
    row.state < MessageState::Handed && matches!(row.decision.mode, Mode::ToSession { .. })
}

/// A session that sleeps is not asked.
async fn awake(bot: &Bot, session: &PersistentSession) -> Option<Status> {
    match life::is_asleep(session) {
        true => None,
        false => ask(bot, session).await,
    }
}

/// The AgentClass of a session, if it can be read in time.
async fn class(bot: &Bot, topic: &Topic, session: &PersistentSession) -> Option<AgentClass> {
    let own = session.spec.agent_class_name.as_deref();
    let name = own.unwrap_or(&topic.spec.agent_class_name);
    match tokio::time::timeout(MOMENT, bot.cluster.agent_class(name)).await {
        Ok(Ok(class)) => class,
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "an AgentClass cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// What the model was used for in the place of a message, and what that cost.
pub async fn usage(bot: &Bot, row: &MessageRow) -> Result<String, StoreError> {
    let Some(topic) = bot.cluster.topic_at(row.place) else {
        return Ok(words::NOTHING_YET.to_owned());
    };
    let name = topic.name_any();
    let active = bot.store.active_session(row.place).await?;
    let of_active = match active.as_ref().and_then(|active| bot.cluster.session(&active.name)) {
        Some(object) => Some((object.name_any(), usage_of(bot, &object).await)),
        None => None,
    };
    let midnight = Timestamp::now().as_second().div_euclid(86_400) * 86_400;
    let mut known = Uses::default();
    for session in bot.cluster.sessions_of(&name) {
        let live = of_active.as_ref().filter(|(active, _)| *active == session.name_any());
        let usage = live.map_or_else(|| stored(&session), |(_, usage)| usage.clone());
        known.add(session.creation_timestamp().map(|time| time.0), usage, midnight);
    }
    for task in bot.cluster.tasks_of(&name) {
        let usage = task.status.as_ref().and_then(|status| status.usage.as_ref());
        let usage = usage.map(of_object).unwrap_or_default();
        known.add(task.creation_timestamp().map(|time| time.0), usage, midnight);
    }
    let mut lines = Vec::new();
    lines.extend(of_active.map(|(name, usage)| format!("Session {name}: {}.", spent(&usage))));
    lines.push(format!(
        "All that is still known of this topic: {}.",
        spent(&total(&known.all))
    ));
    lines.push(format!("Of that begun today (UTC): {}.", spent(&total(&known.today))));
    Ok(lines.join("\n"))
}

/// The runner's own count if it answers, else what the operator last knew.
async fn usage_of(bot: &Bot, session: &Arc<PersistentSession>) -> Usage {
    match awake(bot, session).await {
        Some(status) => status.usage,
        None => stored(session),
    }
}

fn stored(session: &PersistentSession) -> Usage {
    let usage = session.status.as_ref().and_then(|status| status.usage.as_ref());
    usage.map(of_object).unwrap_or_default()
}

#[derive(Default)]
struct Uses {
    all: Vec<Usage>,
    today: Vec<Usage>,
}

impl Uses {
    fn add(&mut self, begun: Option<Timestamp>, usage: Usage, midnight: i64) {
        if begun.is_some_and(|begun| begun.as_second() >= midnight) {
            self.today.push(usage.clone());
        }
        self.all.push(usage);
    }
}
