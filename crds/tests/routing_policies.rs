//! What a RoutingPolicy may say, by the rules that the API server runs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use kube::core::cel::validate_cel;
use longshore_crds::{OWN_COMMANDS, RoutingPolicy};
use serde_json::{Value, json};

fn policy(spec: &Value) -> RoutingPolicy {
    let manifest = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy",
        "metadata": { "name": "a" }, "spec": spec });
    serde_json::from_value(manifest).unwrap_or_else(|error| panic!("{spec}: {error}"))
}

/// `refused` is a piece of the message.
fn check(spec: &Value, refused: Option<&str>) {
    let said = validate_cel(&policy(spec)).err().map(|errors| errors.to_string());
    match (refused, said) {
        (Some(piece), Some(said)) => assert!(said.contains(piece), "{spec}: {said}"),
        (None, None) => {}
        (refused, said) => panic!("{spec}: expected {refused:?}, got {said:?}"),
    }
}

fn rule(matches: Value, action: Value) -> Value {
    json!({ "rules": [{ "name": "a", "match": matches, "action": action }] })
}

#[test]
fn a_policy_says_something() {
    check(&json!({}), Some("without any of them this policy says nothing"));
    check(
        &json!({ "order": 3 }),
        Some("without any of them this policy says nothing"),
    );
    check(&json!({ "access": {} }), None);
    check(&json!({ "whileSessionActive": "QueueTask" }), None);
    check(&json!({ "escalation": { "mode": "Never" } }), None);
    check(
        &json!({ "escalation": { "mode": "Start", "agentClassName": "big" } }),
        None,
    );
    check(
        &json!({ "escalation": { "mode": "Never", "agentClassName": "big" } }),
        Some("with mode: Never no session is started"),
    );
}

#[test]
fn access_names_people_and_chats_by_their_ids() {
    check(
        &json!({ "access": { "users": [{ "id": -5 }] } }),
        Some("groups belong under access.chats"),
    );
    check(&json!({ "access": { "chats": [{ "id": 0 }] } }), Some("0 is no chat"));
    check(
        &json!({ "access": { "reply": "no" } }),
        Some("only with unknownSenders: Reply"),
    );
    check(
        &json!({ "access": { "unknownSenders": "Ignore", "reply": "no" } }),
        Some("only with unknownSenders: Reply"),
    );
    check(&json!({ "access": { "unknownSenders": "OfferToApprover" } }), None);
    check(
        &json!({ "access": { "unknownSenders": "OfferToApprover", "reply": "no" } }),
        Some("only with unknownSenders: Reply"),
    );
    let whole = json!({ "access": { "users": [{ "id": 5, "role": "Admin", "comment": "Ada", "chats": [-100] }],
        "chats": [{ "id": -100 }], "unknownSenders": "Reply", "reply": "ask {user}" } });
    check(&whole, None);
}

#[test]
fn names_of_rules_are_words_and_unlike() {
    let task = json!({ "mode": "Task" });
    let two = json!({ "rules": [{ "name": "a", "action": task }, { "name": "a", "action": task }] });
    check(&two, Some("two of them have the same name"));
    check(
        &json!({ "rules": [{ "name": "A b", "action": task }] }),
        Some("name: use lower-case"),
    );
    check(
        &json!({ "rules": [{ "name": "a", "action": task }, { "name": "b", "action": task }] }),
        None,
    );
}

#[test]
fn a_rule_matches_what_can_be() {
    let task = || json!({ "mode": "Task" });
    check(&rule(json!({ "commands": ["/review"] }), task()), Some("leave '/' out"));
    for own in OWN_COMMANDS {
        check(
            &rule(json!({ "commands": ["review", own] }), task()),
            Some("are the bot's own"),
        );
    }
    check(&rule(json!({ "commands": ["review", "fix_it2"] }), task()), None);
    check(
        &rule(json!({ "threads": [0, 1] }), task()),
        Some("write 0 for the General topic"),
    );
    check(&rule(json!({ "threads": [0, 2] }), task()), None);
    check(&rule(json!({ "keywords": ["  "] }), task()), Some("one is empty"));
    let window = |from: &str, to: &str| json!({ "timeWindow": { "from": from, "to": to } });
    check(
        &rule(window("08:00", "08:00"), task()),
        Some("from and to are the same"),
    );
    check(&rule(window("8:00a", "09:00"), task()), Some("from: write a time"));
    check(&rule(window("24:00", "09:00"), task()), Some("from: write a time"));
    check(&rule(window("08:00", "24:01"), task()), Some("to: write a time"));
    check(&rule(window("22:00", "24:00"), task()), None);
    check(&rule(window("22:00", "06:00"), task()), None);
}

#[test]
fn an_action_has_nothing_that_it_cannot_use() {
    for mode in ["Task", "Session"] {
        check(&rule(json!({}), json!({ "mode": mode, "agentClassName": "big" })), None);
        check(
            &rule(json!({}), json!({ "mode": mode, "reply": "a" })),
            Some("only Deny answers"),
        );
    }
    for mode in ["ToActiveSession", "Ignore", "Deny"] {
        let action = json!({ "mode": mode, "agentClassName": "big" });
        check(&rule(json!({}), action), Some("only Task and Session start an agent"));
    }
    check(&rule(json!({}), json!({ "mode": "Deny", "reply": "no" })), None);
    let action = json!({ "mode": "ToActiveSession" });
    check(
        &rule(json!({ "sessionActive": false }), action.clone()),
        Some("needs a session"),
    );
    check(&rule(json!({ "sessionActive": true }), action), None);
}

#[test]
fn heuristics_count_something() {
    check(
        &json!({ "heuristics": { "threshold": 5 } }),
        Some("without any of them no message starts a session"),
    );
    let words = json!({ "heuristics": { "keywords": [{ "word": " ", "weight": 1 }] } });
    check(&words, Some("write a word"));
    for signal in [
        json!({ "keywords": [{ "word": "refactor", "weight": 5 }] }),
        json!({ "length": { "atLeast": 500, "weight": 5 } }),
        json!({ "repositoryLinks": 5 }),
        json!({ "severalSteps": { "weight": 5 } }),
    ] {
        check(&json!({ "heuristics": signal }), None);
    }
}

#[test]
fn a_template_makes_topics_that_would_be_accepted() {
    let template = |topic: Value| json!({ "topicTemplates": [{ "name": "a", "topic": topic }] });
    check(&template(json!({})), None);
    check(
        &template(json!({ "workspace": { "size": "5Gi" }, "repository": { "url": "https://git.example.com/a" } })),
        None,
    );
    check(
        &template(json!({ "workspace": { "size": "big" } })),
        Some("workspace.size"),
    );
    check(
        &template(json!({ "repository": { "url": "file:///etc" } })),
        Some("repository.url"),
    );
    check(
        &template(json!({ "instructions": {} })),
        Some("write either inline or configMapRef"),
    );
    let two = json!({ "topicTemplates": [{ "name": "a", "topic": {} }, { "name": "a", "topic": {} }] });
    check(&two, Some("two of them have the same name"));
    let general = json!({ "topicTemplates": [{ "name": "a", "match": { "threads": [1] }, "topic": {} }] });
    check(&general, Some("write 0 for the General topic"));
}
