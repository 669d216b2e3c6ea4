//! Pictures to a session and files from claude, on the cluster with the real claude CLI.

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, MALLORY, Options, with_install};
use longshore_telegram_emulator::control::Upload;
use serde_json::{Value, json};

const SEND: &str = "mcp__longshore__send_file";

fn options(name: &'static str) -> Options {
    Options::named(name).with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}))
}

/// A file on Telegram's servers, sent by somebody whom the bot does not hear.
async fn file(chat: &Chat, name: &str, content: &[u8]) -> Result<String> {
    let upload = Upload {
        user: MALLORY,
        name: name.to_owned(),
        ..Upload::default()
    };
    chat.telegram.upload(MALLORY, &upload, content.to_vec()).await?;
    let all = chat.telegram.messages(MALLORY, None).await?;
    let file = all.last().and_then(|shown| shown.file.as_ref()).context("no file")?;
    Ok(file.file_id.clone())
}

/// A picture of an album of Alice's.
fn picture(chat: &Chat, id: i64, file: &str, caption: &str) -> Value {
    json!({"message": {
        "message_id": id, "date": 1_700_000_000, "message_thread_id": chat.thread, "is_topic_message": true,
        "chat": {"id": chat.forum, "type": "supergroup", "title": "The team", "is_forum": true},
        "from": {"id": ALICE, "is_bot": false, "first_name": "Alice"},
        "media_group_id": "77", "photo": [{"file_id": file, "width": 9, "height": 9}], "caption": caption,
    }})
}

/// The content of the file that the bot has sent with these words under it.
async fn received(chat: &Chat, after: i64, caption: &str) -> Result<(String, Vec<u8>)> {
    let shown = chat.answer(after, caption).await?;
    let file = shown.file.context("no file came with it")?;
    let content = chat.telegram.download(&file).await?;
    Ok((file.name, content))
}

#[tokio::test]
async fn an_album_is_read_and_a_file_comes_back_from_a_session_and_from_a_task() -> Result<()> {
    with_install(options("files-out"), async |install| {
        let chat = Chat::open(install, "pictures").await?;
        let (one, two) = (file(&chat, "a.jpg", b"pier one\n").await?, file(&chat, "b.jpg", b"pier two\n").await?);
        let arguments = json!({"path": "both.bin", "caption": "Both piers"});
        let caption = format!(
            "/deep Join them. [[bash cat inbox/*photo.jpg > both.bin; printf '\\0\\377' >> both.bin; cat inbox/*]] \
             [[say In them: {{{{last_tool_result}}}}]] [[tool {SEND} {arguments}]] [[say Sent.]]"
        );
        chat.telegram.inject(&picture(&chat, 9001, &one, &caption)).await?;
        chat.telegram.inject(&picture(&chat, 9002, &two, "")).await?;
        let said = chat.answer(0, "In them:").await?.text;
        ensure!(said.contains("pier one") && said.contains("pier two"), "{said}");
        let (name, content) = received(&chat, 0, "Both piers").await?;
        ensure!(name == "both.bin" && content == b"pier one\npier two\n\x00\xff", "{name}: {content:?}");
        chat.exactly_once("In them:").await?;
        chat.exactly_once("Both piers").await?;

        let quick = chat.another("quick").await?;
        let arguments = json!({"path": "answer.txt", "caption": "The answer"});
        let asked = quick
            .say(&format!(
                "Write it down. [[bash echo forty-two > answer.txt]] [[tool {SEND} {arguments}]] [[say Written.]]"
            ))
            .await?;
        let (name, content) = received(&quick, asked, "The answer").await?;
        ensure!(name == "answer.txt" && content == b"forty-two\n", "{name}: {content:?}");
        quick.answer(asked, "Written.").await?;
        quick.exactly_once("The answer").await?;

        // A link that leads out of the workspace is none of them.
        let arguments = json!({"path": "link"});
        let asked = quick
            .say(&format!(
                "Send it. [[bash ln -s /proc/1/environ link]] [[tool {SEND} {arguments}]] [[say Told: {{{{last_tool_result}}}}]]"
            ))
            .await?;
        let said = quick.answer(asked, "Told:").await?.text;
        ensure!(said.contains("cannot be sent") || said.contains("does not lie in"), "{said}");
        Ok(())
    })
    .await
}
