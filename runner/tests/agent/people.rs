//! Prompts, questions, plans, stopping, settings.

use longshore_wire::api::{ApprovalKind, Busy};
use longshore_wire::event::{ApprovalOutcome, Event, ToolState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Events, PATIENCE, Rig, Setup, id};

async fn approval(events: &mut Events) -> longshore_wire::api::Approval {
    let record = events
        .wait("a prompt", |event| matches!(event, Event::Approval { .. }))
        .await;
    match record.event {
        Event::Approval { approval, .. } => approval,
        _ => unreachable!("it was matched above"),
    }
}

async fn outcome(events: &mut Events) -> ApprovalOutcome {
    let record = events
        .wait("its end", |event| matches!(event, Event::ApprovalClosed { .. }))
        .await;
    match record.event {
        Event::ApprovalClosed { outcome, .. } => outcome,
        _ => unreachable!("it was matched above"),
    }
}

#[tokio::test]
async fn a_prompt_that_is_allowed_runs_the_tool_and_can_be_remembered() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "go [[bash touch one]] [[say made]]").await;
    let prompt = approval(&mut events).await;
    assert_eq!(
        (prompt.kind, prompt.summary.as_str()),
        (ApprovalKind::Permission, "Bash: touch one")
    );
    let status = rig.runner.status().await;
    assert_eq!(status.approvals, std::slice::from_ref(&prompt));
    assert_eq!(status.busy, [Busy::TurnRunning, Busy::WaitingForApproval]);
    let path = format!("/v1/approvals/{}", prompt.id);
    let decision = json!({"verdict": "allow", "remember": true, "by": "Ann"});
    assert_eq!(rig.runner.post(&path, decision.clone()).await.0, 204);
    assert_eq!(rig.runner.post(&path, decision).await.0, 404, "only once");
    assert_eq!(events.turn_of(id(1)).await.text(), "made");
    assert_eq!(outcome(&mut events).await, ApprovalOutcome::Allowed);
    assert!(rig.path("workspace/one").exists());
    std::fs::remove_file(rig.path("workspace/one")).unwrap();
    // The same command no longer asks.
    rig.runner.ask(id(2), "again [[bash touch one]] [[say made]]").await;
    assert!(rig.path("workspace/one").exists());
    // Another one does.
    rig.runner.say(id(3), "go [[bash touch three]] [[say made]]").await;
    let other = |event: &Event| matches!(event, Event::Approval { approval, .. } if approval.id != prompt.id);
    events.wait("a prompt for another command", other).await;
    assert!(!rig.path("workspace/three").exists());
}

#[tokio::test]
async fn a_prompt_that_is_denied_tells_claude_why_and_the_turn_goes_on() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner
        .say(id(1), "go [[bash touch two]] [[say {{last_tool_result}}]]")
        .await;
    let prompt = approval(&mut events).await;
    let decision = json!({"verdict": "deny", "message": "not on a Friday"});
    let path = format!("/v1/approvals/{}", prompt.id);
    assert_eq!(rig.runner.post(&path, decision).await.0, 204);
    let turn = events.turn_of(id(1)).await;
    assert!(turn.text().contains("not on a Friday") && !turn.is_error, "{turn:?}");
    assert!(!rig.path("workspace/two").exists());
}

#[tokio::test]
async fn a_prompt_that_nobody_answers_expires_as_a_denial() {
    let rig = Rig::start(Setup {
        agent: json!({"approvalTimeoutSeconds": 1}),
        ..Setup::default()
    })
    .await;
    let turn = rig
        .runner
        .ask(id(1), "go [[bash touch three]] [[say {{last_tool_result}}]]")
        .await;
    assert!(turn.text().contains("Nobody answered"), "{turn:?}");
    let mut events = rig.runner.events(0).await;
    assert_eq!(outcome(&mut events).await, ApprovalOutcome::Expired);
    assert!(!rig.path("workspace/three").exists());
}

