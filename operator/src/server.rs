//! The operator's server: health, metrics, and the notice endpoint.
//!
//! Open to the cluster without authentication, so everything is bounded (connections by `connections`, requests here) and nothing
//! is told but metrics.

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

use crate::connections::{Bounds, accept};
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
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) {
    accept(listener, routes(shared), Bounds::default(), stop).await;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::leader::Whereabouts;

    async fn started() -> (String, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = Arc::new(Desk::new(Whereabouts::unknown(), reqwest::Client::new()));
        let shared = Shared {
            desk,
            metrics: Metrics::default(),
            ready: Arc::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, shared, stop.clone()));
        (url, stop)
    }

    #[tokio::test]
    async fn notices_are_bounded_and_nothing_needs_to_be_known_of_them() {
        let (url, _stop) = started().await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let check = async |body: String, expected: u16| {
            let answer = http
                .post(format!("{url}{NOTICE_PATH}"))
                .body(body)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status().as_u16(), expected);
        };
        let notice = json!({ "kind": "session", "namespace": "ns", "name": "nobody", "what": "announce",
            "uid": "7f7a36ea-5c4f-4d0e-8a2b-111111111111" });
        check(notice.to_string(), 204).await;
        check("{}".to_owned(), 400).await;
        check(" ".repeat(MAX_NOTICE_BYTES + 1), 413).await;
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served() {
        let (url, stop) = started().await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| http.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(get("/healthz").await.status().as_u16(), 200);
        assert_eq!(get("/readyz").await.status().as_u16(), 503);
        assert!(
            get("/metrics")
                .await
                .text()
                .await
                .unwrap()
                .contains("longshore_operator_active_sessions 0")
        );
        stop.cancel();
    }
}
