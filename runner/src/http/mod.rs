//! The HTTP API of DESIGN 4.
//!
//! Owns routes, authentication, limits and the shape of errors. It decides nothing about turns: what changes something is
//! a [`Command`] to the agent, what only looks reads the agent's last [`Snapshot`]. Every error is a `Problem`.

mod control;
mod events;
mod files;
mod messages;
mod problem;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::AUTHORIZATION;
use longshore_wire::AgentConfig;
use longshore_wire::api::{ClaudeStatus, RunnerState, Status};
use longshore_wire::token;
use tokio::net::TcpListener;
use tokio::sync::{SetOnce, broadcast, mpsc, watch};

use crate::journal::Journal;
use crate::lifecycle::{Command, Shown, Snapshot, Terminals};
use crate::memory::MemoryProbe;
use crate::volume::Volume;

pub use problem::ApiError;

/// Everything that the routes look at.
#[derive(Debug)]
pub struct Api {
    /// Who this is, and whose tokens are good.
    pub agent: AgentConfig,
    /// For its disk.
    pub volume: Volume,
    /// For its memory.
    pub memory: Arc<MemoryProbe>,
    /// Where the agent stands.
    pub snapshot: watch::Receiver<Snapshot>,
    /// To the agent.
    pub commands: mpsc::Sender<Command>,
    /// The journal, once it is open.
    pub journal: SetOnce<Journal>,
    /// Previews, as they come.
    pub previews: broadcast::Sender<Shown>,
    /// Event streams of terminals.
    pub terminals: watch::Sender<Terminals>,
}

/// How long a caller waits for the journal to be opened, which usually takes milliseconds.
const OPENING: Duration = Duration::from_secs(2);

impl Api {
    /// The journal; an error when it is not open soon.
    async fn journal(&self) -> Result<&Journal, ApiError> {
        let opened = tokio::time::timeout(OPENING, self.journal.wait()).await;
        opened.map_err(|_| ApiError::starting())
    }

    /// Why the agent takes no command any more. One that only leaves its pod comes back: to call that the end would make
    /// callers give the session up.
    fn gone(&self) -> ApiError {
        if self.snapshot.borrow().state == RunnerState::Quiesced {
            ApiError::ended()
        } else {
            ApiError::quiescing()
        }
    }
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(api)).with_graceful_shutdown(stop).await
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/messages", post(messages::post))
        .route("/v1/events", get(events::follow))
        .route("/v1/ack", post(control::ack))
        .route("/v1/files/{id}", get(files::content).delete(files::taken))
        .route("/v1/interrupt", post(control::interrupt))
        .route("/v1/approvals/{id}", post(control::decide))
        .route("/v1/settings", post(control::settings))
        .route("/v1/warn", post(control::warn))
        .route("/v1/quiesce", post(control::quiesce))
        .route("/v1/result", get(control::result))
        .fallback(|| async { ApiError::not_found("There is no such route.") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .route("/healthz", get(|| async { "alive\n" }))
        .with_state(api)
}

async fn authenticate(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| token::accepts(&api.agent.token_sha256, given.trim())) {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

async fn status(State(api): State<Arc<Api>>) -> Json<Status> {
    let snapshot = api.snapshot.borrow().clone();
    let claude = ClaudeStatus {
        model: snapshot.claude.model.or_else(|| api.agent.model.clone()),
        permission_mode: (snapshot.claude.permission_mode).or_else(|| Some(api.agent.permission_mode.clone())),
        ..snapshot.claude
    };
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        claude_version: snapshot.claude_version,
        claude_pid: snapshot.claude_pid,
        kind: api.agent.kind,
        uid: api.agent.uid,
        state: snapshot.state,
        problem: snapshot.problem,
        busy: snapshot.busy,
        last_activity: snapshot.last_activity,
        unfinished: snapshot.unfinished,
        approvals: snapshot.approvals,
        memory: api.memory.read(),
        disk: api.volume.disk(),
        usage: snapshot.usage,
        seq: api.journal.get().map_or(0, Journal::seq),
        acked: snapshot.acked,
        restarts: snapshot.restarts,
        summary: snapshot.summary,
        summary_error: snapshot.summary_error,
        recycled: snapshot.recycled,
        undelivered: snapshot.undelivered,
        claude,
    })
}
