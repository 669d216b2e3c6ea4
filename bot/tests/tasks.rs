//! Messages without a session: ContainerTasks, answers, and everything that is answered without running anything.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_wire::event::Event;
use serde_json::json;
use support::runner::Runner;
use support::{Stage, condition};

#[tokio::test]
async fn a_question_becomes_a_task_and_its_result_is_edited_into_the_topic() {
    let stage = Stage::play().await;
    let thread = stage.topic("Payments").await;
    let question = stage.say(thread, "why is the sky blue?").await;
    let name = stage.name(thread, question);
    let task = stage.api.wait("containertasks", &name, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "why is the sky blue?");
    assert_eq!(
        task["spec"]["origin"]["telegram"],
        json!({"chatId": stage.forum, "threadId": thread, "messageId": question, "userId": stage.ada, "author": "Ada"})
    );
    let topic = stage.api.get("topics", &stage.topic_name(thread)).unwrap();
    assert_eq!(topic["spec"]["displayName"], "Payments");
    assert_eq!(
        topic["spec"]["telegram"],
        json!({"chatId": stage.forum, "threadId": thread})
    );
    let placeholder = stage.sees(thread, "…").await;
    stage.complete(&name, "Because of **Rayleigh**.").await;
    let answer = stage.sees(thread, "Because of Rayleigh.").await;
    assert_eq!(answer.message_id, placeholder.message_id);
    stage
        .api
        .wait("containertasks", &name, |task| {
            task["metadata"]["annotations"]["longshore.dev/delivered"].is_string()
        })
        .await;
    assert_eq!(stage.by_bot(Some(thread)).await, ["Because of Rayleigh."]);
    assert_eq!(
        stage.api.writes(),
        [
            format!("POST topics/{}", stage.topic_name(thread)),
            format!("POST containertasks/{name}"),
            format!("PATCH containertasks/{name}")
        ]
    );
}

#[tokio::test]
async fn a_long_answer_comes_whole_and_in_order() {
    let stage = Stage::play().await;
    let thread = stage.topic("Long").await;
    let question = stage.say(thread, "count").await;
    let lines = (0..2000).map(|n| format!("line {n}")).collect::<Vec<_>>();
    stage.complete(&stage.name(thread, question), &lines.join("\n")).await;
    stage.sees(thread, "line 1999").await;
    let parts = stage.by_bot(Some(thread)).await;
    assert!(parts.len() >= 4 && parts.iter().all(|part| part.encode_utf16().count() <= 4096));
    assert_eq!(parts.join("\n"), lines.join("\n"));
}

#[tokio::test]
async fn places_of_a_forum_do_not_wait_for_each_other_and_the_general_topic_has_no_thread() {
    let stage = Stage::play().await;
    let one = stage.topic("One").await;
    let first = stage.say(one, "slow").await;
    let general = stage.people.say(stage.forum, None, stage.ada, "quick").await.unwrap();
    let topic = longshore_crds::names::telegram_topic(stage.forum, None);
    stage
        .complete(&longshore_crds::names::for_message(&topic, general), "done quickly")
        .await;
    stage
        .people
        .wait_for(stage.forum, None, 0, "done quickly", support::PATIENCE)
        .await
        .unwrap();
    stage.complete(&stage.name(one, first), "done slowly").await;
    stage.sees(one, "done slowly").await;
    assert!(stage.api.get("topics", &topic).unwrap()["spec"]["telegram"]["threadId"].is_null());
}

#[tokio::test]
async fn a_failed_and_a_deleted_task_are_told_in_a_sentence() {
    let stage = Stage::play().await;
    let thread = stage.topic("Trouble").await;
    let first = stage.name(thread, stage.say(thread, "one").await);
    stage.api.wait("containertasks", &first, |_| true).await;
    let queued = json!({"status": {"phase": "Queued", "queuePosition": 2}});
    stage.api.merge("containertasks", &first, queued);
    stage.sees(thread, "waits in the queue, at position 2").await;
    let failed = condition("Failed", "True", "Timeout", "It ran longer than 900 s.");
    stage
        .api
        .merge("containertasks", &first, json!({"status": {"conditions": [failed]}}));
    stage.sees(thread, "The task failed: It ran longer than 900 s.").await;
    let second = stage.name(thread, stage.say(thread, "two").await);
    stage.api.wait("containertasks", &second, |_| true).await;
    stage.api.delete("containertasks", &second);
    stage.sees(thread, "withdrawn before it had answered").await;
}