#[tokio::test]
async fn a_question_gets_its_answer() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    let options = json!([{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]);
    let questions = json!({"questions": [{"question": "Which colour?", "header": "Colour", "options": options, "multiSelect": false}]});
    let text = format!("ask me [[tool AskUserQuestion {questions}]] [[say {{{{last_tool_result}}}}]]");
    rig.runner.say(id(1), &text).await;
    let prompt = approval(&mut events).await;
    assert_eq!(
        (prompt.kind, prompt.summary.as_str()),
        (ApprovalKind::Question, "Which colour?")
    );
    assert!(rig.runner.status().await.busy.contains(&Busy::WaitingForAnswer));
    let path = format!("/v1/approvals/{}", prompt.id);
    for answers in [json!({}), json!({"Another?": "x"})] {
        let (code, problem) = rig
            .runner
            .post(&path, json!({"verdict": "allow", "answers": answers}))
            .await;
        assert_eq!((code, problem["error"].as_str()), (422, Some("Invalid")));
    }
    let decision = json!({"verdict": "allow", "answers": {"Which colour?": "Blue"}});
    assert_eq!(rig.runner.post(&path, decision).await.0, 204);
    let turn = events.turn_of(id(1)).await;
    assert!(turn.text().contains("Blue"), "{turn:?}");
}

#[tokio::test]
async fn interrupt_stops_the_turn_and_the_next_message_runs() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[slow 100 200]]").await;
    events.preview("part    2").await;
    rig.runner.say(id(2), "after [[say next]]").await;
    rig.runner.until("queued", |status| status.unfinished.len() == 2).await;
    let (code, reply) = rig.runner.post("/v1/interrupt", json!({})).await;
    assert_eq!(code, 200);
    assert_eq!(reply["stopped"], json!([id(1)]));
    let turn = events.turn_of(id(1)).await;
    assert!(turn.is_error && turn.reason.starts_with("aborted_"), "{turn:?}");
    assert!(
        turn.text().starts_with("part    1;"),
        "what was streamed is kept: {turn:?}"
    );
    assert_eq!(events.turn_of(id(2)).await.text(), "next");
    assert_eq!(
        rig.runner.post("/v1/interrupt", json!({})).await.1["stopped"],
        json!([]),
        "harmless when idle"
    );
}

#[tokio::test]
async fn a_turn_stopped_before_its_first_word_is_not_taken_up_again_by_the_next_message() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[hold never]] [[say end]]").await;
    rig.client().held_at("never", PATIENCE).await.unwrap();
    let (_, reply) = rig.runner.post("/v1/interrupt", json!({})).await;
    assert_eq!(reply["stopped"], json!([id(1)]));
    assert!(events.turn_of(id(1)).await.is_error);
    rig.runner.say(id(2), "after [[say next]]").await;
    assert_eq!(events.turn_of(id(2)).await.text(), "next");
    rig.runner.say(id(3), "[[recall]]").await;
    events.turn_of(id(3)).await;
    let prompts = rig.prompts().await;
    let told = |prompt: &&String| prompt.contains("stopped by a person");
    assert_eq!(
        prompts.iter().filter(told).count(),
        0,
        "the note is no words of the person's: {prompts:?}"
    );
}

#[tokio::test]
async fn interrupt_can_drop_what_waits() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[slow 100 200]]").await;
    events.preview("part").await;
    rig.runner.say(id(2), "dropped").await;
    rig.runner.until("queued", |status| status.unfinished.len() == 2).await;
    let request = rig
        .runner
        .request(http::Method::POST, "/v1/interrupt")
        .json(&json!({"cancelQueued": true}));
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(events.turn_of(id(2)).await.reason, "cancelled");
    events.turn_of(id(1)).await;
    assert!(!rig.prompts().await.iter().any(|prompt| prompt.contains("dropped")));
}

