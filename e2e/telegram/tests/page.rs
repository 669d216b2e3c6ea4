//! The chat page in a real browser, with a bot that says what the test wants.
#![allow(clippy::unwrap_used, reason = "this is test code outside test functions")]

mod stage;

use anyhow::{Result, ensure};
use longshore_browser::{Browser, Look, page::Page, with_browser};
use longshore_telegram_emulator::{control::Upload, limits::Limits, world::FileKind};
use serde_json::{Value, json};
use stage::{LONG, Stage};

impl Stage {
    async fn page<'a>(&self, browser: &'a Browser) -> Result<Page<'a>> {
        self.people.set_limits(&Limits::none()).await?;
        Page::open(browser, &self.emulator.url(), self.ada, self.forum, self.thread).await
    }

    async fn send_html(&self, text: &str, more: Value) -> i64 {
        let mut call =
            json!({"chat_id": self.forum, "message_thread_id": self.thread, "text": text, "parse_mode": "HTML"});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok("sendMessage", call).await["message_id"].as_i64().unwrap()
    }

    async fn edit(&self, id: i64, text: &str) {
        let edit = json!({"chat_id": self.forum, "message_id": id, "text": text});
        self.ok("editMessageText", edit).await;
    }

    /// The last message of the topic, once the bot can see it.
    async fn heard(&self) -> Value {
        let updates = self.ok("getUpdates", json!({"timeout": 30})).await;
        let last = updates.as_array().unwrap().last().unwrap().clone();
        let offset = last["update_id"].as_i64().unwrap() + 1;
        self.ok("getUpdates", json!({"offset": offset})).await;
        last
    }
}