#[tokio::test]
async fn a_stranger_gets_nothing_run_and_no_answer() {
    let stage = Stage::play().await;
    let thread = stage.topic("Private").await;
    let eve = stage.people.user("Eve").await.unwrap().id;
    stage
        .people
        .say(stage.forum, Some(thread), eve, "/deep take over")
        .await
        .unwrap();
    stage.people.say(stage.forum, Some(thread), eve, "hello").await.unwrap();
    stage.people.say(eve, None, eve, "/start").await.unwrap();
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    assert_eq!(stage.by_bot(Some(thread)).await.len(), 1);
    assert!(
        stage
            .people
            .messages(eve, None)
            .await
            .unwrap()
            .iter()
            .all(|shown| !shown.from_bot)
    );
    assert!(stage.api.writes().is_empty(), "{:?}", stage.api.writes());
}

#[tokio::test]
async fn what_cannot_be_run_is_answered_and_runs_nothing() {
    let stage = Stage::play().await;
    let thread = stage.topic("Odd").await;
    stage.say(thread, "/frobnicate").await;
    stage.sees(thread, "I do not know /frobnicate").await;
    stage.say(thread, "/stop").await;
    stage.sees(thread, "Nothing is running here.").await;
    let from = json!({"id": stage.ada, "is_bot": false, "first_name": "Ada"});
    let chat = json!({"id": stage.forum, "type": "supergroup", "is_forum": true, "title": "Harbour"});
    for (id, field, value) in [(900, "sticker", json!({})), (901, "text", json!("x".repeat(3_000_000)))] {
        let mut message = json!({"message_id": id, "date": 1, "chat": chat, "from": from, "message_thread_id": thread, "is_topic_message": true});
        message[field] = value;
        stage.people.inject(&json!({"message": message})).await.unwrap();
    }
    stage.sees(thread, "cannot hand on stickers").await;
    stage.sees(thread, "too long").await;
    assert!(stage.api.writes().is_empty());
}

#[tokio::test]
async fn without_leave_to_make_topics_the_bot_says_what_to_do_and_uses_those_that_exist() {
    let mut stage = Stage::set().await.allowing(&[]);
    stage.start();
    let (bound, unbound) = (stage.topic("Bound").await, stage.topic("Unbound").await);
    stage.api.add(
        "topics",
        "Topic",
        json!({"metadata": {"name": "handmade"}, "spec": {"agentClassName": "default", "telegram": {"chatId": stage.forum, "threadId": bound}}}),
    );
    stage.say(unbound, "hello").await;
    stage.sees(unbound, "Ask its operator to create a Topic").await;
    let message = stage.say(bound, "hello").await;
    stage
        .complete(
            &longshore_crds::names::for_message("handmade", message),
            "from the handmade topic",
        )
        .await;
    stage.sees(bound, "from the handmade topic").await;
}

#[tokio::test]
async fn stop_reaches_a_task_as_soon_as_it_begins_even_when_the_bot_dies_in_between() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("Stop").await;
    let name = stage.name(thread, stage.say(thread, "something long").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.say(thread, "/stop").await;
    stage.sees(thread, "it is stopped as soon as it does").await;
    stage.kill();
    let (runner, endpoint) = Runner::start().await;
    let topic = stage.api.get("topics", &stage.topic_name(thread)).unwrap();
    runner.let_in(topic["metadata"]["uid"].as_str().unwrap());
    stage.api.merge(
        "containertasks",
        &name,
        json!({"status": {"phase": "Running", "endpoint": endpoint}}),
    );
    stage.start();
    runner.wait("the interruption", |state| state.interrupts == 1).await;
    stage.sees(thread, "Stopping.").await;
    let mut stopped = support::completed("");
    stopped["status"]["result"]["isError"] = json!(true);
    stopped["status"]["result"]["terminalReason"] = json!("aborted_streaming");
    stage.api.merge("containertasks", &name, stopped);
    stage.sees(thread, "Stopped.").await;
}

#[tokio::test]
async fn a_task_shows_what_it_writes_before_it_is_complete() {
    let stage = Stage::play().await;
    let thread = stage.topic("Preview").await;
    let message = stage.say(thread, "write a poem").await;
    let name = stage.name(thread, message);
    stage.api.wait("containertasks", &name, |_| true).await;
    let (runner, endpoint) = Runner::start().await;
    let topic = stage.api.get("topics", &stage.topic_name(thread)).unwrap();
    runner.let_in(topic["metadata"]["uid"].as_str().unwrap());
    let id = longshore_wire::MessageId::from_telegram(stage.forum, message);
    runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![id],
    });
    stage.api.merge(
        "containertasks",
        &name,
        json!({"status": {"phase": "Running", "endpoint": endpoint}}),
    );
    runner.emit(Event::Text {
        turn: 1,
        block: 0,
        text: "Roses are red".into(),
    });
    let preview = stage.sees(thread, "Roses are red").await;
    stage.complete(&name, "Roses are red, violets are blue.").await;
    assert_eq!(stage.sees(thread, "violets").await.message_id, preview.message_id);
    assert_eq!(
        runner.wait("nothing", |_| true).await.acked,
        0,
        "the operator acknowledges what a task says"
    );
}
