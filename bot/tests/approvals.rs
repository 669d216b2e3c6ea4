//! Prompts: what each button does, who may press it, and what becomes of a press when the bot, the runner or claude is away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::control::view::Shown;
use longshore_wire::api::{ApprovalKind, Decision, Verdict};
use longshore_wire::event::{ApprovalOutcome, Event};
use serde_json::{Value, json};
use support::Stage;
use support::deep::{Deep, approval};
use support::runner::{Runner, Seen};

const ALLOW: &str = "✅ Allow";
const SESSION: &str = "This session";
const ALWAYS: &str = "Always Bash here";
const DENY: &str = "⛔ Deny";
const WORD: &str = "💬 Deny, say why";
const STOP: &str = "↩️ Stop allowing";

/// claude asks for a command; the prompt, once it stands there.
async fn asks(deep: &Deep, id: &str, command: &str) -> Shown {
    let input = json!({ "command": command });
    deep.runner.emit(approval(id, ApprovalKind::Permission, "Bash", input));
    deep.stage.sees(deep.thread, command).await
}

fn closes(runner: &Runner, id: &str, outcome: ApprovalOutcome, by: Option<&str>) {
    let (id, by) = (id.to_owned(), by.map(str::to_owned));
    runner.emit(Event::ApprovalClosed { id, outcome, by });
}

/// claude's process is gone, and a prompt with it.
fn loses(runner: &Runner, id: &str) {
    runner.emit(Event::ApprovalLost { id: id.to_owned() });
}

fn decided(state: &Seen, id: &str) -> Option<Decision> {
    let mut all = state.decisions.iter();
    all.find(|(known, _)| known == id).map(|(_, decision)| decision.clone())
}

async fn decision(runner: &Runner, id: &str) -> Decision {
    let state = runner.wait(id, |state| decided(state, id).is_some()).await;
    decided(&state, id).unwrap()
}

#[tokio::test]
async fn each_button_decides_as_it_says() {
    let deep = Deep::ready().await;
    let ada = deep.stage.ada;
    for (label, said, verdict, remember) in [
        (ALLOW, "Allowed.", Verdict::Allow, false),
        (SESSION, "Allowed for this session.", Verdict::Allow, true),
        (DENY, "Denied.", Verdict::Deny, false),
    ] {
        let id = format!("req-{}", said.len());
        let prompt = asks(&deep, &id, &format!("make {said}")).await;
        assert!(prompt.text.contains("Waits until "), "{}", prompt.text);
        assert_eq!(deep.stage.press(prompt.message_id, ada, label).await, said);
        let decision = decision(&deep.runner, &id).await;
        assert_eq!((decision.verdict, decision.remember), (verdict, remember));
        assert_eq!(decision.by.as_deref(), Some("Ada"));
        // Once more, by somebody whose app does not show yet that it is decided.
        let late = deep.stage.press(prompt.message_id, ada, ALLOW).await;
        assert!(late.starts_with("Ada ") && late.contains(" this at "), "{late}");
        closes(&deep.runner, &id, verdict.into(), Some("Ada"));
        let ending = match (verdict, remember) {
            (Verdict::Allow, false) => "✅ Allowed by Ada.",
            (Verdict::Allow, true) => "✅ Allowed by Ada. For this session.",
            (Verdict::Deny, _) => "⛔ Denied by Ada.",
        };
        let closed = deep.stage.sees(deep.thread, &format!("make {said}\n\n{ending}")).await;
        assert_eq!((closed.message_id, closed.buttons.len()), (prompt.message_id, 0));
    }
    let plan = json!({"plan": "1. Look.\n2. Leap."});
    deep.runner
        .emit(approval("plan", ApprovalKind::Plan, "ExitPlanMode", plan));
    let prompt = deep.stage.sees(deep.thread, "Leap.").await;
    deep.stage.press(prompt.message_id, ada, "✅ And accept edits").await;
    let decision = decision(&deep.runner, "plan").await;
    assert_eq!((decision.verdict, decision.remember), (Verdict::Allow, true));
    assert_eq!(deep.runner.wait("all", |_| true).await.decisions.len(), 4);
}

