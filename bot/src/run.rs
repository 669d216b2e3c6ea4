//! Starting the parts of the bot and ending them.
//!
//! Everything runs as tasks of one tracker and ends with one token. If the store fails the bot stops, because without it
//! no promise can be kept; everything else is retried by the part that it happened to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Runners;
use crate::bot::{Bot, LONGEST_WAIT, SeenSession};
use crate::chat::Place;
use crate::cluster::{Cluster, Observed};
use crate::health::Health;
use crate::moved::Moved;
use crate::outbox::Outbox;
use crate::policies::Policies;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::telegram::{CallError, Telegram};
use crate::{courier, dispatch, escalate, follow, grants, intake, lane, menu, observe, offer, reach};

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
    let (busy_places, places) = mpsc::unbounded_channel();
    let (seen_sessions, sessions) = mpsc::unbounded_channel();
    let moved = Moved::default();
    moved.note(store.moved().await?);
    let policies = Policies::watch(&client, &settings.namespace, routing, &tracker, &stop);
    let cluster = Cluster::watch(&client, &settings.namespace, moved.clone(), observed, &tracker, &stop);
    let outbox = Outbox::new(
        store.clone(),
        telegram.clone(),
        settings.budget,
        reports,
        moved.clone(),
        tracker.clone(),
        stop.clone(),
    );
    let bot = Arc::new(Bot {
        store,
        outbox,
        telegram,
        cluster,
        runners: Runners::new()?,
        policies,
        settings,
        inbox: Notify::new(),
        changes: watch::Sender::new(0),
        busy_places,
        seen_sessions,
        previewed: Default::default(),
        gone: Default::default(),
        observing: Default::default(),
        waking: Default::default(),
        setting: Default::default(),
        fetching: Default::default(),
        running: Default::default(),
        moved,
        seen_since: Default::default(),
        handing: Default::default(),
        out_of_reach: Default::default(),
        tracker,
        stop,
    });
    bot.spawn("intake", intake::run(bot.clone()));
    bot.outbox.resume().await?;
    bot.spawn("courier", courier::run(bot.clone()));
    bot.spawn("escalations", escalate::run(bot.clone()));
    bot.spawn("offers", offer::run(bot.clone()));
    bot.spawn("grants", grants::run(bot.clone()));
    bot.spawn("menu", menu::run(bot.clone()));
    bot.spawn("reach", reach::run(bot.clone(), reached));
    let channels = Channels {
        events,
        places,
        sessions,
    };
    bot.spawn("start", start(bot.clone(), health, channels));
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

/// What parts tell each other.
struct Channels {
    events: mpsc::UnboundedReceiver<Observed>,
    places: mpsc::UnboundedReceiver<Place>,
    sessions: mpsc::UnboundedReceiver<SeenSession>,
}

/// What needs the cluster begins when the reflectors hold everything: routing must not take a topic that is not seen yet
/// for one that does not exist.
async fn start(bot: Arc<Bot>, health: Health, channels: Channels) -> Result<(), StoreError> {
    if !bot.cluster.synced().await {
        return Ok(());
    }
    bot.policies.router().await;
    tracing::info!("the cluster is seen");
    bot.seen_since.get_or_init(|| bot.now());
    health.set_ready(true);
    bot.spawn("observe", observe::run(bot.clone(), channels.events));
    follow::resume(&bot).await?;
    bot.spawn("followers", follow::run(bot.clone(), channels.sessions));
    lane::resume(&bot).await?;
    bot.spawn("lanes", lane::run(bot.clone(), channels.places));
    bot.spawn("dispatch", dispatch::run(bot.clone()));
    Ok(())
}

/// Learns the bot's own name, checks what it may see. None when the bot is stopped before that worked.
async fn introduce(
    telegram: &Telegram,
    settings: &Settings,
    stop: &CancellationToken,
) -> Option<longshore_routing::Settings> {
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
    if !me.reads_all_group_messages {
        tracing::warn!(
            "privacy mode is on: in groups the bot sees commands and replies only, unless it is an administrator. \
             Switch it off with /setprivacy at @BotFather and add the bot to the group again, or make it an administrator"
        );
    }
    Some(longshore_routing::Settings {
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
