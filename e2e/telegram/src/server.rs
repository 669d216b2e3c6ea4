//! The HTTP of the Bot API, and the state behind it.
//!
//! A call goes: token, parameters, fault, limit, method, log, reply. All state is behind one lock that is never held while
//! waiting; a revision number tells waiters that something has changed.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use longshore_stand_in::{Line, Running};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    calls,
    clock::Clock,
    control::{self, ClockChange, NewChat, NewUser},
    error::{ApiError, ApiResult},
    faults::Kind,
    methods, page,
    params::{MAX_UPLOAD, Params},
    world::{ChatKind, World},
};

/// The longest a poll may hang.
const LONGEST_POLL_SECONDS: i64 = 50;

/// How an emulator starts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The only token accepted; without it, the first well-formed one that is seen.
    pub token: Option<String>,
    /// Start with a person and a forum.
    pub demo: bool,
}

/// The emulator, running until dropped.
#[derive(Debug)]
pub struct Emulator {
    running: Running,
}

impl Emulator {
    pub async fn start(listen: SocketAddr, options: Options) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(options));
        let router = Router::new()
            .nest("/_control", control::routes::router())
            .merge(page::router())
            .fallback(bot_api)
            .layer(DefaultBodyLimit::max(MAX_UPLOAD + (1 << 20)))
            .with_state(shared);
        Ok(Emulator {
            running: longshore_stand_in::serve(listen, router).await?,
        })
    }

    /// On a free loopback port.
    pub async fn local() -> std::io::Result<Self> {
        Self::start(([127, 0, 0, 1], 0).into(), Options::default()).await
    }

    /// For the bot's API URL.
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

/// The world, its clock and its revision.
#[derive(Debug)]
pub struct Shared {
    world: Mutex<World>,
    clock: Mutex<Clock>,
    revision: watch::Sender<u64>,
}

impl Shared {
    fn new(options: Options) -> Self {
        let mut world = World::default();
        if let Some(token) = options.token {
            world.claim(&token);
        }
        if options.demo {
            let user = NewUser {
                id: Some(1_001),
                first_name: "Ada".to_owned(),
                username: Some("ada".to_owned()),
            };
            let ada = world.join(user);
            let forum = NewChat {
                id: None,
                kind: ChatKind::Forum,
                title: "Harbour".to_owned(),
                creator: Some(ada.id),
            };
            let _ = world.found(forum);
        }
        Shared {
            world: Mutex::new(world),
            clock: Mutex::default(),
            revision: watch::channel(1).0,
        }
    }

    pub fn read<T>(&self, look: impl FnOnce(&World, i64) -> T) -> T {
        let now_ms = self.clock().now_ms();
        look(&self.locked(), now_ms)
    }

    pub fn write<T>(&self, change: impl FnOnce(&mut World, i64) -> T) -> T {
        let now_ms = self.clock().now_ms();
        let out = change(&mut self.locked(), now_ms);
        self.revision.send_modify(|revision| *revision += 1);
        out
    }

    fn locked(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn clock(&self) -> Clock {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn turn_clock(&self, change: ClockChange) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(factor) = change.factor {
            clock.set_factor(factor);
        }
        if let Some(shared) = change.shared {
            clock.share(shared);
        }
        if let Some(seconds) = change.advance_seconds {
            clock.advance(Duration::from_secs_f64(seconds));
        }
        drop(clock);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Looks after every change until there is something to find; none when the time is up.
    pub async fn wait<T>(&self, timeout_ms: u64, find: impl Fn(&World) -> Option<T>) -> Option<T> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout_ms);
        let mut revisions = self.revisions();
        loop {
            revisions.mark_unchanged();
            if let Some(found) = self.read(|world, _| find(world)) {
                return Some(found);
            }
            tokio::time::timeout_at(deadline, revisions.changed())
                .await
                .ok()?
                .ok()?;
        }
    }
}

