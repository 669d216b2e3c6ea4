//! A stage for the bot: the real program, the Telegram emulator, and stand-ins for the API server and a runner.
#![allow(dead_code)]

pub mod api;
pub mod deep;
pub mod pieces;
pub mod runner;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longshore_telegram_emulator::control::view::Shown;
use longshore_telegram_emulator::control::{ChatChange, ClockChange, routes::WantedCalls};
use longshore_telegram_emulator::limits::Limits;
use longshore_telegram_emulator::{Client, Emulator};
use serde_json::{Value, json};

use api::Api;

pub const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "4711:secret";

/// Fails after a generous time instead of hanging.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

pub struct Stage {
    pub telegram: Emulator,
    pub people: Client,
    pub api: Api,
    pub ada: i64,
    pub forum: i64,
    folder: tempfile::TempDir,
    kubeconfig: std::path::PathBuf,
    bot: Option<Child>,
    args: Vec<String>,
    /// Calls a minute, and how many times faster than the clock minutes pass.
    pace: (String, String),
}

impl Stage {
    /// A forum in which Ada may use the bot. The bot is not started yet.
    pub async fn set() -> Self {
        let telegram = Emulator::local().await.unwrap();
        let people = telegram.client();
        let limits = Limits {
            group: None,
            private: None,
            overall: None,
            ..Limits::default()
        };
        people.set_limits(&limits).await.unwrap();
        let (api, url) = Api::start().await;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": api::NAMESPACE}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let ada = people.user("Ada").await.unwrap().id;
        let forum = people.forum("Harbour", ada).await.unwrap();
        Self {
            telegram,
            people,
            api,
            ada,
            forum,
            folder,
            kubeconfig,
            bot: None,
            args: vec!["--create-topics".into()],
            pace: ("600".into(), "1".into()),
        }
    }

    /// The same with the bot running.
    pub async fn play() -> Self {
        let mut stage = Self::set().await;
        stage.start();
        stage
    }

    pub fn allowing(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    /// The bot keeps to a budget, and the emulator to Telegram's limits, in time that passes faster than the clock.
    pub async fn paced(mut self, per_minute: usize, factor: f64) -> Self {
        self.people.set_limits(&Limits::default()).await.unwrap();
        let clock = ClockChange {
            factor: Some(factor),
            shared: Some(true),
            ..ClockChange::default()
        };
        self.people.turn_clock(&clock).await.unwrap();
        self.pace = (per_minute.to_string(), factor.to_string());
        self
    }

    /// The bot's store, while the bot does not run.
    pub async fn store(&self) -> longshore_bot::store::Store {
        assert!(self.bot.is_none());
        let path = self.folder.path().join("bot.db");
        longshore_bot::store::Store::open(&path).await.unwrap()
    }

    pub fn start(&mut self) {
        assert!(self.bot.is_none());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("bot.log"))
            .unwrap();
        let bot = Command::new(env!("CARGO_BIN_EXE_longshore-bot"))
            .arg("run")
            .args([
                "--namespace",
                api::NAMESPACE,
                "--listen",
                "127.0.0.1:0",
                "--messages-per-minute",
                &self.pace.0,
                "--time-scale",
                &self.pace.1,
            ])
            .args([
                "--telegram-api-url",
                &self.telegram.url(),
                "--allowed-users",
                &self.ada.to_string(),
            ])
            .arg("--store")
            .arg(self.folder.path().join("bot.db"))
            .args(&self.args)
            .env("TELEGRAM_BOT_TOKEN", TOKEN)
            // At once, but where a test gives the argument.
            .env("LONGSHORE_KEEP_GOING_SECONDS", "0")
            .env("KUBECONFIG", &self.kubeconfig)
            .env(
                "RUST_LOG",
                std::env::var("BOT_LOG").unwrap_or("info,longshore_bot=debug".into()),
            )
            .env("NO_PROXY", "*")
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.bot = Some(bot);
    }

