//! What is said about rules that cannot decide.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::collections::BTreeSet;

use longshore_crds::RuleState;
use longshore_routing::{Findings, PolicySource, Router, Settings};
use serde_json::{Value, json};

fn findings(policies: &[(&str, Value)], classes: Option<&[&str]>) -> Vec<Findings> {
    let sources = policies.iter().map(|(name, spec)| PolicySource {
        name: (*name).to_owned(),
        spec: spec.clone(),
    });
    let classes = classes.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    Router::compile(Settings::default(), &sources.collect::<Vec<_>>()).findings(classes.as_ref())
}

fn rule(name: &str, matches: Value, action: Value) -> Value {
    json!({ "name": name, "match": matches, "action": action })
}

/// `expected`: the state of the later of two rules, and a piece of its message.
fn check(earlier: (Value, Value), later: (Value, Value), expected: RuleState, piece: &str) {
    let rules = json!({ "rules": [rule("first", earlier.0, earlier.1), rule("second", later.0, later.1)] });
    let found = findings(&[("a", rules.clone())], None).remove(0);
    let second = &found.rules[1];
    assert_eq!(second.state, expected, "{rules}: {second:?}");
    assert!(
        second.message.as_deref().unwrap_or_default().contains(piece),
        "{rules}: {second:?}"
    );
    assert_eq!(found.rules[0].state, RuleState::Resolved);
    assert_eq!(found.ready, expected == RuleState::Resolved);
}

#[test]
fn a_rule_behind_one_that_matches_more_is_shadowed() {
    use RuleState::{Resolved, Shadowed};
    let (task, session) = (json!({ "mode": "Task" }), json!({ "mode": "Session" }));
    let by_first = "shadowed by rule 1 (first)";
    for (earlier, later, state) in [
        (json!({}), json!({ "keywords": ["a"] }), Shadowed),
        (json!({ "keywords": ["a"] }), json!({}), Resolved),
        (
            json!({ "keywords": ["deploy", "ship"] }),
            json!({ "keywords": ["Ship", "deploy now"] }),
            Shadowed,
        ),
        (
            json!({ "keywords": ["deploy"] }),
            json!({ "keywords": ["redeploy"] }),
            Resolved,
        ),
        (
            json!({ "chats": [-1, -2] }),
            json!({ "chats": [-2], "minLength": 9 }),
            Shadowed,
        ),
        (json!({ "chats": [-1] }), json!({ "chats": [-1, -2] }), Resolved),
        (json!({ "minLength": 5 }), json!({ "minLength": 6 }), Shadowed),
        (json!({ "minLength": 6 }), json!({ "minLength": 5 }), Resolved),
        (json!({ "regex": "a" }), json!({ "regex": "a", "users": [1] }), Shadowed),
        (json!({ "regex": "a" }), json!({ "regex": "ab" }), Resolved),
        (json!({ "sessionActive": true }), json!({ "keywords": ["a"] }), Resolved),
        (
            json!({ "roles": ["User", "Admin"] }),
            json!({ "roles": ["Admin"] }),
            Shadowed,
        ),
        (json!({ "commands": ["a"] }), json!({ "commands": ["b"] }), Resolved),
    ] {
        let piece = if state == Shadowed { by_first } else { "" };
        check((earlier, task.clone()), (later, session.clone()), state, piece);
    }
}

#[test]
fn a_rule_is_seen_for_what_its_mode_makes_of_it() {
    use RuleState::{Conflict, Resolved};
    let mode = |mode: &str| json!({ "mode": mode });
    // Admins are passed by, so they still reach what comes after.
    check((json!({}), mode("Deny")), (json!({}), mode("Task")), Resolved, "");
    let users = json!({ "roles": ["User", "Approver"] });
    check(
        (json!({}), mode("Deny")),
        (users, mode("Task")),
        Conflict,
        "in conflict with",
    );
    // Without a session it does not match.
    check(
        (json!({}), mode("ToActiveSession")),
        (json!({}), mode("Session")),
        Resolved,
        "",
    );
    let active = json!({ "sessionActive": true });
    check(
        (json!({}), mode("ToActiveSession")),
        (active, mode("Session")),
        RuleState::Conflict,
        "in conflict with",
    );
}

