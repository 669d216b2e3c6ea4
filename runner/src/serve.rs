//! `longshore-runner serve`: puts the parts together in the order that makes the pod answer soonest.
//!
//! The listener comes first, so that the operator can look at a pod whose volume is broken; then the volume, the journal
//! and the agent, which starts claude.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::api::{AgentProblem, AgentProblemKind};
use longshore_wire::notice::NoticeKind;
use tokio::net::TcpListener;
use tokio::sync::{SetOnce, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::claude::reaper::Reaper;
use crate::http::{self, Api};
use crate::journal::{Entry, Journal, JournalError};
use crate::lifecycle::{Agent, Parts, Snapshot, StopSignals, Terminals};
use crate::memory::MemoryProbe;
use crate::notice::Notifier;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::volume::{Volume, VolumeError};

/// Pause before a volume that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Pause before a journal that another process still writes is tried again.
const HANDOVER: Duration = Duration::from_millis(50);
/// An older pod of the same session or task may wind down for this long before people are told.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands and previews that may wait.
const COMMANDS: usize = 128;
const PREVIEWS: usize = 512;
/// Exit status when the agent is stopped before it began: as if SIGTERM had its default action.
const STOPPED_EARLY: u8 = 143;
/// Time for event streams to take the last records before they are cut.
const LAST_EVENTS: Duration = Duration::from_millis(300);

/// Why the runner cannot even begin. Everything later is a problem in its status.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address of the API.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// It.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system refuses something that it must not.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A client for HTTP.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Debug, thiserror::Error)]
enum NotWritable {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Serves until the agent has ended; returns the exit status.
pub async fn serve(settings: Settings) -> Result<u8, ServeError> {
    let system = |what| move |source| ServeError::System { what, source };
    let mut signals = StopSignals::listen().map_err(system("cannot listen to signals"))?;
    let address = settings.flags.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
    let reaper = Reaper::start().map_err(system("cannot wait for children"))?;
    let settings = Arc::new(settings);
    let agent = &settings.agent;
    let root = &settings.flags.root;
    let volume = match agent.read_only {
        false => Volume::new(root, agent.uid),
        true => Volume::for_reading(root, agent.uid),
    };
    let notifier = Notifier::new(reqwest::Client::builder().no_proxy().build()?, agent);
    let (snapshot, snapshots) = watch::channel(Snapshot::starting(Timestamp::now()));
    let (sender, commands) = mpsc::channel(COMMANDS);
    let (previews, _) = broadcast::channel(PREVIEWS);
    let (terminals, attached) = watch::channel(Terminals::default());
    let memory = Arc::new(MemoryProbe::new());
    let api = Arc::new(Api {
        agent: agent.clone(),
        volume: volume.clone(),
        memory: memory.clone(),
        snapshot: snapshots,
        commands: sender,
        journal: SetOnce::new(),
        previews: previews.clone(),
        terminals,
    });
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, name = agent.name, "listening");
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(http::serve(listener, api.clone(), async {
        // A dropped sender stops it too.
        let _ = stopped.await;
    }));
    let (journal, entries) = tokio::select! {
        opened = open(&settings, &volume, &snapshot, &notifier) => opened,
        () = signals.recv() => return Ok(STOPPED_EARLY),
    };
    // Set once, here.
    let _ = api.journal.set(journal.clone());
    let model = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let proxy = Proxy::start(model, settings.base_url.clone(), settings.credential.clone());
    let proxy = proxy.await.map_err(system("cannot start the model proxy"))?;
    let parts = Parts {
        settings,
        volume,
        journal,
        proxy,
        reaper,
        notifier,
        snapshot,
        commands,
        previews,
        terminals: attached,
        memory,
    };
    let agent = Agent::new(parts, &entries, Timestamp::now());
    drop(entries);
    let status = agent.run(signals).await;
    drop(stop);
    // Event streams never end by themselves: those that still listen are cut after their last records.
    let _ = tokio::time::timeout(LAST_EVENTS, serving).await;
    Ok(status)
}

/// Opens the journal, after an older pod that still writes it has let go.
async fn take_over(path: &Path) -> Result<(Journal, Vec<Entry>), JournalError> {
    let patient_until = Instant::now() + PATIENCE;
    loop {
        match Journal::open(path) {
            Err(JournalError::InUse { .. }) if Instant::now() < patient_until => tokio::time::sleep(HANDOVER).await,
            opened => return opened,
        }
    }
}

/// Prepares the volume and opens the journal, for as long as it takes.
async fn open(
    settings: &Settings,
    volume: &Volume,
    snapshot: &watch::Sender<Snapshot>,
    notifier: &Notifier,
) -> (Journal, Vec<Entry>) {
    loop {
        let opened = match volume.prepare(&settings.flags.tmp) {
            Ok(()) => take_over(&volume.journal()).await.map_err(NotWritable::from),
            Err(error) => Err(NotWritable::from(error)),
        };
        match opened {
            Ok(opened) => {
                snapshot.send_modify(|snapshot| snapshot.problem = None);
                return opened;
            }
            Err(error) => {
                tracing::error!(%error, "the agent cannot start");
                let advice = match error {
                    NotWritable::Journal(JournalError::InUse { .. }) => "Look for an older pod that does not end.",
                    _ => "Check the volume's permissions and free space.",
                };
                let problem = AgentProblem {
                    kind: AgentProblemKind::NotWritable,
                    message: format!("{error}. {advice}"),
                };
                if snapshot.borrow().problem.as_ref() != Some(&problem) {
                    snapshot.send_modify(|snapshot| snapshot.problem = Some(problem));
                    notifier.post(NoticeKind::Problem);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
