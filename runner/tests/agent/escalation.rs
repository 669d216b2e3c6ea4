use longshore_wire::api::Escalation;
use longshore_wire::event::Event;
use longshore_wire::notice::TerminationMessage;
use serde_json::{Value, json};

use crate::support::{Rig, Setup, id};
use crate::task::result;

const TOOL: &str = "mcp__longshore__request_deep_session";

async fn task(agent: Value) -> Rig {
    Rig::start(Setup {
        kind: "task",
        agent,
        ..Setup::default()
    })
    .await
}

/// Names of the tools that the model was offered with the first message.
async fn tools(rig: &Rig) -> Vec<String> {
    let requests = rig.requests().await;
    let bodies = requests.iter().filter_map(|request| request.body.as_ref());
    let tools = bodies.filter_map(|body| body["tools"].as_array()).flatten();
    tools
        .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
        .collect()
}

fn call(reason: &str, plan: &str) -> String {
    format!("[[tool {TOOL} {}]]", json!({"reason": reason, "plan": plan}))
}

fn asked(events: &[longshore_wire::Record]) -> Vec<&Escalation> {
    let said = events.iter().filter_map(|record| match &record.event {
        Event::Escalation { escalation, .. } => Some(escalation),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn a_task_asks_for_a_session_once_and_its_result_says_so() {
    let mut rig = task(json!({"escalation": "start", "permissionMode": "dontAsk", "drainSeconds": 600})).await;
    let mut events = rig.runner.events(0).await;
    let twice = format!(
        "audit it {} [[say Told: {{{{last_tool_result}}}}.]] {} [[say Told again: {{{{last_tool_result}}}}.]]",
        call("Forty services.", "1. list\n2. read"),
        call("Fifty.", "more"),
    );
    rig.runner.say(id(1), &twice).await;
    let turn = events.turn_of(id(1)).await;
    let expected = Escalation {
        reason: "Forty services.".to_owned(),
        plan: "1. list\n2. read".to_owned(),
    };
    assert_eq!(asked(&events.records), [&expected]);
    let said = turn.text();
    assert!(said.contains("Told: A session takes over as soon as"), "{said}");
    assert!(said.contains("Told again: A session was asked for already"), "{said}");
    assert!(
        tools(&rig).await.iter().any(|tool| tool == TOOL),
        "in view without a search"
    );

    let result = result(&rig).await;
    assert_eq!(result["escalation"], json!(expected));
    let last_words = std::fs::read(rig.path("termination-log")).unwrap();
    let last_words: TerminationMessage = serde_json::from_slice(&last_words).unwrap();
    assert_eq!(last_words.escalation, Some(expected));
    // The next pod of the task knows it, too.
    rig.kill_pod().await;
    rig.start_again().await;
    assert_eq!(self::result(&rig).await, result);
}

#[tokio::test]
async fn a_task_that_died_after_it_asked_does_not_ask_again() {
    let mut rig = task(json!({"escalation": "ask", "permissionMode": "dontAsk"})).await;
    let mut events = rig.runner.events(0).await;
    let text = format!("audit it {} [[hold gate]]", call("Forty services.", "all of them"));
    rig.runner.say(id(1), &text).await;
    events
        .wait("the wish", |event| matches!(event, Event::Escalation { .. }))
        .await;
    rig.client().held_at("gate", crate::support::PATIENCE).await.unwrap();
    rig.kill_pod().await;
    let again = json!({"match": {"user": "ended unexpectedly", "has_tool_result": false}, "steps": [
        {"tool": {"name": TOOL, "input": {"reason": "Fifty.", "plan": "more"}}}, {"text": "Told: {{last_tool_result}}"}]});
    rig.client().add_rules(&again).await.unwrap();
    rig.start_again().await;
    let result = result(&rig).await;
    assert_eq!(result["escalation"]["reason"], "Forty services.");
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("A session was asked for already"), "{text}");
}

#[tokio::test]
async fn what_is_asked_for_is_bounded_and_must_be_whole() {
    let rig = task(json!({"escalation": "ask", "permissionMode": "dontAsk"})).await;
    let text = format!(
        "audit it {} [[say First: {{{{last_tool_result}}}}.]] {} [[say Then: {{{{last_tool_result}}}}.]]",
        call(" ", "a plan"),
        call(&"é".repeat(600), &"é".repeat(3000)),
    );
    rig.runner.say(id(1), &text).await;
    let result = result(&rig).await;
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("First: Write both"), "{text}");
    assert!(
        text.contains("Then: The person is asked") && text.contains("was cut"),
        "{text}"
    );
    let asked: Escalation = serde_json::from_value(result["escalation"].clone()).unwrap();
    assert_eq!((asked.reason.chars().count(), asked.plan.len()), (500, 4096));
    let last_words = std::fs::read(rig.path("termination-log")).unwrap();
    assert!(last_words.len() <= 4096, "{}", last_words.len());
}

#[tokio::test]
async fn a_task_without_the_offer_has_no_such_tool() {
    let rig = task(json!({"permissionMode": "dontAsk"})).await;
    rig.runner
        .say(
            id(1),
            &format!("audit it {} [[say Done anyway.]]", call("Forty services.", "all")),
        )
        .await;
    let result = result(&rig).await;
    assert!(result["text"].as_str().unwrap().ends_with("Done anyway."), "{result}");
    assert!(result.get("escalation").is_none(), "{result}");
    assert!(!tools(&rig).await.iter().any(|tool| tool.starts_with("mcp__")));
}

#[tokio::test]
async fn a_class_can_refuse_the_tool() {
    let agent = json!({"escalation": "ask", "permissionMode": "dontAsk", "disallowedTools": [TOOL]});
    let rig = task(agent).await;
    rig.runner
        .say(
            id(1),
            &format!("audit it {} [[say Done anyway.]]", call("Forty services.", "all")),
        )
        .await;
    let result = result(&rig).await;
    assert!(result["text"].as_str().unwrap().ends_with("Done anyway."), "{result}");
    assert!(result.get("escalation").is_none(), "{result}");
}
