//! Sessions that fall asleep and wake up: what wakes them, what the topic is told, and what restarts of the bot change.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use longshore_wire::api::{ApprovalKind, IdleEnd, Memory};
use longshore_wire::event::{Event, MemoryLevel};
use longshore_wire::{MessageId, author};
use serde_json::{Value, json};
use support::deep::{Deep, approval};
use support::{PATIENCE, Stage, condition};

#[tokio::test]
async fn a_message_wakes_a_sleeping_session_once_and_is_answered_by_it() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    deep.suspended("IdleTimeout", 1);
    stage.sees(*thread, "The session sleeps").await;
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
    stage.sees_times(*thread, "The session sleeps", 2).await;
    let third = stage.say(*thread, "/deep and now?").await;
    deep.wished(third).await;
    assert_eq!(deep.patches(), 2);
}

#[tokio::test]
async fn an_address_that_never_answers_holds_nothing_up_once_the_session_has_another() {
    let deep = Deep::start().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    deep.stage.ready(&deep.name, &deep.runner, &address).await;
    let _connection = gone.accept().await.unwrap();
    deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
    deep.runner.turn(1, &[deep.id(deep.first)], "Here I am.");
    deep.stage.sees(deep.thread, "Here I am.").await;
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
    assert_eq!(
        (deep.patches(), deep.stage.stands(deep.thread, "I am here.").await),
        (1, 1)
    );
    let posted = deep.runner.wait("the post", |_| true).await.posted;
    assert!(posted.iter().all(|posted| posted.id == deep.id(message)), "{posted:?}");
}

#[tokio::test]
async fn a_bare_deep_wakes_a_sleeping_session_and_says_when_it_is_ready() {
    let mut deep = Deep::greeted().await;
    deep.suspended("IdleTimeout", 1);
    deep.stage.sees(deep.thread, "The session sleeps").await;
    let message = deep.stage.say(deep.thread, "/deep").await;
    deep.wished(message).await;
    deep.stage.kill();
    deep.stage.start();
    deep.woken();
    deep.back();
    deep.stage.sees(deep.thread, "The session is ready.").await;
    let posted = deep.runner.wait("nothing", |_| true).await.posted;
    assert!(posted.is_empty(), "{posted:?}");
    // With text it is a message, and one that comes too late for the session starts another.
    deep.suspended("IdleTimeout", 2);
    deep.stage.sees_times(deep.thread, "The session sleeps", 2).await;
    let message = deep.stage.say(deep.thread, "/deep").await;
    deep.wished(message).await;
    deep.stage.end(&deep.name);
    let another = deep.stage.name(deep.thread, message);
    deep.stage.api.wait("persistentsessions", &another, |_| true).await;
}

#[tokio::test]
async fn a_decision_about_a_prompt_of_a_session_that_falls_asleep_wakes_it() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    runner.emit(approval(
        "req-1",
        ApprovalKind::Permission,
        "Bash",
        json!({"command": "make"}),
    ));
    let prompt = stage.sees(*thread, "May claude use Bash?").await;
    deep.suspending();
    // The bot has seen it, too.
    stage.say(*thread, "/status").await;
    stage.sees(*thread, "suspending.").await;
    let pressed = stage
        .people
        .press(stage.forum, prompt.message_id, stage.ada, "✅ Allow")
        .await
        .unwrap();
    let answer = stage
        .people
        .callback(&pressed.id, PATIENCE)
        .await
        .unwrap()
        .answer
        .unwrap_or_default();
    assert!(answer.text.contains("is being woken"), "{answer:?}");
    assert!(deep.wish().is_string());
    // Once the process is gone nobody waits for the answer.
    deep.suspended("Requested", 1);
    let closed = stage.sees(*thread, "No longer needed.").await;
    assert_eq!((closed.message_id, closed.buttons.len()), (prompt.message_id, 0));
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
    stage.sees(*thread, "it was suspended on request").await;
    let message = stage.say(*thread, "are you there?").await;
    stage.sees(*thread, "kept suspended by its desiredState").await;
    stage.say(*thread, "/stop").await;
    stage.sees(*thread, "The session sleeps, so nothing runs here.").await;
    assert_eq!(deep.patches(), 0);
    stage.say(*thread, "/end").await;
    let task = stage.name(*thread, message);
    stage.api.wait("containertasks", &task, |_| true).await;
}

