//! Messages with a session: posting, streaming, prompts, stopping, ending, and restarts in between.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use longshore_telegram_emulator::control::routes::WantedCalls;
use longshore_wire::api::{ApprovalKind, Verdict};
use longshore_wire::event::{ApprovalOutcome, Event};
use serde_json::json;
use support::deep::{Deep, approval};
use support::runner::{Runner, Seen};
use support::{PATIENCE, Stage, in_time};

#[tokio::test]
async fn deep_starts_a_session_that_streams_and_takes_what_follows() {
    let deep = Deep::start().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let session = stage.api.get("persistentsessions", &deep.name).unwrap();
    assert_eq!(session["spec"]["prompt"], "fix the build");
    assert_eq!(session["metadata"]["finalizers"], json!(["longshore.dev/summary"]));
    assert_eq!(session["spec"]["origin"]["telegram"]["messageId"], deep.first);
    let early = stage.say(*thread, "quickly, please").await;
    stage.sees(*thread, "Starting a session").await;
    runner.change(|state| state.busy = 1);
    stage.ready(&deep.name, runner, &deep.endpoint).await;
    deep.posted(early).await;
    let first = deep.id(deep.first);
    runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![first],
    });
    runner.preview(1, "Let me").await;
    runner.preview(1, " look").await;
    let streamed = stage.sees(*thread, "Let me look").await;
    runner.emit(Event::Text {
        turn: 1,
        block: 0,
        text: "Let me look. It is fixed.".into(),
    });
    runner.finish(1, &[first, deep.id(early)]);
    let answer = stage.sees(*thread, "It is fixed.").await;
    stage.sees(*thread, "Answered below").await;
    assert_ne!(
        answer.message_id, streamed.message_id,
        "the newest of the answered messages bears the text"
    );
    runner.wait("the acknowledgement", |state| state.acked == 3).await;
    let writes = stage.api.writes().len();
    let later = stage.say(*thread, "thanks").await;
    deep.posted(later).await;
    runner.turn(2, &[deep.id(later)], "You are welcome.");
    stage.sees(*thread, "You are welcome.").await;
    assert_eq!(
        stage.api.writes().len(),
        writes,
        "chatting costs the API server nothing"
    );
    let state = runner.wait("everything", |_| true).await;
    assert_eq!(
        state
            .posted
            .iter()
            .filter(|posted| posted.author.as_deref() == Some("Ada"))
            .count(),
        2
    );
}

#[tokio::test]
async fn end_and_done_end_the_session_and_the_next_question_is_a_task_again() {
    let deep = Deep::ready().await;
    let Deep { stage, thread, .. } = &deep;
    deep.runner.turn(1, &[deep.id(deep.first)], "Fixed.");
    stage.sees(*thread, "Fixed.").await;
    stage.say(*thread, "Done!").await;
    stage.marked(&deep.name).await;
    let question = stage.say(*thread, "what now?").await;
    let task = stage.name(*thread, question);
    stage.api.wait("containertasks", &task, |_| true).await;
    stage.end(&deep.name);
    stage.sees(*thread, "The session has ended.").await;
    stage.complete(&task, "Something else.").await;
    stage.sees(*thread, "Something else.").await;
}

#[tokio::test]
async fn what_no_session_took_is_asked_in_a_task_and_what_it_took_is_explained() {
    let deep = Deep::start().await;
    let Deep { stage, thread, .. } = &deep;
    let waiting = stage.say(*thread, "and the tests?").await;
    stage.sees(*thread, "Starting a session").await;
    stage.end(&deep.name);
    stage.sees(*thread, "The session was ended before it began.").await;
    let task = stage.name(*thread, waiting);
    let task = stage.api.wait("containertasks", &task, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "and the tests?");
}

#[tokio::test]
async fn a_permission_prompt_is_decided_once_and_by_those_who_may() {
    let deep = Deep::ready().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![deep.id(deep.first)],
    });
    runner.emit(approval(
        "req-1",
        ApprovalKind::Permission,
        "Bash",
        json!({"command": "make clean"}),
    ));
    let prompt = stage.sees(*thread, "make clean").await;
    let allow = vec!["✅ Allow", "This session", "Always Bash here"];
    assert_eq!(prompt.buttons, [allow, vec!["⛔ Deny", "💬 Deny, say why"]]);
    let eve = stage.people.user("Eve").await.unwrap().id;
    let press = async |user: i64, label: &str| {
        let pressed = stage
            .people
            .press(stage.forum, prompt.message_id, user, label)
            .await
            .unwrap();
        stage
            .people
            .callback(&pressed.id, PATIENCE)
            .await
            .unwrap()
            .answer
            .unwrap_or_default()
            .text
    };
    assert!(press(eve, "⛔ Deny").await.contains("not on the list"));
    assert_eq!(press(stage.ada, "✅ Allow").await, "Allowed.");
    assert!(press(stage.ada, "⛔ Deny").await.starts_with("Ada allowed this at "));
    let state = runner.wait("the decision", |state| !state.decisions.is_empty()).await;
    let (id, decision) = &state.decisions[0];
    assert_eq!(
        (id.as_str(), decision.verdict, decision.by.as_deref()),
        ("req-1", Verdict::Allow, Some("Ada"))
    );
    assert_eq!(state.decisions.len(), 1);
    let outcome = ApprovalOutcome::Allowed;
    runner.emit(Event::ApprovalClosed {
        id: "req-1".into(),
        outcome,
        by: Some("Ada".into()),
    });
    let closed = stage.sees(*thread, "Allowed by Ada.").await;
    assert_eq!(closed.message_id, prompt.message_id);
    assert!(closed.buttons.is_empty());
}