#[tokio::test]
async fn an_answer_grows_in_its_bubble_and_nothing_else_is_disturbed() -> Result<()> {
    let stage = Stage::new().await;
    with_browser("grows", async |browser| {
        let page = stage.page(browser).await?;
        page.say("What is a quay?").await?;
        ensure!(stage.heard().await["message"]["text"] == "What is a quay?");
        let id = stage.send_html("A quay is", json!({})).await;
        page.text("A quay is").await?;
        page.watch().await?;
        // Somebody has marked a part of it and begins to write.
        let mark = "const node = [...document.querySelectorAll('.message:not(.own) .text')].at(-1).firstChild;
            getSelection().setBaseAndExtent(node, 2, node, 6); window.bubble = node.parentNode";
        browser.script(mark, Vec::new()).await?;
        browser.write("[aria-label=Message]", "and a pier").await?;
        browser.script("const node = window.bubble.firstChild; getSelection().setBaseAndExtent(node, 2, node, 6)", Vec::new()).await?;
        for text in ["A quay is a place", "A quay is a place where ships", "A quay is a place where ships are loaded."] {
            stage.edit(id, text).await;
            page.text(text).await?;
        }
        let grown = page.grown().await?;
        ensure!(grown.len() >= 3, "it came in one piece: {grown:?}");
        ensure!(grown.windows(2).all(|pair| pair[1].starts_with(&pair[0])), "{grown:?}");
        let kept = "return [getSelection().toString(), document.querySelector('#text').value, window.bubble.isConnected]";
        let kept = browser.script(kept, Vec::new()).await?;
        ensure!(kept == json!(["quay", "and a pier", true]), "{kept}");
        // Who has scrolled up stays there, and is led back.
        for n in 0..30 {
            stage.send(&format!("line {n}")).await;
        }
        page.text("line 29").await?;
        let at_end = "const box = document.querySelector('#scroll'); return box.scrollHeight - box.scrollTop - box.clientHeight < 5";
        browser.until("the end", at_end, Vec::new()).await?;
        browser.script("document.querySelector('#scroll').scrollTop = 40", Vec::new()).await?;
        browser.until("the way down", "return !document.querySelector('#down').hidden", Vec::new()).await?;
        stage.send("one more").await;
        page.text("one more").await?;
        let top = browser.script("return document.querySelector('#scroll').scrollTop", Vec::new()).await?;
        ensure!(top.as_f64() == Some(40.0), "{top}");
        browser.click("[aria-label='To the newest message']").await?;
        browser.until("the end again", at_end, Vec::new()).await?;
        ensure!(browser.complaints().await.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn buttons_wait_for_their_answer_and_alerts_are_shown() -> Result<()> {
    let stage = Stage::new().await;
    with_browser("buttons", async |browser| {
        let page = stage.page(browser).await?;
        let keys = json!({"reply_markup": {"inline_keyboard": [
            [{"text": "Allow", "callback_data": "yes"}, {"text": "Deny", "callback_data": "no"}],
            [{"text": "Why?", "url": "https://example.org/"}],
        ]}});
        let id = stage.send_html("May I?", keys).await;
        page.press("Allow").await?;
        let query = stage.heard().await["callback_query"].take();
        ensure!(query["data"] == "yes" && query["from"]["id"] == stage.ada, "{query}");
        let busy = "return document.querySelector('.key[data-busy]')?.textContent === 'Allow'";
        browser.until("the button that waits", busy, Vec::new()).await?;
        let answer = json!({"callback_query_id": query["id"], "text": "Allowed once."});
        stage.ok("answerCallbackQuery", answer).await;
        page.notice("Allowed once.").await?;
        browser
            .until(
                "the button at rest",
                "return !document.querySelector('.key[data-busy]')",
                Vec::new(),
            )
            .await?;
        let link = browser.element("a.key").await?;
        ensure!(link.attr("href").await?.as_deref() == Some("https://example.org/"));

        page.press("Deny").await?;
        let query = stage.heard().await["callback_query"].take();
        let alert = json!({"callback_query_id": query["id"], "text": "Only approvers may.", "show_alert": true});
        stage.ok("answerCallbackQuery", alert).await;
        let shown = "return document.querySelector('dialog[open]')?.innerText.includes('Only approvers may.')";
        browser.until("the alert", shown, Vec::new()).await?;
        browser.click("dialog button[value=OK]").await?;
        stage.edit(id, "It was allowed.").await;
        browser
            .until("no buttons", "return !document.querySelector('.key')", Vec::new())
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn formatted_text_is_shown_as_in_the_app_and_never_as_html() -> Result<()> {
    let stage = Stage::new().await;
    with_browser("formatted", async |browser| {
        let page = stage.page(browser).await?;
        let answer = "<b>Found</b> it:\n<pre><code class=\"language-rust\">fn main() {\n    let a = 1 &lt; 2;\n}</code></pre>\nSee \
            <a href=\"https://example.org/a\">here</a>.\n<blockquote expandable>one\ntwo\nthree\nfour\nfive</blockquote>";
        stage.send_html(answer, json!({})).await;
        page.text("Found it:").await?;
        let code = page.code().await?;
        ensure!(code == [("rust".to_owned(), "fn main() {\n    let a = 1 < 2;\n}".to_owned())], "{code:?}");
        browser.click("[data-act=copy-code]").await?;
        page.notice("Copied.").await?;
        let height = "return document.querySelector('.folded > div').clientHeight";
        let folded = browser.script(height, Vec::new()).await?.as_i64();
        browser.click("[aria-label='Show the whole quote']").await?;
        ensure!(browser.script(height, Vec::new()).await?.as_i64() > folded);
        let link = browser.element(".text a").await?;
        ensure!(link.attr("rel").await?.as_deref() == Some("noreferrer"));

        let hostile = "<img src=x onerror=\"document.title='broken'\"> & <script>document.title='broken'</script>";
        stage.people.say(stage.forum, Some(stage.thread), stage.ada, hostile).await?;
        ensure!(page.text("<img").await? == hostile);
        let harm = "return Boolean(document.querySelector('#messages img, #messages script')) || document.title === 'broken'";
        ensure!(browser.script(harm, Vec::new()).await? == false, "text became part of the page");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn files_go_both_ways_with_every_byte_and_several_are_an_album() -> Result<()> {
    let stage = Stage::new().await;
    with_browser("files", async |browser| {
        let page = stage.page(browser).await?;
        let content: Vec<u8> = (0..100_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let report = browser.file("report.bin", &content)?;
        page.send_files(&[report], "the report").await?;
        let message = stage.heard().await["message"].take();
        ensure!(message["caption"] == "the report", "{message}");
        ensure!(message["document"]["file_size"] == content.len(), "{message}");
        // Its own sender gets it back as it was.
        ensure!(page.download("report.bin").await? == content);

        let one = browser.file("one.txt", b"1")?;
        let two = browser.file("two.txt", b"22")?;
        page.send_files(&[one, two], "both").await?;
        page.text("both").await?;
        let updates = stage.ok("getUpdates", json!({"timeout": 30})).await;
        let first = &updates[0]["message"];
        ensure!(first["media_group_id"].is_string(), "{first}");
        browser.until("one bubble", "return document.querySelectorAll('.bubble:has([aria-label=\"Download one.txt\"]) .document').length === 2", Vec::new()).await?;

        let upload = Upload {
            user: stage.ada,
            name: "note.ogg".to_owned(),
            kind: FileKind::Voice,
            thread: Some(stage.thread),
            ..Upload::default()
        };
        stage.people.upload(stage.forum, &upload, "not a sound").await?;
        browser.element("audio[aria-label='note.ogg'][controls]").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn messages_are_answered_changed_and_passed_on() -> Result<()> {
    let stage = Stage::new().await;
    let other = stage.people.topic(stage.forum, stage.ada, "Ropes").await?;
    with_browser("messages", async |browser| {
        let page = stage.page(browser).await?;
        let id = stage.send("The crane stands still.").await;
        page.act("The crane stands still.", "Reply").await?;
        page.say("Why?").await?;
        let reply = stage.heard().await["message"].take();
        ensure!(reply["reply_to_message"]["message_id"] == id, "{reply}");

        page.text("Why?").await?;
        page.act("Why?", "Edit").await?;
        page.say(" Since when?").await?;
        let edited = stage.heard().await["edited_message"].take();
        ensure!(edited["text"] == "Why? Since when?", "{edited}");

        page.act("The crane stands still.", "👍").await?;
        browser.element("[aria-label='Reaction 👍, 1']").await?;
        stage.send("Since noon.").await;
        let unsent = "return [...document.querySelectorAll('.place')].map(place => place.getAttribute('aria-label'))";
        let places = browser.script(unsent, Vec::new()).await?;
        ensure!(places.as_array().is_some_and(|places| places.iter().any(|place| place == "Ropes")), "{places}");

        let there = json!({"chat_id": stage.forum, "message_thread_id": other, "text": "The rope is here."});
        stage.ok("sendMessage", there).await;
        browser.element("[aria-label='Ropes, 1 unread']").await?;
        page.act("The crane stands still.", "Forward").await?;
        let choose = "const ropes = [...document.querySelectorAll('dialog .choices button')].find(one => one.textContent.includes('Ropes'));
            ropes?.click();
            return Boolean(ropes)";
        browser.until("the choice", choose, Vec::new()).await?;
        page.text("The rope is here.").await?;
        browser.until("the origin", "return document.querySelector('.origin')?.textContent === 'Forwarded from Longshore'", Vec::new()).await?;
        browser.element("[aria-label='Ropes']").await?;

        page.act("The crane stands still.", "Delete").await?;
        browser.until("its end", "return !document.querySelector('.origin')", Vec::new()).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_page_fits_a_phone_and_offers_commands_and_shows_what_the_bot_does() -> Result<()> {
    let stage = Stage::new().await;
    let commands = json!({"commands": [{"command": "deep", "description": "Start a session"}, {"command": "stop", "description": "Stop"}]});
    stage.ok("setMyCommands", commands).await;
    with_browser("phone", async |browser| {
        let phone = Look {
            width: 390,
            height: 780,
            dark: true,
        };
        browser.look(phone).await?;
        let page = stage.page(browser).await?;
        browser.write("[aria-label=Message]", "/de\t").await?;
        browser
            .until(
                "the command",
                "return document.querySelector('#text').value === '/deep '",
                Vec::new(),
            )
            .await?;
        page.say("fix it").await?;
        ensure!(stage.heard().await["message"]["text"] == "/deep fix it");
        let typing = json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "action": "typing"});
        stage.ok("sendChatAction", typing).await;
        browser
            .until(
                "typing",
                "return document.querySelector('#doing').textContent.includes('is typing')",
                Vec::new(),
            )
            .await?;
        browser
            .until(
                "its end",
                "return !document.querySelector('#doing').textContent.includes('typing')",
                Vec::new(),
            )
            .await?;
        let wide = "x".repeat(200);
        stage.send_html(&format!("<pre>{wide}</pre>"), json!({})).await;
        page.text("xxx").await?;
        let width = browser
            .script("return document.documentElement.scrollWidth", Vec::new())
            .await?;
        ensure!(width == 390, "the page is {width} wide");
        browser.click("[aria-label='Back to the conversations']").await?;
        browser.click(".place[aria-label='Cranes']").await?;
        page.text("fix it").await?;

        // In private chats a text that grows is a draft.
        stage.people.say(stage.ada, None, stage.ada, "hello").await?;
        let page = Page::open(browser, &stage.emulator.url(), stage.ada, stage.ada, 0).await?;
        stage
            .ok(
                "sendMessageDraft",
                json!({"chat_id": stage.ada, "draft_id": 3, "text": "Hello, A"}),
            )
            .await;
        page.text("Hello, A").await?;
        browser.element(".streaming").await?;
        stage
            .ok("sendMessage", json!({"chat_id": stage.ada, "text": "Hello, Ada."}))
            .await;
        page.text("Hello, Ada.").await?;
        browser
            .until(
                "the draft gone",
                "return !document.querySelector('.streaming')",
                Vec::new(),
            )
            .await?;
        let read = async || -> Result<bool> {
            let inbox = stage.people.inbox(stage.ada).await?;
            Ok(inbox.iter().any(|entry| entry.chat == stage.ada && entry.unread == 0))
        };
        let end = std::time::Instant::now() + LONG;
        while !read().await? {
            ensure!(std::time::Instant::now() < end, "what was seen is still unread");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    })
    .await
}
