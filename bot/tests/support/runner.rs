//! A runner as the bot sees it: takes messages once per id, streams what a test tells it to, keeps what the bot decides.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt;
use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{Ack, Decision, Interrupt, Interrupted, MessageAccepted, PostMessage, Settings, Usage};
use longshore_wire::event::{Event, Preview, Record, ToolState};
use longshore_wire::token::topic_token;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use uuid::Uuid;

#[derive(Clone)]
pub struct Runner {
    state: Arc<watch::Sender<Seen>>,
    token: Arc<Mutex<String>>,
}

#[derive(Clone, Default)]
pub struct Seen {
    /// Events as they are sent, the first under sequence 1.
    pub records: Vec<String>,
    pub previews: Vec<Preview>,
    pub posted: Vec<PostMessage>,
    pub acked: u64,
    pub decisions: Vec<(String, Decision)>,
    pub interrupts: usize,
    /// Interrupts that also dropped what waited.
    pub dropped: usize,
    /// Settings as they were taken.
    pub settings: Vec<Settings>,
    /// Settings come too early so often before they are taken.
    pub unset: usize,
    /// What it says about itself; it does not answer without.
    pub status: Option<Value>,
    /// How many streams were ever opened.
    pub streams: usize,
    /// Streams end when this changes.
    pub cut: usize,
    /// Takes no decisions.
    pub undecided: bool,
    /// Answers with 503 so often before it takes messages.
    pub busy: usize,
    /// Files that claude has sent, as they are served.
    pub files: BTreeMap<Uuid, Vec<u8>>,
    /// How often one was asked for, and which of them were taken.
    pub fetches: usize,
    pub taken: Vec<Uuid>,
    /// Files are promised and do not come.
    pub holds_files: bool,
    /// Winds down (503) or has wound down (409).
    pub winding_down: Option<StatusCode>,
}

