//! The sender of one chat: picks the most urgent thing, makes its call, and draws the conclusions.
//!
//! Text goes in by edits of a placeholder whose id is recorded, so a lost reply leaves at most an empty placeholder. Every call is
//! written down before it is made, so that a restart does not spend the chat's budget twice. Fails only with its store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::document::{Upload, brings_file, uploading};
use super::drafts::{Drafts, Due};
use super::pace::{Next, Pace, Priority};
use super::schedule::{Turns, Waiting};
use super::wishes::{Look, Reaction};
use super::{Chat, Inner, Reach};
use crate::chat::Place;
use crate::store::StoreError;
use crate::store::posts::{Content, Pending};
use crate::telegram::CallError;
use crate::telegram::error::Scope;
use crate::timer::until;

/// A post before it has words: a sign that the message was seen.
const PLACEHOLDER: &str = "…";
/// How often a post that somebody deleted is sent anew.
const RESENDS: i64 = 2;
/// Longest wait after calls without an answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A bot that stops waits at most so long for a file that is on its way.
const LAST_UPLOAD: Duration = Duration::from_secs(3);

/// Something that could be done now.
enum Item {
    Post(Pending),
    /// How a post looks that has no message yet; with whether it is the first sign, and whether it differs by a clock only.
    Draft(Pending, Content, Priority),
    Look(i64, Look),
    Reaction(i64, Reaction),
    Typing(Place),
}

impl Item {
    fn waiting(&self) -> Waiting {
        let (priority, place) = match self {
            Self::Post(pending) => (pending.priority, pending.place),
            Self::Draft(pending, _, priority) => (*priority, pending.place),
            Self::Look(_, look) if look.tick => (Priority::Spare, look.place),
            Self::Look(_, look) => (Priority::Progress, look.place),
            Self::Reaction(_, reaction) => (Priority::Placeholder, reaction.place),
            Self::Typing(place) => (Priority::Spare, *place),
        };
        Waiting {
            priority,
            thread: place.thread_key(),
        }
    }
}

/// What a call is for.
#[derive(Clone, Copy)]
pub(super) struct About {
    priority: Priority,
    place: Place,
    /// Text follows at once. The topic has had its turn when that is there, too: otherwise everybody would wait for two rounds.
    half: bool,
}

impl About {
    pub(super) fn new(priority: Priority, place: Place) -> Self {
        Self {
            priority,
            place,
            half: false,
        }
    }
}

/// Sends what a chat shall show, until the bot stops.
pub(super) async fn run(inner: Arc<Inner>, id: i64, chat: Arc<Chat>) {
    let mut sender = match Sender::new(inner.clone(), id, chat).await {
        Ok(sender) => sender,
        Err(error) => return give_up(&inner, id, &error),
    };
    loop {
        let due = match sender.step().await {
            Ok(due) => due.map(|due| inner.instant(due)),
            Err(error) => return give_up(&inner, id, &error),
        };
        let uploaded = tokio::select! {
            () = inner.stop.cancelled() => return sender.finish().await,
            () = sender.chat.wake.notified() => Ok(()),
            () = until(due) => Ok(()),
            sent = uploading(sender.upload.as_mut()) => sender.uploaded(sent).await,
        };
        if let Err(error) = uploaded {
            return give_up(&inner, id, &error);
        }
    }
}

/// Without its store the bot cannot tell what was said; it stops and is started again.
fn give_up(inner: &Inner, id: i64, error: &StoreError) {
    tracing::error!(chat = id, %error, "the outbox stops");
    inner.stop.cancel();
}

fn unix_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

pub(super) struct Sender {
    pub(super) inner: Arc<Inner>,
    pub(super) id: i64,
    chat: Arc<Chat>,
    pub(super) pace: Pace,
    pub(super) turns: Turns,
    failures: u32,
    /// What posts with progress look like now, so that the same look is not sent twice.
    looks: HashMap<i64, Content>,
    /// When progress of a post was last shown, so that every post of a topic has its turn.
    refreshed: HashMap<i64, Duration>,
    drafts: Drafts,
    /// The file that is on its way.
    pub(super) upload: Option<Upload>,
}

