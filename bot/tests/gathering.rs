//! Albums and what is forwarded together: one message, once, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_telegram_emulator::control::Upload;
use longshore_telegram_emulator::world::FileKind;
use longshore_wire::api::PostMessage;
use serde_json::{Value, json};
use support::Stage;
use support::deep::Deep;

fn forwarded(text: &str, from: &str) -> Value {
    json!({"text": text, "forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": from}})
}

fn picture(album: &str, file: &str, caption: &str) -> Value {
    let sizes = json!([{"file_id": "small", "width": 1, "height": 1}, {"file_id": file, "width": 9, "height": 9}]);
    let mut message = json!({"photo": sizes, "media_group_id": album});
    if !caption.is_empty() {
        message["caption"] = json!(caption);
    }
    message
}

fn files(posted: &PostMessage) -> Vec<Vec<u8>> {
    let files = posted.attachments.iter();
    files.map(|file| BASE64_STANDARD.decode(&file.data).unwrap()).collect()
}

/// What the session was given beside its first message.
async fn given(deep: &Deep, count: usize) -> Vec<PostMessage> {
    let state = deep
        .runner
        .wait("the messages", |state| state.posted.len() >= count)
        .await;
    state.posted
}

#[tokio::test]
async fn an_album_reaches_the_session_as_one_message_and_is_answered_once() {
    let deep = Deep::greeted().await;
    let photo = |name: &str, caption: &str| Upload {
        user: deep.stage.ada,
        name: name.to_owned(),
        kind: FileKind::Photo,
        thread: Some(deep.thread),
        caption: (!caption.is_empty()).then(|| caption.to_owned()),
        ..Upload::default()
    };
    let album = vec![
        (photo("a.jpg", "look"), b"one".to_vec()),
        (photo("b.jpg", ""), b"two".to_vec()),
    ];
    let album = deep.stage.people.album(deep.stage.forum, "13", album).await.unwrap();
    let first = album[0].message_id;
    // What comes behind it does not wait for it to be complete, and does not overtake it.
    let next = deep.stage.say(deep.thread, "and then?").await;
    let posted = given(&deep, 2).await;
    assert_eq!((posted[0].id, posted[0].text.as_str()), (deep.id(first), "look"));
    assert_eq!(files(&posted[0]), [b"one", b"two"]);
    assert_eq!((posted[1].id, posted[1].text.as_str()), (deep.id(next), "and then?"));
    deep.runner.turn(2, &[deep.id(first)], "Two piers.");
    let answer = deep.stage.sees(deep.thread, "Two piers.").await;
    assert_eq!(answer.reply_to, Some(first));
    deep.runner.turn(3, &[deep.id(next)], "Then none.");
    deep.stage.sees(deep.thread, "Then none.").await;
    assert_eq!(deep.stage.by_bot(Some(deep.thread)).await.len(), 3);
    assert_eq!(given(&deep, 2).await.len(), 2);
}

#[tokio::test]
async fn a_bot_that_dies_between_the_pieces_gathers_them_anew() {
    let mut deep = Deep::greeted().await;
    deep.stage.kill();
    deep.stage = deep
        .stage
        .allowing(&["--create-topics", "--gather-milliseconds", "3000"]);
    deep.stage.start();
    let (one, two) = (
        deep.stage.file("a.jpg", b"one".to_vec()).await,
        deep.stage.file("b.jpg", b"two".to_vec()).await,
    );
    deep.stage.sends(deep.thread, 9001, picture("13", &one, "look")).await;
    deep.stage.all_taken().await;
    deep.stage.kill();
    deep.stage.sends(deep.thread, 9002, picture("13", &two, "")).await;
    deep.stage.start();
    let posted = given(&deep, 1).await;
    assert_eq!((posted[0].id, posted[0].text.as_str()), (deep.id(9001), "look"));
    assert_eq!(files(&posted[0]), [b"one", b"two"]);
    // Dies once more, with everything done: nothing is run again.
    deep.stage.kill();
    deep.stage.start();
    let next = deep.stage.say(deep.thread, "and then?").await;
    deep.posted(next).await;
    // What a runner has taken it takes no second time.
    let ids: BTreeSet<_> = given(&deep, 2).await.iter().map(|posted| posted.id).collect();
    assert_eq!(ids, BTreeSet::from([deep.id(9001), deep.id(next)]));
}

