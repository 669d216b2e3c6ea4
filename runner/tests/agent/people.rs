//! Prompts, questions, plans, stopping, settings.

use longshore_wire::api::{ApprovalKind, Busy};
use longshore_wire::event::{ApprovalOutcome, Event};
use serde_json::json;

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
    events.turn_of(id(1)).await;
    let path = format!("/v1/approvals/{}", prompt.id);
    assert_eq!(rig.runner.post(&path, json!({"verdict": "allow"})).await.0, 404);
    assert!(!rig.path("workspace/five").exists());
}
