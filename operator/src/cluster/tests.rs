//! Calls against a mock API server: one scenario per answer.

use std::sync::Arc;
use std::sync::Mutex;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::ObjectMeta;
use kube::client::Body;
use longshore_crds::{AgentClass, AgentClassSpec, AgentClassStatus, Limits, SlotKind, Topic};
use serde_json::{Value, json};

use super::*;
use crate::ledger::{Claim, Grant, Keepers, Others};

/// What the server was asked: `METHOD path`, and the body.
pub type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A client whose requests are answered from the list, in order, and the record of what was asked. A request too many gets 500.
pub fn server(answers: Vec<(u16, Value)>) -> (Client, Asked) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let asked: Asked = Arc::default();
    let record = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Some((request, send)) = handle.next_request().await {
            let line = format!("{} {}", request.method(), request.uri().path());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            record
                .lock()
                .unwrap()
                .push((line, serde_json::from_slice(&body).unwrap_or(Value::Null)));
            let (status, body) = answers.next().unwrap_or((500, failure(500, "unexpected")));
            let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
            send.send_response(response.body(Body::from(serde_json::to_vec(&body).unwrap())).unwrap());
        }
    });
    (Client::new(service, "ns"), asked)
}

pub fn failure(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("because {reason}"),
        "reason": reason, "code": code })
}

fn map(owner: Option<&str>) -> ConfigMap {
    let owner = owner.map(|uid| {
        serde_json::from_value(
            json!([{ "apiVersion": "v1", "kind": "X", "name": "x", "uid": uid, "controller": true }]),
        )
        .unwrap()
    });
    let metadata = ObjectMeta {
        name: Some("a".to_owned()),
        namespace: Some("ns".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("1".to_owned()),
        owner_references: owner,
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        ..ConfigMap::default()
    }
}

fn json_of(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn lines(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
}

const MAPS: &str = "/api/v1/namespaces/ns/configmaps";

#[tokio::test]
async fn a_create_that_meets_an_object_looks_whose_it_is() {
    let taken = || (409, failure(409, "AlreadyExists"));
    for (there, ours) in [(map(Some("me")), true), (map(Some("you")), false), (map(None), false)] {
        let (client, asked) = server(vec![taken(), (200, json_of(&there))]);
        let created = create(&Api::namespaced(client, "ns"), &map(Some("me"))).await.unwrap();
        assert_eq!(matches!(created, Created::Ours(_)), ours);
        assert_eq!(matches!(created, Created::Foreign(_)), !ours);
        assert_eq!(lines(&asked), [format!("POST {MAPS}"), format!("GET {MAPS}/a")]);
    }
    let (client, _) = server(vec![taken(), (404, failure(404, "NotFound"))]);
    let gone = create(&Api::namespaced(client, "ns"), &map(Some("me")))
        .await
        .unwrap_err();
    assert!(
        matches!(gone, Error::Conflict { .. }),
        "it went away in between; the next pass tries again"
    );
}

#[tokio::test]
async fn an_answer_becomes_an_error_that_says_what_was_done_to_what() {
    for (code, reason) in [(422, "Invalid"), (403, "Forbidden"), (500, "InternalError")] {
        let (client, _) = server(vec![(code, failure(code, reason))]);
        let error = create(&Api::namespaced(client, "ns"), &map(None)).await.unwrap_err();
        assert_eq!(
            (error.label(), error.answer()),
            ("Create", format!("cannot create ConfigMap ns/a: because {reason}"))
        );
    }
}

#[tokio::test]
async fn what_is_gone_is_none_and_deleting_it_is_success() {
    let (client, _) = server(vec![(404, failure(404, "NotFound")), (404, failure(404, "NotFound"))]);
    let api: Api<ConfigMap> = Api::namespaced(client, "ns");
    assert!(get(&api, "a").await.unwrap().is_none());
    delete(&api, "a", "u").await.unwrap();
}

#[tokio::test]
async fn deleting_names_the_uid_so_that_a_namesake_is_spared() {
    let (client, asked) = server(vec![(409, failure(409, "Conflict"))]);
    delete(&Api::<ConfigMap>::namespaced(client, "ns"), "a", "u")
        .await
        .unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].1["preconditions"]["uid"], "u");
    assert_eq!(asked[0].1["propagationPolicy"], "Background");
}