impl World {
    /// Whether this is the bot's token. Without one, the first well-formed token becomes it, and its number the bot's id.
    fn claim(&mut self, token: &str) -> bool {
        if let Some(own) = &self.bot.token {
            return own == token;
        }
        if let Some(id) = token.split_once(':').and_then(|(id, _)| id.parse().ok()) {
            self.bot.id = id;
        }
        self.bot.token = Some(token.to_owned());
        true
    }
}

/// `/bot<token>/<method>` and `/file/bot<token>/<path>`.
async fn bot_api(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let path = request.uri().path().replace("%3A", ":").replace("%3a", ":");
    let (is_file, rest) = match path.strip_prefix("/file/bot") {
        Some(rest) => (true, rest),
        None => (false, path.strip_prefix("/bot").unwrap_or_default()),
    };
    let Some((token, rest)) = rest.split_once('/').filter(|(token, _)| well_formed(token)) else {
        return reply(&Err(ApiError::new(404, "Not Found")));
    };
    // Not a change anybody waits for, so the revision stays.
    if !shared.locked().claim(token) {
        return reply(&Err(ApiError::new(401, "Unauthorized")));
    }
    if is_file {
        return download(&shared, &line, rest).await;
    }
    let method = rest.to_owned();
    match Params::read(request).await {
        Ok(params) => call(&shared, &line, &method, params).await,
        Err(error) => reply(&Err(error)),
    }
}

fn well_formed(token: &str) -> bool {
    let is_secret = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    token.split_once(':').is_some_and(|(id, secret)| {
        !id.is_empty() && id.chars().all(|c| c.is_ascii_digit()) && !secret.is_empty() && secret.chars().all(is_secret)
    })
}