#[tokio::test]
async fn a_stopped_turn_cancels_its_prompt() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "go [[bash touch four]]").await;
    approval(&mut events).await;
    rig.runner.post("/v1/interrupt", json!({})).await;
    events.turn_of(id(1)).await;
    assert_eq!(outcome(&mut events).await, ApprovalOutcome::Cancelled);
    assert!(rig.runner.status().await.approvals.is_empty());
}

#[tokio::test]
async fn an_urgent_message_overtakes_the_running_turn() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[slow 200 200]]").await;
    events.preview("part").await;
    let urgent = json!({"id": id(2), "text": "now [[say urgent]]", "priority": "now"});
    assert_eq!(rig.runner.post("/v1/messages", urgent).await.0, 202);
    assert_eq!(events.turn_of(id(2)).await.text(), "urgent");
    let turn = events.turn_of(id(1)).await;
    assert!(turn.is_error && turn.reason.starts_with("aborted_"), "{turn:?}");
}

#[tokio::test]
async fn settings_change_the_model_and_survive_a_restart() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    assert_eq!(
        rig.runner
            .post("/v1/settings", json!({"model": "claude-haiku-4-5"}))
            .await
            .0,
        204
    );
    rig.runner.ask(id(2), "two").await;
    assert_eq!(
        rig.runner
            .post("/v1/settings", json!({"permissionMode": "acceptEdits"}))
            .await
            .0,
        204
    );
    let (code, problem) = rig
        .runner
        .post("/v1/settings", json!({"permissionMode": "bypassPermissions"}))
        .await;
    assert_eq!(code, 422, "{problem}");
    assert_eq!(rig.runner.post("/v1/settings", json!({})).await.0, 422);
    rig.runner.terminate().await;
    rig.start_again().await;
    rig.runner.ask(id(3), "three").await;
    let entries = rig.client().requests(&Default::default()).await.unwrap();
    for (text, model) in [("two", "claude-haiku-4-5"), ("three", "claude-haiku-4-5")] {
        let entry = entries.iter().find(|entry| entry.last_user.contains(text));
        let entry = entry.unwrap_or_else(|| panic!("no {text} in {entries:#?}"));
        assert_eq!(entry.model, model, "for {text}");
    }
}

#[tokio::test]
async fn the_status_says_how_claude_is_set_and_what_it_does_and_settings_outlive_the_process() {
    let mut rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.ask(id(1), "one").await;
    let claude = rig.runner.status().await.claude;
    assert_eq!(claude.permission_mode.as_deref(), Some("default"));
    assert!(claude.model.is_some_and(|model| model.starts_with("claude-")));
    assert!(claude.models.len() > 1, "{:?}", claude.models);
    for change in [
        json!({"model": "claude-haiku-4-5"}),
        json!({"permissionMode": "acceptEdits"}),
    ] {
        assert_eq!(rig.runner.post("/v1/settings", change).await.0, 204);
    }
    let refuse = json!({"match": {"model": "no-such"},
        "steps": [{"error": {"status": 404, "message": "model: no-such-model"}}]});
    rig.client().add_rules(&refuse).await.unwrap();
    let (code, problem) = rig.runner.post("/v1/settings", json!({"model": "no-such-model"})).await;
    assert_eq!(code, 422, "{problem}");
    let told = problem["message"].as_str().unwrap();
    assert!(told.contains("no-such-model") && told.len() < 500, "{told}");
    rig.runner
        .say(id(2), "work [[bash python3 -c \"import time; time.sleep(60)\"]]")
        .await;
    let prompt = approval(&mut events).await;
    let path = format!("/v1/approvals/{}", prompt.id);
    rig.runner.post(&path, json!({"verdict": "allow"})).await;
    let status = rig.runner.status().await;
    assert_eq!(status.claude.running.len(), 1, "{:?}", status.claude);
    assert!(status.claude.running[0].summary.contains("time.sleep"));
    assert!(
        status
            .claude
            .turn_since
            .is_some_and(|since| since <= status.claude.running[0].since)
    );
    rig.runner.post("/v1/interrupt", json!({})).await;
    assert!(events.turn_of(id(2)).await.is_error);
    assert!(rig.runner.status().await.claude.running.is_empty());
    rig.kill_pod().await;
    rig.start_again().await;
    rig.runner.ask(id(3), "three").await;
    let claude = rig.runner.status().await.claude;
    assert_eq!(claude.model.as_deref(), Some("claude-haiku-4-5"));
    assert_eq!(claude.permission_mode.as_deref(), Some("acceptEdits"));
    let entries = rig.client().requests(&Default::default()).await.unwrap();
    let entry = entries.iter().find(|entry| entry.last_user.contains("three"));
    assert_eq!(entry.map(|entry| entry.model.as_str()), Some("claude-haiku-4-5"));
}