#[tokio::test]
async fn a_status_is_applied_over_the_version_it_was_computed_from() {
    let topic = |version: &str| {
        let mut topic = Topic::new("t", serde_json::from_value(json!({})).unwrap());
        topic.metadata.namespace = Some("ns".to_owned());
        topic.metadata.resource_version = Some(version.to_owned());
        topic
    };
    let (client, asked) = server(vec![(200, json_of(&topic("8"))), (409, failure(409, "Conflict"))]);
    let api: Api<Topic> = Api::namespaced(client, "ns");
    apply_status(&api, &topic("7"), &longshore_crds::TopicStatus::default())
        .await
        .unwrap();
    let stale = apply_status(&api, &topic("7"), &longshore_crds::TopicStatus::default())
        .await
        .unwrap_err();
    assert!(matches!(stale, Error::Conflict { .. }));
    let (line, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(line, "PATCH /apis/longshore.dev/v1alpha1/namespaces/ns/topics/t/status");
    assert_eq!(
        (&body["metadata"]["resourceVersion"], &body["kind"]),
        (&json!("7"), &json!("Topic"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_given_up() {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let error = get(&Api::<ConfigMap>::namespaced(Client::new(service, "ns"), "ns"), "a")
        .await
        .unwrap_err();
    assert_eq!(error.label(), "Timeout");
    drop(handle);
}

fn class(version: &str, limit: Option<i32>, holders: &[&str]) -> AgentClass {
    let limits = Limits {
        max_active_sessions: limit,
        max_running_tasks: None,
        ..Limits::default()
    };
    let mut class = AgentClass::new(
        "default",
        AgentClassSpec {
            limits,
            ..AgentClassSpec::default()
        },
    );
    class.metadata.namespace = Some("ns".to_owned());
    class.metadata.uid = Some("class".to_owned());
    class.metadata.resource_version = Some(version.to_owned());
    let slots = holders
        .iter()
        .map(|name| crate::ledger::entry(SlotKind::Session, &me(name), None, Timestamp::UNIX_EPOCH));
    class.status = Some(AgentClassStatus {
        slots: slots.collect(),
        ..AgentClassStatus::default()
    });
    class
}

fn me(name: &str) -> Claim {
    Claim {
        first_start: true,
        created: Timestamp::UNIX_EPOCH,
        name: name.to_owned(),
        uid: name.to_owned(),
        returns: false,
    }
}

async fn claim(client: &Client, class: &AgentClass) -> Result<Grant, Error> {
    claim_slot(
        client,
        &Superseded::default(),
        &Keepers::new(class, None),
        SlotKind::Session,
        &me("a"),
        &Others::default(),
        Timestamp::UNIX_EPOCH,
    )
    .await
}

const CLASS: &str = "/apis/longshore.dev/v1alpha1/namespaces/ns/agentclasses/default";

#[tokio::test]
async fn a_slot_that_somebody_else_takes_in_between_is_not_taken_twice() {
    let (client, asked) = server(vec![
        (200, json_of(&class("1", Some(1), &[]))),
        (409, failure(409, "Conflict")),
        (200, json_of(&class("2", Some(1), &["b"]))),
    ]);
    let grant = claim(&client, &class("0", Some(1), &[])).await.unwrap();
    assert_eq!(grant, Grant::Full { position: 1, limit: 1 });
    assert_eq!(
        lines(&asked),
        [
            format!("GET {CLASS}"),
            format!("PATCH {CLASS}/status"),
            format!("GET {CLASS}")
        ]
    );
    assert_eq!(asked.lock().unwrap()[1].1["metadata"]["resourceVersion"], "1");
}

#[tokio::test]
async fn a_slot_that_is_held_and_a_class_without_limit_cost_no_write() {
    let (client, asked) = server(vec![(200, json_of(&class("1", Some(1), &["a"])))]);
    assert_eq!(claim(&client, &class("0", Some(1), &[])).await.unwrap(), Grant::Held);
    assert_eq!(claim(&client, &class("0", None, &[])).await.unwrap(), Grant::Unlimited);
    assert_eq!(lines(&asked), [format!("GET {CLASS}")]);
}

fn topic_of(writer: Option<(&str, SlotKind)>) -> Topic {
    let mut topic = Topic::new("t", serde_json::from_value(json!({})).unwrap());
    topic.metadata.namespace = Some("ns".to_owned());
    topic.metadata.uid = Some("topic".to_owned());
    topic.metadata.resource_version = Some("5".to_owned());
    let entry = |(name, kind)| crate::ledger::entry(kind, &me(name), None, Timestamp::UNIX_EPOCH);
    topic.status = Some(longshore_crds::TopicStatus {
        writer: writer.map(entry),
        ..Default::default()
    });
    topic
}

fn task(name: &str, condition: &str) -> Value {
    json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "ContainerTask",
        "metadata": { "name": name, "namespace": "ns", "uid": name },
        "spec": { "topicRef": { "name": "t" }, "prompt": "p" },
        "status": { "conditions": [{ "type": condition, "status": "True", "reason": "R", "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z" }] } })
}

fn list_of(items: Vec<Value>) -> (u16, Value) {
    (
        200,
        json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }),
    )
}

async fn hold(answers: Vec<(u16, Value)>) -> (Hold, Vec<String>) {
    hold_as(SlotKind::Session, answers).await
}

async fn hold_as(kind: SlotKind, answers: Vec<(u16, Value)>) -> (Hold, Vec<String>) {
    let (client, asked) = server(answers);
    let hold = claim_writer(
        &client,
        &Superseded::default(),
        &topic_of(None),
        kind,
        &me("a"),
        Timestamp::now(),
    )
    .await
    .unwrap();
    let verbs = lines(&asked)
        .iter()
        .map(|line| line.split_once(' ').unwrap().0.to_owned())
        .collect();
    (hold, verbs)
}

#[tokio::test]
async fn a_topic_is_taken_over_only_from_a_holder_that_is_done_and_has_no_pod() {
    let by = |writer| (200, json_of(&topic_of(writer)));
    let other = Some(("b", SlotKind::Task));
    let running = || json!({ "metadata": { "name": "p" }, "status": { "phase": "Running" } });
    let finished = || json!({ "metadata": { "name": "p" }, "status": { "phase": "Succeeded" } });

    let (held, verbs) = hold(vec![by(Some(("a", SlotKind::Session)))]).await;
    assert_eq!(
        (held, verbs.join(" ").as_str()),
        (Hold::Held, "GET"),
        "having it costs no write"
    );

    let (busy, _) = hold(vec![by(other), (200, task("b", "Admitted")), list_of(vec![])]).await;
    assert!(matches!(busy, Hold::Busy(writer) if writer.name == "b"));

    let (leaving, _) = hold(vec![by(other), (200, task("b", "Complete")), list_of(vec![running()])]).await;
    assert_eq!(leaving, Hold::Leaving);

    let (taken, verbs) = hold(vec![
        by(other),
        (200, task("b", "Complete")),
        list_of(vec![finished()]),
        by(None),
    ])
    .await;
    assert_eq!((taken, verbs.join(" ").as_str()), (Hold::Held, "GET GET GET PATCH"));

    let gone = (404, failure(404, "NotFound"));
    let (taken, _) = hold(vec![by(other), gone, list_of(vec![]), list_of(vec![]), by(None)]).await;
    assert_eq!(taken, Hold::Held);
}

#[tokio::test]
async fn a_session_that_waits_for_a_slot_yields_its_topic_to_tasks_as_their_order_has_it() {
    let session = |admitted: &str| {
        json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
            "metadata": { "name": "b", "namespace": "ns", "uid": "b" },
            "spec": { "topicRef": { "name": "t" } },
            "status": { "conditions": [{ "type": "Admitted", "status": admitted, "reason": "R", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z" }] } })
    };
    let by = || (200, json_of(&topic_of(Some(("b", SlotKind::Session)))));
    let freed = || vec![list_of(vec![]), list_of(vec![]), (200, json_of(&topic_of(None)))];

    let mut answers = vec![by(), (200, session("False"))];
    answers.extend(freed());
    let (taken, _) = hold_as(SlotKind::Task, answers).await;
    assert_eq!(taken, Hold::Held);

    let (busy, _) = hold_as(SlotKind::Task, vec![by(), (200, session("True")), list_of(vec![])]).await;
    assert!(matches!(busy, Hold::Busy(_)));

    let mut begun = session("False");
    begun["status"]["startTime"] = "1970-01-01T00:00:00Z".into();
    let (busy, _) = hold_as(SlotKind::Session, vec![by(), (200, begun), list_of(vec![])]).await;
    assert!(
        matches!(busy, Hold::Busy(_)),
        "to other sessions it yields when it has ended, once it has run"
    );
    let mut answers = vec![by(), (200, session("False"))];
    answers.extend(freed());
    let (taken, _) = hold_as(SlotKind::Session, answers).await;
    assert_eq!(taken, Hold::Held, "one that never ran goes by the order of the queue");
}

#[tokio::test]
async fn pods_that_still_stop_are_in_the_way_of_whoever_has_the_topic_now() {
    let pod = |phase: &str| json!({ "metadata": { "name": "ls-t-0" }, "status": { "phase": phase } });
    for (pods, expected) in [
        (vec![], 0),
        (vec![pod("Succeeded"), pod("Failed")], 0),
        (vec![pod("Failed"), pod("Running")], 1),
    ] {
        let (client, asked) = server(vec![list_of(pods)]);
        let found = pods_of_topic(&client, "ns", "t").await.unwrap();
        assert_eq!(found.len(), expected);
        assert_eq!(lines(&asked), ["GET /api/v1/namespaces/ns/pods"]);
    }
}

#[tokio::test]
async fn a_job_that_came_late_is_seen_by_whoever_has_the_topic_now() {
    let job = |uid: &str, over: bool| {
        let conditions = json!([{ "type": "Failed", "status": if over { "True" } else { "False" } }]);
        json!({ "metadata": { "name": uid, "labels": { "longshore.dev/uid": uid } },
            "spec": { "suspend": true }, "status": { "conditions": conditions } })
    };
    for (jobs, expected) in [
        (vec![], false),
        (vec![job("me", false), job("old", true)], false),
        (vec![job("me", false), job("late", false)], true),
    ] {
        let (client, asked) = server(vec![list_of(jobs)]);
        let found = has_jobs_of_others(&client, "ns", "t", Some("me")).await.unwrap();
        assert_eq!(found, expected);
        assert_eq!(lines(&asked), ["GET /apis/batch/v1/namespaces/ns/jobs"]);
    }
}
