//! The HTTP of the stand-in: the Messages API under `/v1`, its control under `/_control`.
//!
//! Owns the state that outlives a request. The control API is open to anyone who can reach it: this is a test server.

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
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use bytes::Bytes;
use futures::StreamExt;
use longshore_stand_in::{Line, Running};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    answer::{self, Answer, Asked, Fired, Numbered},
    conversation::Conversation,
    gate::{Gate, Gates},
    journal::{Entry, Journal, Outcome, Pending, unix_ms},
    script::{Fault, Rule, Script, Step},
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
struct Shared {
    rules: Mutex<Rules>,
    fired: Mutex<Fired>,
    gates: Arc<Gates>,
    journal: Arc<Journal>,
    required_key: Mutex<Option<String>>,
    ids: AtomicU64,
    /// Makes message ids differ between two runs of this server: a resumed session has seen the earlier ones.
    run: u64,
}

#[derive(Debug, Default)]
struct Rules {
    added: Vec<Numbered>,
    started_with: Vec<Numbered>,
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
        .route("/_control/rules", post(add_rules).get(list_rules).delete(clear_rules))
        .route("/_control/gates", get(list_gates).delete(clear_gates))
        .route("/_control/gates/{name}", get(wait_at_gate))
        .route("/_control/gates/{name}/open", post(open_gate))
        .route("/_control/gates/{name}/close", post(close_gate))
        .route("/_control/requests", get(list_requests).merge(delete(clear_requests)))
        .route("/_control/auth", post(set_auth))
        .route("/_control/stats", get(stats))
        .fallback(|| async { refuse(&fault(404, "not found")) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(shared))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Ctx = State<Arc<Shared>>;

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

/// `{"rules": [...]}`, a bare list, or one rule.
enum NewRules {
    Script(Script),
    List(Vec<Rule>),
    One(Rule),
}

async fn add_rules(State(shared): Ctx, body: Bytes) -> Response {
    let new = match serde_json::from_slice::<Value>(&body) {
        // Told apart by hand: an untagged enum would hide which field is wrong.
        Ok(value) if value.is_array() => serde_json::from_value(value).map(NewRules::List),
        Ok(value) if value.get("rules").is_some() => serde_json::from_value(value).map(NewRules::Script),
        Ok(value) => serde_json::from_value(value).map(NewRules::One),
        Err(error) => Err(error),
    };
    let new = match new {
        Ok(NewRules::Script(script)) => script.rules,
        Ok(NewRules::List(rules)) => rules,
        Ok(NewRules::One(rule)) => vec![rule],
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a rule: {error}\n")).into_response(),
    };
    let numbered = new.into_iter().map(|rule| Numbered {
        id: shared.ids.fetch_add(1, Ordering::Relaxed),
        rule,
    });
    let mut rules = locked(&shared.rules);
    let earlier = std::mem::take(&mut rules.added);
    rules.added = numbered.chain(earlier).collect();
    Json(json!({"added": rules.added.len()})).into_response()
}

async fn list_rules(State(shared): Ctx) -> Json<Script> {
    let rules = locked(&shared.rules);
    Json(Script {
        rules: rules
            .added
            .iter()
            .chain(&rules.started_with)
            .map(|numbered| numbered.rule.clone())
            .collect(),
    })
}

async fn clear_rules(State(shared): Ctx) -> StatusCode {
    locked(&shared.rules).added.clear();
    StatusCode::NO_CONTENT
}

async fn list_gates(State(shared): Ctx) -> Json<Value> {
    Json(json!(shared.gates.all()))
}

async fn clear_gates(State(shared): Ctx) -> StatusCode {
    shared.gates.clear();
    StatusCode::NO_CONTENT
}

async fn open_gate(State(shared): Ctx, Path(name): Path<String>) -> StatusCode {
    shared.gates.set(&name, true);
    StatusCode::NO_CONTENT
}

async fn close_gate(State(shared): Ctx, Path(name): Path<String>) -> StatusCode {
    shared.gates.set(&name, false);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct AtGate {
    #[serde(default)]
    waiting: usize,
    #[serde(default)]
    timeout_ms: u64,
}

async fn wait_at_gate(
    State(shared): Ctx,
    Path(name): Path<String>,
    Query(at): Query<AtGate>,
) -> Result<Json<Gate>, StatusCode> {
    let held = shared.gates.held(&name, at.waiting);
    let wait = Duration::from_millis(at.timeout_ms.max(1));
    tokio::time::timeout(wait, held)
        .await
        .map(Json)
        .map_err(|_| StatusCode::GATEWAY_TIMEOUT)
}

/// Which entries of the journal are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Only entries with a higher number.
    pub after: u64,
    /// Only entries whose last user text contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Only entries of this CLI session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// 1: with bodies.
    pub full: u8,
    /// Wait so long for a first match; the answer is an empty list when there is none.
    pub timeout_ms: u64,
}

async fn list_requests(State(shared): Ctx, Query(wanted): Query<Wanted>) -> Json<Vec<Entry>> {
    let mut changes = shared.journal.changes();
    let matching = || {
        let entries = shared.journal.entries(wanted.full > 0).into_iter();
        let kept = entries.filter(|entry| {
            entry.seq > wanted.after
                && wanted
                    .contains
                    .as_ref()
                    .is_none_or(|text| entry.last_user.contains(text.as_str()))
                && wanted.session.as_ref().is_none_or(|session| &entry.session == session)
        });
        kept.collect::<Vec<_>>()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(wanted.timeout_ms);
    loop {
        let found = matching();
        if !found.is_empty() || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return Json(found);
        }
    }
}

async fn clear_requests(State(shared): Ctx) -> StatusCode {
    shared.journal.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Auth {
    /// The key every request must carry; null lets all in.
    require: Option<String>,
}

async fn set_auth(State(shared): Ctx, Json(auth): Json<Auth>) -> StatusCode {
    *locked(&shared.required_key) = auth.require;
    StatusCode::NO_CONTENT
}

/// Counts over the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub requests: usize,
    pub running: usize,
    pub finished: usize,
    pub refused: usize,
    pub dropped: usize,
    pub aborted: usize,
}

async fn stats(State(shared): Ctx) -> Json<Stats> {
    let mut stats = Stats::default();
    for entry in shared.journal.entries(false) {
        stats.requests += 1;
        match entry.outcome {
            Outcome::Running => stats.running += 1,
            Outcome::Finished => stats.finished += 1,
            Outcome::Status(_) => stats.refused += 1,
            Outcome::Dropped => stats.dropped += 1,
            Outcome::Aborted => stats.aborted += 1,
        }
    }
    Json(stats)
}
