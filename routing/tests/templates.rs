//! Which template a new Topic is made by, and what is said about those that cannot be used.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeSet;

use longshore_routing::{PolicySource, Router, Settings};
use serde_json::{Value, json};

fn router(policies: &[(&str, Value)]) -> Router {
    let sources = policies.iter().map(|(name, spec)| PolicySource {
        name: (*name).to_owned(),
        spec: spec.clone(),
    });
    Router::compile(Settings::default(), &sources.collect::<Vec<_>>())
}

fn template(name: &str, matches: Value) -> Value {
    json!({ "name": name, "match": matches, "topic": { "agentClassName": name } })
}

#[test]
fn the_first_that_matches_counts_in_the_order_of_the_policies() {
    let late = json!({ "order": 5, "topicTemplates": [{ "name": "all", "topic": {} }] });
    let early = json!({ "topicTemplates": [
        template("thread", json!({ "chats": [-1], "threads": [7] })),
        template("general", json!({ "chats": [-1], "threads": [0] })),
        template("chat", json!({ "chats": [-1, -2] })),
    ] });
    let router = router(&[("a", late), ("b", early)]);
    for (chat, thread, expected) in [
        (-1, Some(7), "template thread of policy b"),
        (-1, None, "template general of policy b"),
        (-1, Some(8), "template chat of policy b"),
        (-2, Some(7), "template chat of policy b"),
        (3, None, "template all of policy a"),
    ] {
        let (name, _) = router.topic_template(chat, thread).unwrap();
        assert_eq!(name.to_string(), expected);
    }
    for findings in router.findings(None) {
        assert!(findings.ready, "{findings:?}");
    }
}

#[test]
fn one_that_is_broken_is_skipped_and_marked_and_so_is_one_that_never_counts() {
    let spec = |topic: Value| json!({ "name": "x", "topic": topic });
    let repository = |url: &str| spec(json!({ "repository": { "url": url } }));
    for (broken, why) in [
        (
            spec(json!({ "color": "red" })),
            "topicTemplate.topic.color is not known",
        ),
        (json!({ "name": "x" }), "missing field `topic`"),
        (
            json!({ "name": "x", "match": { "chats": [] }, "topic": {} }),
            "match.chats is empty",
        ),
        (repository("file:///etc"), "begins with https://"),
        (
            repository("https://me:secret@git.example.com/a"),
            "take user and password out",
        ),
        (
            spec(json!({ "repository": { "url": "http://git.example.com/a", "secretRef": { "name": "s" } } })),
            "over https only",
        ),
        (
            spec(json!({ "instructions": {} })),
            "write either inline or configMapRef",
        ),
        (json!(17), "cannot be read"),
    ] {
        let good = json!({ "name": "good", "topic": {} });
        let router = router(&[("a", json!({ "topicTemplates": [broken, good] }))]);
        let found = &router.findings(None)[0];
        assert_eq!(found.reason, "TopicTemplateInvalid", "{found:?}");
        assert!(found.problem.as_ref().unwrap().contains(why), "{why}: {found:?}");
        let states = found
            .topic_templates
            .iter()
            .map(|found| found.state.as_ref().to_owned());
        assert_eq!(states.collect::<Vec<_>>(), ["Invalid", "Resolved"]);
        let (name, _) = router.topic_template(-1, None).unwrap();
        assert_eq!(name.template, "good");
    }
    let never = json!({ "topicTemplates": [
        template("chat", json!({ "chats": [-1] })),
        template("thread", json!({ "chats": [-1], "threads": [7] })),
        template("other", json!({ "chats": [-2] })),
        template("chat", json!({ "chats": [-3] })),
    ] });
    let classes = BTreeSet::from(["chat".to_owned(), "thread".to_owned()]);
    let found = &router(&[("a", never)]).findings(Some(&classes))[0];
    let states = found
        .topic_templates
        .iter()
        .map(|found| found.state.as_ref().to_owned());
    assert_eq!(
        states.collect::<Vec<_>>(),
        ["Resolved", "Shadowed", "BrokenReference", "Invalid"]
    );
    assert!(
        found.problem.as_ref().unwrap().contains("same name"),
        "the worst first: {found:?}"
    );
    let none = &router(&[("a", json!({ "topicTemplates": "many" }))]).findings(None)[0];
    assert_eq!(none.reason, "PartlyUnreadable");
}

#[test]
fn what_is_wrong_with_templates_touches_neither_access_nor_rules() {
    let spec = |templates: Value| {
        json!({ "access": { "users": [{ "id": 5 }] }, "rules": [{ "name": "a", "action": { "mode": "Task" } }],
            "topicTemplates": templates })
    };
    for templates in [json!([]), json!(1), json!([{ "name": "x", "topic": 1 }])] {
        let router = router(&[("a", spec(templates))]);
        assert!(router.standing(5, -1).is_some());
        assert_eq!(router.findings(None)[0].rules[0].state.as_ref(), "Resolved");
    }
}