#[tokio::test]
async fn several_prompts_wait_each_in_its_own_message_and_nobody_in_time_is_said() {
    let deep = Deep::ready().await;
    let first = asks(&deep, "one", "make one").await;
    let second = asks(&deep, "two", "make two").await;
    assert!(first.message_id < second.message_id);
    deep.stage.press(second.message_id, deep.stage.ada, DENY).await;
    assert_eq!(decision(&deep.runner, "two").await.verdict, Verdict::Deny);
    closes(&deep.runner, "one", ApprovalOutcome::Expired, None);
    let late = deep.stage.sees(deep.thread, "Nobody answered until ").await;
    assert_eq!(late.message_id, first.message_id);
    assert!(late.buttons.is_empty());
}

#[tokio::test]
async fn what_is_always_allowed_asks_nobody_over_restarts_until_somebody_stops_it() {
    let mut deep = Deep::ready().await;
    let ada = deep.stage.ada;
    let prompt = asks(&deep, "first", "make secretly").await;
    let said = deep.stage.press(prompt.message_id, ada, ALWAYS).await;
    assert_eq!(said, "Allowed, from now on always in this topic.");
    decision(&deep.runner, "first").await;
    closes(&deep.runner, "first", ApprovalOutcome::Allowed, Some("Ada"));
    let shown = deep
        .stage
        .sees(deep.thread, "Bash is always allowed in this topic")
        .await;
    assert_eq!(
        (shown.message_id, &shown.buttons),
        (prompt.message_id, &vec![vec![STOP.to_owned()]])
    );
    deep.stage.kill();
    deep.stage.start();
    let emit = |id: &str, tool: &str, command: &str| {
        let input = json!({ "command": command });
        deep.runner.emit(approval(id, ApprovalKind::Permission, tool, input));
    };
    emit("second", "Bash", "rm -rf hidden");
    let by_itself = decision(&deep.runner, "second").await;
    assert_eq!(by_itself.verdict, Verdict::Allow);
    assert_eq!(by_itself.by.as_deref(), Some("Ada, for always in this topic"));
    closes(
        &deep.runner,
        "second",
        ApprovalOutcome::Allowed,
        by_itself.by.as_deref(),
    );
    // Another tool is asked about, and a prompt behind it shows that nothing was said about the one before.
    emit("third", "Write", "another tool");
    deep.stage.sees(deep.thread, "another tool").await;
    assert_eq!(deep.stage.stands(deep.thread, "rm -rf hidden").await, 0);
    let log = deep.stage.log();
    let line = log
        .lines()
        .find(|line| line.contains("allowed without asking"))
        .unwrap();
    assert!(line.contains("Bash") && !log.contains("rm -rf hidden"), "{line}");
    // Only approvers stop it.
    let eve = deep.stage.people.user("Eve").await.unwrap().id;
    let refused = deep.stage.press(shown.message_id, eve, STOP).await;
    assert!(refused.contains("not on the list"), "{refused}");
    let said = deep.stage.press(shown.message_id, ada, STOP).await;
    assert!(said.starts_with("From now on claude asks again."), "{said}");
    deep.stage.sees(deep.thread, "until Ada stopped that at ").await;
    asks(&deep, "fourth", "make it ask").await;
}

#[tokio::test]
async fn what_somebody_allowed_for_always_ends_with_their_role() {
    let mut stage = Stage::set().await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let access = json!({"access": {"users": [{"id": bob, "role": "Approver"}]}});
    let policy = json!({"metadata": {"name": "team"}, "spec": access});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    stage.start();
    let deep = Deep::ready_on(stage).await;
    let prompt = asks(&deep, "first", "make").await;
    deep.stage.press(prompt.message_id, bob, ALWAYS).await;
    decision(&deep.runner, "first").await;
    closes(&deep.runner, "first", ApprovalOutcome::Allowed, Some("Bob"));
    deep.stage.sees(deep.thread, "Bash is always allowed").await;
    let lowered = json!({"spec": {"access": {"users": [{"id": bob, "role": "User"}]}}});
    deep.stage.api.merge("routingpolicies", "team", lowered);
    deep.stage.sees(deep.thread, "Bob is no approver here any more").await;
    asks(&deep, "second", "make it ask").await;
    // Being an approver again brings nothing back.
    let raised = json!({"spec": {"access": {"users": [{"id": bob, "role": "Approver"}]}}});
    deep.stage.api.merge("routingpolicies", "team", raised);
    let third = asks(&deep, "third", "make it ask again").await;
    assert_eq!(third.buttons.len(), 2);
}

