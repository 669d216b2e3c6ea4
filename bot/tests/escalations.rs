//! The agent of a task asks for a session: at once by policy, by a button, or not at all.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_wire::MessageId;
use serde_json::{Value, json};
use support::runner::Runner;
use support::{Stage, completed};

const REASON: &str = "Forty services need reading.";

/// What the operator writes when the task of a message has ended and its agent has asked for a session.
fn asked(text: &str) -> Value {
    let mut ended = completed(text);
    ended["status"]["escalation"] = json!({"reason": REASON, "plan": "1. list\n2. read"});
    ended
}

/// Somebody asks something, and the task asks for a session. The task's name.
async fn ask(stage: &Stage, thread: i64) -> String {
    let message = stage.say(thread, "audit the services").await;
    let name = stage.name(thread, message);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.api.merge("containertasks", &name, asked("Two of forty read."));
    name
}

async fn with_policy(escalation: Value) -> Stage {
    let mut stage = Stage::set().await;
    let policy = json!({"metadata": {"name": "team"}, "spec": {"escalation": escalation}});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    stage.start();
    stage
}

#[tokio::test]
async fn a_session_takes_over_by_itself_and_knows_what_the_task_has_learnt() {
    let stage = with_policy(json!({"mode": "Start", "agentClassName": "big"})).await;
    let thread = stage.topic("Audit").await;
    let task = ask(&stage, thread).await;
    let offered = stage.api.get("containertasks", &task).unwrap();
    assert_eq!(offered["spec"]["escalation"], "Start");
    let name = format!("{task}-s");
    let session = stage.api.wait("persistentsessions", &name, |_| true).await;
    let prompt = session["spec"]["prompt"].as_str().unwrap();
    assert!(prompt.starts_with("audit the services\n\n[Longshore] "), "{prompt}");
    for part in [
        format!("> {REASON}").as_str(),
        "> 1. list\n> 2. read",
        "> Two of forty read.",
    ] {
        assert!(prompt.contains(part), "{prompt}");
    }
    assert_eq!(session["spec"]["agentClassName"], "big");
    let origin = json!({"chatId": stage.forum, "threadId": thread});
    assert_eq!(
        session["spec"]["origin"]["telegram"], origin,
        "the message itself is answered by the task"
    );
    stage.sees(thread, "Two of forty read.").await;
    let told = stage.sees(thread, "A session takes over.").await;
    assert!(told.text.contains(REASON) && told.buttons.is_empty(), "{told:?}");
    stage
        .api
        .wait("containertasks", &task, |task| {
            task["metadata"]["annotations"]["longshore.dev/delivered"].is_string()
        })
        .await;

    // What is written now goes there, and what the session says first has a place of its own.
    let next = stage.say(thread, "and the gateway?").await;
    let (runner, endpoint) = Runner::start().await;
    stage.ready(&name, &runner, &endpoint).await;
    let id = MessageId::from_telegram(stage.forum, next);
    runner
        .wait("the next message", |state| {
            state.posted.iter().any(|posted| posted.id == id)
        })
        .await;
    let uid = session["metadata"]["uid"].as_str().unwrap();
    runner.turn(1, &[MessageId::from_object(uid)], "All forty read.");
    stage.sees(thread, "All forty read.").await;
    let mut writes = stage.api.writes();
    writes.sort();
    assert_eq!(
        writes,
        [
            format!("PATCH containertasks/{task}"),
            format!("POST containertasks/{task}"),
            format!("POST persistentsessions/{name}"),
            format!("POST topics/{}", stage.topic_name(thread)),
        ]
    );
}

