//! The HTTP of the stand-in: the Messages API under `/v1`, [`control`] under `/_control`.
//!
//! Owns the state that outlives a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures::StreamExt;
use longshore_stand_in::{Line, Running};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub use crate::control::{Stats, Wanted};
use crate::{
    answer::{self, Answer, Asked, Fired, Numbered},
    control,
    conversation::Conversation,
    gate::Gates,
    journal::{Entry, Journal, Outcome, Pending, unix_ms},
    script::{Fault, Script, Step},
    stream::{self, Head},
};

/// Conversations with pictures get large; the real endpoint takes 32 MB.
const MAX_BODY: usize = 64 << 20;
const SHOWN_TEXT: usize = 4_000;

/// The stand-in, running until dropped.
#[derive(Debug)]
pub struct Model {
    running: Running,
}

impl Model {
    /// Starts with the rules it is given; [`default_script`] has the usual ones.
    pub async fn start(listen: SocketAddr, script: Script) -> std::io::Result<Self> {
        Ok(Model {
            running: longshore_stand_in::serve(listen, router(script)).await?,
        })
    }

    /// On a free loopback port with the default rules.
    pub async fn local() -> std::io::Result<Self> {
        Self::start(([127, 0, 0, 1], 0).into(), default_script()).await
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        self.running.url()
    }

    pub fn client(&self) -> crate::Client {
        crate::Client::new(&self.url())
    }

    pub async fn ended(&mut self) {
        self.running.ended().await;
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// The rules that are compiled in: summaries, recall, a greeting.
pub fn default_script() -> Script {
    serde_json::from_str(include_str!("../scripts/default.json")).expect("the default script is checked by a test")
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rules: Mutex<Rules>,
    pub(crate) fired: Mutex<Fired>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) required_key: Mutex<Option<String>>,
    pub(crate) ids: AtomicU64,
    /// Makes message ids differ between two runs of this server: a resumed session has seen the earlier ones.
    pub(crate) run: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) added: Vec<Numbered>,
    pub(crate) started_with: Vec<Numbered>,
}

fn router(script: Script) -> Router {
    let started_with = script
        .rules
        .into_iter()
        .zip(0..)
        .map(|(rule, id)| Numbered { id, rule })
        .collect::<Vec<_>>();
    let shared = Shared {
        ids: AtomicU64::new(started_with.len() as u64),
        rules: Mutex::new(Rules {
            added: Vec::new(),
            started_with,
        }),
        fired: Mutex::default(),
        gates: Arc::default(),
        journal: Arc::default(),
        required_key: Mutex::default(),
        run: unix_ms(),
    };
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route(
            "/v1/models",
            get(|| async { Json(json!({"data": [], "has_more": false})) }),
        )
        .route("/", get(|| async { "Model stand-in. See /_control/stats." }))
        .nest("/_control", control::router())
        .fallback(|| async { refuse(&fault(404, "not found")) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(shared))
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) type Ctx = State<Arc<Shared>>;

async fn messages(
    State(shared): Ctx,
    ConnectInfo(line): ConnectInfo<Line>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut entry = entry(&method, &uri, &headers, &body);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        shared.journal.open(entry, body).ended(Outcome::Status(400));
        return refuse(&fault(400, "the body is not JSON"));
    };
    let conversation = Conversation::of(&request);
    describe(&mut entry, &request, &conversation);
    if !shared.admits(&entry) {
        shared.journal.open(entry, body).ended(Outcome::Status(401));
        return refuse(&fault(401, "invalid x-api-key"));
    }
    let Answer { rule, steps } = shared.choose(&entry, &conversation, &body);
    entry.rule = rule;
    let head = Head {
        message_id: format!("msg_{:x}_{}", shared.run, shared.ids.fetch_add(1, Ordering::Relaxed)),
        model: entry.model.clone(),
        input_tokens: body.len() / 4,
    };
    let streamed = entry.stream;
    let mut pending = shared.journal.open(entry, body);
    let begun = match before_headers(steps, &shared.gates, &line, &mut pending).await {
        Ok(steps) => steps,
        Err(fault) => {
            pending.ended(Outcome::Status(fault.status));
            return refuse(&fault);
        }
    };
    if streamed {
        streaming(head, begun, &shared, line, pending)
    } else {
        gathered(head, begun, &shared, line, pending).await
    }
}

