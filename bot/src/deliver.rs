//! Delivering a message to a session: waits until it takes messages, wakes it when it sleeps, posts once.
//!
//! A message has one id however often it is posted, and the runner takes an id once. What was refused for certain is
//! remembered as not taken, so that a session that ends meanwhile leaves the message free for another way.

use std::sync::Arc;
use std::time::Duration;

use longshore_crds::PersistentSession;
use longshore_wire::api::{PostMessage, Priority as Urgency};

use crate::agent::{Door, RunnerError};
use crate::bot::{Bot, LONGEST_WAIT};
use crate::cluster::write::WriteError;
use crate::command::setting;
use crate::conversation::{life, outcome};
use crate::download::{self, Fetched, LeftOut, Missing};
use crate::outbox::pace::Priority;
use crate::store::StoreError;
use crate::store::messages::{MessageRow, MessageState};
use crate::store::posts::Content;
use crate::store::sessions::SessionState;
use crate::wake::{Wake, wake};
use crate::{door, observe, situation, words};

/// How long to wait for a change in the cluster before looking again anyway.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The same when something is about to change.
const SOON: Duration = Duration::from_secs(1);

/// How often a message waits until its session has taken what was chosen for it. A claude that starts takes seconds.
const PATIENCE_WITH_SETTINGS: u32 = 60;

/// What becomes of a message whose session is over before it got it.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// It starts another session.
    pub deep: bool,
    /// What was written, where that is more than the text.
    pub written: Option<&'a str>,
}

/// Posts a message as soon as the session takes it; without a text, only waits until it would. If the session is over before
/// that, the message finds another way.
pub async fn to_session(
    bot: &Arc<Bot>,
    row: &MessageRow,
    name: &str,
    text: Option<&str>,
    again: Again<'_>,
) -> Result<(), StoreError> {
    let mut delivery = Delivery {
        bot,
        row,
        name,
        told: None,
        unsure: row.state == MessageState::Posting,
        fresh: false,
        unset: 0,
    };
    let mut changes = bot.changes.subscribe();
    loop {
        changes.mark_unchanged();
        if bot.store.edited(row.row).await? != row.edited {
            // It says something else by now; the lane looks at it again.
            return Ok(());
        }
        let state = bot.store.session(name).await?.map(|session| session.state);
        if state.is_none_or(|state| state >= SessionState::Ending) {
            return delivery.over(text, again).await;
        }
        match delivery.attempt(text).await? {
            None => return Ok(()),
            Some(wait) => bot.change(&mut changes, wait.min(LONGEST_WAIT)).await,
        }
    }
}

struct Delivery<'a> {
    bot: &'a Arc<Bot>,
    row: &'a MessageRow,
    name: &'a str,
    /// What is shown at the message.
    told: Option<String>,
    /// Whether a try may have reached the runner without its answer reaching us.
    unsure: bool,
    /// Whether the tokens must be read again.
    fresh: bool,
    /// How often settings could not be handed on.
    unset: u32,
}