#[tokio::test]
async fn a_question_is_answered_by_a_button_and_by_words() {
    let deep = Deep::ready().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let questions = json!({"questions": [
        {"question": "Which database?", "options": [{"label": "SQLite", "description": ""}]},
        {"question": "Which name?", "options": []},
    ]});
    runner.emit(approval("req-2", ApprovalKind::Question, "AskUserQuestion", questions));
    let asked = stage.sees(*thread, "Which database?").await;
    stage
        .people
        .press(stage.forum, asked.message_id, stage.ada, "SQLite")
        .await
        .unwrap();
    stage.sees(*thread, "Which name?").await;
    stage.say(*thread, "bot.db").await;
    let state = runner.wait("the answers", |state| !state.decisions.is_empty()).await;
    let answers = &state.decisions[0].1.answers;
    assert_eq!(
        (answers["Which database?"].as_str(), answers["Which name?"].as_str()),
        ("SQLite", "bot.db")
    );
    assert!(state.posted.is_empty(), "an answer is no message");
}

#[tokio::test]
async fn an_answer_that_the_session_cannot_take_is_handed_on_later_and_swallows_no_message() {
    let mut deep = Deep::ready().await;
    let questions = json!({"questions": [{"question": "Which name?", "options": []}]});
    deep.runner.change(|state| state.undecided = true);
    let question = approval("req-3", ApprovalKind::Question, "AskUserQuestion", questions);
    deep.runner.emit(question);
    deep.stage.sees(deep.thread, "Which name?").await;
    deep.stage.say(deep.thread, "bot.db").await;
    deep.stage.sees(deep.thread, "Noted; the session gets it").await;
    deep.stage.say(deep.thread, "and one more thing").await;
    let posted = |state: &Seen| state.posted.iter().any(|message| message.text == "and one more thing");
    deep.runner.wait("the message after the answer", posted).await;
    deep.stage.kill();
    deep.runner.change(|state| state.undecided = false);
    deep.stage.start();
    let state = deep
        .runner
        .wait("the answer", |state| !state.decisions.is_empty())
        .await;
    assert_eq!(state.decisions[0].1.answers["Which name?"], "bot.db");
}

#[tokio::test]
async fn stop_overtakes_what_waits() {
    let deep = Deep::ready().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    runner.change(|state| state.busy = usize::MAX);
    stage.say(*thread, "more work").await;
    stage.say(*thread, "/stop").await;
    runner.wait("the interruption", |state| state.interrupts == 1).await;
    stage.sees(*thread, "Stopping.").await;
    stage.say(*thread, "/status").await;
    stage.sees(*thread, "running.").await;
}

#[tokio::test]
async fn a_bot_that_is_killed_in_a_turn_goes_on_with_it_and_answers_once() {
    let mut deep = Deep::ready().await;
    let first = deep.id(deep.first);
    deep.runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![first],
    });
    deep.runner.emit(Event::Text {
        turn: 1,
        block: 0,
        text: "First half.".into(),
    });
    deep.stage.sees(deep.thread, "First half.").await;
    deep.stage.kill();
    deep.runner.emit(Event::Text {
        turn: 1,
        block: 1,
        text: "Second half.".into(),
    });
    deep.runner.finish(1, &[first]);
    deep.stage.start();
    let answer = deep.stage.sees(deep.thread, "Second half.").await;
    assert_eq!(answer.text, "First half.\n\nSecond half.");
    deep.runner.wait("the acknowledgement", |state| state.acked == 4).await;
    assert_eq!(deep.stage.by_bot(Some(deep.thread)).await.len(), 1);
}

