//! The end of a session by a word alone, which can be undone for a while.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_wire::event::Event;
use support::deep::Deep;
use support::{PATIENCE, Stage, is_marked};

const KEEP_GOING: &str = "▶ Keep going";
const OFFER: &str = "Was “Done!” meant for claude?";

/// A session that has answered once, where an end can be undone for so many seconds.
async fn greeted(seconds: &str) -> Deep {
    let args = ["--create-topics", "--keep-going-seconds", seconds];
    let mut stage = Stage::set().await.allowing(&args);
    stage.start();
    let deep = Deep::ready_on(stage).await;
    deep.runner
        .turn(1, &[deep.id(deep.first)], "Push it, and tell me when that is done.");
    deep.stage.sees(deep.thread, "Push it").await;
    deep
}

/// What was written to claude.
async fn written(deep: &Deep) -> Vec<String> {
    let seen = deep.runner.wait("everything", |_| true).await;
    seen.posted.into_iter().map(|posted| posted.text).collect()
}

#[tokio::test]
async fn a_word_that_was_meant_for_claude_goes_there_and_the_session_goes_on() {
    let deep = greeted("60").await;
    let Deep { stage, thread, .. } = &deep;
    let word = stage.say(*thread, "Done!").await;
    let offered = stage.sees(*thread, OFFER).await;
    assert_eq!(offered.reply_to, Some(word));
    assert_eq!(offered.buttons, [[KEEP_GOING]]);
    let eve = stage.people.user("Eve").await.unwrap().id;
    let refused = stage.press(offered.message_id, eve, KEEP_GOING).await;
    assert!(refused.contains("not on the list"), "{refused}");
    assert!(written(&deep).await.is_empty());

    let said = stage.press(offered.message_id, stage.ada, KEEP_GOING).await;
    assert!(said.starts_with("The session goes on"), "{said}");
    deep.posted(word).await;
    deep.runner.emit(Event::TurnStarted {
        turn: 2,
        message_ids: vec![deep.id(word)],
    });
    deep.runner.tool(2, "toolu_2", "Bash", "git fetch");
    let working = stage.sees(*thread, "running git fetch").await;
    assert_eq!(working.message_id, offered.message_id, "what comes of it is seen there");
    deep.runner.turn(2, &[deep.id(word)], "I see it.");
    let answer = stage.sees(*thread, "I see it.").await;
    assert_eq!((answer.message_id, answer.buttons.len()), (offered.message_id, 0));
    let later = stage.say(*thread, "go on").await;
    deep.posted(later).await;
    assert_eq!(written(&deep).await, ["Done!", "go on"]);
    assert!(!is_marked(&stage.api.get("persistentsessions", &deep.name).unwrap()));

    stage.say(*thread, "/end").await;
    deep.stage.marked(&deep.name).await;
}

#[tokio::test]
async fn the_end_comes_by_itself_and_the_button_goes_away() {
    let deep = greeted("1").await;
    let Deep { stage, thread, .. } = &deep;
    stage.say(*thread, "Done!").await;
    let offered = stage.sees(*thread, OFFER).await;
    deep.stage.marked(&deep.name).await;
    let ending = stage.sees(*thread, "Ending the session").await;
    assert_eq!((ending.message_id, ending.buttons.len()), (offered.message_id, 0));
    stage.end(&deep.name);
    let told = stage.sees(*thread, "The session has ended.").await;
    assert_eq!(told.message_id, offered.message_id);
    assert!(written(&deep).await.is_empty());
}

#[tokio::test]
async fn what_is_written_behind_the_word_does_not_wait_for_the_button() {
    let deep = greeted("600").await;
    let Deep { stage, thread, .. } = &deep;
    stage.say(*thread, "Done!").await;
    let offered = stage.sees(*thread, OFFER).await;
    let data = &offered.button_data[0][0];
    let question = stage.say(*thread, "what now?").await;
    deep.stage.marked(&deep.name).await;
    let task = stage.name(*thread, question);
    stage.api.wait("containertasks", &task, |_| true).await;
    stage.sees(*thread, "Ending the session").await;

    // Whoever still sees the button presses in vain, and so does who makes one up.
    let forged = serde_json::json!({"callback_query": {
        "id": "late", "chat_instance": "1", "data": data, "from": {"id": stage.ada, "is_bot": false, "first_name": "Ada"},
        "message": {"message_id": offered.message_id, "date": 1, "chat": {"id": stage.forum, "type": "supergroup"}},
    }});
    stage.people.inject(&forged).await.unwrap();
    stage.end(&deep.name);
    stage.sees(*thread, "The session has ended.").await;
    assert!(written(&deep).await.is_empty());

    // From then on no session is spoken to, so what overtakes must not be told that nothing runs while it does.
    let deep = greeted("600").await;
    deep.stage.say(deep.thread, "Done!").await;
    deep.stage.sees(deep.thread, OFFER).await;
    deep.stage.say(deep.thread, "/stop").await;
    deep.stage.marked(&deep.name).await;
}

#[tokio::test]
async fn neither_the_offer_nor_the_button_is_forgotten_when_the_bot_dies() {
    let mut deep = greeted("60").await;
    let word = deep.stage.say(deep.thread, "Done!").await;
    let offered = deep.stage.sees(deep.thread, OFFER).await;
    deep.stage.kill();
    let people = deep.stage.people.clone();
    let pressed = people
        .press(deep.stage.forum, offered.message_id, deep.stage.ada, KEEP_GOING)
        .await
        .unwrap();
    deep.stage.start();
    let pressed = people.callback(&pressed.id, PATIENCE).await.unwrap();
    let said = pressed.answer.unwrap_or_default().text;
    assert!(said.starts_with("The session goes on"), "{said}");
    deep.posted(word).await;
    deep.runner.turn(2, &[deep.id(word)], "I see it.");
    let answer = deep.stage.sees(deep.thread, "I see it.").await;
    assert_eq!(answer.message_id, offered.message_id);
    assert_eq!(deep.patches(), 0);

    // An end whose time is up while the bot is away is carried out when it is back.
    let mut deep = greeted("2").await;
    deep.stage.say(deep.thread, "Done!").await;
    deep.stage.sees(deep.thread, OFFER).await;
    deep.stage.kill();
    deep.stage.start();
    deep.stage.marked(&deep.name).await;
}
