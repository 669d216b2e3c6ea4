//! The bot as a whole: what its parts share, and how they tell each other that there is work.
//!
//! State and handles only. It knows none of the parts that work with it, so they may all know it: a part that wants another
//! to begin says so by [`Bot::wake`] or [`Bot::follow`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use longshore_crds::PersistentSession;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Runners;
use crate::chat::Place;
use crate::cluster::Cluster;
use crate::moved::Moved;
use crate::outbox::Outbox;
use crate::outbox::reach::OutOfReach;
use crate::policies::Policies;
use crate::running::RunningTurns;
use crate::settings::Settings;
use crate::store::messages::{MessageRow, answer_key};
use crate::store::posts::Content;
use crate::store::{Store, StoreError};
use crate::telegram::Telegram;

/// Longest wait between tries of anything.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The parts that work together.
pub struct Bot {
    /// What must not be forgotten.
    pub store: Store,
    /// What is shown.
    pub outbox: Outbox,
    /// Telegram.
    pub telegram: Telegram,
    /// Kubernetes.
    pub cluster: Cluster,
    /// The runners.
    pub runners: Runners,
    /// What decides about messages.
    pub policies: Policies,
    /// Settings.
    pub settings: Settings,
    /// New updates are in the store.
    pub inbox: Notify,
    /// Counts changes in the cluster, for who waits for one.
    pub changes: watch::Sender<u64>,
    /// Places with messages to carry out, for the lanes.
    pub busy_places: mpsc::UnboundedSender<Place>,
    /// Sessions that are there, for the followers.
    pub seen_sessions: mpsc::UnboundedSender<SeenSession>,
    /// Tasks whose previews are followed, by name.
    pub previewed: Mutex<HashSet<String>>,
    /// Last state of sessions that are gone, by UID, until their end is told.
    pub gone: Mutex<HashMap<String, Arc<PersistentSession>>>,
    /// Held while something that was seen of a session is taken over.
    pub observing: tokio::sync::Mutex<()>,
    /// Held while a session is being woken, so that two wishes at once are one.
    pub waking: tokio::sync::Mutex<()>,
    /// Held while settings are handed on to a runner, so that each is once.
    pub setting: tokio::sync::Mutex<()>,
    /// Held while the files of a message are in memory.
    pub fetching: tokio::sync::Mutex<()>,
    /// Turns that run now, by the post that shows them.
    pub running: RunningTurns,
    /// Chats that have another id now.
    pub moved: Moved,
    /// Since when this run of the bot sees the cluster, in Unix seconds.
    pub seen_since: OnceLock<i64>,
    /// Sessions whose decisions are being handed on, by UID.
    pub handing: Mutex<HashSet<String>>,
    /// Places where the bot cannot post.
    pub out_of_reach: Mutex<OutOfReach>,
    /// Everything that runs.
    pub tracker: TaskTracker,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// A session whose events shall be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Name of the PersistentSession.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its place.
    pub place: Place,
}

impl Bot {
    /// Runs a part; if its store fails the bot stops.
    pub fn spawn(
        self: &Arc<Self>,
        part: &'static str,
        run: impl Future<Output = Result<(), StoreError>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = run => result,
            };
            if let Err(error) = result {
                tracing::error!(part, %error, "the bot stops: it cannot go on without its store");
                stop.cancel();
            }
        });
    }

    /// There is work for the lane of this place.
    pub fn wake(&self, place: Place) {
        // Nobody listens any more only when the bot is shutting down; the store has the work.
        let _ = self.busy_places.send(self.moved.place(place));
    }

    /// Follows a session, unless it is followed already.
    pub fn follow(&self, name: &str, uid: &str, place: Place) {
        let (name, uid) = (name.to_owned(), uid.to_owned());
        // As above.
        let _ = self.seen_sessions.send(SeenSession { name, uid, place });
    }

    /// Keeps the last state of a session that is gone.
    pub fn remember_gone(&self, uid: &str, session: Arc<PersistentSession>) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.insert(uid.to_owned(), session);
    }

    /// The last that is known of a session, there or gone.
    pub fn last_of(&self, name: &str, uid: &str) -> Option<Arc<PersistentSession>> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        let seen = self.cluster.session(name);
        seen.filter(|seen| seen.uid().as_deref() == Some(uid)).or(gone)
    }

    /// Something that is waited for may be different now.
    pub fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Shows a sentence at a message until there is something better.
    pub async fn show_progress(&self, row: &MessageRow, text: &str) -> Result<(), StoreError> {
        if let Some(post) = self.store.post_id(answer_key(row.place, row.message, 0)).await? {
            self.outbox.progress(row.place, post, Content::plain(text));
        }
        Ok(())
    }

    /// Takes the reactions away from messages that are answered.
    pub async fn clear_reactions(&self) -> Result<(), StoreError> {
        for (place, message) in self.store.take_reactions().await? {
            self.outbox.take_away_reaction(place, message);
        }
        Ok(())
    }

    /// Waits for a change in the cluster, at most this long. `seen` must have been taken before the state was read.
    pub async fn change(&self, seen: &mut watch::Receiver<u64>, at_most: Duration) {
        // A timeout is as good as a change: the caller looks again.
        let _ = tokio::time::timeout(at_most, seen.changed()).await;
    }

    /// Whether the bot or the cluster was away after this Unix second.
    pub fn was_away_since(&self, second: i64) -> bool {
        self.seen_since.get().is_none_or(|seen| second < *seen)
    }

    /// Now, in Unix seconds.
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }
}
