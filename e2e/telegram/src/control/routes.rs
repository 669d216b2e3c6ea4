//! The HTTP of the control API. Answers JSON; 404 for what does not exist, 400 for what is impossible.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post, put},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    BotChange, ChatChange, ChatSummary, ClockChange, ControlError, Edit, Forward, NewChat, NewTopic, NewUser, Overview,
    Post, Posted, Press, Reaction, TopicChange, Upgrade, Upload,
    inbox::{InboxEntry, Read},
    missing,
    view::{Conversation, Shown, Wanted},
};
use crate::{
    calls::Call,
    faults::Fault,
    limits::Limits,
    server::Shared,
    updates::Backlog,
    world::{Callback, User, World},
};

type Ctx = State<Arc<Shared>>;
type Answer<T> = Result<Json<T>, ControlError>;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            ControlError::Missing(_) => StatusCode::NOT_FOUND,
            ControlError::Impossible(_) => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}

pub fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/state", get(state))
        .route("/changes", get(changes))
        .route("/wait", get(wait))
        .route("/inbox", get(inbox))
        .route("/bot", post(change_bot))
        .route("/users", post(add_user))
        .route("/chats", post(add_chat))
        .route("/chats/{chat}", patch(change_chat))
        .route("/chats/{chat}/upgrade", post(upgrade))
        .route("/chats/{chat}/topics", post(add_topic))
        .route("/chats/{chat}/topics/{thread}", patch(change_topic))
        .route("/chats/{chat}/messages", post(write).get(messages))
        .route("/chats/{chat}/messages/{message}", patch(edit).delete(unsay))
        .route("/chats/{chat}/messages/{message}/forward", post(forward))
        .route("/chats/{chat}/messages/{message}/press", post(press))
        .route("/chats/{chat}/messages/{message}/react", post(react))
        .route("/chats/{chat}/read", put(mark_read))
        .route("/chats/{chat}/files", post(upload))
        .route("/files/{id}", get(file))
        .route("/callbacks/{id}", get(callback))
        .route("/calls", get(calls).delete(clear_calls))
        .route("/updates", post(inject).get(backlog))
        .route("/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/faults/{id}", get(fault).merge(delete(remove_fault)))
        .route("/limits", put(set_limits).get(limits))
        .route("/clock", put(set_clock).get(clock))
}

async fn state(State(shared): Ctx) -> Json<Overview> {
    let revision = shared.revision();
    Json(shared.read(|world, _| world.overview(revision)))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    timeout_ms: u64,
}

/// Answers when something has changed since a revision, or when the time is up.
async fn changes(State(shared): Ctx, Query(since): Query<Since>) -> Json<Value> {
    let changed = |revision: &u64| *revision > since.after;
    let mut revisions = shared.revisions();
    let _ = tokio::time::timeout(Duration::from_millis(since.timeout_ms), revisions.wait_for(changed)).await;
    Json(json!({"revision": shared.revision()}))
}

#[derive(Deserialize)]
struct Reader {
    user: i64,
}

async fn inbox(State(shared): Ctx, Query(reader): Query<Reader>) -> Json<Vec<InboxEntry>> {
    Json(shared.read(|world, _| world.inbox(reader.user)))
}

