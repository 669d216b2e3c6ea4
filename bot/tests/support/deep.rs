//! A session that somebody started in the chat, with a stand-in for its runner; tests play the operator.

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{Approval, ApprovalKind};
use longshore_wire::event::Event;
use serde_json::{Value, json};

use super::runner::Runner;
use super::{Stage, condition};

/// A session that Ada has started, with its runner.
pub struct Deep {
    pub stage: Stage,
    pub thread: i64,
    pub first: i64,
    pub name: String,
    pub runner: Runner,
    pub endpoint: String,
}

impl Deep {
    pub async fn start() -> Self {
        Self::start_on(Stage::play().await).await
    }

    /// On a stage where the bot runs already.
    pub async fn ready_on(stage: Stage) -> Self {
        let deep = Self::start_on(stage).await;
        deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
        deep
    }

    async fn start_on(stage: Stage) -> Self {
        let thread = stage.topic("Deep").await;
        let first = stage.say(thread, "/deep fix the build").await;
        let name = stage.name(thread, first);
        let (runner, endpoint) = Runner::start().await;
        stage.api.wait("persistentsessions", &name, |_| true).await;
        Self {
            stage,
            thread,
            first,
            name,
            runner,
            endpoint,
        }
    }

    pub async fn ready() -> Self {
        let deep = Self::start().await;
        deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
        deep
    }

    pub fn id(&self, message: i64) -> MessageId {
        MessageId::from_telegram(self.stage.forum, message)
    }

    pub async fn posted(&self, message: i64) {
        let id = self.id(message);
        self.runner
            .wait("the message", |state| state.posted.iter().any(|posted| posted.id == id))
            .await;
    }

    fn status(&self, phase: &str, endpoint: Value, conditions: Value) {
        let status = json!({"phase": phase, "endpoint": endpoint, "startTime": "2026-01-01T00:00:00Z", "conditions": conditions});
        self.stage
            .api
            .merge("persistentsessions", &self.name, json!({ "status": status }));
    }

    /// The operator has begun to suspend the session.
    pub fn suspending(&self) {
        self.status("Suspending", Value::Null, json!([]));
    }

    /// The operator has suspended the session, at this second.
    pub fn suspended(&self, reason: &str, second: u32) {
        let mut suspended = condition("Suspended", "True", reason, "");
        suspended["lastTransitionTime"] = json!(format!("2026-01-01T00:00:{second:02}Z"));
        self.status("Suspended", Value::Null, json!([suspended]));
    }

    /// The operator has seen that the session shall wake up.
    pub fn woken(&self) {
        let status = json!({"phase": "Starting", "observedWake": self.wish(), "conditions": []});
        self.stage
            .api
            .merge("persistentsessions", &self.name, json!({ "status": status }));
    }

    /// The session takes messages again.
    pub fn back(&self) {
        self.status("Running", json!(self.endpoint), json!([]));
    }

    /// What the session shall wake up for.
    pub fn wish(&self) -> Value {
        let session = self.stage.api.get("persistentsessions", &self.name).unwrap();
        session["metadata"]["annotations"]["longshore.dev/wake"].clone()
    }

    /// Waits until the session shall wake up for this message.
    pub async fn wished(&self, message: i64) {
        let wish = json!(self.id(message).to_string());
        let is = |session: &Value| session["metadata"]["annotations"]["longshore.dev/wake"] == wish;
        self.stage.api.wait("persistentsessions", &self.name, is).await;
    }

    /// How often the session was patched.
    pub fn patches(&self) -> usize {
        let patch = format!("PATCH persistentsessions/{}", self.name);
        self.stage.api.writes().iter().filter(|write| **write == patch).count()
    }

    /// The first turn, answered.
    pub async fn greeted() -> Self {
        let deep = Self::ready().await;
        deep.runner.turn(1, &[deep.id(deep.first)], "Fixed.");
        deep.stage.sees(deep.thread, "Fixed.").await;
        deep
    }
}

/// A prompt of claude's.
pub fn approval(id: &str, kind: ApprovalKind, tool: &str, input: Value) -> Event {
    let approval = Approval {
        summary: "summary".into(),
        expires_at: Timestamp::now() + jiff::SignedDuration::from_mins(30),
        ..Approval::new(id, kind, tool, input)
    };
    Event::Approval { turn: 1, approval }
}