/// Plays the steps that come before any content; returns the rest.
async fn before_headers(
    steps: Vec<Step>,
    gates: &Gates,
    line: &Line,
    pending: &mut Pending,
) -> Result<Vec<Step>, Fault> {
    let mut steps = steps.into_iter().peekable();
    while let Some(step) =
        steps.next_if(|step| !matches!(step, Step::Text(_) | Step::Think(_) | Step::Tool(_) | Step::Tools(_)))
    {
        match step {
            Step::Hold(gate) => gates.pass(&gate).await,
            Step::WaitMs(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Error(fault) => return Err(fault),
            Step::Drop(_) => {
                pending.ended(Outcome::Dropped);
                line.cut();
                std::future::pending().await
            }
            Step::Hang(_) => std::future::pending().await,
            stop => return Ok(steps.chain([stop]).collect()),
        }
    }
    Ok(steps.collect())
}

fn streaming(head: Head, steps: Vec<Step>, shared: &Arc<Shared>, line: Line, pending: Pending) -> Response {
    // A small buffer: a client that does not read holds the answer up, as with the real server.
    let (out, events) = mpsc::channel(8);
    tokio::spawn(stream::run(head, steps, shared.gates.clone(), out, line, pending));
    let body =
        Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(events).map(Ok::<_, std::convert::Infallible>));
    (
        [
            (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        body,
    )
        .into_response()
}

async fn gathered(head: Head, steps: Vec<Step>, shared: &Shared, line: Line, mut pending: Pending) -> Response {
    match stream::whole(&head, &steps, &shared.gates).await {
        Some(Ok(message)) => {
            pending.ended(Outcome::Finished);
            Json(message).into_response()
        }
        Some(Err(fault)) => {
            pending.ended(Outcome::Status(fault.status));
            refuse(&fault)
        }
        None => {
            pending.ended(Outcome::Dropped);
            line.cut();
            std::future::pending().await
        }
    }
}

async fn count_tokens(body: Bytes) -> Json<Value> {
    Json(json!({"input_tokens": body.len() / 4}))
}

impl Shared {
    fn admits(&self, entry: &Entry) -> bool {
        let Some(required) = locked(&self.required_key).clone() else {
            return true;
        };
        let header = |name: &str| entry.headers.get(name).map(String::as_str).unwrap_or_default();
        header("x-api-key") == required || header("authorization") == format!("Bearer {required}")
    }

    fn choose(&self, entry: &Entry, conversation: &Conversation, body: &Bytes) -> Answer {
        let rules = locked(&self.rules);
        let body = String::from_utf8_lossy(body);
        let asked = Asked {
            conversation,
            model: &entry.model,
            body: &body,
            session: &entry.session,
        };
        answer::choose(asked, &rules.added, &rules.started_with, &mut locked(&self.fired))
    }
}

fn entry(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Entry {
    let mut entry = Entry {
        method: method.to_string(),
        path: uri.to_string(),
        body_bytes: body.len(),
        ..Entry::default()
    };
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let shown = entry.headers.entry(name.as_str().to_owned()).or_default();
        if !shown.is_empty() {
            shown.push_str(", ");
        }
        shown.push_str(&value);
    }
    entry.session = entry
        .headers
        .get("x-claude-code-session-id")
        .cloned()
        .unwrap_or_default();
    entry
}

fn describe(entry: &mut Entry, request: &Value, conversation: &Conversation) {
    entry.model = request["model"].as_str().unwrap_or_default().to_owned();
    entry.stream = request["stream"].as_bool().unwrap_or(false);
    entry.messages = request["messages"].as_array().map_or(0, Vec::len);
    entry.turns = conversation.turns();
    entry.side_question = conversation.side_question;
    entry.last_user = conversation
        .last_user()
        .unwrap_or_default()
        .chars()
        .take(SHOWN_TEXT)
        .collect();
}

fn fault(status: u16, message: &str) -> Fault {
    Fault {
        status,
        message: Some(message.to_owned()),
        retry_after: None,
        times: 1,
    }
}

fn refuse(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(stream::error_body(fault))).into_response();
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
