//! The bot is killed, or an answer of Telegram's is lost, at every point that matters: each message is answered exactly once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::faults::{Fault, Kind};
use support::{PATIENCE, Stage};

/// The question was asked once, and the answer stands once; at most empty placeholders stand beside it.
async fn answered_once(stage: &Stage, thread: i64, name: &str) {
    stage.sees(thread, "forty-two").await;
    stage
        .api
        .wait("containertasks", name, |task| {
            task["metadata"]["annotations"]["longshore.dev/delivered"].is_string()
        })
        .await;
    let shown = stage.by_bot(Some(thread)).await;
    assert_eq!(
        shown.iter().filter(|text| text.contains("forty-two")).count(),
        1,
        "{shown:?}"
    );
    assert!(
        shown.iter().all(|text| text.contains("forty-two") || text == "…"),
        "{shown:?}"
    );
    assert!(shown.len() <= 2, "{shown:?}");
    assert_eq!(stage.api.names("containertasks"), [name]);
}

#[tokio::test]
async fn killed_before_the_update_is_stored() {
    let mut stage = Stage::set().await;
    let thread = stage.topic("A").await;
    let held = stage
        .people
        .fault(&Fault::on("getUpdates", Kind::HoldReply))
        .await
        .unwrap();
    let message = stage.say(thread, "what is six by seven?").await;
    stage.start();
    stage.people.fault_hit(held, PATIENCE).await.unwrap();
    stage.kill();
    stage.people.remove_fault(held).await.unwrap();
    assert_eq!(stage.said("…").await, 0);
    stage.start();
    let name = stage.name(thread, message);
    stage.complete(&name, "forty-two").await;
    answered_once(&stage, thread, &name).await;
}

#[tokio::test]
async fn killed_before_the_task_is_created() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("B").await;
    stage.api.hold(true);
    let message = stage.say(thread, "what is six by seven?").await;
    stage.api.creates_arrive(1).await;
    stage.kill();
    stage.api.hold(false);
    stage.start();
    let name = stage.name(thread, message);
    stage.complete(&name, "forty-two").await;
    answered_once(&stage, thread, &name).await;
}

#[tokio::test]
async fn killed_after_the_task_is_created() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("C").await;
    let name = stage.name(thread, stage.say(thread, "what is six by seven?").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.kill();
    stage.complete(&name, "forty-two").await;
    stage.start();
    answered_once(&stage, thread, &name).await;
}

#[tokio::test]
async fn killed_while_the_answer_is_on_its_way() {
    for kind in [Kind::HoldBefore, Kind::HoldReply] {
        let mut stage = Stage::play().await;
        let thread = stage.topic("D").await;
        let mut fault = Fault::on("editMessageText", kind);
        fault.contains = Some("forty-two".into());
        let held = stage.people.fault(&fault).await.unwrap();
        let name = stage.name(thread, stage.say(thread, "what is six by seven?").await);
        stage.complete(&name, "forty-two").await;
        stage.people.fault_hit(held, PATIENCE).await.unwrap();
        stage.kill();
        stage.people.remove_fault(held).await.unwrap();
        stage.start();
        answered_once(&stage, thread, &name).await;
    }
}

#[tokio::test]
async fn killed_while_the_placeholder_is_on_its_way() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("E").await;
    let held = stage
        .people
        .fault(&Fault::on("sendMessage", Kind::HoldReply))
        .await
        .unwrap();
    let name = stage.name(thread, stage.say(thread, "what is six by seven?").await);
    stage.people.fault_hit(held, PATIENCE).await.unwrap();
    stage.kill();
    stage.people.remove_fault(held).await.unwrap();
    stage.start();
    stage.complete(&name, "forty-two").await;
    answered_once(&stage, thread, &name).await;
}

#[tokio::test]
async fn replies_that_are_lost_double_nothing() {
    let stage = Stage::play().await;
    let thread = stage.topic("F").await;
    for method in ["sendMessage", "editMessageText"] {
        stage.people.fault(&Fault::on(method, Kind::LostReply)).await.unwrap();
    }
    let name = stage.name(thread, stage.say(thread, "what is six by seven?").await);
    stage.complete(&name, "forty-two").await;
    answered_once(&stage, thread, &name).await;
}