#[tokio::test]
async fn prompts_of_a_dead_pod_are_cancelled() {
    let mut rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "go [[bash touch five]]").await;
    let prompt = approval(&mut events).await;
    rig.kill_pod().await;
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    assert_eq!(outcome(&mut events).await, ApprovalOutcome::Cancelled);
    let lost = |event: &Event| matches!(event, Event::ApprovalLost { id } if *id == prompt.id);
    events.wait("that it was lost", lost).await;
    events.turn_of(id(1)).await;
    let path = format!("/v1/approvals/{}", prompt.id);
    assert_eq!(rig.runner.post(&path, json!({"verdict": "allow"})).await.0, 404);
    assert!(!rig.path("workspace/five").exists());
}

/// What claude asks for, and asks for again when it is told that it was cut short.
fn until_there_is(file: &str) -> Value {
    let command =
        format!("echo ran >> ran; while [ ! -e {file} ]; do python3 -c 'import time; time.sleep(0.05)'; done");
    json!({"command": command, "description": "Wait"})
}

/// claude is allowed to wait for a file, and waits; its prompt.
async fn allowed_and_running(rig: &Rig, events: &mut Events, file: &str) -> longshore_wire::api::Approval {
    let input = until_there_is(file);
    let again = json!({"match": {"user": "ended unexpectedly"},
        "steps": [{"tool": {"name": "Bash", "input": input}}, {"text": "done after all"}]});
    rig.client().add_rules(&again).await.unwrap();
    rig.runner
        .say(id(1), &format!("go [[tool Bash {input}]] [[say done]]"))
        .await;
    let prompt = approval(events).await;
    let path = format!("/v1/approvals/{}", prompt.id);
    assert_eq!(
        rig.runner.post(&path, json!({"verdict": "allow", "by": "Ann"})).await.0,
        204
    );
    let started = tokio::time::Instant::now();
    while !rig.path("workspace/ran").exists() {
        assert!(started.elapsed() < PATIENCE, "the tool does not start");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    prompt
}

/// claude asks for exactly the same again, after it was said that the decision was in vain.
async fn asked_again(rig: &Rig, events: &mut Events, first: &longshore_wire::api::Approval, file: &str) {
    let is_other = |event: &Event| matches!(event, Event::Approval { approval, .. } if approval.id != first.id);
    let record = events.wait("the same prompt", is_other).await;
    let Event::Approval { approval: second, .. } = record.event else {
        unreachable!("it was matched above")
    };
    assert_eq!((&second.tool_name, &second.input), (&first.tool_name, &first.input));
    assert!(second.tool_use_id.is_some() && second.tool_use_id != first.tool_use_id);
    let is_lost =
        |record: &&longshore_wire::Record| matches!(&record.event, Event::ApprovalLost { id } if *id == first.id);
    let lost = events.records.iter().find(is_lost).expect("the decision was lost");
    assert!(lost.seq < record.seq);
    std::fs::write(rig.path(&format!("workspace/{file}")), "").unwrap();
    let path = format!("/v1/approvals/{}", second.id);
    assert_eq!(rig.runner.post(&path, json!({"verdict": "allow"})).await.0, 204);
    assert_eq!(events.turn_of(id(1)).await.text(), "done after all");
    assert_eq!(events.records.iter().filter(is_lost).count(), 1);
}

#[tokio::test]
async fn a_decision_is_lost_with_claude_while_its_tool_runs() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    let first = allowed_and_running(&rig, &mut events, "go").await;
    let claude = rig.runner.status().await.claude_pid.unwrap();
    kill(Pid::from_raw(claude.cast_signed()), Signal::SIGKILL).unwrap();
    asked_again(&rig, &mut events, &first, "go").await;
}