/// Makes a call that counts, over all chats and in this one also for a bot that is started again.
pub(super) async fn counted<T>(
    inner: &Inner,
    chat: i64,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<Result<T, CallError>, StoreError> {
    let permit = inner.overall().permit().await;
    let row = inner.store.call_begins(chat, unix_millis()).await?;
    let result = call.await;
    drop(permit);
    inner.store.call_over(row, unix_millis()).await?;
    Ok(result)
}

impl Sender {
    async fn new(inner: Arc<Inner>, id: i64, chat: Arc<Chat>) -> Result<Self, StoreError> {
        let mut pace = if Place::is_group(id) {
            Pace::group(inner.budget.per_minute)
        } else {
            Pace::private()
        };
        let spent = inner.store.spent(id, unix_millis()).await?;
        let scale = inner.budget.scale;
        let ages = spent.ages.iter().map(|age| scale.passed(*age)).collect::<Vec<_>>();
        let refused = spent.refused.map(|(ago, wait)| (scale.passed(ago), wait));
        pace.restore(inner.now(), &ages, refused);
        Ok(Self {
            inner,
            id,
            chat,
            pace,
            turns: Turns::default(),
            failures: 0,
            looks: HashMap::new(),
            refreshed: HashMap::new(),
            drafts: Drafts::new(Place::is_group(id)),
            upload: None,
        })
    }

    /// Does the most urgent thing, if it is time. Returns when to look again; none means when woken.
    async fn step(&mut self) -> Result<Option<Duration>, StoreError> {
        let (mut items, due) = self.items().await?;
        let waiting = items.iter().map(Item::waiting).collect::<Vec<_>>();
        let first = self.turns.first(&waiting);
        let urgent = first.and_then(|at| waiting.get(at)).map(|waiting| waiting.priority);
        let now = self.inner.now();
        if urgent == Some(Priority::Spare) && !self.inner.overall().has_room() {
            return Ok(Some(now + Duration::from_secs(1)));
        }
        match (self.pace.next(now, urgent), first) {
            (Next::Idle, _) | (_, None) => Ok(due),
            (Next::Wait(until), _) => Ok(Some(due.map_or(until, |due| until.min(due)))),
            (Next::Act, Some(at)) => {
                match items.swap_remove(at) {
                    Item::Post(pending) => self.post(pending).await?,
                    Item::Draft(pending, content, priority) => self.draft(pending, content, priority).await?,
                    Item::Look(post, look) => self.show_progress(post, look).await?,
                    Item::Reaction(message, reaction) => self.react(message, reaction).await?,
                    Item::Typing(place) => self.type_in(place).await?,
                }
                Ok(Some(self.inner.now()))
            }
        }
    }

    /// What could be done now, and when there may be more.
    async fn items(&self) -> Result<(Vec<Item>, Option<Duration>), StoreError> {
        let mut pending = self.inner.store.pending(self.id).await?;
        if self.upload.is_some() {
            pending.retain(|pending| !brings_file(pending));
        }
        let mut wishes = self.chat.wishes();
        wishes.looks.retain(|post, look| {
            // Words for good replace progress; a look that is shown already needs no call.
            let worded = pending
                .iter()
                .any(|pending| pending.post == *post && pending.version > 0);
            !worded && self.looks.get(post) != Some(&look.content)
        });
        let unsent = |post: &i64| pending.iter().any(|pending| pending.post == *post);
        let mut ready: Vec<_> = wishes.looks.iter().filter(|(post, _)| !unsent(post)).collect();
        ready.sort_by_key(|(post, _)| self.refreshed.get(post));
        let mut items = Vec::new();
        items.extend(ready.into_iter().map(|(post, look)| Item::Look(*post, look.clone())));
        let reactions = wishes.reactions.iter();
        items.extend(reactions.map(|(message, reaction)| Item::Reaction(*message, reaction.clone())));
        let (typing, mut due) = wishes.typing_due(self.inner.now());
        // A draft says more than that.
        let typing = typing.into_iter().filter(|_| !self.drafts_here());
        items.extend(typing.map(Item::Typing));
        for pending in pending {
            if pending.sent_as.is_some() || pending.version > 0 || !self.drafts_here() {
                items.push(Item::Post(pending));
                continue;
            }
            let look = wishes.looks.get(&pending.post);
            let content = look.map_or_else(|| Content::plain(PLACEHOLDER), |look| look.content.clone());
            let priority = match look {
                _ if !self.drafts.has(pending.post) => Priority::Placeholder,
                Some(look) if !look.tick => Priority::Progress,
                _ => Priority::Spare,
            };
            match self.drafts.due(pending.post, &content, self.inner.now()) {
                Due::Changed => items.push(Item::Draft(pending, content, priority)),
                Due::Fading => items.push(Item::Draft(pending, content, Priority::Progress)),
                Due::Later(at) => due = Some(due.map_or(at, |due: Duration| due.min(at))),
            }
        }
        Ok((items, due))
    }

    fn drafts_here(&self) -> bool {
        !self.drafts.are_off() && !self.inner.no_drafts.load(Ordering::Relaxed)
    }

    async fn draft(&mut self, pending: Pending, content: Content, priority: Priority) -> Result<(), StoreError> {
        let telegram = self.inner.telegram.clone();
        let (place, post) = (pending.place, pending.post);
        let call = telegram.send_draft(
            place.chat,
            place.thread,
            post,
            &content.rich.text,
            &content.rich.entities,
        );
        let result = self.call(About::new(priority, place), call).await?;
        if self.comes_later(&result).await? {
            return Ok(());
        }
        match result {
            Ok(()) | Err(CallError::NotModified) => self.went_well(place),
            Err(error @ CallError::Unreachable { .. }) => return self.failed(error, &pending).await,
            // The message itself will find out why.
            Err(CallError::Formatting(_)) => {}
            Err(error) => {
                tracing::info!(chat = self.id, %error, "Telegram refuses drafts; progress is shown by edits");
                self.drafts.turn_off();
                if error.to_string().to_lowercase().contains("method not found") {
                    self.inner.no_drafts.store(true, Ordering::Relaxed);
                }
                return Ok(());
            }
        }
        self.drafts.sent(post, content, self.inner.now());
        Ok(())
    }

    /// Makes a call that counts.
    pub(super) async fn call<T>(
        &mut self,
        about: About,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Result<T, CallError>, StoreError> {
        let result = counted(&self.inner, self.id, call).await?;
        self.pace.sent(self.inner.now(), about.priority);
        if !about.half || result.is_err() {
            self.turns.served(about.place.thread_key());
        }
        Ok(result)
    }

    async fn post(&mut self, pending: Pending) -> Result<(), StoreError> {
        if brings_file(&pending) {
            return self.document(pending).await;
        }
        let (store, telegram) = (self.inner.store.clone(), self.inner.telegram.clone());
        let mut about = About::new(pending.priority, pending.place);
        let Some(sent_as) = pending.sent_as else {
            let place = pending.place;
            about.half = pending.version > 0;
            let call = telegram.send_message(place.chat, place.thread, pending.reply_to, PLACEHOLDER);
            return match self.call(about, call).await? {
                Ok(id) => {
                    self.went_well(place);
                    self.drafts.over(pending.post);
                    store.sent(pending.post, id).await
                }
                Err(error) => self.failed(error, &pending).await,
            };
        };
        let content = pending.content.clone().unwrap_or_default();
        self.looks.remove(&pending.post);
        self.refreshed.remove(&pending.post);
        match self.edit(about, sent_as, &content, pending.plain).await? {
            Ok(()) | Err(CallError::NotModified) => {
                self.went_well(pending.place);
                store.shown(pending.post, pending.version).await?;
                self.inner.deliveries.notify_one();
                Ok(())
            }
            Err(error) => self.failed(error, &pending).await,
        }
    }

    /// Gives the file that is on its way a moment to arrive, since it would come once more after the next start.
    async fn finish(&mut self) {
        if self.upload.is_none() {
            return;
        }
        let sent = tokio::time::timeout(LAST_UPLOAD, uploading(self.upload.as_mut())).await;
        if let Ok(sent) = sent
            && let Err(error) = self.uploaded(sent).await
        {
            tracing::warn!(chat = self.id, %error, "a file that has arrived is sent once more");
        }
    }

    async fn show_progress(&mut self, post: i64, look: Look) -> Result<(), StoreError> {
        let content = look.content;
        let Some(sent_as) = self.inner.store.open_for_progress(post).await? else {
            self.chat.wishes().looked(post, &content);
            return Ok(());
        };
        let priority = if look.tick { Priority::Spare } else { Priority::Progress };
        let result = self
            .edit(About::new(priority, look.place), sent_as, &content, false)
            .await?;
        self.refreshed.insert(post, self.inner.now());
        if self.comes_later(&result).await? {
            return Ok(());
        }
        self.chat.wishes().looked(post, &content);
        match result {
            // Progress that cannot be shown is not worth a second call; the answer will find out why.
            Err(error) if error != CallError::NotModified => {
                tracing::debug!(chat = self.id, %error, "progress was not shown");
            }
            _ => drop(self.looks.insert(post, content)),
        }
        Ok(())
    }

    async fn react(&mut self, message: i64, reaction: Reaction) -> Result<(), StoreError> {
        let telegram = self.inner.telegram.clone();
        self.chat.wishes().reacts(message);
        let call = telegram.react(self.id, message, reaction.emoji.as_deref());
        let result = self
            .call(About::new(Priority::Placeholder, reaction.place), call)
            .await?;
        if self.comes_later(&result).await? {
            return Ok(());
        }
        if let Err(error) = result {
            tracing::debug!(chat = self.id, message, %error, "a reaction was not set");
        }
        self.chat.wishes().reacted(message, &reaction);
        Ok(())
    }

    async fn type_in(&mut self, place: Place) -> Result<(), StoreError> {
        let telegram = self.inner.telegram.clone();
        let call = telegram.type_in(place.chat, place.thread);
        let result = self.call(About::new(Priority::Spare, place), call).await?;
        self.chat.wishes().typed(place, self.inner.now());
        self.comes_later(&result).await.map(drop)
    }

    /// Whether something that need not be shown for good failed in a way that passes. If so, nothing goes out for a while.
    async fn comes_later<T>(&mut self, result: &Result<T, CallError>) -> Result<bool, StoreError> {
        match result {
            Err(CallError::RetryAfter(wait)) => self.refused(*wait).await?,
            Err(error @ (CallError::Unknown(_) | CallError::Unauthorized(_))) => self.pause(error),
            _ => {
                self.failures = 0;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn edit(
        &mut self,
        about: About,
        message: i64,
        content: &Content,
        plain: bool,
    ) -> Result<Result<(), CallError>, StoreError> {
        let bare = plain.then(|| content.bare().swap_remove(0));
        let rich = bare.as_ref().unwrap_or(&content.rich);
        let telegram = self.inner.telegram.clone();
        let call = telegram.edit_message(self.id, message, &rich.text, &rich.entities, &content.buttons);
        self.call(about, call).await
    }

    pub(super) fn went_well(&mut self, place: Place) {
        self.failures = 0;
        // Nobody listens any more only when the bot is shutting down.
        let _ = self.inner.reach.send(Reach {
            place,
            whole_chat: false,
            problem: None,
            moved_to: None,
        });
    }

    async fn refused(&mut self, wait: Duration) -> Result<(), StoreError> {
        tracing::info!(
            chat = self.id,
            seconds = wait.as_secs(),
            "Telegram asks to wait; nothing goes to this chat"
        );
        self.pace.refused(self.inner.now(), wait);
        self.inner.store.silence(self.id, unix_millis(), wait).await
    }

    fn pause(&mut self, error: &CallError) {
        let wait = Duration::from_secs(1 << self.failures.min(5)).min(LONGEST_PAUSE);
        self.failures += 1;
        tracing::warn!(chat = self.id, %error, seconds = wait.as_secs(), "a call had no answer; it is tried again");
        self.pace.pause(self.inner.now(), wait);
    }

    pub(super) async fn failed(&mut self, error: CallError, pending: &Pending) -> Result<(), StoreError> {
        let store = self.inner.store.clone();
        let (post, version) = (pending.post, pending.version);
        match error {
            CallError::RetryAfter(wait) => self.refused(wait).await?,
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
            CallError::Moved(chat) => {
                // Its posts wait for as long as it takes to move them.
                store.park(pending.place, true, true).await?;
                let _ = self.inner.reach.send(Reach {
                    place: pending.place,
                    whole_chat: true,
                    problem: None,
                    moved_to: Some(chat),
                });
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
                    moved_to: None,
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