    /// The bot's store. For changes the bot must not run.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("bot.db")).unwrap()
    }

    /// Somebody presses a button; what Telegram shows for it.
    pub async fn press(&self, message: i64, user: i64, label: &str) -> String {
        let pressed = self.people.press(self.forum, message, user, label).await.unwrap();
        let pressed = self.people.callback(&pressed.id, PATIENCE).await.unwrap();
        pressed.answer.unwrap_or_default().text
    }

    /// Ends the bot at once, as a crash does.
    pub fn kill(&mut self) {
        let mut bot = self.bot.take().expect("the bot runs");
        bot.kill().unwrap();
        bot.wait().unwrap();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("bot.log")).unwrap_or_default()
    }

    pub async fn topic(&self, name: &str) -> i64 {
        self.people.topic(self.forum, self.ada, name).await.unwrap()
    }

    pub async fn say(&self, thread: i64, text: &str) -> i64 {
        self.people.say(self.forum, Some(thread), self.ada, text).await.unwrap()
    }

    /// The first message of the bot in a topic with this text, once it is there.
    pub async fn sees(&self, thread: i64, text: &str) -> Shown {
        match self.people.wait_for(self.forum, Some(thread), 0, text, PATIENCE).await {
            Ok(shown) => shown,
            Err(error) => {
                let all = self.people.messages(self.forum, Some(thread)).await.unwrap();
                panic!("nobody sees {text:?}: {error}\n{all:#?}\n{}", self.log());
            }
        }
    }

    /// All that stands in a topic by the bot.
    pub async fn by_bot(&self, thread: Option<i64>) -> Vec<String> {
        let all = self.people.messages(self.forum, thread).await.unwrap();
        all.into_iter()
            .filter(|shown| shown.from_bot)
            .map(|shown| shown.text)
            .collect()
    }

    /// How many messages of the bot in a topic say this now.
    pub async fn stands(&self, thread: i64, text: &str) -> usize {
        let all = self.by_bot(Some(thread)).await;
        all.iter().filter(|said| said.contains(text)).count()
    }

    /// How often the bot has sent or edited something that says this.
    pub async fn said(&self, text: &str) -> usize {
        let calls = self.people.calls(&WantedCalls::default()).await.unwrap();
        calls
            .iter()
            .filter(|call| call.params["text"].as_str().is_some_and(|said| said.contains(text)))
            .count()
    }

    /// Waits until the bot has said something so often in a topic.
    pub async fn sees_times(&self, thread: i64, text: &str, times: usize) {
        let mut after = 0;
        for _ in 0..times {
            let shown = self
                .people
                .wait_for(self.forum, Some(thread), after, text, PATIENCE)
                .await;
            after = shown
                .unwrap_or_else(|error| panic!("{error}: {text:?} not {times} times\n{}", self.log()))
                .message_id;
        }
    }

    pub async fn change_chat(&self, change: ChatChange) {
        self.people.change_chat(self.forum, &change).await.unwrap();
    }

    pub fn name(&self, thread: i64, message: i64) -> String {
        longshore_crds::names::for_message(&self.topic_name(thread), message)
    }

    pub fn topic_name(&self, thread: i64) -> String {
        longshore_crds::names::telegram_topic(self.forum, Some(thread))
    }

    /// The operator finishes a task.
    pub async fn complete(&self, name: &str, text: &str) {
        self.api.wait("containertasks", name, |_| true).await;
        self.api.merge("containertasks", name, completed(text));
    }

    /// The operator makes a session ready.
    pub async fn ready(&self, name: &str, runner: &runner::Runner, endpoint: &str) {
        let session = self.api.wait("persistentsessions", name, |_| true).await;
        let topic = self
            .api
            .get("topics", session["spec"]["topicRef"]["name"].as_str().unwrap())
            .unwrap();
        runner.let_in(topic["metadata"]["uid"].as_str().unwrap());
        self.api.merge(
            "persistentsessions",
            name,
            json!({"status": {"phase": "Running", "endpoint": endpoint, "startTime": "2026-01-01T00:00:00Z"}}),
        );
    }

    /// The bot asks the operator to end a session.
    pub async fn marked(&self, name: &str) {
        self.api.wait("persistentsessions", name, is_marked).await;
    }

    /// The operator ends a session.
    pub fn end(&self, name: &str) {
        let ended = condition("Ended", "True", "UserEnded", "");
        self.api.merge(
            "persistentsessions",
            name,
            json!({"status": {"phase": "Ended", "endpoint": null, "conditions": [ended]}}),
        );
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut bot) = self.bot.take() {
            let _ = bot.kill();
            let _ = bot.wait();
        }
        if std::thread::panicking() {
            eprintln!("the bot's log:\n{}", self.log());
        }
    }
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

pub fn completed(text: &str) -> Value {
    json!({"status": {
        "phase": "Complete",
        "result": {"text": text, "truncated": false, "isError": false, "terminalReason": "completed"},
        "conditions": [condition("Complete", "True", "Completed", "")],
    }})
}

/// Whether a session shall end.
pub fn is_marked(session: &Value) -> bool {
    session["metadata"]["annotations"]["longshore.dev/end"].is_string()
}