#[tokio::test]
async fn a_message_to_a_session_is_posted_with_one_id_however_often_the_bot_dies() {
    let mut deep = Deep::start().await;
    let message = deep.stage.say(deep.thread, "and then?").await;
    deep.stage.sees(deep.thread, "Starting a session").await;
    for _ in 0..2 {
        deep.stage.kill();
        deep.stage.start();
    }
    deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
    deep.posted(message).await;
    let state = deep.runner.wait("the post", |_| true).await;
    assert!(state.posted.iter().all(|posted| posted.id == deep.id(message)));
    deep.runner
        .turn(1, &[deep.id(deep.first), deep.id(message)], "All done.");
    deep.stage.sees(deep.thread, "All done.").await;
    assert_eq!(deep.stage.said("All done.").await, 1);
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    let deep = Deep::ready().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    for turn in 1..=3 {
        runner.turn(turn, &[], &format!("by the way, {turn}"));
        stage.sees(*thread, &format!("by the way, {turn}")).await;
        runner.change(|state| state.cut += 1);
    }
    let shown = stage.by_bot(Some(*thread)).await;
    assert_eq!(
        shown.iter().filter(|text| text.starts_with("by the way")).count(),
        3,
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_session_without_a_first_message_says_when_it_is_ready() {
    let stage = Stage::play().await;
    let thread = stage.topic("Empty").await;
    let name = stage.name(thread, stage.say(thread, "/deep").await);
    let session = stage.api.wait("persistentsessions", &name, |_| true).await;
    assert!(session["spec"]["prompt"].is_null());
    let (runner, endpoint) = Runner::start().await;
    stage.ready(&name, &runner, &endpoint).await;
    stage.sees(thread, "The session is ready.").await;
    stage.say(thread, "/deep").await;
    stage.sees(thread, "A session is active already").await;
    let none = tokio::time::timeout(Duration::from_secs(1), async {
        runner.wait("nothing", |state| !state.posted.is_empty()).await
    });
    assert!(none.await.is_err());
}

#[tokio::test]
async fn a_running_turn_tells_what_it_does_and_is_stopped_by_its_button() {
    let deep = Deep::ready().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let first = deep.id(deep.first);
    runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![first],
    });
    runner.tool(1, "t1", "Edit", "/topic/workspace/src/main.rs");
    runner.tool(1, "t2", "Bash", "cargo test");
    let running = stage.sees(*thread, "⚙ editing main.rs, running tests · 0:0").await;
    assert_eq!(running.buttons, [["Details", "⏹ Stop"]]);
    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap().len();
    let pressed = async |label: &str| {
        let pressed = stage
            .people
            .press(stage.forum, running.message_id, stage.ada, label)
            .await
            .unwrap();
        let pressed = stage.people.callback(&pressed.id, PATIENCE).await.unwrap();
        pressed.answer.unwrap()
    };
    let details = pressed("Details").await;
    assert_eq!(details.text, "… Edit /topic/workspace/src/main.rs\n… Bash cargo test");
    assert!(details.show_alert);
    let made = stage.people.calls(&WantedCalls::default()).await.unwrap();
    assert!(
        made[calls..].iter().all(|call| call.method != "sendMessage"),
        "details cost the chat nothing"
    );
    let eve = stage.people.user("Eve").await.unwrap().id;
    let by_eve = stage
        .people
        .press(stage.forum, running.message_id, eve, "⏹ Stop")
        .await
        .unwrap();
    let by_eve = stage
        .people
        .callback(&by_eve.id, PATIENCE)
        .await
        .unwrap()
        .answer
        .unwrap();
    assert!(by_eve.text.contains("not on the list"), "{by_eve:?}");
    assert_eq!(pressed("⏹ Stop").await.text, "Stopping.");
    runner.wait("the interruption", |state| state.interrupts == 1).await;
    runner.finish(1, &[first]);
    let answer = stage.sees(*thread, "claude").await;
    assert_eq!(answer.message_id, running.message_id);
    assert!(answer.buttons.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_button_of_a_turn_that_is_over_says_so_and_one_that_runs_over_a_restart_of_the_bot_works() {
    let mut deep = Deep::ready().await;
    let first = deep.id(deep.first);
    deep.runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![first],
    });
    deep.runner.tool(1, "t1", "Bash", "sleep 99");
    let running = deep.stage.sees(deep.thread, "⚙ running sleep 99").await;
    let (people, forum, ada) = (deep.stage.people.clone(), deep.stage.forum, deep.stage.ada);
    let data = running.button_data[0][1].clone();
    // Emulated people see no buttons that are gone; the app of somebody whose connection is slow does.
    let press = async |id: &str| {
        let message = json!({"message_id": running.message_id, "chat": {"id": forum}});
        let from = json!({"id": ada, "first_name": "Ada"});
        let query = json!({"id": id, "from": from, "message": message, "data": data});
        people.inject(&json!({"callback_query": query})).await.unwrap();
        let wanted = WantedCalls {
            method: Some("answerCallbackQuery".into()),
            ..WantedCalls::default()
        };
        in_time("an answer to the press", async {
            loop {
                let calls = people.calls(&wanted).await.unwrap();
                if let Some(call) = calls.iter().find(|call| call.params["callback_query_id"] == id) {
                    return call.params["text"].as_str().unwrap().to_owned();
                }
                let revision = people.overview().await.unwrap().revision;
                people.changed(revision, Duration::from_secs(1)).await.unwrap();
            }
        })
        .await
    };
    deep.stage.kill();
    deep.stage.start();
    deep.runner.tool(1, "t2", "Bash", "sleep 100");
    deep.stage.sees(deep.thread, "⚙ running 2 commands").await;
    assert_eq!(press("first").await, "Stopping.");
    deep.runner.emit(Event::Text {
        turn: 1,
        block: 0,
        text: "That is all.".into(),
    });
    deep.runner.finish(1, &[first]);
    deep.stage.sees(deep.thread, "That is all.").await;
    assert_eq!(press("late").await, "This is over already; nothing runs here.");
}
