//! One conversation to watch: a quick question, deep work with a command to approve, a file, a follow-up that claude remembers, the
//! state of it all, the end.
//!
//! Installs the chart as a user would, plays the conversation through the chat, shows what `kubectl get` shows at each stage,
//! then leaves the chat page open until Ctrl-C (`ONCE=1`: leaves at once). Takes its own installation down again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::forward::Forward;
use longshore_e2e::install::{ALICE, Install, Options, RealServices, TELEGRAM_PORT};
use longshore_telegram_emulator::control::view::Shown;
use longshore_telegram_emulator::limits::Limits;
use serde_json::json;

/// Local port of the chat page, when it is free.
const PAGE_PORT: u16 = 8088;
/// The first button of a permission prompt.
const ALLOW: &str = "✅ Allow";
/// Instead of a text: a prompt is expected.
const WAITS: &str = "[waits]";
/// An answer that has not changed for so long is complete.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<()> {
    tell("installing the chart in a namespace of its own");
    let start = Instant::now();
    let values = json!({"telegram": {"messagesPerMinute": 20}, "agentClass": {"permissions": {"allowedTools": ["Read", "Glob", "Grep"]}}});
    let mut options = Options::named("longshore-demo").with(values);
    options.services = RealServices::of_environment();
    let install = Install::start_unless(options, told_to_stop()).await?;
    tell(&format!(
        "installed in namespace {} after {:.1} s",
        install.namespace,
        start.elapsed().as_secs_f64()
    ));
    let played = tokio::select! {
        played = play(&install) => played,
        told = told_to_stop() => told,
    };
    if played.is_err() {
        say(&install.diagnosis().await);
    }
    tell("removing the installation");
    let removed = install.stop().await;
    played.and(removed)
}

/// Ctrl-C, `kill`, or the end of the terminal.
async fn told_to_stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

async fn play(install: &Install) -> Result<()> {
    if install.telegram_url().is_err() {
        tell("write to your bot now; the ids in TELEGRAM_ALLOWED_USERS are heard. Ctrl-C ends the demo");
        return follow_kinds(install).await;
    }
    let chat = Chat::open(install, "Build failures").await?;
    chat.telegram.set_limits(&Limits::default()).await?;
    if let Ok(model) = install.model() {
        model.add_rules(&script()).await?;
    }
    conversation(install, &chat).await?;
    if std::env::var("ONCE").is_ok_and(|once| once == "1") {
        return Ok(());
    }
    let page = match Forward::open_at(
        install.cluster.client.clone(),
        &install.namespace,
        "telegram",
        TELEGRAM_PORT,
        PAGE_PORT,
    )
    .await
    {
        Ok(page) => page,
        Err(_) => {
            Forward::open(
                install.cluster.client.clone(),
                &install.namespace,
                "telegram",
                TELEGRAM_PORT,
            )
            .await?
        }
    };
    tell(&format!(
        "the chat goes on at {}/#{ALICE}/{}/{} (you are Alice). Ctrl-C ends the demo",
        page.url(),
        chat.forum,
        chat.thread
    ));
    std::future::pending().await
}

async fn conversation(install: &Install, chat: &Chat) -> Result<()> {
    let mut talk = Talk {
        chat,
        scripted: install.model().is_ok(),
        shown: Vec::new(),
    };
    tell("a quick question: it becomes a ContainerTask");
    talk.turn("What does exit code 137 mean?", "SIGKILL").await?;
    kinds(install).await?;

    tell(
        "deep work: it becomes a PersistentSession with a claude process of its own; what it wants to run has to be allowed",
    );
    let deep = "/deep The nightly build fails with exit code 137. Find out why and send me the log.";
    let asked = talk.turn(deep, WAITS).await?;
    talk.allow(asked, "raise the limit").await?;
    kinds(install).await?;

    tell("a follow-up: the same process answers, and it remembers");
    talk.turn("What did I ask you first in this session?", "nightly build")
        .await?;

    tell("how it stands");
    talk.turn("/status", "").await?;

    tell("the end: the pod goes, workspace and summary stay");
    talk.turn("/end", "has ended").await?;
    let sessions = install
        .api::<longshore_crds::PersistentSession>()
        .list(&Default::default())
        .await?;
    if let Some(name) = sessions
        .items
        .first()
        .and_then(|session| session.metadata.name.as_deref())
    {
        install.session(name, "Ended", "True").await?;
    }
    kinds(install).await
}

/// What the stand-in for the model says in this conversation. claude, its tools and its memory are real.
fn script() -> serde_json::Value {
    let quick = "Exit code 137 is 128 + 9: the process was ended by SIGKILL, in a container most often because it used more \
        memory than its limit.";
    let look = "I will look at what the build leaves behind.";
    let found = "The log ends with:\n\n```text\nld: killed (137)\n```\n\nThe linker ran out of memory. I would build with one job \
        fewer, or raise the limit of the build container. The log is above.";
    let command = "echo 'ld: killed (137)' > build.log && cat build.log";
    let log =
        json!({"name": "mcp__longshore__send_file", "input": {"path": "build.log", "caption": "The end of the log"}});
    json!([
        {"name": "demo: quick", "match": {"user": "exit code 137 mean"}, "steps": [{"text": quick}]},
        {"name": "demo: deep", "match": {"user": "nightly build fails"}, "steps": [
            {"text": {"text": look, "chunk": 8, "delay_ms": 150}},
            {"tool": {"name": "Bash", "input": {"command": command, "description": "Look at the log"}}},
            {"tool": log},
            {"text": {"text": found, "chunk": 24, "delay_ms": 200}},
        ]},
    ])
}