#[tokio::test]
async fn a_denial_with_a_word_takes_the_next_message_of_who_pressed_over_a_restart() {
    let mut deep = Deep::ready().await;
    let ada = deep.stage.ada;
    let prompt = asks(&deep, "req", "make deploy").await;
    let said = deep.stage.press(prompt.message_id, ada, WORD).await;
    assert!(said.starts_with("Write why"), "{said}");
    let waiting = deep.stage.sees(deep.thread, "Ada, write why").await;
    assert_eq!(waiting.buttons.len(), 2, "another button still decides");
    deep.stage.kill();
    deep.stage.start();
    deep.stage.say(deep.thread, "not on a Friday").await;
    let decision = decision(&deep.runner, "req").await;
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(
        decision.message.as_deref(),
        Some("Ada denied it in the chat and says: not on a Friday")
    );
    deep.stage.sees(deep.thread, "Denied.").await;
    closes(&deep.runner, "req", ApprovalOutcome::Denied, Some("Ada"));
    deep.stage.sees(deep.thread, "⛔ Denied by Ada: not on a Friday").await;
    let state = deep.runner.wait("the post", |_| true).await;
    assert!(state.posted.is_empty(), "the word is no message: {:?}", state.posted);
}

#[tokio::test]
async fn a_word_is_for_who_pressed_first_and_stop_or_another_button_ends_it() {
    let mut stage = Stage::set().await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let access = json!({"access": {"users": [{"id": bob, "role": "Approver"}]}});
    let policy = json!({"metadata": {"name": "team"}, "spec": access});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    stage.start();
    let deep = Deep::ready_on(stage).await;
    let (stage, thread, ada) = (&deep.stage, deep.thread, deep.stage.ada);
    let prompt = asks(&deep, "one", "make one").await;
    stage.press(prompt.message_id, ada, WORD).await;
    let said = stage.press(prompt.message_id, bob, WORD).await;
    assert!(said.starts_with("Ada is writing why already."), "{said}");
    // What Bob writes is a message like any other.
    let message = stage
        .people
        .say(stage.forum, Some(thread), bob, "what about tests?")
        .await;
    deep.posted(message.unwrap()).await;
    assert_eq!(stage.press(prompt.message_id, bob, ALLOW).await, "Allowed.");
    assert_eq!(decision(&deep.runner, "one").await.by.as_deref(), Some("Bob"));
    closes(&deep.runner, "one", ApprovalOutcome::Allowed, Some("Bob"));
    let message = stage.say(thread, "too late then").await;
    deep.posted(message).await;
    let prompt = asks(&deep, "two", "make two").await;
    stage.press(prompt.message_id, ada, WORD).await;
    stage.sees(thread, "Ada, write why").await;
    stage.say(thread, "/stop").await;
    stage.sees(thread, "Stopping.").await;
    let message = stage.say(thread, "something else").await;
    deep.posted(message).await;
    assert!(decided(&deep.runner.wait("all", |_| true).await, "two").is_none());
    support::in_time("the hint goes", async {
        while stage.stands(thread, "Ada, write why").await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn several_options_are_chosen_by_switches_and_a_question_can_be_skipped() {
    let deep = Deep::ready().await;
    let (stage, thread, ada) = (&deep.stage, deep.thread, deep.stage.ada);
    let questions = json!({"questions": [{"question": "Which parts?", "header": "Scope", "multiSelect": true,
        "options": [{"label": "docs"}, {"label": "tests"}, {"label": "code"}]}]});
    deep.runner.emit(approval(
        "many",
        ApprovalKind::Question,
        "AskUserQuestion",
        questions.clone(),
    ));
    let asked = stage.sees(thread, "Which parts?").await;
    assert!(asked.text.contains("Scope"), "{}", asked.text);
    let said = stage.press(asked.message_id, ada, "✅ Done").await;
    assert!(said.starts_with("Choose something first"), "{said}");
    let switch = async |label: &str, then: &str| {
        stage.press(asked.message_id, ada, label).await;
        let shows = |shown: &Shown| shown.buttons.iter().flatten().any(|button| button == then);
        support::in_time(then, async {
            loop {
                let all = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
                if all
                    .iter()
                    .any(|shown| shown.message_id == asked.message_id && shows(shown))
                {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    switch("☐ code", "☑ code").await;
    switch("☐ docs", "☑ docs").await;
    switch("☐ tests", "☑ tests").await;
    switch("☑ docs", "☐ docs").await;
    assert_eq!(stage.press(asked.message_id, ada, "✅ Done").await, "Noted.");
    assert_eq!(
        decision(&deep.runner, "many").await.answers["Which parts?"],
        "tests, code"
    );
    closes(&deep.runner, "many", ApprovalOutcome::Allowed, Some("Ada"));
    stage.sees(thread, "Answered by Ada.").await;
    // Words do at any time, also while something is chosen.
    deep.runner.emit(approval(
        "words",
        ApprovalKind::Question,
        "AskUserQuestion",
        questions.clone(),
    ));
    let asked = stage.sees(thread, "Choose any number").await;
    stage.press(asked.message_id, ada, "☐ code").await;
    stage.say(thread, "all but the docs").await;
    let answers = decision(&deep.runner, "words").await.answers;
    assert_eq!(answers["Which parts?"], "all but the docs");
    closes(&deep.runner, "words", ApprovalOutcome::Allowed, Some("Ada"));
    stage.sees_times(thread, "Answered by Ada.", 2).await;
    deep.runner
        .emit(approval("skip", ApprovalKind::Question, "AskUserQuestion", questions));
    let asked = stage.sees(thread, "Choose any number").await;
    assert_eq!(stage.press(asked.message_id, ada, "⏭ Skip").await, "Skipped.");
    assert_eq!(decision(&deep.runner, "skip").await.verdict, Verdict::Deny);
}

#[tokio::test]
async fn the_bot_restarts_between_the_prompt_and_the_press_and_between_the_press_and_its_delivery() {
    let mut deep = Deep::ready().await;
    let ada = deep.stage.ada;
    let prompt = asks(&deep, "one", "make one").await;
    deep.stage.kill();
    deep.stage.start();
    assert_eq!(deep.stage.press(prompt.message_id, ada, ALLOW).await, "Allowed.");
    decision(&deep.runner, "one").await;
    closes(&deep.runner, "one", ApprovalOutcome::Allowed, Some("Ada"));
    let prompt = asks(&deep, "two", "make two").await;
    deep.runner.change(|state| state.undecided = true);
    let said = deep.stage.press(prompt.message_id, ada, SESSION).await;
    assert!(said.starts_with("Noted; the session gets it"), "{said}");
    let kept = deep.stage.sees(deep.thread, "Ada allowed this at ").await;
    assert!(kept.buttons.is_empty() && kept.text.ends_with("The session gets it as soon as it answers."));
    deep.stage.kill();
    deep.runner.change(|state| state.undecided = false);
    deep.stage.start();
    let decision = decision(&deep.runner, "two").await;
    assert!(decision.remember, "what was pressed, not only that it was");
}

#[tokio::test]
async fn a_press_that_the_runner_can_not_hear_is_delivered_without_a_restart_too() {
    let deep = Deep::ready().await;
    let prompt = asks(&deep, "one", "make one").await;
    deep.runner.change(|state| state.undecided = true);
    deep.stage.press(prompt.message_id, deep.stage.ada, DENY).await;
    deep.stage
        .sees(deep.thread, "The session gets it as soon as it answers.")
        .await;
    deep.runner.change(|state| state.undecided = false);
    assert_eq!(decision(&deep.runner, "one").await.verdict, Verdict::Deny);
}

/// Ada allows a command while the runner is away, which comes back without the prompt.
async fn pressed_in_vain(deep: &Deep) {
    let prompt = asks(deep, "old", "make ship").await;
    deep.runner.change(|state| state.undecided = true);
    let said = deep.stage.press(prompt.message_id, deep.stage.ada, ALLOW).await;
    assert!(said.starts_with("Noted; the session gets it"), "{said}");
    loses(&deep.runner, "old");
    closes(&deep.runner, "old", ApprovalOutcome::Cancelled, None);
    let closed = deep
        .stage
        .sees(deep.thread, "claude was restarted; it asks again")
        .await;
    assert_eq!((closed.message_id, closed.buttons.len()), (prompt.message_id, 0));
    deep.runner.change(|state| state.undecided = false);
}

async fn asks_again(deep: &Deep, id: &str, input: Value) {
    deep.runner.emit(approval(id, ApprovalKind::Permission, "Bash", input));
}

#[tokio::test]
async fn what_was_pressed_while_the_runner_was_away_is_applied_to_the_same_prompt_once() {
    let deep = Deep::ready().await;
    pressed_in_vain(&deep).await;
    // Another input is asked about.
    asks_again(&deep, "other", json!({"command": "make ship", "timeout": 5})).await;
    deep.stage.sees(deep.thread, "for at most 1 s").await;
    asks_again(&deep, "same", json!({"command": "make ship"})).await;
    assert_eq!(decision(&deep.runner, "same").await.by.as_deref(), Some("Ada"));
    let applied = deep.stage.sees(deep.thread, "Applied what Ada pressed at ").await;
    assert!(applied.buttons.is_empty(), "{applied:?}");
    closes(&deep.runner, "same", ApprovalOutcome::Allowed, Some("Ada"));
    asks_again(&deep, "third", json!({"command": "make ship"})).await;
    asks(&deep, "fourth", "make sure").await;
    let state = deep.runner.wait("all", |_| true).await;
    let ids: Vec<&str> = state.decisions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["same"]);
}

#[tokio::test]
async fn what_was_pressed_more_than_five_minutes_ago_is_asked_anew() {
    for (seconds, applied) in [(200, true), (301, false)] {
        let mut deep = Deep::ready().await;
        pressed_in_vain(&deep).await;
        deep.stage.kill();
        let aged = "UPDATE approvals SET pressed = json_set(pressed, '$.at', json_extract(pressed, '$.at') - ?1)";
        assert_eq!(deep.stage.database().execute(aged, [seconds]).unwrap(), 1);
        deep.stage.start();
        asks_again(&deep, "same", json!({"command": "make ship"})).await;
        asks(&deep, "next", "make sure").await;
        if applied {
            decision(&deep.runner, "same").await;
        } else {
            assert!(deep.runner.wait("all", |_| true).await.decisions.is_empty());
        }
    }
}

#[tokio::test]
async fn what_the_runner_took_is_applied_again_only_when_claude_died_before_the_tool_had_run() {
    for lost in [true, false] {
        let deep = Deep::ready().await;
        let prompt = asks(&deep, "old", "make ship").await;
        deep.stage.press(prompt.message_id, deep.stage.ada, DENY).await;
        decision(&deep.runner, "old").await;
        closes(&deep.runner, "old", ApprovalOutcome::Denied, Some("Ada"));
        if lost {
            loses(&deep.runner, "old");
        }
        asks_again(&deep, "same", json!({"command": "make ship"})).await;
        asks(&deep, "next", "make sure").await;
        if lost {
            assert_eq!(decision(&deep.runner, "same").await.verdict, Verdict::Deny);
            deep.stage.sees(deep.thread, "⛔ Applied what Ada pressed at ").await;
        } else {
            assert_eq!(deep.runner.wait("all", |_| true).await.decisions.len(), 1);
        }
    }
}