#[tokio::test]
async fn people_are_asked_by_a_button_that_outlives_the_bot_and_counts_once() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("Audit").await;
    let task = ask(&stage, thread).await;
    let name = format!("{task}-s");
    let asking = stage.sees(thread, "Shall a session take over?").await;
    assert_eq!(
        stage.api.get("containertasks", &task).unwrap()["spec"]["escalation"],
        "Ask"
    );
    stage.kill();
    stage.start();
    let bob = stage.people.user("Bob").await.unwrap().id;
    let label = "✅ Start a session";
    assert_eq!(
        stage.press(asking.message_id, bob, label).await,
        "You are not on the list of people who may decide this."
    );
    assert!(stage.api.get("persistentsessions", &name).is_none());
    // Creating hangs, and the bot dies before it knows what came of it.
    stage.api.hold(true);
    assert_eq!(
        stage.press(asking.message_id, stage.ada, label).await,
        "A session takes over."
    );
    stage.sees(thread, "A session takes over, as Ada said.").await;
    stage.kill();
    stage.api.hold(false);
    stage.start();
    let session = stage.api.wait("persistentsessions", &name, |_| true).await;
    assert!(
        session["spec"]["prompt"]
            .as_str()
            .unwrap()
            .contains("> Two of forty read.")
    );
    assert!(session["spec"].get("agentClassName").is_none());
    let late = stage
        .people
        .press(stage.forum, asking.message_id, stage.ada, label)
        .await;
    assert!(late.is_err(), "the button is gone");
    assert_eq!(stage.stands(thread, REASON).await, 1);
    assert_eq!(stage.api.names("persistentsessions"), [name]);
}

#[tokio::test]
async fn a_session_that_is_not_wanted_is_not_made() {
    let stage = Stage::play().await;
    let thread = stage.topic("Audit").await;
    ask(&stage, thread).await;
    let asking = stage.sees(thread, "Shall a session take over?").await;
    assert_eq!(
        stage.press(asking.message_id, stage.ada, "⛔ No").await,
        "No session is started."
    );
    stage.sees(thread, "No session, as Ada said.").await;

    // Somebody starts one another way: there is nothing to be asked any more, now and later.
    let second = stage.say(thread, "audit the pods").await;
    let second = stage.name(thread, second);
    stage.api.wait("containertasks", &second, |_| true).await;
    stage.api.merge("containertasks", &second, asked("One of nine."));
    stage.sees(thread, "Shall a session take over?").await;
    let late = stage.say(thread, "and the nodes").await;
    let late = stage.name(thread, late);
    stage.api.wait("containertasks", &late, |_| true).await;
    let deep = stage.say(thread, "/deep read all of them").await;
    let deep = stage.name(thread, deep);
    stage.api.wait("persistentsessions", &deep, |_| true).await;
    stage.sees_times(thread, "This topic has a session", 1).await;
    stage.api.merge("containertasks", &late, asked("None of three."));
    stage.sees_times(thread, "This topic has a session", 2).await;
    assert_eq!(stage.stands(thread, "Shall a session take over?").await, 0);
    assert_eq!(stage.api.names("persistentsessions"), [deep]);
}

#[tokio::test]
async fn an_agent_that_may_not_ask_is_not_heard_nor_one_that_was_stopped() {
    let stage = with_policy(json!({"mode": "Never"})).await;
    let thread = stage.topic("Audit").await;
    let task = ask(&stage, thread).await;
    assert!(
        stage.api.get("containertasks", &task).unwrap()["spec"]
            .get("escalation")
            .is_none()
    );
    stage.sees(thread, "Two of forty read.").await;
    stage.api.delete("routingpolicies", "team");
    let asking = json!({"metadata": {"name": "late"}, "spec": {"escalation": {"mode": "Start"}}});
    stage.api.add("routingpolicies", "RoutingPolicy", asking);
    let offered = async |text: &str| {
        loop {
            let message = stage.say(thread, text).await;
            let name = stage.name(thread, message);
            let task = stage.api.wait("containertasks", &name, |_| true).await;
            if task["spec"]["escalation"] == "Start" {
                return name;
            }
            stage.complete(&name, "Not yet.").await;
        }
    };
    let name = support::in_time("the policy counts", offered("audit the rest")).await;
    let mut stopped = asked("");
    stopped["status"]["result"]["isError"] = json!(true);
    stopped["status"]["result"]["terminalReason"] = json!("aborted_tools");
    stage.api.merge("containertasks", &name, stopped);
    stage.sees(thread, "Stopped.").await;
    assert_eq!(
        stage
            .by_bot(Some(thread))
            .await
            .iter()
            .filter(|said| said.contains(REASON))
            .count(),
        0
    );
    assert!(stage.api.names("persistentsessions").is_empty());
}
