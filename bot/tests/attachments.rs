//! Files that people send: fetched from Telegram, handed to a session once, or answered with a sentence.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_telegram_emulator::control::Upload;
use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_wire::api::Attachment;
use serde_json::json;
use support::deep::Deep;
use support::runner::Runner;
use support::{PATIENCE, Stage};

async fn send(stage: &Stage, thread: i64, caption: &str, content: Vec<u8>) -> i64 {
    let upload = Upload {
        user: stage.ada,
        name: "log.txt".to_owned(),
        thread: Some(thread),
        caption: (!caption.is_empty()).then(|| caption.to_owned()),
        ..Upload::default()
    };
    let sent = stage.people.upload(stage.forum, &upload, content).await;
    sent.unwrap().message_id
}

fn log() -> Attachment {
    Attachment {
        name: "log.txt".to_owned(),
        data: BASE64_STANDARD.encode("error"),
    }
}

#[tokio::test]
async fn a_file_reaches_the_active_session_also_when_telegram_fails_at_first() {
    let mut deep = Deep::ready().await;
    let trouble = Kind::Status {
        code: 502,
        description: "Bad Gateway".to_owned(),
    };
    let fault = deep.stage.people.fault(&Fault::on("getFile", trouble)).await.unwrap();
    let sent = send(&deep.stage, deep.thread, "", b"error".to_vec()).await;
    deep.stage.people.fault_hit(fault, PATIENCE).await.unwrap();
    deep.posted(sent).await;
    let id = deep.id(sent);
    let posted = |state: &support::runner::Seen| -> Vec<_> {
        state.posted.iter().filter(|posted| posted.id == id).cloned().collect()
    };
    let state = deep.runner.wait("everything", |_| true).await;
    assert_eq!(posted(&state)[0].text, "");
    assert_eq!(posted(&state)[0].attachments, [log()]);

    // The files are in the store with the message: a bot that dies while it fetches them begins again.
    let hold = deep
        .stage
        .people
        .fault(&Fault::on("getFile", Kind::HoldBefore))
        .await
        .unwrap();
    let held = send(&deep.stage, deep.thread, "and this?", b"error".to_vec()).await;
    deep.stage.people.fault_hit(hold, PATIENCE).await.unwrap();
    deep.stage.kill();
    deep.stage.people.remove_fault(hold).await.unwrap();
    deep.stage.start();
    deep.posted(held).await;
    let state = deep.runner.wait("everything", |_| true).await;
    let last = state.posted.last().unwrap();
    assert_eq!((last.text.as_str(), &last.attachments), ("and this?", &vec![log()]));
}

#[tokio::test]
async fn a_file_with_deep_starts_a_session_without_a_prompt_and_is_its_first_message() {
    let stage = Stage::play().await;
    let thread = stage.topic("Deep").await;
    let sent = send(&stage, thread, "/deep what is wrong?", b"error".to_vec()).await;
    let name = stage.name(thread, sent);
    let session = stage.api.wait("persistentsessions", &name, |_| true).await;
    assert_eq!(session["spec"].get("prompt"), None);
    assert_eq!(session["spec"]["origin"]["telegram"]["messageId"], json!(sent));
    let (runner, endpoint) = Runner::start().await;
    stage.ready(&name, &runner, &endpoint).await;
    let state = runner.wait("the message", |state| !state.posted.is_empty()).await;
    let first = &state.posted[0];
    assert_eq!(
        (first.text.as_str(), &first.attachments),
        ("what is wrong?", &vec![log()])
    );
    runner.turn(1, &[first.id], "Pier 7 is.");
    stage.sees(thread, "Pier 7 is.").await;
    assert_eq!(runner.wait("everything", |_| true).await.posted.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_handed_on_is_answered_and_nothing_is_run() {
    let deep = Deep::ready().await;
    let elsewhere = deep.stage.topic("Elsewhere").await;
    send(&deep.stage, elsewhere, "what is this?", b"error".to_vec()).await;
    deep.stage.sees(elsewhere, "Only a session can be given a file").await;
    send(&deep.stage, deep.thread, "what is this?", vec![0; (20 << 20) + 1]).await;
    deep.stage.sees(deep.thread, "up to 20 MB").await;
    assert!(deep.stage.api.names("containertasks").is_empty());
    let state = deep.runner.wait("everything", |_| true).await;
    assert!(state.posted.iter().all(|posted| posted.attachments.is_empty()));
}