/// The content of a file. Faults hit it by the method name `file`.
async fn download(shared: &Shared, line: &Line, path: &str) -> Response {
    let strike = shared.locked().faults.strike("file", &Params::default());
    match strike {
        Some((id, Kind::HoldBefore | Kind::HoldReply)) => held(shared, id).await,
        Some((_, Kind::DelayMs(ms))) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some((_, Kind::Disconnect | Kind::LostReply)) => return cut(line).await,
        Some((_, Kind::TooManyRequests { retry_after })) => {
            return reply(&Err(ApiError::too_many_requests(retry_after)));
        }
        Some((_, Kind::Status { code, description })) => return reply(&Err(ApiError::new(code, description))),
        None => {}
    }
    let found = shared.read(|world, _| {
        world
            .files
            .values()
            .find(|file| file.path == path)
            .map(|file| file.bytes.clone())
    });
    match found {
        Some(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        None => reply(&Err(ApiError::new(404, "Not Found"))),
    }
}

async fn call(shared: &Shared, line: &Line, method: &str, params: Params) -> Response {
    let at_ms = shared.clock().now_ms();
    let strike = shared.locked().faults.strike(method, &params);
    if strike.is_some() {
        // A test may be waiting for the fault to hit.
        shared.write(|_, _| ());
    }
    let log = |result: &ApiResult, replied: bool, committed: bool| {
        let entry = entry(method, &params, at_ms, result, replied, committed);
        shared.write(|world, _| world.calls.add(entry));
    };
    let (id, kind) = strike.map_or((0, None), |(id, kind)| (id, Some(kind)));
    match &kind {
        Some(Kind::TooManyRequests { retry_after }) => {
            let refused = Err(ApiError::too_many_requests(*retry_after));
            log(&refused, true, false);
            return reply(&refused);
        }
        Some(Kind::Status { code, description }) => {
            let refused = Err(ApiError::new(*code, description.clone()));
            log(&refused, true, false);
            return reply(&refused);
        }
        Some(Kind::Disconnect) => {
            log(&Err(ApiError::new(0, "disconnected")), false, false);
            return cut(line).await;
        }
        Some(Kind::DelayMs(ms)) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Some(Kind::HoldBefore) => held(shared, id).await,
        Some(Kind::LostReply | Kind::HoldReply) | None => {}
    }
    let result = execute(shared, method, &params).await;
    let committed = result.is_ok();
    if kind == Some(Kind::LostReply) {
        log(&result, false, committed);
        return cut(line).await;
    }
    log(&result, true, committed);
    if kind == Some(Kind::HoldReply) {
        held(shared, id).await;
    }
    reply(&result)
}

async fn cut(line: &Line) -> Response {
    line.cut();
    std::future::pending().await
}

/// Returns when the fault has been removed. Ends with the connection at the latest, for then this future is dropped.
async fn held(shared: &Shared, fault: u64) {
    let mut revisions = shared.revisions();
    while shared.read(|world, _| world.faults.all.contains_key(&fault)) {
        if revisions.changed().await.is_err() {
            return;
        }
    }
}

async fn execute(shared: &Shared, method: &str, params: &Params) -> ApiResult {
    if method.eq_ignore_ascii_case("getUpdates") {
        return get_updates(shared, params).await;
    }
    let clock = shared.clock();
    shared.write(|world, now_ms| {
        if let Some(chat) = params.int("chat_id") {
            let is_group = chat < 0;
            let admitted = world.limiter.admit(method, chat, is_group, now_ms);
            admitted
                .map_err(|early| ApiError::too_many_requests(clock.client_seconds(early).ceil().max(1.0) as u64))?;
        }
        methods::run(method, methods::Call { world, params, now_ms })
    })
}

async fn get_updates(shared: &Shared, params: &Params) -> ApiResult {
    let limit = usize::try_from(params.int("limit").unwrap_or(100).clamp(1, 100)).unwrap_or(100);
    let seconds = params.int("timeout").unwrap_or(0).clamp(0, LONGEST_POLL_SECONDS);
    let allowed = params.json("allowed_updates")?;
    let generation = shared.write(|world, _| {
        if world.webhook.is_some() {
            return Err(ApiError::conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            ));
        }
        if let Some(kinds) = allowed.as_ref().and_then(Value::as_array) {
            world
                .queue
                .allow(kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        }
        Ok(world.queue.begin_poll(params.int("offset").unwrap_or(0)))
    })?;
    let ready = |world: &World| -> Option<ApiResult> {
        // What is there goes out even to two pollers; only one that has to hang is replaced.
        let updates = world.queue.take(limit);
        if !updates.is_empty() {
            return Some(Ok(json!(updates)));
        }
        world.queue.still_polling(generation).err().map(Err)
    };
    let timeout_ms = u64::try_from(seconds).unwrap_or(0) * 1_000;
    shared.wait(timeout_ms, ready).await.unwrap_or_else(|| Ok(json!([])))
}

fn entry(method: &str, params: &Params, at_ms: i64, result: &ApiResult, replied: bool, committed: bool) -> calls::Call {
    let mut shown = params.values.clone();
    for (name, upload) in &params.files {
        shown.insert(
            name.clone(),
            json!({"file_name": upload.name, "size": upload.bytes.len()}),
        );
    }
    let (code, description) = match result {
        Ok(_) => (200, String::new()),
        Err(error) => (error.code, error.description.clone()),
    };
    let is_poll = method.eq_ignore_ascii_case("getUpdates");
    let shown_result = result.as_ref().ok().filter(|_| !is_poll).cloned().unwrap_or_default();
    calls::Call {
        seq: 0,
        at_ms,
        method: method.to_owned(),
        params: Value::Object(shown),
        ok: replied && result.is_ok(),
        code: if replied { code } else { 0 },
        description,
        result: shown_result,
        committed,
    }
}

fn reply(result: &ApiResult) -> Response {
    let error = match result {
        Ok(result) => return Json(json!({"ok": true, "result": result})).into_response(),
        Err(error) => error,
    };
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        // What answers then is a proxy in front of the servers, in HTML.
        return (
            status,
            Html(format!("<html><body>{status}: {}</body></html>", error.description)),
        )
            .into_response();
    }
    let mut response = (status, Json(error.body())).into_response();
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
