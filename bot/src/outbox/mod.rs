//! The outbox: shows what every chat shall show, one call at a time per chat, at the pace that Telegram allows.
//!
//! What shall be shown for good is in the store and survives a restart at any point; how running things look, reactions and the sign
//! that the bot is typing live in memory only ([`wishes`]) and are replaced, never queued. All of it shares one budget ([`pace`]), in
//! which what is urgent goes first and topics take turns ([`schedule`]); over all chats there is another ([`overall`]). The [`sender`]
//! of a chat makes the calls. Answers to pressed buttons are no part of it: people wait for them, and chats do not show them.
//! Knows nothing of sessions and tasks; tells by [`Outbox::deliveries`] that something was shown and by [`Reach`] that a place cannot
//! be reached.

mod document;
mod drafts;
mod overall;
pub mod pace;
pub mod reach;
mod scale;
mod schedule;
mod sender;
mod wishes;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chat::Place;
use crate::moved::Moved;
use crate::store::posts::Content;
use crate::store::{Store, StoreError};
use crate::telegram::Telegram;
use overall::Overall;
pub use scale::Scale;
use wishes::{Look, Reaction, Wishes};

/// How fast the outbox may talk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Calls a minute into one group, over all its topics.
    pub per_minute: usize,
    /// How fast minutes pass.
    pub scale: Scale,
}

/// A place turned out to be out of reach, or to be reachable again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Where.
    pub place: Place,
    /// Whether the whole chat is meant.
    pub whole_chat: bool,
    /// Reason and Telegram's words; none when it can be reached.
    pub problem: Option<(&'static str, String)>,
    /// The group is a supergroup now, with this id.
    pub moved_to: Option<i64>,
}

/// Handle to the outbox.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    telegram: Telegram,
    budget: Budget,
    /// Time of the outbox: since it was made, with a start above zero so that it can look back, and as fast as the scale says.
    start: Instant,
    overall: OnceLock<Overall>,
    /// Telegram knows no drafts.
    no_drafts: AtomicBool,
    chats: Mutex<HashMap<i64, Arc<Chat>>>,
    deliveries: Notify,
    reach: mpsc::UnboundedSender<Reach>,
    moved: Moved,
    tracker: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Chat {
    wake: Notify,
    wishes: Mutex<Wishes>,
}

impl Chat {
    fn wishes(&self) -> std::sync::MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn now(&self) -> Duration {
        pace::MINUTE * 3 + self.budget.scale.passed(self.start.elapsed())
    }

    fn instant(&self, at: Duration) -> Instant {
        self.start + self.budget.scale.real(at.saturating_sub(pace::MINUTE * 3))
    }

    fn overall(&self) -> &Overall {
        self.overall.get_or_init(|| Overall::new(self.budget.scale, 0))
    }
}

impl Outbox {
    /// An outbox with this budget.
    pub fn new(
        store: Store,
        telegram: Telegram,
        budget: Budget,
        reach: mpsc::UnboundedSender<Reach>,
        moved: Moved,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                telegram,
                budget,
                start: Instant::now(),
                overall: OnceLock::new(),
                no_drafts: AtomicBool::new(false),
                chats: Mutex::default(),
                deliveries: Notify::new(),
                reach,
                moved,
                tracker,
                stop,
            }),
        }
    }

    /// Goes on where the last run stopped.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let a_second_ago = jiff::Timestamp::now().as_millisecond() - 1_000;
        let recent = self.inner.store.calls_since(a_second_ago).await?;
        // Whoever was earlier has begun with none; then there is nothing to make good.
        let _ = self.inner.overall.set(Overall::new(self.inner.budget.scale, recent));
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

    /// Shows how a post without words of its own looks now, as soon as there is room for it and unless something newer comes first.
    pub fn progress(&self, place: Place, post: i64, content: Content) {
        self.look(place, post, content, false);
    }

    /// The same for a look that differs from the last one by a clock only: it is shown if nothing else needs the call.
    pub fn tick(&self, place: Place, post: i64, content: Content) {
        self.look(place, post, content, true);
    }

    fn look(&self, place: Place, post: i64, content: Content, tick: bool) {
        let look = Look { place, content, tick };
        self.wish(place.chat, |wishes| wishes.look(post, look));
    }

    /// Puts a reaction on a message, or takes away what the bot has put there. The newest wins; a refusal is nobody's concern; lost
    /// when the bot is started again. Which emoji there are is up to Telegram ("👀", "👌", "🤔", "🎉", …; no "✅", no "⏳").
    pub fn react(&self, place: Place, message: i64, emoji: Option<&str>) {
        let emoji = emoji.map(str::to_owned);
        self.wish(place.chat, |wishes| wishes.react(message, Reaction { place, emoji }));
    }

    /// Takes a reaction away that this run or an earlier one has put on a message.
    pub fn take_away_reaction(&self, place: Place, message: i64) {
        self.wish(place.chat, |wishes| wishes.take_away(message, place));
    }

    /// Shows that the bot is typing for at most this long, as far as calls are to spare; zero ends it.
    pub fn typing(&self, place: Place, for_at_most: Duration) {
        let now = self.inner.now();
        let chat = self.chat(place.chat);
        chat.wishes().typing(place, now, now + for_at_most);
        if !for_at_most.is_zero() {
            chat.wake.notify_one();
        }
    }

    fn wish(&self, chat: i64, change: impl FnOnce(&mut Wishes)) {
        let chat = self.chat(chat);
        change(&mut chat.wishes());
        chat.wake.notify_one();
    }

    /// How long a span of the outbox's time takes in real time.
    pub fn real(&self, span: Duration) -> Duration {
        self.inner.budget.scale.real(span)
    }

    /// Waits until something was shown.
    pub async fn deliveries(&self) {
        self.inner.deliveries.notified().await;
    }

    /// Something came from this place, so one can try to post there again.
    pub async fn reachable(&self, place: Place, whole_chat: bool) -> Result<(), StoreError> {
        let place = self.inner.moved.place(place);
        if self.inner.store.park(place, whole_chat, false).await? {
            self.wake(place.chat);
        }
        Ok(())
    }

    fn chat(&self, id: i64) -> Arc<Chat> {
        let id = self.inner.moved.now(id);
        let mut chats = self.inner.chats.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &self.inner;
        chats
            .entry(id)
            .or_insert_with(|| {
                let chat = Arc::new(Chat::default());
                inner.tracker.spawn(sender::run(inner.clone(), id, chat.clone()));
                chat
            })
            .clone()
    }
}

#[cfg(test)]
mod tests;