fn warning(then: IdleEnd) -> Event {
    let deadline = Timestamp::now() + Duration::from_secs(300);
    Event::IdleWarning { deadline, then }
}

#[tokio::test]
async fn an_idle_warning_becomes_what_came_of_it() {
    let mut deep = Deep::greeted().await;
    deep.runner.emit(warning(IdleEnd::Suspend));
    let warned = deep.stage.sees(deep.thread, "any message keeps it awake").await;
    assert!(warned.text.contains("Idle: the session goes to sleep at"), "{warned:?}");
    let message = deep.stage.say(deep.thread, "wait").await;
    deep.posted(message).await;
    let id = deep.id(message);
    deep.runner.emit(Event::Accepted {
        id,
        author: None,
        text: "wait".into(),
        attachments: Vec::new(),
        context: None,
    });
    let settled = deep.stage.sees(deep.thread, "it stays awake").await;
    assert_eq!(settled.message_id, warned.message_id);
    deep.runner.turn(2, &[id], "I wait.");
    deep.stage.sees(deep.thread, "I wait.").await;
    deep.runner.emit(warning(IdleEnd::Suspend));
    let warned = deep.stage.sees(deep.thread, "any message keeps it awake").await;
    deep.stage.kill();
    deep.suspended("IdleTimeout", 1);
    deep.stage.start();
    let slept = deep
        .stage
        .sees(deep.thread, "The session sleeps: nobody needed it")
        .await;
    assert_eq!(slept.message_id, warned.message_id);
    deep.stage.kill();
    deep.stage.start();
    let later = deep.stage.say(deep.thread, "good morning").await;
    deep.wished(later).await;
    assert_eq!(deep.stage.stands(deep.thread, "The session sleeps").await, 1);
}

#[tokio::test]
async fn every_sleep_is_told_once_with_its_reason_and_none_that_a_message_cancels() {
    let mut deep = Deep::greeted().await;
    deep.suspended("SlotReclaimed", 1);
    deep.stage
        .sees(deep.thread, "its place was needed for another session")
        .await;
    deep.stage.kill();
    deep.stage.start();
    let message = deep.stage.say(deep.thread, "back, please").await;
    deep.wished(message).await;
    // Asleep again in between, with somebody waiting: no news.
    deep.suspended("IdleTimeout", 2);
    deep.woken();
    deep.back();
    deep.posted(message).await;
    deep.runner.turn(2, &[deep.id(message)], "Here.");
    deep.stage.sees(deep.thread, "Here.").await;
    deep.suspended("IdleTimeout", 3);
    deep.stage.sees(deep.thread, "nobody needed it for a while").await;
    assert_eq!(deep.stage.stands(deep.thread, "The session sleeps").await, 2);
}

