//! The bot as a whole: its parts, and how they are started.
//!
//! Everything runs as tasks of one tracker and ends with one token. If the store fails the bot stops, because without it
//! no promise can be kept; everything else is retried by the part that it happened to.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Runners;
use crate::chat::Place;
use crate::cluster::{Cluster, Observed};
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::telegram::{CallError, Telegram};
use crate::{courier, dispatch, follow, intake, lane, observe, reach, route};

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
    /// What routing goes by.
    pub routing: route::Settings,
    /// Settings.
    pub settings: Settings,
    /// New updates are in the store.
    pub inbox: Notify,
    /// Counts changes in the cluster, for who waits for one.
    pub changes: watch::Sender<u64>,
    /// Lanes by place.
    pub lanes: Mutex<HashMap<Place, Arc<Notify>>>,
    /// Sessions that are followed, by UID.
    pub followed: Mutex<HashSet<String>>,
    /// Tasks whose previews are followed, by name.
    pub previewed: Mutex<HashSet<String>>,
    /// Places where the bot cannot post.
    pub out_of_reach: Mutex<reach::OutOfReach>,
    /// Everything that runs.
    pub tracker: TaskTracker,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// What health checks want to know.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Whether updates are fetched and the cluster is seen.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }
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

    /// Waits for a change in the cluster, at most this long. `seen` must have been taken before the state was read.
    pub async fn change(&self, seen: &mut watch::Receiver<u64>, at_most: Duration) {
        // A timeout is as good as a change: the caller looks again.
        let _ = tokio::time::timeout(at_most, seen.changed()).await;
    }

    /// Now, in Unix seconds.
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }
}

/// Runs the bot until it is told to stop or its store fails.
pub async fn run(
    settings: Settings,
    client: kube::Client,
    telegram: Telegram,
    health: Health,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::open(&settings.store).await?;
    let Some(routing) = introduce(&telegram, &settings, &stop).await else {
        return Ok(());
    };
    let tracker = TaskTracker::new();
    let (observed, events) = mpsc::unbounded_channel::<Observed>();
    let (reports, reached) = mpsc::unbounded_channel();
    let cluster = Cluster::watch(&client, &settings.namespace, observed, &tracker, &stop);
    let outbox = Outbox::new(
        store.clone(),
        telegram.clone(),
        settings.messages_per_minute,
        reports,
        tracker.clone(),
        stop.clone(),
    );
    let bot = Arc::new(Bot {
        store,
        outbox,
        telegram,
        cluster,
        runners: Runners::new()?,
        routing,
        settings,
        inbox: Notify::new(),
        changes: watch::Sender::new(0),
        lanes: Mutex::default(),
        followed: Mutex::default(),
        previewed: Mutex::default(),
        out_of_reach: Mutex::default(),
        tracker,
        stop,
    });
    bot.spawn("intake", intake::run(bot.clone()));
    bot.outbox.resume().await?;
    bot.spawn("courier", courier::run(bot.clone()));
    bot.spawn("reach", reach::run(bot.clone(), reached));
    bot.spawn("start", start(bot.clone(), health, events));
    bot.stop.cancelled().await;
    bot.tracker.close();
    if tokio::time::timeout(Duration::from_secs(5), bot.tracker.wait())
        .await
        .is_err()
    {
        tracing::warn!("some work was cut short; it is taken up at the next start");
    }
    Ok(())
}

/// What needs the cluster begins when the reflectors hold everything: routing must not take a topic that is not seen yet
/// for one that does not exist.
async fn start(bot: Arc<Bot>, health: Health, events: mpsc::UnboundedReceiver<Observed>) -> Result<(), StoreError> {
    if !bot.cluster.synced().await {
        return Ok(());
    }
    tracing::info!("the cluster is seen");
    health.set_ready(true);
    bot.spawn("observe", observe::run(bot.clone(), events));
    follow::resume(&bot).await?;
    lane::resume(&bot).await?;
    bot.spawn("dispatch", dispatch::run(bot.clone()));
    Ok(())
}

/// Learns the bot's own name, checks what it may see, sets the menu. None when the bot is stopped before that worked.
async fn introduce(telegram: &Telegram, settings: &Settings, stop: &CancellationToken) -> Option<route::Settings> {
    let mut wait = Duration::from_secs(1);
    let me = loop {
        match telegram.get_me().await {
            Ok(me) => break me,
            Err(error @ CallError::Unauthorized(_)) => {
                tracing::error!(%error, "check TELEGRAM_BOT_TOKEN; @BotFather shows the right one");
            }
            Err(error) => tracing::warn!(%error, "Telegram does not say who the bot is; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
        }
    };
    tracing::info!(
        bot = me.username,
        users = settings.allowed_users.len(),
        "Telegram knows the bot"
    );
    if settings.allowed_users.is_empty() {
        tracing::warn!("nobody is allowed to use the bot; set LONGSHORE_ALLOWED_USERS (chart: telegram.allowedUsers)");
    }
    if !me.reads_all_group_messages {
        tracing::warn!(
            "privacy mode is on: in groups the bot sees commands and replies only, unless it is an administrator. \
             Switch it off with /setprivacy at @BotFather and add the bot to the group again, or make it an administrator"
        );
    }
    let commands = route::COMMANDS.map(|(_, name, what)| (name, what));
    if let Err(error) = telegram.set_my_commands(&commands).await {
        tracing::warn!(%error, "the menu of commands was not set");
    }
    Some(route::Settings {
        allowed_users: settings.allowed_users.clone(),
        bot_username: me.username,
        done_words: settings
            .done_words
            .iter()
            .map(|word| word.trim().to_lowercase())
            .collect(),
    })
}

/// Why the bot could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client for the runners.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}
