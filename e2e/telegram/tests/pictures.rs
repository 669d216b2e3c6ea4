//! The pictures of `docs/chat.md`: scenes played on the real page. `UPDATE_PICTURES=1` (`scripts/pictures`) writes them anew.
#![allow(clippy::unwrap_used, reason = "this is test code outside test functions")]

mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use longshore_browser::{Browser, Look, page::Page, with_browser};
use longshore_telegram_emulator::limits::Limits;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use stage::{Stage, TOKEN};

const PICTURES: [&str; 4] = ["streaming.png", "approval.png", "answer.png", "file.png"];
/// All of them together, in bytes.
const ROOM: u64 = 600_000;
/// With the list of conversations beside.
const WIDE: Look = look(1_000, 560, false);

const fn look(width: u32, height: u32, dark: bool) -> Look {
    Look { width, height, dark }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A topic in which a scene plays.
struct Scene<'a> {
    stage: &'a Stage,
    browser: &'a Browser,
    thread: i64,
}

impl<'a> Scene<'a> {
    async fn new(stage: &'a Stage, browser: &'a Browser, topic: &str) -> Result<Self> {
        let thread = stage.people.topic(stage.forum, stage.ada, topic).await?;
        Ok(Scene { stage, browser, thread })
    }

    async fn open(&self, look: Look) -> Result<Page<'a>> {
        self.browser.look(look).await?;
        Page::open(
            self.browser,
            &self.stage.emulator.url(),
            self.stage.ada,
            self.stage.forum,
            self.thread,
        )
        .await
    }

    async fn ask(&self, text: &str) -> Result<i64> {
        Ok(self
            .stage
            .people
            .say(self.stage.forum, Some(self.thread), self.stage.ada, text)
            .await?)
    }

    async fn answer(&self, text: &str, to: Option<i64>, buttons: &[&[&str]]) -> Result<()> {
        let button = |label: &&str| json!({"text": label, "callback_data": "x"});
        let row = |row: &&[&str]| row.iter().map(button).collect::<Value>();
        let keyboard: Value = buttons.iter().map(row).collect();
        let call = json!({
            "chat_id": self.stage.forum, "message_thread_id": self.thread, "text": text, "parse_mode": "HTML",
            "reply_markup": {"inline_keyboard": keyboard}, "reply_parameters": to.map(|id| json!({"message_id": id})),
        });
        self.stage.ok("sendMessage", call).await;
        Ok(())
    }

    async fn react(&self, message: i64, sign: &str) {
        let reaction = json!([{"type": "emoji", "emoji": sign}]);
        let call = json!({"chat_id": self.stage.forum, "message_id": message, "reaction": reaction});
        self.stage.ok("setMessageReaction", call).await;
    }

    /// Keeps the picture if that is wanted.
    async fn picture(&self, name: &str) -> Result<()> {
        if std::env::var_os("UPDATE_PICTURES").is_none() {
            return Ok(());
        }
        self.browser
            .picture(&repository().join("docs/pictures").join(name))
            .await
    }
}

async fn streaming(stage: &Stage, browser: &Browser) -> Result<()> {
    for (topic, text) in [
        ("Release notes", "The notes of 2.4 are ready."),
        ("Search index", "Rebuilt in 42 s."),
    ] {
        Scene::new(stage, browser, topic).await?.answer(text, None, &[]).await?;
    }
    let scene = Scene::new(stage, browser, "Nightly build").await?;
    let asked = scene
        .ask("/deep The nightly build fails with exit code 137. Find out why and fix it.")
        .await?;
    scene.react(asked, "👀").await;
    let text = "Exit code 137 is 128 + 9: something was killed with <code>SIGKILL</code>, most often for using too much memory. \
        The log ends while the linker runs, so I look at what it needs and build with fewer jobs.\n\n\
        ⚙ editing 3 files, running tests · 0:42";
    scene.answer(text, Some(asked), &[&["Details", "⏹ Stop"]]).await?;
    let typing = json!({"chat_id": stage.forum, "message_thread_id": scene.thread, "action": "typing"});
    let page = scene.open(WIDE).await?;
    stage.ok("sendChatAction", typing).await;
    page.text("running tests").await?;
    let is_typing = "return document.querySelector('#doing').textContent.includes('typing')";
    browser.until("typing", is_typing, Vec::new()).await?;
    scene.picture(PICTURES[0]).await
}