#[test]
fn two_rules_that_match_the_same_are_in_conflict_unless_they_do_the_same() {
    let same = || json!({ "keywords": ["a", "b"], "chats": [-1] });
    let turned = json!({ "keywords": ["B", "a"], "chats": [-1] });
    let piece = "in conflict with rule 1 (first), which matches the same and comes first";
    let (task, session) = (json!({ "mode": "Task" }), json!({ "mode": "Session" }));
    check((same(), task.clone()), (turned, session), RuleState::Conflict, piece);
    let big = json!({ "mode": "Task", "agentClassName": "big" });
    check((same(), task.clone()), (same(), big), RuleState::Conflict, piece);
    check(
        (same(), task.clone()),
        (same(), task),
        RuleState::Shadowed,
        "shadowed by rule 1",
    );
}

#[test]
fn rules_of_an_earlier_policy_stand_in_the_way_too_and_skipped_ones_do_not() {
    let task = json!({ "mode": "Task" });
    let all = json!({ "order": 5, "rules": [rule("all", json!({}), task.clone())] });
    let broken = json!({ "rules": [rule("broken", json!({ "regex": "[" }), task.clone())] });
    let later = json!({ "order": 7, "rules": [rule("one", json!({ "users": [1] }), json!({ "mode": "Session" }))] });
    let found = findings(&[("z", later), ("m", all), ("a", broken)], None);
    let names = found
        .iter()
        .map(|findings| findings.policy.as_str())
        .collect::<Vec<_>>();
    assert_eq!(names, ["a", "m", "z"]);
    assert_eq!(found[0].rules[0].state, RuleState::Invalid);
    assert_eq!((found[0].ready, found[0].reason), (false, "RuleInvalid"));
    assert!(
        found[0]
            .problem
            .as_deref()
            .unwrap()
            .starts_with("rule broken: match.regex cannot be read")
    );
    assert_eq!(
        (found[1].ready, found[1].reason, &found[1].problem),
        (true, "InForce", &None)
    );
    assert_eq!(found[2].reason, "RuleShadowed");
    assert!(
        found[2]
            .problem
            .as_deref()
            .unwrap()
            .contains("shadowed by rule 1 (all) of policy m")
    );
}

#[test]
fn a_class_that_does_not_exist_is_told_by_who_knows_the_classes() {
    let rules = json!({ "rules": [rule("big", json!({ "keywords": ["a"] }), json!({ "mode": "Session", "agentClassName": "big" })),
        rule("default", json!({}), json!({ "mode": "Task", "agentClassName": "default" }))] });
    let state = |classes| findings(&[("a", rules.clone())], classes).remove(0);
    let found = state(Some(&["default"]));
    assert_eq!(found.rules[0].state, RuleState::BrokenReference);
    assert!(found.problem.unwrap().contains("there is no AgentClass big"));
    assert_eq!(found.rules[1].state, RuleState::Resolved);
    assert!(state(Some(&["default", "big"])).ready);
    assert!(state(None).ready);
}

#[test]
fn what_else_is_wrong_is_told_the_worst_first() {
    let asks = json!({ "escalation": { "mode": "Start", "agentClassName": "big" } });
    let found = findings(&[("a", asks.clone()), ("b", asks)], Some(&["small"]));
    assert_eq!(
        (found[0].reason, found[1].reason),
        ("BrokenReference", "BrokenReference")
    );
    assert!(
        found[0]
            .problem
            .as_deref()
            .unwrap()
            .contains("there is no AgentClass big")
    );
    let never = || json!({ "escalation": { "mode": "Never" } });
    let found = findings(&[("a", never()), ("b", never())], Some(&[]));
    assert_eq!((found[0].reason, found[1].reason), ("InForce", "Overridden"));
    let heuristics = json!({ "heuristics": { "repositoryLinks": 10 } });
    let found = findings(&[("a", heuristics.clone()), ("b", heuristics)], None);
    assert!(found[0].ready);
    assert_eq!(found[1].reason, "Overridden");
    assert!(found[1].problem.as_deref().unwrap().contains("policy a comes first"));
    let broken = json!({ "access": { "users": [{ "id": "5" }] }, "heuristics": 4, "rules": [17] });
    let found = findings(&[("a", broken)], None).remove(0);
    assert_eq!((found.ready, found.reason), (false, "AccessUnreadable"));
    assert!(found.problem.unwrap().ends_with("this policy lets nobody in"));
    assert_eq!(found.rules[0].name, "#1");
}
