//! The outbox: brings the posts of every chat up to date, one call at a time per chat, at the pace that Telegram allows.
//!
//! What shall be shown for good is in the store and survives a restart at any point; progress lives in memory only and is
//! replaced, never queued. Text goes in by edits of a placeholder whose id is recorded, so a lost reply leaves at most an
//! empty placeholder. Knows nothing of sessions and tasks; tells by [`Outbox::deliveries`] that something was shown and by
//! [`Reach`] that a place cannot be reached.

pub mod pace;
pub mod reach;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chat::Place;
use crate::store::posts::{Content, Pending};
use crate::store::{Store, StoreError};
use crate::telegram::error::Scope;
use crate::telegram::{CallError, Telegram};
use pace::{Next, Pace, Priority};

/// A post before it has words: a sign that the message was seen.
const PLACEHOLDER: &str = "…";
/// How often a post that somebody deleted is sent anew.
const RESENDS: i64 = 2;
/// Longest wait after calls without an answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A place turned out to be out of reach, or to be reachable again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Where.
    pub place: Place,
    /// Whether the whole chat is meant.
    pub whole_chat: bool,
    /// Reason and Telegram's words; none when it can be reached.
    pub problem: Option<(&'static str, String)>,
}

/// Handle to the outbox.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    telegram: Telegram,
    per_minute: usize,
    chats: Mutex<HashMap<i64, Arc<Chat>>>,
    deliveries: Notify,
    reach: mpsc::UnboundedSender<Reach>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Chat {
    wake: Notify,
    /// Newest look of posts that have no words of their own yet.
    progress: Mutex<BTreeMap<i64, Content>>,
}

impl Outbox {
    /// An outbox that spends at most `per_minute` calls a minute on a group.
    pub fn new(
        store: Store,
        telegram: Telegram,
        per_minute: usize,
        reach: mpsc::UnboundedSender<Reach>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let deliveries = Notify::new();
        let chats = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                store,
                telegram,
                per_minute,
                chats,
                deliveries,
                reach,
                tracker,
                stop,
            }),
        }
    }

    /// Goes on where the last run stopped.
    pub async fn resume(&self) -> Result<(), StoreError> {
        // What was out of reach may be within reach now; the first call tells.
        self.inner.store.unpark_all().await?;
        for chat in self.inner.store.chats_with_work().await? {
            self.wake(chat);
        }
        Ok(())
    }

    /// Posts of this chat have changed in the store.
    pub fn wake(&self, chat: i64) {
        self.chat(chat).wake.notify_one();
    }

    /// Shows progress in a post, as soon as there is room for it and unless something newer comes first.
    pub fn progress(&self, chat: i64, post: i64, content: Content) {
        let chat = self.chat(chat);
        chat.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(post, content);
        chat.wake.notify_one();
    }

    /// Waits until something was shown.
    pub async fn deliveries(&self) {
        self.inner.deliveries.notified().await;
    }

    /// Something came from this place, so one can try to post there again.
    pub async fn reachable(&self, place: Place, whole_chat: bool) -> Result<(), StoreError> {
        if self.inner.store.park(place, whole_chat, false).await? {
            self.wake(place.chat);
        }
        Ok(())
    }

    fn chat(&self, id: i64) -> Arc<Chat> {
        let mut chats = self.inner.chats.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &self.inner;
        chats
            .entry(id)
            .or_insert_with(|| {
                let chat = Arc::new(Chat::default());
                inner.tracker.spawn(run(inner.clone(), id, chat.clone()));
                chat
            })
            .clone()
    }
}

/// Something that could be done now.
enum Item {
    Post(Pending),
    Progress(i64, Content),
}

impl Item {
    fn priority(&self) -> Priority {
        match self {
            Self::Post(pending) => pending.priority,
            Self::Progress(..) => Priority::Progress,
        }
    }
}

