//! Files that people send: into the workspace of a session, and named to claude.

use anyhow::{Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Options, with_install};
use longshore_telegram_emulator::control::Upload;
use serde_json::json;

async fn send(chat: &Chat, name: &str, caption: &str, content: Vec<u8>) -> Result<i64> {
    let upload = Upload {
        user: ALICE,
        name: name.to_owned(),
        thread: Some(chat.thread),
        caption: (!caption.is_empty()).then(|| caption.to_owned()),
        ..Upload::default()
    };
    Ok(chat.telegram.upload(chat.forum, &upload, content).await?.message_id)
}

#[tokio::test]
async fn a_file_goes_to_the_session_that_it_starts_or_finds_and_to_no_task() -> Result<()> {
    let options = Options::named("files").with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}));
    with_install(options, async |install| {
        let chat = Chat::open(install, "logs").await?;
        let log = || b"pier 7 is rotten\n".to_vec();
        let refused = send(&chat, "log.txt", "What is wrong?", log()).await?;
        chat.answer(refused, "Only a session can be given a file").await?;

        let caption = "/deep What is wrong? [[bash cat inbox/*-log.txt]] [[say In it: {{last_tool_result}}]]";
        let asked = send(&chat, "log.txt", caption, log()).await?;
        let said = chat.answer(asked, "In it:").await?.text;
        ensure!(said.contains("pier 7 is rotten"), "{said}");
        install.session(&chat.object(asked), "Ready", "True").await?;

        // Large, with a name that leads elsewhere, and without a word.
        let large = send(&chat, "../../etc/planks", "", vec![b'x'; 12 << 20]).await?;
        chat.answer(large, "Files that came with it").await?;
        let look = chat
            .say("[[bash wc -c < inbox/*planks; ls inbox | wc -l]] [[say There are {{last_tool_result}}]]")
            .await?;
        let said = chat.answer(look, "There are").await?.text;
        ensure!(said.contains(&(12 << 20).to_string()) && said.contains('2'), "{said}");

        // Telegram gives bots nothing that is larger than 20 MB.
        let refused = send(&chat, "wreck.bin", "Look at this.", vec![b'x'; (20 << 20) + 1]).await?;
        chat.answer(refused, "up to 20 MB").await?;
        Ok(())
    })
    .await
}
