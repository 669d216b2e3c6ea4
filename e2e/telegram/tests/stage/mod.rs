//! One emulator with a person, a forum and a topic, and a bot that calls it over HTTP.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "this is test code outside test functions")]

use std::time::Duration;

use longshore_telegram_emulator::{
    Client, Emulator,
    control::ChatChange,
    world::{Rights, Standing},
};
use serde_json::{Value, json};

pub const TOKEN: &str = "4711:secret";
pub const LONG: Duration = Duration::from_secs(30);

pub struct Stage {
    pub emulator: Emulator,
    pub people: Client,
    pub ada: i64,
    pub forum: i64,
    pub thread: i64,
}

impl Stage {
    /// The bot is a plain member; updates of the setup are confirmed.
    pub async fn new() -> Self {
        let emulator = Emulator::local().await.unwrap();
        let people = emulator.client();
        let ada = people.user("Ada").await.unwrap().id;
        let forum = people.forum("Harbour", ada).await.unwrap();
        let thread = people.topic(forum, ada, "Cranes").await.unwrap();
        let stage = Stage {
            emulator,
            people,
            ada,
            forum,
            thread,
        };
        stage.ok("getUpdates", json!({"offset": -1})).await;
        stage.ok("getUpdates", json!({"offset": 1_000_000})).await;
        stage
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.people.bot_api(TOKEN, method, &params).await.unwrap()
    }

    /// The result of a call that must succeed.
    pub async fn ok(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params).await;
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["result"].clone()
    }

    /// The description of a call that must be refused.
    pub async fn refused(&self, method: &str, params: Value) -> String {
        let answer = self.call(method, params).await;
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        let description = answer["description"].as_str().unwrap();
        format!("{} {description}", answer["error_code"])
    }

    /// Sends a text into the topic; returns its id.
    pub async fn send(&self, text: &str) -> i64 {
        let place = json!({"chat_id": self.forum, "message_thread_id": self.thread, "text": text});
        self.ok("sendMessage", place).await["message_id"].as_i64().unwrap()
    }

    pub async fn updates(&self) -> Vec<Value> {
        self.ok("getUpdates", json!({})).await.as_array().unwrap().clone()
    }

    pub async fn make_admin(&self, rights: Rights) {
        let change = ChatChange {
            standing: Some(Standing::Administrator),
            rights: Some(rights),
            ..ChatChange::default()
        };
        self.people.change_chat(self.forum, &change).await.unwrap();
    }
}
