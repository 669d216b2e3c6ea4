//! The count of pods that the tests about limits and the one writer stand on.

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use longshore_e2e::pods::Seen;
use serde_json::json;

fn pod(name: &str, phase: &str) -> Pod {
    let (metadata, status) = (json!({"name": name, "uid": name}), json!({"phase": phase}));
    serde_json::from_value(json!({"metadata": metadata, "status": status})).expect("a pod")
}

fn check(events: Vec<Event<Pod>>, most: usize, names: &[&str]) {
    let mut seen = Seen::default();
    events.into_iter().for_each(|event| seen.note(event));
    assert_eq!(seen.most, most);
    assert_eq!(seen.names.iter().map(String::as_str).collect::<Vec<_>>(), names);
}

#[test]
fn an_overlap_is_seen_however_short_and_ended_pods_make_none() {
    let (running, ended) = (
        |name| Event::Apply(pod(name, "Running")),
        |name| Event::Apply(pod(name, "Failed")),
    );
    check(
        vec![
            running("a"),
            ended("a"),
            running("b"),
            Event::Delete(pod("b", "Running")),
            running("c"),
        ],
        1,
        &["a", "b", "c"],
    );
    check(
        vec![running("a"), Event::Apply(pod("b", "Pending")), ended("a")],
        2,
        &["a", "b"],
    );
}

#[test]
fn a_list_that_comes_after_a_broken_watch_replaces_what_was_known() {
    let list = |names: &[&str]| {
        let all = names.iter().map(|name| Event::InitApply(pod(name, "Running")));
        [Event::Init]
            .into_iter()
            .chain(all)
            .chain([Event::InitDone])
            .collect::<Vec<_>>()
    };
    check([list(&["a"]), list(&["b"])].concat(), 1, &["a", "b"]);
    check([list(&[]), list(&["a", "b"])].concat(), 2, &["a", "b"]);
}
