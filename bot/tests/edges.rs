//! Telegram says no: limits, refusals, rivals, places that cannot be reached.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::control::routes::WantedCalls;
use longshore_telegram_emulator::control::{ChatChange, TopicChange};
use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_telegram_emulator::limits::{Limits, Rate};
use longshore_telegram_emulator::world::Standing;
use serde_json::Value;
use support::Stage;

fn refusal(method: &str, code: u16, description: &str) -> Fault {
    Fault::on(
        method,
        Kind::Status {
            code,
            description: description.into(),
        },
    )
}

#[tokio::test]
async fn nothing_goes_to_a_chat_that_asked_to_wait() {
    let stage = Stage::play().await;
    let thread = stage.topic("Slow").await;
    stage
        .people
        .fault(&Fault::on("sendMessage", Kind::TooManyRequests { retry_after: 3 }))
        .await
        .unwrap();
    let started = tokio::time::Instant::now();
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    assert!(started.elapsed().as_secs_f32() >= 3.0);
    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap();
    let refused = calls
        .iter()
        .filter(|call| call.method.eq_ignore_ascii_case("sendMessage"))
        .count();
    assert_eq!(refused, 2, "one refused call and one repetition");
}

#[tokio::test]
async fn a_limit_that_is_tighter_than_the_budget_delays_answers_and_loses_none() {
    let stage = Stage::play().await;
    let tight = Limits {
        group: Some(Rate { calls: 3, seconds: 2.0 }),
        private: None,
        overall: None,
        ..Limits::default()
    };
    stage.people.set_limits(&tight).await.unwrap();
    let thread = stage.topic("Busy").await;
    for _ in 0..3 {
        stage.say(thread, "/stop").await;
    }
    stage.sees_times(thread, "Nothing is running here.", 3).await;
    assert_eq!(stage.by_bot(Some(thread)).await.len(), 3);
    let refused = WantedCalls {
        failed: true,
        ..WantedCalls::default()
    };
    let refused = stage.people.calls(&refused).await.unwrap();
    assert!(refused.iter().any(|call| call.code == 429), "the limit was never met");
}

#[tokio::test]
async fn a_token_that_is_refused_for_a_while_costs_no_answer() {
    let stage = Stage::play().await;
    let thread = stage.topic("New token").await;
    for _ in 0..2 {
        stage
            .people
            .fault(&refusal("editMessageText", 401, "Unauthorized"))
            .await
            .unwrap();
    }
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
}

#[tokio::test]
async fn formatting_that_is_refused_goes_out_as_plain_text() {
    let stage = Stage::play().await;
    let thread = stage.topic("Plain").await;
    let mut fault = refusal(
        "editMessageText",
        400,
        "Bad Request: can't parse entities: unknown entity",
    );
    fault.contains = Some("bold".into());
    stage.people.fault(&fault).await.unwrap();
    let name = stage.name(thread, stage.say(thread, "format").await);
    stage.complete(&name, "this is **bold**").await;
    let shown = stage.sees(thread, "this is bold").await;
    assert!(shown.entities.is_empty());
}

#[tokio::test]
async fn a_rival_poller_is_explained_and_outlived() {
    let stage = Stage::play().await;
    let thread = stage.topic("Rival").await;
    let conflict = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    let fault = stage.people.fault(&refusal("getUpdates", 409, conflict)).await.unwrap();
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    stage.say(thread, "/stop").await;
    stage.people.fault_hit(fault, support::PATIENCE).await.unwrap();
    stage.sees(thread, "Nothing is running here.").await;
    assert!(stage.log().contains("two programs fetch this bot's updates"));
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_sent_anew() {
    let stage = Stage::play().await;
    let thread = stage.topic("Deleted").await;
    let name = stage.name(thread, stage.say(thread, "what?").await);
    let placeholder = stage.sees(thread, "…").await;
    stage.people.delete(stage.forum, placeholder.message_id).await.unwrap();
    stage.complete(&name, "forty-two").await;
    assert_ne!(stage.sees(thread, "forty-two").await.message_id, placeholder.message_id);
}

fn reachable(topic: &Value) -> Option<(String, String)> {
    let conditions = topic["status"]["conditions"].as_array()?;
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == "ChatReachable")?;
    Some((
        condition["status"].as_str()?.to_owned(),
        condition["reason"].as_str()?.to_owned(),
    ))
}

async fn becomes(stage: &Stage, thread: i64, status: &str, reason: &str) {
    let wanted = Some((status.to_owned(), reason.to_owned()));
    stage
        .api
        .wait("topics", &stage.topic_name(thread), |topic| reachable(topic) == wanted)
        .await;
}

#[tokio::test]
async fn a_closed_topic_is_told_on_the_topic_and_its_answer_comes_when_it_opens_again() {
    let stage = Stage::play().await;
    stage
        .change_chat(ChatChange {
            standing: Some(Standing::Member),
            ..ChatChange::default()
        })
        .await;
    let thread = stage.topic("Closed").await;
    let name = stage.name(thread, stage.say(thread, "what?").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.sees(thread, "…").await;
    let change = |closed| TopicChange {
        user: stage.ada,
        name: None,
        closed: Some(closed),
        deleted: None,
    };
    let closed = refusal("editMessageText", 400, "Bad Request: TOPIC_CLOSED");
    // Its own call finds out first, as when the update is late.
    stage.people.fault(&closed).await.unwrap();
    stage.complete(&name, "forty-two").await;
    becomes(&stage, thread, "False", "TopicClosed").await;
    stage
        .people
        .change_topic(stage.forum, thread, &change(true))
        .await
        .unwrap();
    stage
        .people
        .change_topic(stage.forum, thread, &change(false))
        .await
        .unwrap();
    stage.sees(thread, "forty-two").await;
    becomes(&stage, thread, "True", "Reachable").await;
}

#[tokio::test]
async fn a_bot_that_was_thrown_out_says_so_on_the_topics_and_goes_on_when_it_is_back() {
    let stage = Stage::play().await;
    let thread = stage.topic("Out").await;
    let name = stage.name(thread, stage.say(thread, "what?").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.sees(thread, "…").await;
    let standing = |standing| ChatChange {
        standing: Some(standing),
        user: Some(stage.ada),
        ..ChatChange::default()
    };
    stage.change_chat(standing(Standing::Kicked)).await;
    becomes(&stage, thread, "False", "BotRemoved").await;
    stage.complete(&name, "forty-two").await;
    stage.change_chat(standing(Standing::Administrator)).await;
    stage.sees(thread, "forty-two").await;
    becomes(&stage, thread, "True", "Reachable").await;
}
