//! The control API: rules, gates, the journal, the required key.
//!
//! Open to anyone who can reach it: this is a test server.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    answer::Numbered,
    gate::Gate,
    journal::{Entry, Outcome},
    script::{Rule, Script},
    server::{Ctx, Shared, locked},
};

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/rules", post(add_rules).get(list_rules).delete(clear_rules))
        .route("/gates", get(list_gates).delete(clear_gates))
        .route("/gates/{name}", get(wait_at_gate))
        .route("/gates/{name}/open", post(open_gate))
        .route("/gates/{name}/close", post(close_gate))
        .route("/requests", get(list_requests).merge(delete(clear_requests)))
        .route("/auth", post(set_auth))
        .route("/stats", get(stats))
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