async fn mark_read(
    State(shared): Ctx,
    Path(chat): Path<i64>,
    Json(read): Json<Read>,
) -> Result<StatusCode, ControlError> {
    shared.write(|world, _| world.mark_read(chat, read))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_bot(State(shared): Ctx, Json(change): Json<BotChange>) -> Json<Value> {
    shared.write(|world, _| {
        let bot = &mut world.bot;
        bot.username = change.username.unwrap_or_else(|| bot.username.clone());
        bot.token = change.token.or_else(|| bot.token.clone());
        bot.privacy = change.privacy.unwrap_or(bot.privacy);
        bot.can_join_groups = change.can_join_groups.unwrap_or(bot.can_join_groups);
        bot.has_topics_enabled = change.has_topics_enabled.unwrap_or(bot.has_topics_enabled);
        Json(json!(bot))
    })
}

async fn add_user(State(shared): Ctx, Json(new): Json<NewUser>) -> Json<User> {
    Json(shared.write(|world, _| world.join(new)))
}

async fn add_chat(State(shared): Ctx, Json(new): Json<NewChat>) -> Answer<ChatSummary> {
    shared
        .write(|world, _| world.found(new).map(ChatSummary::from))
        .map(Json)
}

async fn change_chat(
    State(shared): Ctx,
    Path(chat): Path<i64>,
    Json(change): Json<ChatChange>,
) -> Result<StatusCode, ControlError> {
    shared.write(|world, _| world.change_chat(chat, change))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upgrade(State(shared): Ctx, Path(chat): Path<i64>, Json(upgrade): Json<Upgrade>) -> Answer<ChatSummary> {
    shared
        .write(|world, now| world.upgrade(chat, upgrade, now).map(ChatSummary::from))
        .map(Json)
}

async fn add_topic(State(shared): Ctx, Path(chat): Path<i64>, Json(new): Json<NewTopic>) -> Answer<Posted> {
    shared.write(|world, now| world.open_topic(chat, new, now)).map(Json)
}

async fn change_topic(
    State(shared): Ctx,
    Path((chat, thread)): Path<(i64, i64)>,
    Json(change): Json<TopicChange>,
) -> Result<StatusCode, ControlError> {
    shared.write(|world, now| world.change_topic(chat, thread, change, now))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn write(State(shared): Ctx, Path(chat): Path<i64>, Json(post): Json<Post>) -> Answer<Posted> {
    shared.write(|world, now| world.write(chat, post, now)).map(Json)
}

async fn messages(State(shared): Ctx, Path(chat): Path<i64>, Query(wanted): Query<Wanted>) -> Answer<Conversation> {
    let revision = shared.revision();
    shared.read(|world, now| {
        let chat = world.chats.get(&chat).ok_or_else(|| missing("chat", chat))?;
        Ok(Json(world.conversation(chat, &wanted, now, revision)))
    })
}

/// Query of [`wait`], beside the fields of [`Wanted`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Awaited {
    pub chat: i64,
    #[serde(default)]
    pub timeout_ms: u64,
}

/// The first matching message of the bot, once there is one; 504 when the time is up.
async fn wait(
    State(shared): Ctx,
    Query(awaited): Query<Awaited>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Shown>, Response> {
    let wanted = Wanted { bot: true, ..wanted };
    let find = |world: &World| -> Result<Option<Shown>, ControlError> {
        let chat = world
            .chats
            .get(&awaited.chat)
            .ok_or_else(|| missing("chat", awaited.chat))?;
        Ok(world.messages(chat, &wanted).into_iter().next())
    };
    let found = shared.wait(awaited.timeout_ms, |world| find(world).transpose()).await;
    match found {
        Some(Ok(shown)) => Ok(Json(shown)),
        Some(Err(error)) => Err(error.into_response()),
        None => Err(timed_out()),
    }
}

fn timed_out() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "nothing of the kind came in time\n").into_response()
}

async fn edit(State(shared): Ctx, Path((chat, message)): Path<(i64, i64)>, Json(edit): Json<Edit>) -> Answer<Posted> {
    shared
        .write(|world, now| world.edit(chat, message, &edit, now))
        .map(Json)
}

async fn unsay(State(shared): Ctx, Path((chat, message)): Path<(i64, i64)>) -> Result<StatusCode, ControlError> {
    shared.write(|world, now| world.unsay(chat, message, now))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forward(
    State(shared): Ctx,
    Path((chat, message)): Path<(i64, i64)>,
    Json(forward): Json<Forward>,
) -> Answer<Posted> {
    shared
        .write(|world, now| world.forward(chat, message, forward, now))
        .map(Json)
}

async fn press(
    State(shared): Ctx,
    Path((chat, message)): Path<(i64, i64)>,
    Json(press): Json<Press>,
) -> Answer<Callback> {
    shared
        .write(|world, now| world.press(chat, message, &press, now))
        .map(Json)
}

async fn react(
    State(shared): Ctx,
    Path((chat, message)): Path<(i64, i64)>,
    Json(reaction): Json<Reaction>,
) -> Result<StatusCode, ControlError> {
    shared.write(|world, now| world.react(chat, message, &reaction, now))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload(
    State(shared): Ctx,
    Path(chat): Path<i64>,
    Query(upload): Query<Upload>,
    bytes: Bytes,
) -> Answer<Posted> {
    shared
        .write(|world, now| world.upload(chat, upload, bytes, now))
        .map(Json)
}

async fn file(State(shared): Ctx, Path(id): Path<String>) -> Result<Response, ControlError> {
    let file = shared
        .read(|world, _| world.files.get(&id).cloned())
        .ok_or_else(|| missing("file", id))?;
    let headers = [
        (header::CONTENT_TYPE, file.mime.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A page that somebody sends must not act in the name of ours.
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    Ok((headers, file.bytes).into_response())
}

#[derive(Deserialize)]
struct Patience {
    #[serde(default)]
    timeout_ms: u64,
}

/// A press, once it is answered or the time is up.
async fn callback(State(shared): Ctx, Path(id): Path<String>, Query(patience): Query<Patience>) -> Answer<Callback> {
    shared
        .wait(patience.timeout_ms, |world| world.callbacks.get(&id)?.answer.clone())
        .await;
    shared
        .read(|world, _| world.callbacks.get(&id).cloned())
        .map(Json)
        .ok_or_else(|| missing("callback", id))
}

/// Which calls are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WantedCalls {
    /// Of this method, in any case; absent: all but `getUpdates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<i64>,
    pub after: u64,
    /// Only those that failed.
    pub failed: bool,
}

async fn calls(State(shared): Ctx, Query(wanted): Query<WantedCalls>) -> Json<Vec<Call>> {
    let matches = |call: &&Call| {
        let method = match &wanted.method {
            Some(method) => method.eq_ignore_ascii_case(&call.method),
            None => !call.method.eq_ignore_ascii_case("getUpdates"),
        };
        let chat = &call.params["chat_id"];
        let chat = chat.as_i64().or_else(|| chat.as_str()?.parse().ok());
        method
            && call.seq > wanted.after
            && (!wanted.failed || !call.ok)
            && (wanted.chat.is_none() || wanted.chat == chat)
    };
    Json(shared.read(|world, _| world.calls.iter().filter(matches).cloned().collect()))
}

async fn clear_calls(State(shared): Ctx) -> StatusCode {
    shared.write(|world, _| world.calls.clear());
    StatusCode::NO_CONTENT
}

async fn inject(State(shared): Ctx, Json(update): Json<Value>) -> Answer<Value> {
    if !update.is_object() {
        return Err(ControlError::Impossible("an update is an object".to_owned()));
    }
    Ok(Json(
        json!({"update_id": shared.write(|world, _| world.queue.push_raw(update))}),
    ))
}

async fn backlog(State(shared): Ctx) -> Json<Backlog> {
    Json(shared.read(|world, _| world.queue.backlog()))
}

async fn add_fault(State(shared): Ctx, Json(fault): Json<Fault>) -> Json<Value> {
    let id = shared.write(|world, _| {
        let id = world.fresh_id();
        world.faults.all.insert(id, fault);
        id
    });
    Json(json!({"id": id}))
}

async fn list_faults(State(shared): Ctx) -> Json<std::collections::BTreeMap<u64, Fault>> {
    Json(shared.read(|world, _| world.faults.all.clone()))
}

/// A fault, once it has hit its last call or the time is up.
async fn fault(State(shared): Ctx, Path(id): Path<u64>, Query(patience): Query<Patience>) -> Answer<Fault> {
    let spent = |world: &World| {
        world
            .faults
            .all
            .get(&id)
            .is_none_or(|fault| fault.hit >= fault.times)
            .then_some(())
    };
    shared.wait(patience.timeout_ms, spent).await;
    shared
        .read(|world, _| world.faults.all.get(&id).cloned())
        .map(Json)
        .ok_or_else(|| missing("fault", id))
}

async fn remove_fault(State(shared): Ctx, Path(id): Path<u64>) -> StatusCode {
    shared.write(|world, _| world.faults.all.remove(&id));
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(shared): Ctx) -> StatusCode {
    shared.write(|world, _| world.faults.all.clear());
    StatusCode::NO_CONTENT
}

async fn set_limits(State(shared): Ctx, Json(limits): Json<Limits>) -> Json<Limits> {
    shared.write(|world, _| world.limiter.limits = limits.clone());
    Json(limits)
}

async fn limits(State(shared): Ctx) -> Json<Limits> {
    Json(shared.read(|world, _| world.limiter.limits.clone()))
}

async fn set_clock(State(shared): Ctx, Json(change): Json<ClockChange>) -> Answer<Value> {
    let is_positive = |number: f64| number.is_finite() && number > 0.0;
    if ![change.factor, change.advance_seconds]
        .into_iter()
        .flatten()
        .all(is_positive)
    {
        return Err(ControlError::Impossible("the clock goes forward only".to_owned()));
    }
    shared.turn_clock(change);
    Ok(clock(State(shared)).await)
}

async fn clock(State(shared): Ctx) -> Json<Value> {
    let clock = shared.clock();
    Json(json!({"now_ms": clock.now_ms(), "factor": clock.factor()}))
}
