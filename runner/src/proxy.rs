//! The loopback proxy: claude's only way to the model, and the reason why it never sees the key.
//!
//! claude gets `http://127.0.0.1:<port>` as its endpoint and a dummy key made for this process. The proxy forwards to the
//! configured endpoint and nowhere else, puts the real credential in the dummy's place, and streams bodies both ways.
//! Requests without the dummy are refused. claude's own Bash children know it and may use the model with it, as claude
//! does; what they cannot learn is the key, which is of use outside this pod.
//!
//! Redirects are handed back, not followed: the credential goes to one host only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

use crate::settings::Credential;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers that belong to one connection (RFC 9110, 7.6.1), and those that the client sets anew.
const HOP_BY_HOP: [HeaderName; 10] = [
    http::header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HOST,
];

/// A running proxy, as claude's environment needs it.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its origin.
    pub url: String,
    /// The dummy key.
    pub dummy: String,
    upstream_ms: Arc<AtomicI64>,
}

#[derive(Clone)]
struct Forward {
    client: reqwest::Client,
    base_url: Url,
    credential: Credential,
    dummy: Arc<str>,
    upstream_ms: Arc<AtomicI64>,
}

impl Proxy {
    /// Starts it on a free port of the loopback interface.
    pub async fn start(client: reqwest::Client, base_url: Url, credential: Credential) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let dummy = format!("longshore-{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let upstream_ms = Arc::new(AtomicI64::new(i64::MIN));
        let forward = Forward {
            client,
            base_url,
            credential,
            dummy: dummy.as_str().into(),
            upstream_ms: upstream_ms.clone(),
        };
        let router = Router::new().fallback(forward_request).with_state(forward);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the model proxy ended");
            }
        });
        Ok(Self {
            url,
            dummy,
            upstream_ms,
        })
    }

    /// When the endpoint last sent something.
    pub fn upstream(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.upstream_ms.load(Ordering::Relaxed)).ok()
    }
}

async fn forward_request(State(forward): State<Forward>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !forward.is_ours(&parts.headers) {
        return problem(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "This proxy serves claude only.",
        );
    }
    let mut url = forward.base_url.clone();
    let path = format!("{}{}", url.path().trim_end_matches('/'), parts.uri.path());
    url.set_path(&path);
    url.set_query(parts.uri.query());
    let mut outgoing = forward
        .client
        .request(parts.method, url)
        .headers(forward.headers(&parts.headers));
    // A body of known length keeps it; one without stays chunked.
    if parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(http::header::TRANSFER_ENCODING) {
        outgoing = outgoing.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    match outgoing.send().await {
        Ok(answer) => forward.answer(answer),
        Err(error) => {
            tracing::warn!(error = %error.without_url(), "the model endpoint cannot be reached");
            problem(
                StatusCode::BAD_GATEWAY,
                "api_error",
                "The model endpoint cannot be reached from the pod.",
            )
        }
    }
}

impl Forward {
    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let bearer = format!("Bearer {}", self.dummy);
        let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|given| given == value);
        is(&API_KEY, &self.dummy) || is(&AUTHORIZATION, &bearer)
    }

    /// Headers for the endpoint: the real credential in place of the dummy.
    fn headers(&self, given: &HeaderMap) -> HeaderMap {
        let mut headers = without_hop_by_hop(given);
        headers.remove(API_KEY);
        headers.remove(AUTHORIZATION);
        let secret = |text: String| {
            HeaderValue::from_str(&text).ok().map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let expose = |value: &SecretString| value.expose_secret().to_owned();
        match &self.credential {
            Credential::ApiKey(key) => secret(expose(key)).map(|value| headers.insert(API_KEY, value)),
            Credential::OAuthToken(token) => {
                secret(format!("Bearer {}", expose(token))).map(|value| headers.insert(AUTHORIZATION, value))
            }
            Credential::None => None,
        };
        headers
    }

    fn answer(&self, answer: reqwest::Response) -> Response {
        let status = answer.status();
        let headers = without_hop_by_hop(answer.headers());
        let upstream_ms = self.upstream_ms.clone();
        let note = move || upstream_ms.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        note();
        let body = answer.bytes_stream().inspect_ok(move |_| note());
        (status, headers, Body::from_stream(body)).into_response()
    }
}

fn without_hop_by_hop(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let mut kept = headers.clone();
    for name in HOP_BY_HOP {
        kept.remove(name);
    }
    for name in named {
        kept.remove(name.as_str());
    }
    kept
}

/// An error in the shape of the Messages API, so that claude reads it.
fn problem(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests;
