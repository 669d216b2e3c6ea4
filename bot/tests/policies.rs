//! RoutingPolicies as people change them while the bot runs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use longshore_wire::api::ApprovalKind;
use serde_json::{Value, json};
use support::deep::{Deep, approval};
use support::{PATIENCE, Stage};

/// Puts policies into force and waits until the bot says so. Returns how long that took.
async fn in_force(stage: &Stage, change: impl FnOnce()) -> Duration {
    let said = |stage: &Stage| stage.log().matches("RoutingPolicies are in force").count();
    let before = said(stage);
    let begin = Instant::now();
    change();
    while said(stage) == before {
        assert!(
            begin.elapsed() < PATIENCE,
            "the change is not in force\n{}",
            stage.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}

/// Waits until all messages so far have been decided about: Ada's, which comes after them, is answered.
async fn decided(stage: &Stage, thread: i64, answer: &str) {
    let last = stage.say(thread, "hello").await;
    stage.complete(&stage.name(thread, last), answer).await;
    stage.sees(thread, answer).await;
}

fn policy(name: &str, spec: Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": spec })
}

fn add(stage: &Stage, name: &str, spec: Value) {
    stage.api.add("routingpolicies", "RoutingPolicy", policy(name, spec));
}

fn sessions_for(keyword: &str) -> Value {
    json!({ "rules": [{ "name": "deep", "match": { "keywords": [keyword] },
        "action": { "mode": "Session", "agentClassName": "big" } }] })
}

#[tokio::test]
async fn the_same_sentence_goes_to_a_task_and_after_a_change_to_a_session() {
    let stage = Stage::play().await;
    let thread = stage.topic("Incidents").await;
    let sentence = "look into the incident";
    let first = stage.say(thread, sentence).await;
    let task = stage.name(thread, first);
    stage.complete(&task, "Looked.").await;
    stage.sees(thread, "Looked.").await;
    let took = in_force(&stage, || add(&stage, "team", sessions_for("incident"))).await;
    eprintln!("a change of a policy was in force after {took:?}");
    let second = stage.say(thread, sentence).await;
    let session = stage
        .api
        .wait("persistentsessions", &stage.name(thread, second), |_| true)
        .await;
    assert_eq!(session["spec"]["prompt"], sentence);
    assert_eq!(session["spec"]["agentClassName"], "big");
    assert!(
        stage.log().contains("rule deep of policy team: keyword “incident”"),
        "{}",
        stage.log()
    );
    assert_eq!(stage.api.names("containertasks"), [task]);
}

#[tokio::test]
async fn policies_let_people_in_and_out_and_a_broken_one_lets_nobody_in() {
    let stage = Stage::play().await;
    let thread = stage.topic("Team").await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let say = async |text: &str| stage.people.say(stage.forum, Some(thread), bob, text).await.unwrap();
    // One that cannot be read stands in the way of nothing.
    in_force(&stage, || add(&stage, "broken", json!("nonsense"))).await;
    let access = json!({ "users": [{ "id": bob }], "unknownSenders": "Reply", "reply": "Who are you, {user}?" });
    in_force(&stage, || add(&stage, "team", json!({ "access": access }))).await;
    let heard = say("may I?").await;
    stage.complete(&stage.name(thread, heard), "You may.").await;
    stage.sees(thread, "You may.").await;
    // A limit that the bot does not understand.
    let limited = json!({ "spec": { "access": { "users": [{ "id": bob, "until": "2020-01-01" }] } } });
    in_force(&stage, || stage.api.merge("routingpolicies", "team", limited)).await;
    say("and now?").await;
    decided(&stage, thread, "one").await;
    let other =
        json!({ "access": { "users": [{ "id": 1 }], "unknownSenders": "Reply", "reply": "Who are you, {user}?" } });
    in_force(&stage, || add(&stage, "other", other)).await;
    say("and now?").await;
    stage.sees(thread, &format!("Who are you, {bob}?")).await;
    in_force(&stage, || stage.api.delete("routingpolicies", "other")).await;
    in_force(&stage, || stage.api.delete("routingpolicies", "team")).await;
    say("and now?").await;
    decided(&stage, thread, "two").await;
    assert_eq!(
        stage.by_bot(Some(thread)).await,
        [
            "You may.".to_owned(),
            "one".to_owned(),
            format!("Who are you, {bob}?"),
            "two".to_owned()
        ]
    );
    assert_eq!(stage.api.names("containertasks").len(), 3);
}

#[tokio::test]
async fn no_message_is_dropped_while_policies_change() {
    let stage = Stage::play().await;
    let mut asked = Vec::new();
    for round in 0..12 {
        let thread = stage.topic(&format!("Topic {round}")).await;
        match round % 3 {
            0 => add(&stage, &format!("p{round}"), sessions_for("deploy")),
            1 => stage.api.merge(
                "routingpolicies",
                &format!("p{}", round - 1),
                json!({ "spec": sessions_for("ship") }),
            ),
            _ => stage.api.delete("routingpolicies", &format!("p{}", round - 2)),
        }
        let message = stage.say(thread, "deploy and ship it").await;
        asked.push(stage.name(thread, message));
    }
    for name in asked {
        let became = async |plural: &'static str| stage.api.wait(plural, &name, |_| true).await;
        tokio::select! {
            _ = became("containertasks") => {}
            _ = became("persistentsessions") => {}
        }
    }
}

#[tokio::test]
async fn a_permission_is_decided_by_approvers_only() {
    let Deep {
        stage,
        thread,
        runner,
        name,
        endpoint,
        ..
    } = Deep::start().await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let access = json!({ "access": { "users": [{ "id": bob, "role": "User" }] } });
    in_force(&stage, || add(&stage, "team", access)).await;
    stage.ready(&name, &runner, &endpoint).await;
    runner.emit(approval(
        "req-1",
        ApprovalKind::Permission,
        "Bash",
        json!({ "command": "make" }),
    ));
    let prompt = stage.sees(thread, "make").await;
    let press = async |user: i64| {
        let pressed = stage
            .people
            .press(stage.forum, prompt.message_id, user, "✅ Allow")
            .await
            .unwrap();
        let answered = stage.people.callback(&pressed.id, PATIENCE).await.unwrap();
        answered.answer.unwrap_or_default().text
    };
    assert_eq!(press(bob).await, "Only approvers may decide this.");
    let raised = json!({ "spec": { "access": { "users": [{ "id": bob, "role": "Approver" }] } } });
    in_force(&stage, || stage.api.merge("routingpolicies", "team", raised)).await;
    assert_eq!(press(bob).await, "Allowed.");
}

#[tokio::test]
async fn a_new_topic_is_made_by_its_template_and_one_that_is_there_stays() {
    let stage = Stage::play().await;
    let earlier = stage.topic("Earlier").await;
    decided(&stage, earlier, "Hello.").await;
    let repository = json!({ "url": "https://git.example.com/shop", "secretRef": { "name": "shop" } });
    let template = json!({ "name": "shop", "topic": { "agentClassName": "large", "workspace": { "size": "50Gi" },
        "repository": repository, "instructions": { "inline": "Be brief." } } });
    let broken = json!({ "name": "broken", "topic": { "color": "red" } });
    in_force(&stage, || {
        add(&stage, "team", json!({ "topicTemplates": [broken, template] }));
    })
    .await;
    let later = stage.topic("Later").await;
    decided(&stage, later, "Hello again.").await;
    decided(&stage, earlier, "Still here.").await;
    let topics = stage.api.names("topics");
    let topic = |thread: i64| {
        let name = topics
            .iter()
            .find(|name| name.ends_with(&format!("-{thread}")))
            .unwrap();
        stage.api.get("topics", name).unwrap()
    };
    let made = topic(later);
    assert_eq!(made["spec"]["agentClassName"], "large");
    assert_eq!(made["spec"]["workspace"], json!({ "size": "50Gi" }));
    assert_eq!(made["spec"]["repository"]["url"], "https://git.example.com/shop");
    assert_eq!(made["spec"]["instructions"]["inline"], "Be brief.");
    assert_eq!(made["spec"]["displayName"], "Later");
    assert_eq!(
        made["metadata"]["annotations"]["longshore.dev/topic-template"],
        "team/shop"
    );
    let there = topic(earlier);
    assert!(there["spec"].get("repository").is_none(), "{there}");
    assert!(stage.log().contains("template shop of policy team"), "{}", stage.log());
}
