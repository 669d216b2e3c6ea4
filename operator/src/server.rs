//! The operator's server: health, metrics, and the notice endpoint.
//!
//! Open to the cluster without authentication, so everything is bounded and nothing is told but metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use longshore_wire::notice::{MAX_NOTICE_BYTES, NOTICE_PATH, Notice};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::notices::{Desk, FORWARDED, Received};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What the routes share.
#[derive(Clone)]
pub struct Shared {
    pub desk: Arc<Desk>,
    pub metrics: Metrics,
    pub ready: Arc<AtomicBool>,
}

/// Serves until told to stop.
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) -> std::io::Result<()> {
    let service = routes(shared).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(NOTICE_PATH, post(notice))
        .layer(DefaultBodyLimit::max(MAX_NOTICE_BYTES))
        .layer(middleware::from_fn(bounded))
        .with_state(shared)
}

async fn bounded(request: axum::extract::Request, next: middleware::Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet")
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.scrape() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn notice(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Ok(notice) = serde_json::from_slice::<Notice>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    match shared
        .desk
        .receive(&notice, from.ip(), headers.contains_key(FORWARDED))
        .await
    {
        Received::Taken => StatusCode::NO_CONTENT,
        Received::TooMany => StatusCode::TOO_MANY_REQUESTS,
    }
}