#[tokio::test]
async fn a_decision_is_lost_with_the_pod_while_its_tool_runs() {
    let mut rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    let first = allowed_and_running(&rig, &mut events, "go").await;
    rig.kill_pod().await;
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    asked_again(&rig, &mut events, &first, "go").await;
}

#[tokio::test]
async fn a_decision_about_a_tool_that_has_run_is_not_lost_with_claude() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner
        .say(id(1), "go [[bash touch six]] [[hold after]] [[say done]]")
        .await;
    let prompt = approval(&mut events).await;
    let path = format!("/v1/approvals/{}", prompt.id);
    assert_eq!(rig.runner.post(&path, json!({"verdict": "allow"})).await.0, 204);
    let ended = |event: &Event| matches!(event, Event::Tool { state, .. } if *state == ToolState::Finished);
    events.wait("the end of the tool", ended).await;
    rig.client().held_at("after", PATIENCE).await.unwrap();
    let claude = rig.runner.status().await.claude_pid.unwrap();
    kill(Pid::from_raw(claude.cast_signed()), Signal::SIGKILL).unwrap();
    events.turn_of(id(1)).await;
    let lost = |record: &longshore_wire::Record| matches!(record.event, Event::ApprovalLost { .. });
    assert!(!events.records.iter().any(lost), "{:#?}", events.records);
}

#[tokio::test]
async fn a_plan_is_turned_down_with_a_word_and_approved() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.ask(id(1), "hello").await;
    let mode = json!({"permissionMode": "plan"});
    assert_eq!(rig.runner.post("/v1/settings", mode).await.0, 204);
    let plan = json!({"plan": "1. Look around."});
    rig.runner
        .say(
            id(2),
            &format!("go [[tool ExitPlanMode {plan}]] [[say heard {{{{last_tool_result}}}}]]"),
        )
        .await;
    let first = approval(&mut events).await;
    assert_eq!(
        (first.kind, first.rememberable.as_deref()),
        (ApprovalKind::Plan, Some(&[][..]))
    );
    let path = format!("/v1/approvals/{}", first.id);
    let decision = json!({"verdict": "deny", "message": "the tide is wrong"});
    assert_eq!(rig.runner.post(&path, decision).await.0, 204);
    let turn = events.turn_of(id(2)).await;
    assert!(turn.text().contains("the tide is wrong"), "{turn:?}");
    rig.runner
        .say(
            id(3),
            &format!("go [[tool ExitPlanMode {plan}]] [[say agreed {{{{last_tool_result}}}}]]"),
        )
        .await;
    let is_other = |event: &Event| matches!(event, Event::Approval { approval, .. } if approval.id != first.id);
    let record = events.wait("the plan once more", is_other).await;
    let Event::Approval { approval: second, .. } = record.event else {
        unreachable!("it was matched above")
    };
    let path = format!("/v1/approvals/{}", second.id);
    assert_eq!(
        rig.runner
            .post(&path, json!({"verdict": "allow", "remember": true}))
            .await
            .0,
        204
    );
    let turn = events.turn_of(id(3)).await;
    assert!(!turn.is_error && turn.text().contains("agreed"), "{turn:?}");
    // Edits are accepted from now on: this one asks nobody.
    let edit = json!({"file_path": rig.path("workspace/log.md"), "content": "set sail"});
    rig.runner
        .ask(id(4), &format!("go [[tool Write {edit}]] [[say written]]"))
        .await;
    assert!(rig.path("workspace/log.md").exists());
}