impl Delivery<'_> {
    /// One try. None when nothing is left to do, else how long to wait for a change.
    async fn attempt(&mut self, text: Option<&str>) -> Result<Option<Duration>, StoreError> {
        let session = self.bot.cluster.session(self.name);
        if let Some(session) = session.as_deref().filter(|session| life::is_asleep(session)) {
            return self.rouse(session).await.map(Some);
        }
        let Some(door) = door::of(self.bot, self.name, self.fresh).await else {
            if let Some(waits) = session.and_then(|session| life::session_waits(&session)) {
                self.tell(waits).await?;
            }
            return Ok(Some(LOOK_AGAIN));
        };
        // What was chosen before this was written meets it.
        if self.unset < PATIENCE_WITH_SETTINGS
            && let Err(RunnerError::Busy { after, .. }) = setting::hand_on(self.bot, self.name, &door).await?
        {
            self.unset += 1;
            return Ok(Some(after));
        }
        match text {
            Some(text) => self.post(&door, text).await,
            None => {
                self.explain(words::SESSION_READY.to_owned()).await?;
                Ok(None)
            }
        }
    }

    async fn post(&mut self, door: &Door, text: &str) -> Result<Option<Duration>, StoreError> {
        let (bot, row) = (self.bot, self.row);
        // They are held in memory.
        let _turn = match row.files.is_empty() {
            true => None,
            false => Some(bot.fetching.lock().await),
        };
        let Fetched { attachments, left_out } = match download::files(&bot.telegram, row).await {
            Ok(fetched) => fetched,
            Err(Missing::Later(wait)) => return Ok(Some(wait)),
            Err(Missing::Never(why)) => {
                self.explain(words::file_not_fetched(&why)).await?;
                return Ok(None);
            }
        };
        let text = match left_out.is_empty() {
            true => text.to_owned(),
            false => self.without(text, &left_out).await?,
        };
        let message = PostMessage {
            id: row.wire_id,
            text,
            attachments,
            author: row.background.author.clone().or_else(|| Some(row.user_name.clone())),
            context: row.background.told(row.user),
            priority: Urgency::Next,
        };
        if !bot.store.begin_posting(row).await? {
            return Ok(None);
        }
        self.fresh = false;
        let error = match bot.runners.post(door, &message).await {
            Ok(_) => {
                bot.store.advance_message(row.row, MessageState::Handed).await?;
                return Ok(None);
            }
            Err(RunnerError::Refused(why)) => {
                self.explain(words::not_taken(&why)).await?;
                return Ok(None);
            }
            Err(error) => error,
        };
        tracing::debug!(session = self.name, message_id = row.message, %error, "the message waits");
        self.unsure |= matches!(error, RunnerError::Silent(_));
        self.fresh = error == RunnerError::Unauthorized;
        if !self.unsure {
            bot.store.not_taken(row.row).await?;
        }
        match error {
            RunnerError::WindingDown | RunnerError::Ended => self.wound_down().await.map(Some),
            RunnerError::Busy { after, .. } => Ok(Some(after)),
            _ => Ok(Some(SOON)),
        }
    }

    /// Tells the person and claude which files are left out.
    async fn without(&self, text: &str, left_out: &[LeftOut]) -> Result<String, StoreError> {
        let (place, message) = (self.row.place, self.row.message);
        let key = format!("left-out/{}/{message}", place.chat);
        let told = Content::plain(words::left_out(left_out));
        let post = self
            .bot
            .store
            .post(key, place, Some(message), Some(told), Priority::Notice);
        post.await?;
        self.bot.outbox.wake(place.chat);
        let note = words::left_out_for_claude(left_out);
        Ok(match text.is_empty() {
            true => note,
            false => format!("{text}\n\n{note}"),
        })
    }

    /// The runner takes nothing more. Whether the session falls asleep, ends, or gets another pod, the live object says.
    async fn wound_down(&mut self) -> Result<Duration, StoreError> {
        match self.bot.cluster.live_session(self.name).await {
            Ok(Some(session)) => {
                observe::session(self.bot, &session).await?;
                if life::is_asleep(&session) {
                    return self.rouse(&session).await;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(session = self.name, %error, "the session cannot be looked at; trying again"),
        }
        Ok(SOON)
    }

    /// Sees to it that a sleeping session wakes up.
    async fn rouse(&mut self, session: &PersistentSession) -> Result<Duration, StoreError> {
        let (text, wait) = match wake(self.bot, session, &self.row.wire_id.to_string()).await {
            Ok(Wake::Asked) => (life::WAKING.to_owned(), LOOK_AGAIN),
            Ok(Wake::HeldDown) => (life::held_down(self.name), LOOK_AGAIN),
            Ok(Wake::Rests(until)) => (life::rests(session, until), LOOK_AGAIN),
            // What was seen is out of date.
            Ok(Wake::NotNeeded) | Err(WriteError::NotFound) => return Ok(SOON),
            Err(error @ WriteError::Later(_)) => {
                tracing::warn!(session = self.name, %error, "waking is tried again");
                return Ok(SOON);
            }
            Err(error) => {
                tracing::warn!(session = self.name, %error, "waking was refused");
                (life::not_woken(&error.to_string()), LOOK_AGAIN)
            }
        };
        self.tell(text).await?;
        Ok(wait)
    }

    async fn tell(&mut self, text: String) -> Result<(), StoreError> {
        if self.told.as_ref() != Some(&text) {
            self.bot.show_progress(self.row, &text).await?;
            self.told = Some(text);
        }
        Ok(())
    }

    async fn explain(&self, text: String) -> Result<(), StoreError> {
        let parts = vec![Content::plain(text)];
        self.bot.store.answer(self.row.row, parts, Priority::Notice).await
    }

    /// Whether a later message has asked for another session in the place of this one: to start a third one would be in its way.
    async fn is_replaced(&self) -> Result<bool, StoreError> {
        let active = self.bot.store.active_session(self.row.place).await?;
        let mine = self.bot.store.session_for(self.row.place, self.row.row).await?;
        Ok(active.is_some() && mine.is_none())
    }

    async fn over(&self, text: Option<&str>, again: Again<'_>) -> Result<(), StoreError> {
        if self.unsure {
            return self.explain(outcome::SESSION_OVER_UNSURE.to_owned()).await;
        }
        let text = text.unwrap_or_default();
        let replaced = self.is_replaced().await?;
        if replaced && text.is_empty() && self.row.files.is_empty() {
            return self.explain(words::NEW_INSTEAD.to_owned()).await;
        }
        let text = match again {
            Again {
                written: Some(written), ..
            } => written.to_owned(),
            Again { deep: true, .. } if !replaced => format!("/deep {text}"),
            Again { .. } => text.to_owned(),
        };
        situation::decide_again(self.bot, self.row, &text).await
    }
}
