//! Showing what a task is doing while it runs. Its stream is followed for the looks only: its answer comes from
//! `status.result`. Outcomes of an earlier session that it writes down are told if they are heard of; they stand in the
//! topic's state files in any case.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use longshore_crds::ContainerTask;
use longshore_routing::StopTarget;
use longshore_wire::event::Event;
use tokio::time::{Instant, MissedTickBehavior};

use crate::agent::{Heard, RunnerError};
use crate::bot::Bot;
use crate::chat::Place;
use crate::conversation::{Conversation, Outcomes, outcome};
use crate::follow::TICK;
use crate::store::StoreError;
use crate::store::messages::{MessageRow, answer_key};
use crate::{door, running};

/// Shortest time between two looks.
const REFRESH: Duration = Duration::from_millis(400);
/// Longest wait before another try to connect; a change in the cluster ends it.
const RECONNECT: Duration = Duration::from_secs(10);

/// Shows what a task is doing, for as long as it runs.
pub fn start(bot: &Arc<Bot>, task: &Arc<ContainerTask>, row: &MessageRow) {
    let name = task.name_any();
    if !bot
        .previewed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.clone())
    {
        return;
    }
    let (bot, task, row) = (bot.clone(), task.clone(), row.clone());
    bot.clone().spawn("preview", async move {
        let result = preview_task(&bot, &task, &row).await;
        bot.previewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name);
        result
    });
}

async fn preview_task(bot: &Bot, task: &ContainerTask, row: &MessageRow) -> Result<(), StoreError> {
    let Some(post) = bot.store.post_id(answer_key(row.place, row.message, 0)).await? else {
        return Ok(());
    };
    let name = task.name_any();
    let mut changes = bot.changes.subscribe();
    let mut fresh = false;
    loop {
        changes.mark_unchanged();
        let Some(task) = bot.cluster.task(&name).filter(|task| outcome::of_task(task).is_none()) else {
            return Ok(());
        };
        if let Some(door) = door::of_task(bot, &task, fresh).await {
            match bot.runners.events(&door, 0).await {
                Ok(stream) => {
                    let over = show_task(bot, row.place, post, &name, stream).await;
                    bot.running.over(post);
                    bot.outbox.typing(row.place, Duration::ZERO);
                    if over? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    fresh = error == RunnerError::Unauthorized;
                    tracing::debug!(task = name, %error, "the task's stream cannot be followed; trying again");
                }
            }
        }
        bot.change(&mut changes, RECONNECT).await;
    }
}

/// Shows a task's stream in a post. True when its turn is over.
async fn show_task(
    bot: &Bot,
    place: Place,
    post: i64,
    name: &str,
    stream: impl Stream<Item = Heard>,
) -> Result<bool, StoreError> {
    let mut stream = pin!(stream);
    let mut talk = Conversation::default();
    let target = StopTarget::Task(name.to_owned());
    let mut tick = tokio::time::interval(bot.outbox.real(TICK));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let show = |talk: &Conversation, fresh: bool| {
        if let Some(progress) = talk.progress(jiff::Timestamp::now()) {
            bot.outbox.typing(place, Duration::ZERO);
            running::show(bot, post, place, &target, progress, fresh);
        } else if talk.is_running() && !fresh {
            bot.outbox.typing(place, TICK * 2);
        }
    };
    let mut refresh: Option<Instant> = None;
    let mut looked = Instant::now() - REFRESH;
    loop {
        tokio::select! {
            heard = stream.next() => match heard {
                Some(Heard::Event(record)) if matches!(record.event, Event::TurnFinished { .. }) => return Ok(true),
                Some(Heard::Event(record)) => {
                    if let Some(outcomes) = Outcomes::of(&record.event) {
                        bot.store.note_outcomes(place, outcomes).await?;
                        bot.outbox.wake(place.chat);
                    }
                    drop(talk.take_record(&record));
                }
                Some(Heard::Preview(preview)) => talk.preview(&preview),
                Some(Heard::Unknown(_)) => continue,
                None => return Ok(false),
            },
            () = until(refresh) => {
                refresh = None;
                looked = Instant::now();
                show(&talk, true);
                continue;
            }
            _ = tick.tick() => {
                show(&talk, false);
                continue;
            }
        }
        refresh.get_or_insert(looked + bot.outbox.real(REFRESH));
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