/// What is printed of the conversation.
struct Talk<'a> {
    chat: &'a Chat,
    /// Whether we know what will be said.
    scripted: bool,
    /// As it was when it was printed last.
    shown: Vec<Shown>,
}

impl Talk<'_> {
    /// Alice writes; the answer is printed as it grows, until it has `expected` in it and has stood still for a while.
    async fn turn(&mut self, text: &str, expected: &str) -> Result<i64> {
        let start = Instant::now();
        say(&format!("\n  {}  Alice: {text}", seconds(start)));
        let asked = self.chat.say(text).await?;
        self.follow(start, asked, expected).await?;
        Ok(asked)
    }

    /// Alice presses the first button if there is one.
    async fn allow(&mut self, asked: i64, expected: &str) -> Result<()> {
        let waits = |shown: &&Shown| shown.message_id > asked && has_button(shown);
        let Some(prompt) = self.shown.iter().rfind(waits).map(|shown| shown.message_id) else {
            return Ok(());
        };
        let start = Instant::now();
        say(&format!("\n  {}  Alice presses [{ALLOW}]", seconds(start)));
        self.chat.press(prompt, ALICE, ALLOW).await?;
        self.follow(start, asked, expected).await
    }

    async fn follow(&mut self, start: Instant, asked: i64, expected: &str) -> Result<()> {
        let mut changed = Instant::now();
        let mut revision = 0;
        loop {
            ensure!(
                start.elapsed() < Duration::from_secs(180),
                "no answer:\n{}",
                self.chat.transcript().await?
            );
            revision = self.chat.telegram.changed(revision, Duration::from_millis(500)).await?;
            let mut now = self.chat.from_bot().await?;
            now.retain(|shown| shown.message_id > asked);
            if self.print(start, &now) {
                changed = Instant::now();
            }
            let is_still = changed.elapsed() > QUIET;
            let waits = now.iter().any(has_button);
            let is_there = match expected {
                WAITS => waits,
                _ => !self.scripted || now.iter().any(|shown| shown.text.contains(expected)),
            };
            self.shown = now;
            let is_answered = self.shown.iter().any(|shown| !is_placeholder(shown));
            if is_answered && is_there && is_still || expected == WAITS && waits {
                return Ok(());
            }
        }
    }

    /// Prints what looks different; whether anything does.
    fn print(&self, start: Instant, now: &[Shown]) -> bool {
        let mut is_new = false;
        for shown in now {
            let before = self.shown.iter().find(|one| one.message_id == shown.message_id);
            if before.is_some_and(|one| one.text == shown.text && one.buttons == shown.buttons) {
                continue;
            }
            is_new = true;
            let file = shown
                .file
                .as_ref()
                .map(|file| format!("📄 {} ({} bytes) ", file.name, file.size));
            let buttons: String = shown
                .buttons
                .iter()
                .flatten()
                .map(|label| format!(" [{label}]"))
                .collect();
            let text = shown.text.replace('\n', "\n                  ");
            say(&format!(
                "  {}    bot: {}{text}{buttons}",
                seconds(start),
                file.unwrap_or_default()
            ));
        }
        is_new
    }
}

fn seconds(start: Instant) -> String {
    format!("{:>5.1} s", start.elapsed().as_secs_f64())
}

fn has_button(shown: &Shown) -> bool {
    shown.buttons.iter().flatten().any(|label| label == ALLOW)
}

fn is_placeholder(shown: &Shown) -> bool {
    shown.text.chars().count() < 4 || shown.text.starts_with('💭')
}

async fn kinds(install: &Install) -> Result<()> {
    let shown = install
        .kubectl(&["get", "topics,containertasks,persistentsessions"])
        .await?;
    say(&format!(
        "\n  $ kubectl get topics,containertasks,persistentsessions\n  {}",
        shown.trim_end().replace('\n', "\n  ")
    ));
    Ok(())
}

/// Shows the kinds whenever they change, until the demo is ended.
async fn follow_kinds(install: &Install) -> Result<()> {
    let mut last = String::new();
    loop {
        let args = [
            "get",
            "topics,containertasks,persistentsessions",
            "--no-headers",
            "-o",
            "custom-columns=K:.kind,N:.metadata.name,P:.status.phase",
        ];
        let shown = install.kubectl(&args).await.context("the cluster does not answer")?;
        if shown != last {
            kinds(install).await?;
            last = shown;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn tell(text: &str) {
    say(&format!("\n==> {text}"));
}

#[expect(clippy::print_stdout, reason = "the demo is there to be read on a terminal")]
fn say(text: &str) {
    println!("{text}");
}
