//! Results of tasks that no message asked for, as runs of a schedule: each comes once, also when the bot was away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::faults::{Fault, Kind};
use serde_json::{Value, json};
use support::{PATIENCE, Stage, condition};

const RUN: &str = "report-29454300";

/// As the operator makes it.
fn run(stage: &Stage, thread: i64) -> Value {
    json!({
        "metadata": {
            "name": RUN,
            "labels": {"longshore.dev/schedule": "report"},
            "annotations": {"longshore.dev/scheduled-for": "2026-01-01T09:00:00+01:00"},
        },
        "spec": {
            "topicRef": {"name": "reports"}, "prompt": "Report.",
            "origin": {"telegram": {"chatId": stage.forum, "threadId": thread}},
        },
    })
}

async fn told(stage: &Stage) {
    let delivered = |task: &Value| task["metadata"]["annotations"]["longshore.dev/delivered"].is_string();
    stage.api.wait("containertasks", RUN, delivered).await;
}

#[tokio::test]
async fn a_result_is_posted_as_a_message_of_its_own_and_its_task_is_told() {
    let stage = Stage::play().await;
    let thread = stage.topic("Reports").await;
    stage.api.add("containertasks", "ContainerTask", run(&stage, thread));
    stage.complete(RUN, "All **is** well.").await;
    let shown = stage.sees(thread, "All is well.").await;
    assert_eq!(shown.text, "⏰ report, 2026-01-01 09:00\n\nAll is well.");
    told(&stage).await;
    // Nothing but the receipt is written.
    assert_eq!(stage.api.writes(), [format!("PATCH containertasks/{RUN}")]);
}

#[tokio::test]
async fn a_run_that_failed_is_told_and_one_without_a_schedule_has_its_own_name() {
    let stage = Stage::play().await;
    let thread = stage.topic("Reports").await;
    let mut task = run(&stage, thread);
    task["metadata"] = json!({"name": RUN});
    stage.api.add("containertasks", "ContainerTask", task);
    let failed = condition("Failed", "True", "Timeout", "It ran longer than 900 s.");
    stage
        .api
        .merge("containertasks", RUN, json!({"status": {"conditions": [failed]}}));
    let shown = stage.sees(thread, "It ran longer").await;
    assert!(shown.text.starts_with(&format!("Task {RUN}")), "{}", shown.text);
    told(&stage).await;
}

#[tokio::test]
async fn a_run_that_was_not_needed_is_no_news_and_one_whose_check_failed_is() {
    let stage = Stage::play().await;
    let thread = stage.topic("Reports").await;
    stage.api.add("containertasks", "ContainerTask", run(&stage, thread));
    let mut idle = support::completed("claude was not asked");
    idle["status"]["conditions"] = json!([condition("Complete", "True", "NotNeeded", "")]);
    stage.api.merge("containertasks", RUN, idle);
    let mut next = run(&stage, thread);
    next["metadata"]["name"] = json!("report-29454301");
    stage.api.add("containertasks", "ContainerTask", next);
    let failed = condition("Failed", "True", "WhenFailed", "The command of `when` failed. Mend it.");
    let failed = json!({"status": {"conditions": [failed]}});
    stage.api.merge("containertasks", "report-29454301", failed);
    stage.sees(thread, "The command of `when` failed. Mend it.").await;
    // What is seen later was made later.
    let shown = stage.by_bot(Some(thread)).await;
    assert!(!shown.iter().any(|text| text.contains("was not asked")), "{shown:?}");
    let delivered = |task: &Value| task["metadata"]["annotations"]["longshore.dev/delivered"].is_string();
    stage.api.wait("containertasks", "report-29454301", delivered).await;
    assert_eq!(stage.api.writes(), ["PATCH containertasks/report-29454301"]);
}

#[tokio::test]
async fn results_that_came_while_the_bot_was_down_are_posted_once_however_often_it_starts() {
    let mut stage = Stage::set().await;
    let thread = stage.topic("Reports").await;
    stage.api.add("containertasks", "ContainerTask", run(&stage, thread));
    stage.complete(RUN, "forty-two").await;
    stage.start();
    stage.sees(thread, "forty-two").await;
    told(&stage).await;
    stage.kill();
    stage.start();
    let question = stage.say(thread, "are you there?").await;
    stage.complete(&stage.name(thread, question), "here I am").await;
    stage.sees(thread, "here I am").await;
    assert_eq!(stage.stands(thread, "forty-two").await, 1);
}

#[tokio::test]
async fn a_bot_that_is_killed_while_it_posts_a_result_posts_it_once() {
    for call in ["sendMessage", "editMessageText"] {
        let mut stage = Stage::play().await;
        let thread = stage.topic("Reports").await;
        let held = stage.people.fault(&Fault::on(call, Kind::HoldReply)).await.unwrap();
        stage.api.add("containertasks", "ContainerTask", run(&stage, thread));
        stage.complete(RUN, "forty-two").await;
        stage.people.fault_hit(held, PATIENCE).await.unwrap();
        stage.kill();
        stage.people.remove_fault(held).await.unwrap();
        stage.start();
        told(&stage).await;
        stage.sees(thread, "forty-two").await;
        assert_eq!(stage.stands(thread, "forty-two").await, 1, "{call}");
    }
}

#[tokio::test]
async fn a_result_that_an_earlier_bot_has_posted_is_not_posted_by_one_with_a_new_store() {
    let mut stage = Stage::set().await;
    let thread = stage.topic("Reports").await;
    let mut task = run(&stage, thread);
    task["metadata"]["annotations"]["longshore.dev/delivered"] = json!("2026-01-01T08:01:00Z");
    stage.api.add("containertasks", "ContainerTask", task);
    stage.complete(RUN, "forty-two").await;
    stage.start();
    let question = stage.say(thread, "are you there?").await;
    stage.complete(&stage.name(thread, question), "here I am").await;
    stage.sees(thread, "here I am").await;
    assert_eq!(stage.said("forty-two").await, 0);
}
