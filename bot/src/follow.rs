//! Following the event streams of runners.
//!
//! A session has one follower from its first sight to its end: events are stored with what they change, then acknowledged;
//! a stream that breaks goes on after the last stored event, also after a restart of the bot.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use longshore_routing::StopTarget;
use longshore_wire::event::{Event, Meets, Preview};
use longshore_wire::{MessageId, Record};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::agent::{Door, Heard, RunnerError};
use crate::bot::{Bot, SeenSession};
use crate::chat::Place;
use crate::command::setting;
use crate::conversation::{Change, Conversation, Progress, life};
use crate::store::StoreError;
use crate::store::messages::answer_key;
use crate::timer::until;
use crate::{door, grants, handover, observe, running, sent};

/// Shortest time between two looks of a running turn.
const REFRESH: Duration = Duration::from_millis(400);
/// How often the clock of a running turn goes on, if there is a call to spare. The sign that the bot is typing lasts a bit longer.
pub const TICK: Duration = Duration::from_secs(10);
/// How long the stream of a session that is over may still bring something.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Longest wait before another try to connect; a change in the cluster ends it.
const RECONNECT: Duration = Duration::from_secs(10);

/// Takes up sessions that the last run followed.
pub async fn resume(bot: &Bot) -> Result<(), StoreError> {
    bot.clear_reactions().await?;
    for session in bot.store.open_sessions().await? {
        if let Some(uid) = &session.uid {
            bot.follow(&session.name, uid, session.place);
        }
    }
    Ok(())
}

/// Follows sessions that are seen, until the bot stops.
pub async fn run(bot: Arc<Bot>, mut sessions: mpsc::UnboundedReceiver<SeenSession>) -> Result<(), StoreError> {
    let mut followed = HashSet::new();
    while let Some(session) = sessions.recv().await {
        if !followed.insert(session.uid.clone()) {
            continue;
        }
        let follower = Follower {
            bot: bot.clone(),
            name: session.name,
            uid: session.uid,
            place: session.place,
            talk: Conversation::default(),
            post: None,
            refused_files: (0, 0),
        };
        bot.spawn("follow", follower.run());
    }
    Ok(())
}

