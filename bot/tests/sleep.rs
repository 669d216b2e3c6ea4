//! Sessions that fall asleep and wake up: what wakes them, what the topic is told, and what restarts of the bot change.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use axum::http::StatusCode;
use serde_json::json;
use support::deep::Deep;

#[tokio::test]
async fn a_message_wakes_a_sleeping_session_once_and_is_answered_by_it() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    deep.suspended("IdleTimeout", 1);
    let first = stage.say(*thread, "are you there?").await;
    let second = stage.say(*thread, "please?").await;
    deep.wished(first).await;
    stage.sees(*thread, "Waking the session up").await;
    deep.woken();
    stage.sees(*thread, "coming back").await;
    deep.back();
    deep.posted(first).await;
    deep.posted(second).await;
    runner.turn(2, &[deep.id(first), deep.id(second)], "I am here.");
    stage.sees(*thread, "I am here.").await;
    assert_eq!((deep.patches(), stage.said("I am here.").await), (1, 1));
    // The next sleep is another one.
    deep.suspended("IdleTimeout", 2);
    let third = stage.say(*thread, "/deep and now?").await;
    deep.wished(third).await;
    assert_eq!(deep.patches(), 2);
}

#[tokio::test]
async fn killed_at_every_step_of_a_wake_the_bot_asks_once_and_delivers_once() {
    let mut deep = Deep::greeted().await;
    deep.suspended("IdleTimeout", 1);
    deep.stage.kill();
    let message = deep.stage.say(deep.thread, "are you there?").await;
    deep.stage.start();
    deep.wished(message).await;
    deep.stage.kill();
    deep.stage.start();
    // It goes on waiting without asking again.
    deep.stage.sees(deep.thread, "Waking the session up").await;
    deep.stage.kill();
    deep.woken();
    deep.stage.start();
    deep.stage.sees(deep.thread, "coming back").await;
    deep.stage.kill();
    deep.back();
    deep.stage.start();
    deep.posted(message).await;
    deep.stage.kill();
    deep.runner.turn(2, &[deep.id(message)], "I am here.");
    deep.stage.start();
    deep.stage.sees(deep.thread, "I am here.").await;
    assert_eq!((deep.patches(), deep.stage.said("I am here.").await), (1, 1));
    let posted = deep.runner.wait("the post", |_| true).await.posted;
    assert!(posted.iter().all(|posted| posted.id == deep.id(message)), "{posted:?}");
}

#[tokio::test]
async fn a_runner_that_winds_down_refuses_and_the_session_is_woken_as_soon_as_it_is_being_suspended() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT] {
        let deep = Deep::greeted().await;
        let Deep {
            stage, thread, runner, ..
        } = &deep;
        runner.change(|state| state.winding_down = Some(status));
        let message = stage.say(*thread, "one more thing").await;
        deep.suspending();
        deep.wished(message).await;
        // The wake came in time: the pod stays, and another claude takes over.
        deep.woken();
        runner.change(|state| state.winding_down = None);
        deep.back();
        deep.posted(message).await;
        runner.turn(2, &[deep.id(message)], "Noted that.");
        stage.sees(*thread, "Noted that.").await;
        assert_eq!(deep.patches(), 1);
    }
}

#[tokio::test]
async fn a_message_whose_session_ends_instead_of_waking_up_becomes_a_task() {
    let mut deep = Deep::greeted().await;
    deep.runner
        .change(|state| state.winding_down = Some(StatusCode::SERVICE_UNAVAILABLE));
    let message = deep.stage.say(deep.thread, "one more thing").await;
    let deeper = deep.stage.say(deep.thread, "/deep and a big one").await;
    deep.suspending();
    deep.wished(message).await;
    deep.stage.kill();
    deep.stage.start();
    deep.stage.sees(deep.thread, "Waking the session up").await;
    deep.stage.end(&deep.name);
    let task = deep.stage.name(deep.thread, message);
    let task = deep.stage.api.wait("containertasks", &task, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "one more thing");
    let session = deep.stage.name(deep.thread, deeper);
    let session = deep.stage.api.wait("persistentsessions", &session, |_| true).await;
    assert_eq!(session["spec"]["prompt"], "and a big one");
}

#[tokio::test]
async fn a_session_that_shall_stay_suspended_is_not_woken_and_can_be_ended() {
    let deep = Deep::greeted().await;
    let Deep { stage, thread, .. } = &deep;
    stage.api.merge(
        "persistentsessions",
        &deep.name,
        json!({"spec": {"desiredState": "Suspended"}}),
    );
    deep.suspended("Requested", 1);
    let message = stage.say(*thread, "are you there?").await;
    stage.sees(*thread, "kept suspended by its desiredState").await;
    stage.say(*thread, "/stop").await;
    stage.sees(*thread, "The session sleeps, so nothing runs here.").await;
    assert_eq!(deep.patches(), 0);
    stage.say(*thread, "/end").await;
    let task = stage.name(*thread, message);
    stage.api.wait("containertasks", &task, |_| true).await;
}
