//! `longshore-operator run`: the life of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Dialer;
use crate::leader::{Whereabouts, elect};
use crate::metrics::Metrics;
use crate::notices::Desk;
use crate::scope;
use crate::server::{Shared, serve};
use crate::settings::Settings;

/// Longest wait for passes that have begun.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn run(client: Client, settings: Settings) -> anyhow::Result<()> {
    let settings = Arc::new(settings);
    let stop = stop_on_signal()?;
    let whereabouts = Whereabouts::unknown();
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .context("no HTTP client")?;
    let shared = Shared {
        desk: Arc::new(Desk::new(whereabouts.clone(), http)),
        metrics: Metrics::default(),
        ready: Arc::new(AtomicBool::new(settings.leader_election)),
    };
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let server = tokio::spawn(serve(listener, shared.clone(), stop.clone()));
    tracing::info!(listen = %settings.listen, scopes = ?settings.scopes, "started");

    let dialer = Dialer::new().context("no HTTP client")?;
    let term = {
        let (client, settings) = (client.clone(), Arc::clone(&settings));
        move |stop| {
            lead(
                client.clone(),
                Arc::clone(&settings),
                dialer.clone(),
                shared.clone(),
                stop,
            )
        }
    };
    if settings.leader_election {
        elect(client, &settings, &whereabouts, stop.clone(), term).await;
    } else {
        term(stop.clone()).await;
    }
    stop.cancel();
    server.await.context("the server ended badly")
}

/// Reconciles until told to stop.
async fn lead(client: Client, settings: Arc<Settings>, dialer: Dialer, shared: Shared, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    let scopes: Vec<scope::Running> = settings
        .scopes
        .iter()
        .map(|one| scope::start(&client, one, &settings, &dialer, &shared.metrics, &tracker, &stop))
        .collect();
    tracker.close();
    shared.metrics.leads(true);
    shared
        .metrics
        .count_sessions_in(scopes.iter().map(scope::Running::sessions).collect());
    shared.desk.leads(Some(scopes.clone()));
    let filled = async {
        for scope in &scopes {
            scope.filled().await;
        }
        shared.ready.store(true, Ordering::Relaxed);
        tracing::info!("caches are filled, reconciling");
    };
    tokio::join!(
        async {
            tokio::select! { () = filled => {}, () = stop.cancelled() => {} }
        },
        stop.cancelled()
    );
    shared.desk.leads(None);
    shared.metrics.leads(false);
    shared.metrics.count_sessions_in(Vec::new());
    if tokio::time::timeout(FINISH_TIMEOUT, tracker.wait()).await.is_err() {
        tracing::warn!("some passes did not finish in time");
    }
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        token.cancel();
    });
    Ok(stop)
}