#[tokio::test]
async fn the_end_is_told_once_with_its_reason_and_the_key_outcomes() {
    let mut deep = Deep::greeted().await;
    deep.runner.emit(warning(IdleEnd::End));
    let warned = deep.stage.sees(deep.thread, "Idle: the session ends at").await;
    deep.stage.kill();
    let summary =
        json!({"path": "state/summaries/x.md", "time": "2026-01-01T00:00:00Z", "text": "**Decided:** use SQLite"});
    let ended = condition("Ended", "True", "IdleTimeout", "");
    let status = json!({"phase": "Ended", "endpoint": null, "summary": summary, "conditions": [ended]});
    deep.stage
        .api
        .merge("persistentsessions", &deep.name, json!({ "status": status }));
    deep.stage.start();
    let over = deep
        .stage
        .sees(deep.thread, "The session has ended: nobody needed it")
        .await;
    assert!(over.text.contains("Key outcomes:\n\nDecided: use SQLite"), "{over:?}");
    let settled = deep.stage.sees(deep.thread, "The session was idle and is over.").await;
    assert_eq!(settled.message_id, warned.message_id);
    deep.stage.kill();
    deep.stage.start();
    deep.stage.api.delete("persistentsessions", &deep.name);
    deep.stage.say(deep.thread, "/end").await;
    deep.stage.sees(deep.thread, "No session is active").await;
    assert_eq!(deep.stage.stands(deep.thread, "Key outcomes").await, 1);
}

#[tokio::test]
async fn a_deleted_session_leaves_its_outcomes_in_the_topic() {
    let deep = Deep::greeted().await;
    let waiting = deep.stage.say(deep.thread, "one more").await;
    deep.posted(waiting).await;
    let summary = json!({"path": "state/summaries/x.md", "time": "2026-01-01T00:00:00Z", "text": "Use SQLite."});
    let undelivered =
        json!([{"messageIds": [deep.id(waiting).to_string()], "text": "The last one.", "isError": false}]);
    let ended = condition("Ended", "True", "Deleted", "");
    let status = json!({"phase": "Ended", "endpoint": null, "summary": summary, "undelivered": undelivered, "conditions": [ended]});
    let stage = &deep.stage;
    stage
        .api
        .merge("persistentsessions", &deep.name, json!({ "status": status }));
    // Gone before the last words of its stream are in.
    stage.api.delete("persistentsessions", &deep.name);
    let over = stage.sees(deep.thread, "Key outcomes").await;
    assert!(
        over.text.starts_with("The session has ended: it was deleted.") && over.text.ends_with("Use SQLite."),
        "{over:?}"
    );
    stage.sees(deep.thread, "The last one.").await;
}

#[tokio::test]
async fn an_answer_that_nobody_took_is_delivered_from_the_status_once() {
    let mut deep = Deep::greeted().await;
    let first = deep.stage.say(deep.thread, "one").await;
    deep.posted(first).await;
    let second = deep.stage.say(deep.thread, "two").await;
    deep.posted(second).await;
    let stranger = longshore_wire::MessageId::from_object("somebody else").to_string();
    deep.stage.kill();
    // The turn ended and the pod went while no bot was there.
    deep.runner.turn(2, &[deep.id(first)], "Number one.");
    let undelivered = json!([
        {"messageIds": [deep.id(deep.first).to_string()], "text": "Fixed, again.", "isError": false},
        {"messageIds": [deep.id(first).to_string(), "no id"], "text": "Number **one**.", "isError": false},
        {"messageIds": [stranger], "text": "not ours", "isError": false},
    ]);
    deep.stage.api.merge(
        "persistentsessions",
        &deep.name,
        json!({"status": {"undelivered": undelivered}}),
    );
    deep.suspended("IdleTimeout", 1);
    deep.stage.start();
    deep.stage.sees(deep.thread, "Number one.").await;
    // The stream brings it again.
    let third = deep.stage.say(deep.thread, "three").await;
    // The bot may have been killed before it knew that the runner had "two", and then wakes the session for that.
    let wished = |session: &Value| session["metadata"]["annotations"]["longshore.dev/wake"].is_string();
    deep.stage.api.wait("persistentsessions", &deep.name, wished).await;
    deep.woken();
    deep.back();
    deep.posted(third).await;
    deep.runner.turn(3, &[deep.id(third)], "Number three.");
    deep.stage.sees(deep.thread, "Number three.").await;
    // What is undelivered at the end comes before the regrets.
    let undelivered = json!([{"messageIds": [deep.id(second).to_string()], "text": "Number two.", "isError": true}]);
    deep.stage.api.merge(
        "persistentsessions",
        &deep.name,
        json!({"status": {"undelivered": undelivered}}),
    );
    deep.stage.end(&deep.name);
    deep.stage.sees(deep.thread, "Number two.").await;
    deep.stage.sees(deep.thread, "The session has ended.").await;
    let said = deep.stage.by_bot(Some(deep.thread)).await;
    let times = |text: &str| said.iter().filter(|said| said.contains(text)).count();
    assert_eq!(
        (times("Number one"), times("Number two"), times("Number three")),
        (1, 1, 1),
        "{said:?}"
    );
    assert_eq!(
        (times("again"), times("not ours"), times("before this was answered")),
        (0, 0, 0),
        "{said:?}"
    );
}