async fn run(inner: Arc<Inner>, id: i64, chat: Arc<Chat>) {
    let mut sender = Sender {
        start: Instant::now(),
        pace: if Place::is_group(id) {
            Pace::group(inner.per_minute)
        } else {
            Pace::private()
        },
        failures: 0,
        looks: HashMap::new(),
        refreshed: HashMap::new(),
        inner,
        id,
        chat,
    };
    loop {
        let until = match sender.step().await {
            Ok(until) => until,
            Err(error) => {
                // Without its store the bot cannot tell what was said; it stops and is started again.
                tracing::error!(chat = id, %error, "the outbox stops");
                sender.inner.stop.cancel();
                return;
            }
        };
        tokio::select! {
            () = sender.inner.stop.cancelled() => return,
            () = sender.chat.wake.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

struct Sender {
    inner: Arc<Inner>,
    id: i64,
    chat: Arc<Chat>,
    pace: Pace,
    start: Instant,
    failures: u32,
    /// What posts with progress look like now, so that the same look is not sent twice.
    looks: HashMap<i64, Content>,
    /// When progress of a post was last shown, so that every topic of a forum has its turn.
    refreshed: HashMap<i64, Instant>,
}

impl Sender {
    /// Does the most urgent thing, if it is time. Returns when to look again; none means when woken.
    async fn step(&mut self) -> Result<Option<Instant>, StoreError> {
        let items = self.items().await?;
        let priorities = items.iter().map(Item::priority).collect::<Vec<_>>();
        match self.pace.next(self.start.elapsed(), &priorities) {
            Next::Idle => Ok(None),
            Next::Wait(until) => Ok(Some(self.start + until)),
            Next::Act(at) => {
                match items.into_iter().nth(at) {
                    Some(Item::Post(pending)) => self.post(pending).await?,
                    Some(Item::Progress(post, content)) => self.show_progress(post, content).await?,
                    None => {}
                }
                Ok(Some(Instant::now()))
            }
        }
    }

    async fn items(&self) -> Result<Vec<Item>, StoreError> {
        let pending = self.inner.store.pending(self.id).await?;
        let mut items = Vec::new();
        {
            let mut progress = self.chat.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.retain(|post, content| {
                // Words for good replace progress; a look that is shown already needs no call.
                let worded = pending
                    .iter()
                    .any(|pending| pending.post == *post && pending.version > 0);
                !worded && self.looks.get(post) != Some(content)
            });
            let unsent = |post: &i64| pending.iter().any(|pending| pending.post == *post);
            let mut ready: Vec<_> = progress.iter().filter(|(post, _)| !unsent(post)).collect();
            ready.sort_by_key(|(post, _)| self.refreshed.get(post));
            items.extend(
                ready
                    .into_iter()
                    .map(|(post, content)| Item::Progress(*post, content.clone())),
            );
        }
        items.extend(pending.into_iter().map(Item::Post));
        Ok(items)
    }

    async fn post(&mut self, pending: Pending) -> Result<(), StoreError> {
        let store = self.inner.store.clone();
        let Some(sent_as) = pending.sent_as else {
            let place = pending.place;
            let call = self
                .inner
                .telegram
                .send_message(place.chat, place.thread, pending.reply_to, PLACEHOLDER);
            let result = call.await;
            self.pace.sent(self.start.elapsed(), pending.priority);
            return match result {
                Ok(id) => {
                    self.went_well(place);
                    store.sent(pending.post, id).await
                }
                Err(error) => self.failed(error, &pending).await,
            };
        };
        let content = pending.content.clone().unwrap_or_default();
        self.looks.remove(&pending.post);
        self.refreshed.remove(&pending.post);
        let result = self.edit(sent_as, &content, pending.plain).await;
        self.pace.sent(self.start.elapsed(), pending.priority);
        match result {
            Ok(()) | Err(CallError::NotModified) => {
                self.went_well(pending.place);
                store.shown(pending.post, pending.version).await?;
                self.inner.deliveries.notify_one();
                Ok(())
            }
            Err(error) => self.failed(error, &pending).await,
        }
    }

    async fn show_progress(&mut self, post: i64, content: Content) -> Result<(), StoreError> {
        let Some(sent_as) = self.inner.store.open_for_progress(post).await? else {
            self.forget_progress(post, &content);
            return Ok(());
        };
        let result = self.edit(sent_as, &content, false).await;
        self.refreshed.insert(post, Instant::now());
        self.pace.sent(self.start.elapsed(), Priority::Progress);
        match result {
            Err(CallError::RetryAfter(wait)) => self.refused(wait),
            Err(error @ (CallError::Unknown(_) | CallError::Unauthorized(_))) => self.pause(&error),
            // Progress that cannot be shown is not worth a second call; the answer will find out why.
            Err(error) if error != CallError::NotModified => {
                tracing::debug!(chat = self.id, %error, "progress was not shown");
                self.forget_progress(post, &content);
            }
            _ => {
                self.failures = 0;
                self.forget_progress(post, &content);
                self.looks.insert(post, content);
            }
        }
        Ok(())
    }

    fn forget_progress(&self, post: i64, content: &Content) {
        let mut progress = self.chat.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.get(&post) == Some(content) {
            progress.remove(&post);
        }
    }

    async fn edit(&self, message: i64, content: &Content, plain: bool) -> Result<(), CallError> {
        let entities = if plain { &[][..] } else { &content.rich.entities[..] };
        self.inner
            .telegram
            .edit_message(self.id, message, &content.rich.text, entities, &content.buttons)
            .await
    }

    fn went_well(&mut self, place: Place) {
        self.failures = 0;
        // Nobody listens any more only when the bot is shutting down.
        let _ = self.inner.reach.send(Reach {
            place,
            whole_chat: false,
            problem: None,
        });
    }

    fn refused(&mut self, wait: Duration) {
        tracing::info!(
            chat = self.id,
            seconds = wait.as_secs(),
            "Telegram asks to wait; nothing goes to this chat"
        );
        self.pace.refused(self.start.elapsed(), wait);
    }

    fn pause(&mut self, error: &CallError) {
        let wait = Duration::from_secs(1 << self.failures.min(5)).min(LONGEST_PAUSE);
        self.failures += 1;
        tracing::warn!(chat = self.id, %error, seconds = wait.as_secs(), "a call had no answer; it is tried again");
        self.pace.pause(self.start.elapsed(), wait);
    }

    async fn failed(&mut self, error: CallError, pending: &Pending) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let (post, version) = (pending.post, pending.version);
        match error {
            CallError::RetryAfter(wait) => self.refused(wait),
            CallError::Unknown(_) | CallError::Unauthorized(_) | CallError::Conflict(_) => self.pause(&error),
            CallError::MessageGone(_) if pending.resent < RESENDS => {
                if let Some(sent_as) = pending.sent_as {
                    store.send_anew(post, sent_as).await?;
                }
            }
            CallError::Formatting(_) | CallError::Refused(_) if pending.sent_as.is_some() && !pending.plain => {
                tracing::warn!(chat = self.id, %error, "formatting was refused; the plain text is sent");
                store.fall_back_to_plain(post, version).await?;
            }
            CallError::Unreachable { scope, reason, why } => {
                tracing::warn!(
                    chat = self.id,
                    reason,
                    why,
                    "the chat cannot be reached; its posts wait"
                );
                let whole_chat = scope == Scope::Chat;
                store.park(pending.place, whole_chat, true).await?;
                let _ = self.inner.reach.send(Reach {
                    place: pending.place,
                    whole_chat,
                    problem: Some((reason, why)),
                });
            }
            error => {
                tracing::error!(chat = self.id, post, %error, "Telegram refuses this post for good");
                store.give_up(post, version).await?;
                self.inner.deliveries.notify_one();
            }
        }
        Ok(())
    }
}
