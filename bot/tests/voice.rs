//! Voice messages: what is said in them is what is asked, by a command or an endpoint.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Multipart, State};
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use support::Stage;
use support::deep::Deep;

fn voice(file: &str) -> Value {
    json!({"voice": {"file_id": file, "duration": 2, "mime_type": "audio/ogg", "file_size": 5}})
}

async fn listening(script: &str) -> Stage {
    let command = json!(["/bin/sh", "-c", script]).to_string();
    let mut stage = Stage::set()
        .await
        .allowing(&["--create-topics", "--transcription-command", &command]);
    stage.start();
    stage
}

/// The same with a session.
async fn deep(script: &str) -> Deep {
    let command = json!(["/bin/sh", "-c", script]).to_string();
    let mut deep = Deep::greeted().await;
    deep.stage.kill();
    deep.stage = deep
        .stage
        .allowing(&["--create-topics", "--transcription-command", &command]);
    deep.stage.start();
    deep
}

#[tokio::test]
async fn a_task_is_asked_what_was_said() {
    let stage = listening("tr a-z A-Z").await;
    let thread = stage.topic("Voice").await;
    let file = stage.file("voice.ogg", b"six by seven?".to_vec()).await;
    stage.sends(thread, 9001, voice(&file)).await;
    let name = stage.name(thread, 9001);
    let task = stage.api.wait("containertasks", &name, |_| true).await;
    assert_eq!(
        task["spec"]["prompt"],
        "[Transcribed from a voice message] SIX BY SEVEN?"
    );
    stage.complete(&name, "forty-two").await;
    stage.sees(thread, "forty-two").await;
    assert_eq!(stage.by_bot(Some(thread)).await, ["forty-two"]);
}

#[tokio::test]
async fn a_session_gets_the_words_and_the_recording_before_what_is_written_after_it() {
    let deep = deep("sleep 0.5; tr a-z A-Z").await;
    let file = deep.stage.file("voice.ogg", b"look".to_vec()).await;
    deep.stage.sends(deep.thread, 9001, voice(&file)).await;
    deep.stage.sends(deep.thread, 9002, json!({"text": "and then?"})).await;
    let state = deep.runner.wait("both", |state| state.posted.len() == 2).await;
    let heard = &state.posted[0];
    assert_eq!(heard.text, "[Transcribed from a voice message] LOOK");
    assert_eq!(heard.attachments[0].name, "voice.ogg");
    assert_eq!(state.posted[1].text, "and then?");
}

#[tokio::test]
async fn what_cannot_be_transcribed_is_said_and_the_recording_goes_to_the_session_all_the_same() {
    let deep = deep("echo secret trouble >&2; exit 3").await;
    let file = deep.stage.file("voice.ogg", b"look".to_vec()).await;
    deep.stage.sends(deep.thread, 9001, voice(&file)).await;
    let state = deep
        .runner
        .wait("the recording", |state| !state.posted.is_empty())
        .await;
    assert_eq!(state.posted[0].attachments.len(), 1);
    assert!(
        state.posted[0].text.contains("could not be transcribed"),
        "{}",
        state.posted[0].text
    );
    let told = deep
        .stage
        .sees(deep.thread, "I could not transcribe the voice message")
        .await;
    assert!(
        told.text.contains("exit code 3") && !told.text.contains("secret"),
        "{}",
        told.text
    );
    // Without a session there is nobody to give it to.
    let elsewhere = deep.stage.topic("Elsewhere").await;
    deep.stage.sends(elsewhere, 9002, voice(&file)).await;
    let told = deep.stage.sees(elsewhere, "Only a session can be given a file").await;
    assert!(told.text.contains("could not transcribe"), "{}", told.text);
    assert!(deep.stage.api.names("containertasks").is_empty());
}

#[tokio::test]
async fn a_bot_that_dies_while_it_listens_listens_again_and_runs_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let script = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.05; done; cat",
        begun.display(),
        go.display()
    );
    let mut stage = listening(&script).await;
    let thread = stage.topic("Voice").await;
    let file = stage.file("voice.ogg", b"six by seven?".to_vec()).await;
    stage.sends(thread, 9001, voice(&file)).await;
    support::in_time("the command runs", async {
        while !begun.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    stage.kill();
    std::fs::write(&go, "").unwrap();
    stage.start();
    let name = stage.name(thread, 9001);
    let task = stage.api.wait("containertasks", &name, |_| true).await;
    assert_eq!(
        task["spec"]["prompt"],
        "[Transcribed from a voice message] six by seven?"
    );
    stage.complete(&name, "forty-two").await;
    stage.sees(thread, "forty-two").await;
    assert_eq!(stage.api.names("containertasks"), [name]);
}

type Asked = Arc<Mutex<Vec<String>>>;

async fn transcribe(State(asked): State<Asked>, headers: HeaderMap, mut form: Multipart) -> String {
    let mut said = headers["authorization"].to_str().unwrap().to_owned();
    while let Some(field) = form.next_field().await.unwrap() {
        said += &format!(" {}={}", field.name().unwrap().to_owned(), field.text().await.unwrap());
    }
    asked.lock().unwrap().push(said);
    json!({"text": "six by seven?"}).to_string()
}

#[tokio::test]
async fn an_endpoint_is_asked_with_its_token_which_no_log_has() {
    let asked = Asked::default();
    let routes = Router::new()
        .route("/v1/audio/transcriptions", post(transcribe))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/audio/transcriptions", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let arguments = [
        "--create-topics",
        "--transcription-url",
        &url,
        "--transcription-model",
        "small",
    ];
    let mut stage = Stage::set()
        .await
        .allowing(&[&arguments[..], &["--transcription-token", "very-secret"]].concat());
    stage.start();
    let thread = stage.topic("Voice").await;
    let file = stage.file("voice.ogg", b"sound".to_vec()).await;
    stage.sends(thread, 9001, voice(&file)).await;
    let task = stage
        .api
        .wait("containertasks", &stage.name(thread, 9001), |_| true)
        .await;
    assert_eq!(
        task["spec"]["prompt"],
        "[Transcribed from a voice message] six by seven?"
    );
    assert_eq!(*asked.lock().unwrap(), ["Bearer very-secret file=sound model=small"]);
    assert!(!stage.log().contains("very-secret"));
}

#[tokio::test]
async fn a_stranger_is_not_listened_to() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let stage = listening(&format!("touch {}; cat", begun.display())).await;
    let thread = stage.topic("Voice").await;
    let file = stage.file("voice.ogg", b"six by seven?".to_vec()).await;
    let mut message = stage.message(thread, 9001, &voice(&file));
    message["from"]["id"] = json!(66);
    stage.people.inject(&json!({ "message": message })).await.unwrap();
    // It is passed over by the time that somebody who is known is answered.
    let name = stage.name(thread, stage.say(thread, "hello").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    assert!(!begun.exists());
    assert_eq!(stage.api.names("containertasks"), [name]);
}