async fn approval(stage: &Stage, browser: &Browser) -> Result<()> {
    let scene = Scene::new(stage, browser, "Deploys").await?;
    scene
        .ask("The build directory is full of old things, please clean it")
        .await?;
    let prompt = "<b>May claude use Bash?</b>\n\nRemove what older builds left behind\n\n\
        <pre><code class=\"language-bash\">find target -name '*.rlib' -mtime +14 -delete\ndu -sh target</code></pre>\n\
        For Ada. Waits until 14:30 UTC.";
    let buttons: [&[&str]; 2] = [
        &["✅ Allow", "This session", "Always Bash here"],
        &["⛔ Deny", "💬 Deny, say why"],
    ];
    scene.answer(prompt, None, &buttons).await?;
    let page = scene.open(look(640, 540, true)).await?;
    page.text("May claude use Bash?").await?;
    browser.element(".key").await?;
    scene.picture(PICTURES[1]).await
}

async fn answer(stage: &Stage, browser: &Browser) -> Result<()> {
    let scene = Scene::new(stage, browser, "Memory").await?;
    let asked = scene
        .ask("Which step needs how much memory, and how do I limit the linker?")
        .await?;
    let text = "The <b>linker</b> needs the most, just below the limit of the container:\n\
        <pre>step     jobs   peak      limit\n───────  ─────  ────────  ───────\ncompile      4   1.9 GiB  4.0 GiB\nlink         4   3.9 GiB  4.0 GiB\ntest         2   1.2 GiB  4.0 GiB</pre>\n\
        Two jobs are enough. In <code>.cargo/config.toml</code>:\n\
        <pre><code class=\"language-toml\">[build]\njobs = 2\n\n[profile.dev]\ndebug = \"line-tables-only\"</code></pre>\n\
        <blockquote>Less debug information makes linking cheaper, and backtraces keep their lines.</blockquote>\n\
        The settings are explained in <a href=\"https://doc.rust-lang.org/cargo/reference/config.html\">cargo's manual</a>.";
    scene.answer(text, Some(asked), &[]).await?;
    let page = scene.open(look(640, 790, false)).await?;
    page.text("Two jobs are enough").await?;
    scene.picture(PICTURES[2]).await
}

async fn file(stage: &Stage, browser: &Browser) -> Result<()> {
    let scene = Scene::new(stage, browser, "Reports").await?;
    scene.ask("Please send me the log of the last build").await?;
    let part = Part::bytes(b"ld: killed\n".repeat(4_000)).file_name("build-0412.log");
    let form = Form::new()
        .text("chat_id", stage.forum.to_string())
        .text("message_thread_id", scene.thread.to_string())
        .text("caption", "The log of build 412. The linker was killed in line 3,871.")
        .part("document", part);
    let url = format!("{}/bot{TOKEN}/sendDocument", stage.emulator.url());
    reqwest::Client::new()
        .post(url)
        .multipart(form)
        .send()
        .await?
        .error_for_status()?;
    let thanks = scene.ask("Thanks, that is it").await?;
    scene.react(thanks, "👍").await;
    let page = scene.open(look(640, 400, false)).await?;
    page.text("The log of build 412.").await?;
    browser.element("[aria-label='Download build-0412.log']").await?;
    scene.picture(PICTURES[3]).await
}

#[tokio::test]
async fn the_pictures_of_the_documents_show_the_page() -> Result<()> {
    let stage = Stage::new().await;
    stage.people.set_limits(&Limits::none()).await?;
    with_browser("pictures", async |browser| {
        streaming(&stage, browser).await?;
        approval(&stage, browser).await?;
        answer(&stage, browser).await?;
        file(&stage, browser).await
    })
    .await?;
    let document = std::fs::read_to_string(repository().join("docs/chat.md"))?;
    let mut size = 0;
    for name in PICTURES {
        let path = repository().join("docs/pictures").join(name);
        size += std::fs::metadata(&path)
            .with_context(|| format!("{name} is missing: run scripts/pictures"))?
            .len();
        let described = document.lines().any(|line| {
            line.starts_with("![") && !line.starts_with("![]") && line.contains(&format!("](pictures/{name})"))
        });
        ensure!(described, "docs/chat.md does not show {name} with words for it");
    }
    ensure!(size < ROOM, "the pictures have {size} bytes");
    Ok(())
}