impl Runner {
    pub async fn start() -> (Self, String) {
        let runner = Self {
            state: Arc::new(watch::Sender::new(Seen::default())),
            token: Arc::default(),
        };
        let routes = Router::new()
            .route("/v1/messages", post(messages))
            .route("/v1/events", get(events))
            .route("/v1/ack", post(ack))
            .route("/v1/interrupt", post(interrupt))
            .route("/v1/approvals/{id}", post(decide))
            .route("/v1/files/{id}", get(file).delete(taken))
            .route("/v1/settings", post(settings))
            .route("/v1/status", get(status))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(runner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (runner, endpoint)
    }

    pub fn let_in(&self, topic_uid: &str) {
        *self.token.lock().unwrap() = topic_token(super::api::KEY, topic_uid);
    }

    pub fn change(&self, change: impl FnOnce(&mut Seen)) {
        self.state.send_modify(change);
    }

    pub fn emit(&self, event: Event) {
        self.change(|state| {
            let record = Record {
                seq: state.records.len() as u64 + 1,
                at: Timestamp::now(),
                event,
            };
            state.records.push(serde_json::to_string(&record).unwrap());
        });
    }

    /// An event of a kind that only newer runners know.
    pub fn emit_unheard_of(&self) {
        self.change(|state| {
            let seq = state.records.len() + 1;
            let record = json!({"seq": seq, "at": Timestamp::UNIX_EPOCH, "type": "unheard_of", "level": 7});
            state.records.push(record.to_string());
        });
    }

    /// Something that is shown now, to who listens, and never again.
    pub async fn show(&self, preview: Preview) {
        self.wait("a listener", |state| state.streams > 0).await;
        self.change(|state| state.previews.push(preview));
    }

    pub async fn preview(&self, turn: u64, text: &str) {
        let text = text.into();
        self.show(Preview::TextDelta { turn, block: 0, text }).await;
    }

    /// A tool begins.
    pub fn tool(&self, turn: u64, id: &str, name: &str, summary: &str) {
        self.emit(Event::Tool {
            turn,
            id: id.into(),
            name: name.into(),
            summary: summary.into(),
            state: ToolState::Started,
        });
    }

    pub fn turn(&self, turn: u64, ids: &[MessageId], text: &str) {
        self.emit(Event::TurnStarted {
            turn,
            message_ids: ids.to_vec(),
        });
        self.emit(Event::Text {
            turn,
            block: 0,
            text: text.into(),
        });
        self.finish(turn, ids);
    }

    pub fn finish(&self, turn: u64, ids: &[MessageId]) {
        self.emit(Event::TurnFinished {
            turn,
            message_ids: ids.to_vec(),
            is_error: false,
            terminal_reason: "completed".into(),
            error: None,
            usage: Usage::default(),
        });
    }

    pub async fn wait(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Seen {
        let mut state = self.state.subscribe();
        super::in_time(what, async {
            state.wait_for(|state| holds(state)).await.unwrap().clone()
        })
        .await
    }

    fn refuses(&self, headers: &HeaderMap) -> Option<Response> {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let right = format!("Bearer {}", self.token.lock().unwrap());
        (given != right).then(|| problem(StatusCode::UNAUTHORIZED))
    }
}

fn problem(status: StatusCode) -> Response {
    (status, Json(json!({"error": "Test", "message": "not now"}))).into_response()
}

async fn messages(State(runner): State<Runner>, headers: HeaderMap, Json(message): Json<PostMessage>) -> Response {
    if let Some(refusal) = runner.refuses(&headers) {
        return refusal;
    }
    let mut busy = false;
    let mut winding_down = None;
    runner.change(|state| {
        winding_down = state.winding_down;
        if winding_down.is_some() {
            return;
        }
        busy = state.busy > 0;
        if busy {
            state.busy -= 1;
        } else {
            state.posted.push(message.clone());
        }
    });
    if let Some(status) = winding_down {
        let error = if status == StatusCode::CONFLICT {
            "Ended"
        } else {
            "Quiescing"
        };
        return (status, Json(json!({"error": error, "message": "not any more"}))).into_response();
    }
    if busy {
        return problem(StatusCode::SERVICE_UNAVAILABLE);
    }
    (StatusCode::ACCEPTED, Json(MessageAccepted { id: message.id, seq: 1 })).into_response()
}

async fn events(
    State(runner): State<Runner>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if let Some(refusal) = runner.refuses(&headers) {
        return refusal;
    }
    let mut sent = query["after"].parse::<u64>().unwrap();
    let receiver = runner.state.subscribe();
    let (cut, mut shown) = (receiver.borrow().cut, receiver.borrow().previews.len());
    runner.change(|state| state.streams += 1);
    let stream = WatchStream::new(receiver)
        .take_while(move |state| std::future::ready(state.cut == cut))
        .flat_map(move |state| {
            let mut events = Vec::new();
            for (before, record) in state.records.iter().enumerate().skip(sent as usize) {
                let seq = before + 1;
                events.push(Ok::<_, Infallible>(Sse::default().id(seq.to_string()).data(record)));
            }
            sent = sent.max(state.records.len() as u64);
            for preview in state.previews.iter().skip(shown) {
                events.push(Ok(Sse::default().data(serde_json::to_string(preview).unwrap())));
            }
            shown = state.previews.len();
            futures::stream::iter(events)
        });
    axum::response::Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response()
}

async fn ack(State(runner): State<Runner>, Json(Ack { seq }): Json<Ack>) -> StatusCode {
    runner.change(|state| state.acked = state.acked.max(seq));
    StatusCode::NO_CONTENT
}

async fn file(State(runner): State<Runner>, headers: HeaderMap, Path(id): Path<Uuid>) -> Response {
    if let Some(refusal) = runner.refuses(&headers) {
        return refusal;
    }
    runner.change(|state| state.fetches += 1);
    let (holds, file) = {
        let state = runner.state.borrow();
        (state.holds_files, state.files.get(&id).cloned())
    };
    match file {
        Some(_) if holds => std::future::pending().await,
        Some(file) => file.into_response(),
        None => problem(StatusCode::NOT_FOUND),
    }
}

async fn taken(State(runner): State<Runner>, Path(id): Path<Uuid>) -> StatusCode {
    runner.change(|state| state.taken.push(id));
    StatusCode::NO_CONTENT
}

async fn interrupt(
    State(runner): State<Runner>,
    Json(Interrupt { cancel_queued }): Json<Interrupt>,
) -> Json<Interrupted> {
    runner.change(|state| {
        state.interrupts += 1;
        state.dropped += usize::from(cancel_queued);
    });
    let id = MessageId::from_telegram(1, 1);
    Json(Interrupted {
        stopped: vec![id],
        cancelled: if cancel_queued { vec![id] } else { Vec::new() },
        ..Interrupted::default()
    })
}

/// Refuses models whose name begins with `no-such`.
async fn settings(State(runner): State<Runner>, headers: HeaderMap, Json(settings): Json<Settings>) -> Response {
    if let Some(refusal) = runner.refuses(&headers) {
        return refusal;
    }
    let mut early = false;
    runner.change(|state| {
        early = state.unset > 0;
        state.unset -= usize::from(early);
    });
    if early {
        return problem(StatusCode::SERVICE_UNAVAILABLE);
    }
    if settings
        .model
        .as_ref()
        .is_some_and(|model| model.starts_with("no-such"))
    {
        let problem = json!({"error": "Invalid", "message": "There's an issue with the selected model"});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response();
    }
    runner.change(|state| state.settings.push(settings));
    StatusCode::NO_CONTENT.into_response()
}

async fn status(State(runner): State<Runner>, headers: HeaderMap) -> Response {
    if let Some(refusal) = runner.refuses(&headers) {
        return refusal;
    }
    let status = runner.state.borrow().status.clone();
    match status {
        Some(status) => Json(status).into_response(),
        None => std::future::pending().await,
    }
}

async fn decide(State(runner): State<Runner>, Path(id): Path<String>, Json(decision): Json<Decision>) -> Response {
    if runner.state.borrow().undecided {
        return problem(StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut known = false;
    runner.change(|state| {
        known = !state.decisions.iter().any(|(decided, _)| *decided == id);
        if known {
            state.decisions.push((id, decision));
        }
    });
    if known {
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::NOT_FOUND)
    }
}
