//! Showing what a task is doing while it runs, and taking the files that it sends. Its stream is followed for the looks and the
//! files only: its answer comes from `status.result`, which the runner holds back until the files are taken. Outcomes of an
//! earlier session that it writes down are told if they are heard of; they stand in the topic's state files in any case.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use longshore_crds::ContainerTask;
use longshore_routing::StopTarget;
use longshore_wire::api::SentFile;
use longshore_wire::event::Event;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::agent::{Door, Heard, RunnerError};
use crate::bot::Bot;
use crate::chat::Place;
use crate::conversation::{Conversation, Outcomes, outcome};
use crate::follow::TICK;
use crate::store::StoreError;
use crate::store::messages::answer_key;
use crate::timer::until;
use crate::{door, running, sent};

/// Shortest time between two looks.
const REFRESH: Duration = Duration::from_millis(400);
/// Longest wait before another try to connect; a change in the cluster ends it.
const RECONNECT: Duration = Duration::from_secs(10);
/// The same after a stream that ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Where a task is followed.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Where its chat is.
    pub place: Place,
    /// The message that it answers; none for a task of a schedule, of which nothing is shown while it runs.
    pub message: Option<i64>,
}

/// Follows a task for as long as it runs.
pub fn start(bot: &Arc<Bot>, task: &Arc<ContainerTask>, followed: Followed) {
    let name = task.name_any();
    if !bot
        .previewed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.clone())
    {
        return;
    }
    let (bot, task) = (bot.clone(), task.clone());
    bot.clone().spawn("preview", async move {
        let result = preview_task(&bot, &task, followed).await;
        bot.previewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name);
        result
    });
}

async fn preview_task(bot: &Bot, task: &ContainerTask, followed: Followed) -> Result<(), StoreError> {
    let post = match followed.message {
        Some(message) => bot.store.post_id(answer_key(followed.place, message, 0)).await?,
        None => None,
    };
    let mut files = Files {
        bot,
        followed,
        refused: HashMap::new(),
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
                    let ended = show_task(&mut files, &door, post, &name, stream).await;
                    rest(bot, followed.place, post);
                    ended?;
                    bot.change(&mut changes, AGAIN).await;
                    continue;
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

/// Nothing is shown of a turn any more.
fn rest(bot: &Bot, place: Place, post: Option<i64>) {
    if let Some(post) = post {
        bot.running.over(post);
        bot.outbox.typing(place, Duration::ZERO);
    }
}

/// Follows a task's stream until it ends.
async fn show_task(
    files: &mut Files<'_>,
    door: &Door,
    post: Option<i64>,
    name: &str,
    stream: impl Stream<Item = Heard>,
) -> Result<(), StoreError> {
    let (bot, place) = (files.bot, files.followed.place);
    let mut stream = pin!(stream);
    let mut talk = Conversation::default();
    let target = StopTarget::Task(name.to_owned());
    let mut tick = tokio::time::interval(bot.outbox.real(TICK));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let show = |talk: &Conversation, fresh: bool| {
        let Some(post) = post else { return };
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
                Some(Heard::Event(record)) => {
                    if let Some(outcomes) = Outcomes::of(&record.event) {
                        bot.store.note_outcomes(place, outcomes).await?;
                        bot.outbox.wake(place.chat);
                    }
                    if let Event::File { file, .. } = &record.event
                        && !files.take(door, file).await?
                    {
                        return Ok(());
                    }
                    drop(talk.take_record(&record));
                    if !talk.is_running() {
                        rest(bot, place, post);
                    }
                }
                Some(Heard::Preview(preview)) => talk.preview(&preview),
                Some(Heard::Unknown(_)) => continue,
                None => return Ok(()),
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

/// Takes the files of a task.
struct Files<'a> {
    bot: &'a Bot,
    followed: Followed,
    /// How often the runner has not given a file.
    refused: HashMap<Uuid, u32>,
}

impl Files<'_> {
    /// Posts a file and tells the runner so, also if it was posted before. False when the runner may give it later.
    async fn take(&mut self, door: &Door, file: &SentFile) -> Result<bool, StoreError> {
        let (bot, Followed { place, message }) = (self.bot, self.followed);
        if bot.store.post_id(sent::key(file, 0)).await?.is_none() {
            let parts = match sent::fetch(bot, door, file).await {
                Ok(parts) => parts,
                Err(error) => {
                    let refused = self.refused.entry(file.id).or_default();
                    *refused += 1;
                    tracing::warn!(chat = place.chat, %error, "a file of a task cannot be fetched");
                    if *refused < sent::TRIES {
                        return Ok(false);
                    }
                    sent::given_up(file, &error)
                }
            };
            bot.store.post_file(place, message, file.clone(), parts).await?;
            bot.outbox.wake(place.chat);
        }
        // If this is lost, it is told when the stream is taken up, or the runner waits in vain.
        let told = bot.runners.file_taken(door, file.id).await;
        Ok(told.is_ok())
    }
}