#[tokio::test]
async fn memory_and_restarts_are_noted_and_events_of_the_future_break_nothing() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    for (level, message) in [
        (MemoryLevel::Warning, "The agent uses 85% of its memory."),
        (MemoryLevel::Normal, "The agent has room again."),
        (MemoryLevel::Recycled, "claude was restarted to free memory."),
        (MemoryLevel::OutOfMemory, "The kernel killed make."),
    ] {
        runner.emit(Event::Memory {
            level,
            message: message.into(),
            memory: Memory::default(),
        });
    }
    // A warning that is heard too late warns of nothing.
    runner.emit(Event::IdleWarning {
        deadline: Timestamp::UNIX_EPOCH,
        then: IdleEnd::Suspend,
    });
    runner.emit_unheard_of();
    runner.emit(Event::Restarted {
        message: "claude was started again.".into(),
    });
    runner.emit_unheard_of();
    let message = stage.say(*thread, "still there?").await;
    deep.posted(message).await;
    runner.turn(2, &[deep.id(message)], "Sure.");
    stage.sees(*thread, "Sure.").await;
    stage.sees(*thread, "claude was started again.").await;
    for text in ["uses 85%", "restarted to free", "killed make", "started again"] {
        assert_eq!(stage.said(text).await, 1, "{text}");
    }
    for text in ["has room again", "keeps it awake"] {
        assert_eq!(stage.said(text).await, 0, "{text}");
    }
}

#[tokio::test]
async fn a_place_in_the_queue_is_one_message_that_changes_and_the_refusal_is_its_answer() {
    let deep = Deep::start().await;
    let Deep { stage, thread, .. } = &deep;
    let queue = |position: Value| {
        let queued = condition("Admitted", "False", "Queued", "");
        let status = json!({"phase": "Queued", "queuePosition": position, "conditions": [queued]});
        stage
            .api
            .merge("persistentsessions", &deep.name, json!({ "status": status }));
    };
    queue(json!(3));
    let third = stage.sees(*thread, "waits in the queue, at position 3").await;
    queue(json!(1));
    let next = stage.sees(*thread, "waits in the queue, at position 1").await;
    assert_eq!(third.message_id, next.message_id);
    let ended = condition("Ended", "True", "QueueTimeout", "");
    let status = json!({"phase": "Ended", "queuePosition": null, "conditions": [ended]});
    stage
        .api
        .merge("persistentsessions", &deep.name, json!({ "status": status }));
    let refused = stage.sees(*thread, "no place became free in time").await;
    assert_eq!(refused.message_id, next.message_id);
    assert_eq!(stage.by_bot(Some(*thread)).await.len(), 1);
}