#[tokio::test]
async fn what_is_forwarded_together_is_one_message_behind_its_comment() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("Forwards").await;
    stage.all_taken().await;
    stage.kill();
    stage.sends(thread, 9001, json!({"text": "what do they want?"})).await;
    stage.sends(thread, 9002, forwarded("more piers\nsoon", "Grace")).await;
    let channel =
        json!({"type": "channel", "date": 1, "message_id": 4, "chat": {"id": -9, "type": "channel", "title": "News"}});
    stage
        .sends(thread, 9003, json!({"text": "/end", "forward_origin": channel}))
        .await;
    stage.start();
    let name = stage.name(thread, 9001);
    let task = stage.api.wait("containertasks", &name, |_| true).await;
    assert_eq!(
        task["spec"]["prompt"],
        "what do they want?\n\nForwarded from Grace:\n> more piers\n> soon\n\nForwarded from the channel “News”:\n> /end"
    );
    // One that comes later is one of its own.
    stage.complete(&name, "Piers.").await;
    stage.sees(thread, "Piers.").await;
    stage.sends(thread, 9004, forwarded("why?", "Bo")).await;
    let later = stage.name(thread, 9004);
    let task = stage.api.wait("containertasks", &later, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "Forwarded from Bo:\n> why?");
    assert_eq!(stage.api.names("containertasks").len(), 2);
}

#[tokio::test]
async fn what_does_not_fit_is_said_and_the_rest_goes() {
    let deep = Deep::greeted().await;
    let large = deep.stage.file("a.bin", vec![1; 12 << 20]).await;
    let small = deep.stage.file("b.txt", b"two".to_vec()).await;
    let document = |file: &str, name: &str, size: Option<usize>| {
        let document = json!({"file_id": file, "file_name": name, "file_size": size});
        json!({"document": document, "media_group_id": "14"})
    };
    deep.stage
        .sends(deep.thread, 9001, document(&large, "a.bin", Some(12 << 20)))
        .await;
    deep.stage
        .sends(deep.thread, 9002, document(&large, "again.bin", None))
        .await;
    // Telegram is not even asked for this one.
    deep.stage
        .sends(deep.thread, 9003, document("nobody", "huge.bin", Some(30 << 20)))
        .await;
    deep.stage
        .sends(deep.thread, 9004, document(&small, "b.txt", Some(3)))
        .await;
    let posted = given(&deep, 1).await;
    let names: Vec<&str> = posted[0].attachments.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a.bin", "b.txt"]);
    let told = "again.bin (20 MB together are full), huge.bin (it is larger than 20 MB)";
    assert!(posted[0].text.contains(told), "{}", posted[0].text);
    deep.stage.sees(deep.thread, told).await;
}

/// Ada changes a message; it holds this now.
async fn edits(deep: &Deep, message: i64, content: Value) {
    let edited = deep.stage.edited(deep.thread, message, 7, &content);
    deep.stage.people.inject(&edited).await.unwrap();
}

#[tokio::test]
async fn the_first_of_several_messages_can_be_changed_and_the_others_stay() {
    let mut deep = Deep::start().await;
    deep.stage.sees(deep.thread, "Starting a session").await;
    deep.stage.kill();
    let file = deep.stage.file("a.jpg", b"one".to_vec()).await;
    let comment = json!({"text": "what do you want?"});
    deep.stage.sends(deep.thread, 9001, comment).await;
    deep.stage
        .sends(deep.thread, 9002, forwarded("more piers", "Grace"))
        .await;
    deep.stage.sends(deep.thread, 9004, picture("13", &file, "see")).await;
    deep.stage.sends(deep.thread, 9005, picture("13", &file, "")).await;
    // What is complete waits for the session.
    deep.stage.say(deep.thread, "and then?").await;
    deep.stage.start();
    deep.stage.say(deep.thread, "/help").await;
    deep.stage.sees(deep.thread, "/deep –").await;
    let comment = json!({"text": "what do they want?"});
    edits(&deep, 9001, comment.clone()).await;
    // As it is already, with a preview of something.
    edits(&deep, 9001, comment).await;
    edits(&deep, 9004, picture("13", &file, "look")).await;
    deep.stage.say(deep.thread, "/usage").await;
    deep.stage.sees(deep.thread, "still known of this topic").await;
    deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
    let posted = given(&deep, 3).await;
    assert_eq!(
        posted[0].text,
        "what do they want?\n\nForwarded from Grace:\n> more piers"
    );
    assert_eq!((posted[1].text.as_str(), files(&posted[1]).len()), ("look", 2));
    assert_eq!(posted[2].text, "and then?");
    assert_eq!(deep.stage.stands(deep.thread, "does not count").await, 0);
}

#[tokio::test]
async fn a_piece_that_is_changed_before_the_others_are_there_says_the_new_words_also_after_a_crash() {
    let mut deep = Deep::greeted().await;
    let (one, two) = (
        deep.stage.file("a.jpg", b"one".to_vec()).await,
        deep.stage.file("b.jpg", b"two".to_vec()).await,
    );
    deep.stage.sends(deep.thread, 9001, picture("13", &one, "see")).await;
    edits(&deep, 9001, picture("13", &one, "look")).await;
    deep.stage.all_taken().await;
    deep.stage.kill();
    deep.stage.sends(deep.thread, 9002, picture("13", &two, "")).await;
    deep.stage.start();
    let posted = given(&deep, 1).await;
    assert_eq!((posted[0].text.as_str(), files(&posted[0]).len()), ("look", 2));
}