/// Waits until the session has another address: whoever is still asked at the old one may never answer.
async fn moved(bot: Arc<Bot>, name: String, endpoint: String) {
    let mut changes = bot.changes.subscribe();
    loop {
        changes.mark_unchanged();
        let session = bot.cluster.session(&name);
        let now = session
            .as_ref()
            .and_then(|session| session.status.as_ref()?.endpoint.as_ref());
        if now.is_some_and(|now| *now != endpoint) {
            return;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

struct Follower {
    bot: Arc<Bot>,
    name: String,
    uid: String,
    place: Place,
    talk: Conversation,
    /// Post of the running turn, once it has one.
    post: Option<(u64, i64)>,
    /// The event whose file the runner did not give, and how often.
    refused_files: (u64, u32),
}

impl Follower {
    async fn run(mut self) -> Result<(), StoreError> {
        self.talk = Conversation::rebuild(&self.bot.store.events(&self.uid).await?);
        let mut changes = self.bot.changes.subscribe();
        let mut wait = Duration::from_millis(250);
        let mut fresh = false;
        let mut last_door = None;
        while !observe::is_over(&self.bot, &self.name).await? {
            changes.mark_unchanged();
            if self
                .bot
                .cluster
                .session(&self.name)
                .is_some_and(|session| life::has_no_pod(&session))
            {
                // Its address may soon be another pod's.
                last_door = None;
            }
            // A runner that winds down is not announced any more, but may still have something to say.
            let door = door::of(&self.bot, &self.name, fresh)
                .await
                .or_else(|| last_door.clone());
            fresh = false;
            let Some(door) = door else {
                self.bot.change(&mut changes, RECONNECT).await;
                continue;
            };
            let after = self.stored().await?;
            let moved = moved(self.bot.clone(), self.name.clone(), door.endpoint.clone());
            let opened = tokio::select! {
                opened = self.bot.runners.events(&door, after) => opened,
                () = moved => continue,
            };
            match opened {
                Ok(stream) => {
                    last_door = Some(door.clone());
                    wait = Duration::from_millis(250);
                    if after > 0 {
                        self.acknowledge(&door, after).await;
                    }
                    self.hand_on();
                    let settings = setting::catch_up(self.bot.clone(), self.name.clone(), door.clone());
                    self.bot.spawn("settings", settings);
                    self.listen(&door, stream).await?;
                    self.rest();
                    self.talk.drop_previews();
                }
                Err(error) => {
                    fresh = error == RunnerError::Unauthorized;
                    tracing::debug!(session = self.name, %error, "the event stream cannot be followed; trying again");
                }
            }
            self.bot.change(&mut changes, wait).await;
            wait = (wait * 2).min(RECONNECT);
        }
        observe::session_over(&self.bot, &self.name, &self.uid, self.place).await?;
        Ok(())
    }

    async fn stored(&self) -> Result<u64, StoreError> {
        Ok(self
            .bot
            .store
            .session_by_uid(&self.uid)
            .await?
            .map_or(0, |session| session.stored_seq))
    }

    async fn listen(&mut self, door: &Door, stream: impl Stream<Item = Heard>) -> Result<(), StoreError> {
        let mut stream = pin!(stream);
        let mut changes = self.bot.changes.subscribe();
        let mut end: Option<Instant> = None;
        let mut refresh: Option<Instant> = None;
        let mut looked = Instant::now() - REFRESH;
        let mut tick = tokio::time::interval(self.bot.outbox.real(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moved = pin!(moved(self.bot.clone(), self.name.clone(), door.endpoint.clone()));
        loop {
            tokio::select! {
                () = &mut moved => return Ok(()),
                heard = stream.next() => {
                    let Some(heard) = heard else { return Ok(()) };
                    // Without its file the event does not count: it is heard again when the stream is taken up.
                    let Some(brought) = self.bring(door, &heard).await? else { return Ok(()) };
                    if self.hear(door, heard, brought).await? && refresh.is_none() {
                        refresh = Some(looked + self.bot.outbox.real(REFRESH));
                    }
                }
                () = until(refresh) => {
                    refresh = None;
                    looked = Instant::now();
                    self.show(true).await?;
                }
                _ = tick.tick(), if self.talk.is_running() => self.show(false).await?,
                _ = changes.changed(), if end.is_none() => {
                    if observe::is_over(&self.bot, &self.name).await? {
                        end = Some(Instant::now() + LAST_WORDS);
                    }
                }
                () = until(end) => return Ok(()),
            }
        }
    }

    /// Fetches the file that an event is about. None when the runner may give it later.
    async fn bring(&mut self, door: &Door, heard: &Heard) -> Result<Option<Vec<Change>>, StoreError> {
        let Heard::Event(Record {
            seq,
            event: Event::File { file, .. },
            ..
        }) = heard
        else {
            return Ok(Some(Vec::new()));
        };
        if *seq <= self.stored().await? {
            return Ok(Some(Vec::new()));
        }
        let parts = match sent::fetch(&self.bot, door, file).await {
            Ok(parts) => parts,
            Err(error) => {
                self.refused_files = match self.refused_files {
                    (of, times) if of == *seq => (of, times + 1),
                    _ => (*seq, 1),
                };
                tracing::warn!(session = self.name, seq, %error, "a file cannot be fetched");
                if self.refused_files.1 < sent::TRIES {
                    return Ok(None);
                }
                sent::given_up(file, &error)
            }
        };
        let file = file.clone();
        Ok(Some(vec![Change::File { file, parts }]))
    }

    /// Takes one event, with what it brought. True when the running turn may look different.
    async fn hear(&mut self, door: &Door, heard: Heard, brought: Vec<Change>) -> Result<bool, StoreError> {
        let record = match heard {
            Heard::Preview(Preview::Meeting { id, meets, .. }) => {
                self.meeting(id, meets).await?;
                return Ok(false);
            }
            Heard::Preview(preview) => {
                self.talk.preview(&preview);
                return Ok(true);
            }
            Heard::Unknown(seq) => {
                tracing::debug!(
                    session = self.name,
                    seq,
                    "an event of a kind that this bot does not know"
                );
                return Ok(false);
            }
            Heard::Event(record) => record,
        };
        if record.seq <= self.stored().await? {
            return Ok(false);
        }

        let (seq, last_of_its_turn) = (record.seq, stands_alone(&record.event));
        let now = jiff::Timestamp::now();
        let mut changes = self.talk.take_record(&record);
        if !self.talk.is_running() {
            self.rest();
        }
        changes.extend(brought);
        changes.retain(|change| !matches!(change, Change::Idle { deadline, .. } if *deadline <= now));
        let changed = !changes.is_empty();
        let answered = changes.iter().any(|change| matches!(change, Change::Answer { .. }));
        let asks = changes.iter().find_map(|change| match change {
            Change::Ask { approval, .. } => Some(approval.tool_name.clone()),
            _ => None,
        });
        if let Some(tool) = &asks {
            grants::check(&self.bot, self.place, tool).await?;
        }
        self.bot
            .store
            .take_event(&self.uid, self.place, record, changes)
            .await?;
        if asks.is_some() {
            // It may be decided already.
            self.hand_on();
        }
        if changed {
            self.bot.outbox.wake(self.place.chat);
        }
        if answered {
            self.bot.clear_reactions().await?;
        }
        if last_of_its_turn {
            self.acknowledge(door, seq).await;
        }
        Ok(true)
    }

    /// Shows at a message that came while claude was at work whether it waits or claude has read it.
    async fn meeting(&self, id: MessageId, meets: Meets) -> Result<(), StoreError> {
        let Some(message) = self.bot.store.message_behind(id).await? else {
            return Ok(());
        };
        let emoji = match meets {
            Meets::Waiting => Some("👀"),
            Meets::Folded => Some("✍"),
            // Its answer grows below it from now on.
            Meets::Begun => None,
        };
        if self.bot.store.set_reaction(message.row, emoji).await? {
            self.bot.outbox.react(message.place, message.message, emoji);
        }
        Ok(())
    }

    /// Hands on decisions that the runner has not got.
    fn hand_on(&self) {
        let decisions = handover::run(self.bot.clone(), self.uid.clone());
        self.bot.spawn("decisions", decisions);
    }

    async fn acknowledge(&self, door: &Door, seq: u64) {
        if let Err(error) = self.bot.runners.ack(door, seq).await {
            // It is acknowledged with the next event, or when the stream is taken up again.
            tracing::debug!(session = self.name, seq, %error, "an acknowledgement was lost");
        }
    }

    /// Shows how the running turn looks now. Unless it is `fresh`, only its clock has gone on.
    async fn show(&mut self, fresh: bool) -> Result<(), StoreError> {
        let Some(progress) = self.talk.progress(jiff::Timestamp::now()) else {
            // Nothing else says that it goes on.
            let for_at_most = if self.talk.is_running() {
                TICK * 2
            } else {
                Duration::ZERO
            };
            if !fresh {
                self.bot.outbox.typing(self.place, for_at_most);
            }
            return Ok(());
        };
        let post = match self.post {
            Some((turn, post)) if turn == progress.turn => post,
            _ => {
                let Some(post) = self.post_of(&progress).await? else {
                    return Ok(());
                };
                self.rest();
                self.post = Some((progress.turn, post));
                post
            }
        };
        self.bot.outbox.typing(self.place, Duration::ZERO);
        let target = StopTarget::Session(self.name.clone());
        running::show(&self.bot, post, self.place, &target, progress, fresh);
        Ok(())
    }

    /// The turn that was shown is over.
    fn rest(&mut self) {
        self.bot.outbox.typing(self.place, Duration::ZERO);
        if let Some((_, post)) = self.post.take() {
            self.bot.running.over(post);
        }
    }

    /// The newest message of the turn that came from the chat has a post; a turn without one gets its own once there is more to show
    /// than that claude thinks, since it may end without a word.
    async fn post_of(&self, progress: &Progress) -> Result<Option<i64>, StoreError> {
        for id in progress.messages.iter().rev() {
            let Some(message) = self.bot.store.message(*id).await? else {
                continue;
            };
            let key = answer_key(message.place, message.message, 0);
            if let Some(post) = self.bot.store.post_id(key).await? {
                return Ok(Some(post));
            }
        }
        if progress.thinking {
            return Ok(None);
        }
        let ids = progress.messages.clone();
        let post = self
            .bot
            .store
            .own_post(self.uid.clone(), self.place, progress.turn, ids)
            .await?;
        self.bot.outbox.wake(self.place.chat);
        Ok(Some(post))
    }
}

/// Whether no end of a turn will follow that acknowledges the event with it.
fn stands_alone(event: &Event) -> bool {
    !matches!(
        event,
        Event::Accepted { .. } | Event::TurnStarted { .. } | Event::Text { .. } | Event::Tool { .. }
    )
}