#[tokio::test]
async fn what_is_shown_never_goes_back_to_what_was_known_before() {
    let stage = Stage::play().await;
    let thread = stage.topic("Late").await;
    // The topic exists, so that only the session's reply comes late.
    let greeting = stage.say(thread, "hello").await;
    stage.complete(&stage.name(thread, greeting), "Hello!").await;
    stage.sees(thread, "Hello!").await;
    stage.api.hold_replies(true);
    let name = stage.name(thread, stage.say(thread, "/deep fix the build").await);
    stage.api.wait("persistentsessions", &name, |_| true).await;
    stage.api.merge(
        "persistentsessions",
        &name,
        json!({"status": {"phase": "Queued", "queuePosition": 4}}),
    );
    stage.sees(thread, "at position 4").await;
    stage.api.hold_replies(false);
    let back = stage.people.wait_for(
        stage.forum,
        Some(thread),
        0,
        "Starting a session",
        Duration::from_secs(6),
    );
    assert!(back.await.is_err());
}

#[tokio::test]
async fn what_holds_a_session_up_is_one_message_until_it_goes_on() {
    let mut deep = Deep::greeted().await;
    let trouble = |deep: &Deep, reason: &str, message: &str| {
        let ready = condition("Ready", "False", reason, message);
        let status = json!({"phase": "Starting", "endpoint": null, "conditions": [ready]});
        deep.stage
            .api
            .merge("persistentsessions", &deep.name, json!({ "status": status }));
    };
    trouble(&deep, "Resuming", "The pod is on the way");
    trouble(&deep, "NodeLost", "node a-1 is silent");
    let lost = deep.stage.sees(deep.thread, "its node does not answer").await;
    assert!(lost.text.contains("(node a-1 is silent.)"), "{lost:?}");
    deep.stage.kill();
    deep.stage.start();
    trouble(&deep, "Unschedulable", "0/1 nodes");
    let full = deep.stage.sees(deep.thread, "no node has room").await;
    deep.back();
    let solved = deep.stage.sees(deep.thread, "The session takes messages again.").await;
    assert_eq!(
        (lost.message_id, full.message_id),
        (solved.message_id, solved.message_id)
    );
    assert_eq!(deep.stage.by_bot(Some(deep.thread)).await.len(), 2);
    // The next trouble is another one; a message that waits shows it itself.
    trouble(&deep, "CrashLoop", "");
    let looping = deep.stage.sees(deep.thread, "does not stay up").await;
    assert_ne!(looping.message_id, solved.message_id);
    deep.stage.say(deep.thread, "hello?").await;
    deep.stage.sees_times(deep.thread, "does not stay up", 2).await;
}

#[tokio::test]
async fn an_answer_to_a_schedule_stands_in_the_topic_once_with_its_heading_also_over_a_restart() {
    let mut deep = Deep::greeted().await;
    deep.suspended("IdleTimeout", 1);
    deep.stage.sees(deep.thread, "The session sleeps").await;
    // The operator wakes it for a schedule; nobody has written.
    deep.woken();
    deep.back();
    let run = MessageId::from_run("uid", 29_454_300);
    deep.runner.emit(Event::Accepted {
        id: run,
        author: Some(author::of_run("tick", "2026-01-01 09:00")),
        text: "Report.".into(),
        attachments: Vec::new(),
        context: None,
    });
    // Somebody else's turn ends before the one that the schedule waits for.
    let asked = deep.stage.say(deep.thread, "and you?").await;
    deep.posted(asked).await;
    deep.runner.turn(2, &[deep.id(asked)], "Fine.");
    let fine = deep.stage.sees(deep.thread, "Fine.").await;
    assert_eq!(fine.text, "Fine.");
    deep.stage.kill();
    deep.runner.turn(3, &[run], "All is well.");
    deep.stage.start();
    let told = deep.stage.sees(deep.thread, "All is well.").await;
    assert_eq!(told.text, "⏰ tick, 2026-01-01 09:00\n\nAll is well.");
    assert_eq!(told.reply_to, None);
    let last = deep.stage.say(deep.thread, "thanks").await;
    deep.posted(last).await;
    deep.runner.turn(4, &[deep.id(last)], "Any time.");
    deep.stage.sees(deep.thread, "Any time.").await;
    assert_eq!(deep.stage.stands(deep.thread, "All is well.").await, 1);
}
