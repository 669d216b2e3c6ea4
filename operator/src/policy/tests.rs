//! Policies of a namespace and what is said about them.

use jiff::Timestamp;
use longshore_crds::{AgentClass, AgentClassSpec, RoutingPolicyStatus, RuleState};
use serde_json::{Value, json};

use super::*;

fn policy(namespace: &str, name: &str, spec: Value) -> StoredPolicy {
    let manifest = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy",
        "metadata": { "name": name, "namespace": namespace, "generation": 3, "uid": name, "resourceVersion": "7" }, "spec": spec });
    serde_json::from_value(manifest).unwrap()
}

fn index(policies: Vec<StoredPolicy>, classes: &[&str]) -> Index {
    let class = |name: &&str| {
        let mut class = AgentClass::new(name, AgentClassSpec::default());
        class.metadata.namespace = Some("ns".to_owned());
        class
    };
    let mut index = Index::with(classes.iter().map(class).collect(), Vec::new(), Vec::new(), Vec::new());
    index.routing = crate::index::filled(policies);
    index
}

/// The status that a pass over the first of these policies writes.
fn status(policies: &[StoredPolicy], classes: &[&str], now: i64) -> RoutingPolicyStatus {
    let first = Arc::new(policies[0].clone());
    let (seen, classes) = observe(&first, &index(policies.to_vec(), classes));
    let sources = seen.iter().map(|policy| policy.source()).collect::<Vec<_>>();
    let found = Router::compile(Settings::default(), &sources).findings(Some(&classes));
    let mine = found
        .into_iter()
        .find(|findings| findings.policy == first.name_any())
        .unwrap();
    plan::status(&first, mine, Timestamp::from_second(now).unwrap())
}

fn session(name: &str, keyword: &str, class: Option<&str>) -> Value {
    let mut rule = json!({ "name": name, "match": { "keywords": [keyword] }, "action": { "mode": "Session" } });
    if let Some(class) = class {
        rule["action"]["agentClassName"] = json!(class);
    }
    rule
}

#[test]
fn every_rule_has_a_state_and_the_policy_says_the_worst() {
    let rules = json!({ "rules": [session("good", "deploy", None), session("late", "deploy now", None),
        session("class", "plan", Some("big")), { "name": "bad", "match": { "regex": "(" }, "action": { "mode": "Task" } }] });
    let found = status(&[policy("ns", "team", rules)], &["default"], 0);
    let states = found
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.state))
        .collect::<Vec<_>>();
    assert_eq!(
        states,
        [
            ("good", RuleState::Resolved),
            ("late", RuleState::Shadowed),
            ("class", RuleState::BrokenReference),
            ("bad", RuleState::Invalid)
        ]
    );
    assert_eq!(
        (found.rule_count, found.resolved_count, found.observed_generation),
        (4, 2, Some(3))
    );
    let ready = &found.conditions[0];
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "RuleInvalid"));
    assert_eq!(found.problem.as_ref(), Some(&ready.message));
}

#[test]
fn other_policies_of_the_namespace_and_its_classes_count_and_those_of_others_do_not() {
    let mine = || policy("ns", "b", json!({ "rules": [session("mine", "deploy", Some("big"))] }));
    let all = json!({ "rules": [{ "name": "all", "action": { "mode": "Task" } }] });
    let reason =
        |policies: &[StoredPolicy], classes: &[&str]| status(policies, classes, 0).conditions[0].reason.clone();
    assert_eq!(reason(&[mine()], &["big"]), "InForce");
    assert_eq!(reason(&[mine()], &[]), "BrokenReference");
    assert_eq!(
        reason(&[mine(), policy("ns", "a", all.clone())], &["big"]),
        "RuleShadowed"
    );
    assert_eq!(
        reason(&[mine(), policy("elsewhere", "a", all.clone())], &["big"]),
        "InForce"
    );
    assert_eq!(reason(&[mine(), policy("ns", "c", all)], &["big"]), "InForce");
    assert_eq!(
        reason(&[mine(), policy("ns", "a", json!("nonsense"))], &["big"]),
        "InForce"
    );
}

#[test]
fn a_pass_over_its_own_status_changes_nothing() {
    let mut policy = policy(
        "ns",
        "a",
        json!({ "access": { "users": [{ "id": 5 }] }, "rules": [session("x", "deploy", None)] }),
    );
    let first = status(std::slice::from_ref(&policy), &[], 10);
    // As the API server gives it back.
    policy.status = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(status(std::slice::from_ref(&policy), &[], 20), first);
}

#[test]
fn a_status_of_another_version_is_as_good_as_none() {
    let mut manifest = serde_json::to_value(policy("ns", "a", json!({}))).unwrap();
    manifest["status"] = json!({ "rules": "many" });
    let read = serde_json::from_value::<StoredPolicy>(manifest).unwrap();
    assert_eq!((read.name_any().as_str(), read.status), ("a", None));
}

#[test]
fn a_policy_knows_the_classes_that_it_names() {
    let named = policy("ns", "a", json!({ "rules": [17, session("x", "deploy", Some("big"))] }));
    assert!(named.names_class("big") && !named.names_class("small"));
    let template = json!({ "topicTemplates": [{ "name": "t", "topic": { "agentClassName": "big" } }] });
    assert!(policy("ns", "a", template).names_class("big"));
    assert!(!policy("ns", "a", json!("nonsense")).names_class("big"));
}
