//! The commands against an API server that is a function.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kubectl_longshore::args::{Change, Cli, Command, Which};
use kubectl_longshore::change::{self, Wish};
use kubectl_longshore::cluster::Cluster;
use kubectl_longshore::{explain, rotate, status};
use serde_json::{Value, json};

/// What was asked: method, path with query, body.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;

/// A cluster whose API server answers with a status and a body, by method and path with query.
fn cluster(answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> (Cluster, Asked) {
    let (asked, answer) = (Asked::default(), Arc::new(answer));
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (method, uri) = (request.method().to_string(), request.uri().to_string());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let (status, value) = answer(&method, &uri);
            seen.lock()
                .unwrap()
                .push((method, uri, String::from_utf8(body.to_vec()).unwrap()));
            let value = format!("{value}\n").into_bytes();
            Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(Body::from(value)).unwrap())
        }
    });
    let cluster = Cluster {
        client: Client::new(service, "team"),
        namespace: "team".to_owned(),
    };
    (cluster, asked)
}

fn refusal(code: u16, message: &str, details: Value) -> (u16, Value) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "details": details});
    (code, body)
}

fn topic() -> Value {
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Topic", "metadata": {"name": "deep", "uid": "t"}, "spec": {}})
}

fn session(phase: &str, wake: &str) -> Value {
    let ready = if phase == "Running" { "True" } else { "False" };
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
        "metadata": {"name": "one", "uid": "s", "generation": 2, "resourceVersion": "7", "annotations": {"longshore.dev/wake": wake}},
        "spec": {"topicRef": {"name": "deep"}},
        "status": {"phase": phase, "observedGeneration": 2, "observedWake": wake, "conditions": [
            {"type": "Ready", "status": ready, "reason": phase, "message": "", "lastTransitionTime": "2026-11-23T10:00:00Z"}]},
    })
}

fn list(kind: &str, items: &[Value]) -> (u16, Value) {
    let version = "longshore.dev/v1alpha1";
    (
        200,
        json!({"apiVersion": version, "kind": format!("{kind}List"), "metadata": {"resourceVersion": "7"}, "items": items}),
    )
}

fn change(wait: bool) -> Change {
    Change {
        which: Which {
            topic: "deep".to_owned(),
            session: None,
        },
        wait,
        timeout: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn status_without_the_right_on_the_access_keys_shows_everything_else_and_says_so() {
    let (cluster, _) = cluster(|_, path| match path {
        path if path.contains("/topics") => list("Topic", &[topic()]),
        path if path.contains("/persistentsessions") => list("PersistentSession", &[session("Running", "w")]),
        _ => refusal(403, "no", json!({})),
    });
    let mut out = Vec::new();
    status::run(&cluster, None, &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("deep   one      Running"), "{out}");
    let rule = r#"{apiGroups: [""], resources: [secrets], resourceNames: [longshore-access], verbs: [get]}"#;
    assert!(
        out.contains("Without what the agents themselves say") && out.contains(rule),
        "{out}"
    );
}

#[tokio::test]
async fn a_cluster_without_longshore_is_told_apart_from_a_missing_topic() {
    let (bare, _) = cluster(|_, _| refusal(404, "the server could not find the requested resource", json!({})));
    let error = status::run(&bare, None, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("does not know topics.longshore.dev"), "{error}");
    let (other, _) = cluster(|_, _| {
        let (code, mut body) = refusal(404, "topics \"deep\" not found", json!({"name": "deep"}));
        body["reason"] = json!("NotFound");
        (code, body)
    });
    let error = status::run(&other, Some("deep"), &mut Vec::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("there is no Topic deep in namespace team"), "{error}");
}

#[tokio::test]
async fn resume_is_one_write_and_waits_until_the_session_is_ready() {
    let (cluster, asked) = cluster(|method, path| match (method, path) {
        ("GET", path) if path.contains("/topics/deep") => (200, topic()),
        ("PATCH", _) => (200, session("Suspended", "w")),
        (_, path) if path.contains("topicRef") => list("PersistentSession", &[session("Suspended", "old")]),
        (_, path) if path.contains("watch=true") => {
            (200, json!({"type": "MODIFIED", "object": session("Running", "w")}))
        }
        _ => list("PersistentSession", &[session("Suspended", "w")]),
    });
    let mut out = Vec::new();
    change::run(&cluster, Wish::Resume, &change(true), &mut out)
        .await
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("one Suspended") && out.contains("one Running: Running"),
        "{out}"
    );
    let asked = asked.lock().unwrap();
    let written: Vec<_> = asked.iter().filter(|(method, ..)| method != "GET").collect();
    let [(method, path, body)] = written[..] else {
        panic!("{written:?}")
    };
    assert_eq!(
        (
            method.as_str(),
            path.contains("/namespaces/team/persistentsessions/one?")
        ),
        ("PATCH", true)
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["spec"], json!({"desiredState": "Running"}));
    assert!(
        body["metadata"]["annotations"]["longshore.dev/wake"]
            .as_str()
            .unwrap()
            .len()
            > 8
    );
}

#[tokio::test]
async fn whoever_may_not_change_sessions_is_told_the_missing_rule() {
    let (cluster, _) = cluster(|method, path| match (method, path) {
        ("PATCH", _) => refusal(403, "no", json!({})),
        (_, path) if path.contains("/topics/deep") => (200, topic()),
        _ => list("PersistentSession", &[session("Running", "w")]),
    });
    let error = change::run(&cluster, Wish::End, &change(false), &mut Vec::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("you have no right to end, suspend or wake sessions in namespace team"),
        "{error}"
    );
    assert!(
        error.contains(r#"{apiGroups: ["longshore.dev"], resources: [persistentsessions], verbs: [patch]}"#),
        "{error}"
    );
}

fn access(annotations: Value) -> Value {
    // 32 bytes.
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let metadata = json!({"name": "longshore-access", "resourceVersion": "41", "annotations": annotations});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"current": key}})
}

fn rotation() -> (Cluster, Asked) {
    cluster(|_, path| match path {
        path if path.contains("/secrets/longshore-access") => (200, access(json!({"team": "kept"}))),
        path if path.contains("/topics") => list("Topic", &[topic()]),
        _ => (200, json!({"metadata": {"resourceVersion": "7"}, "items": []})),
    })
}

#[tokio::test]
async fn a_rotation_replaces_the_secret_as_it_was_read_and_a_dry_run_writes_nothing() {
    let (cluster, asked) = rotation();
    rotate::run(&cluster, true, &mut Vec::new()).await.unwrap();
    assert!(asked.lock().unwrap().iter().all(|(method, ..)| method == "GET"));
    rotate::run(&cluster, false, &mut Vec::new()).await.unwrap();
    let asked = asked.lock().unwrap();
    let written: Vec<_> = asked.iter().filter(|(method, ..)| method != "GET").collect();
    let [(method, _, body)] = written[..] else {
        panic!("{written:?}")
    };
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (method.as_str(), &body["metadata"]["resourceVersion"]),
        ("PUT", &json!("41"))
    );
    assert_eq!(body["data"]["previous"], access(json!({}))["data"]["current"]);
    assert_ne!(body["data"]["current"], body["data"]["previous"]);
    assert_eq!(body["metadata"]["annotations"]["team"], "kept");
    assert!(body["metadata"]["annotations"]["longshore.dev/rotated"].is_string());
}

#[tokio::test]
async fn keys_are_not_rotated_for_whoever_may_not_see_what_depends_on_them() {
    let (cluster, asked) = cluster(|_, path| match path {
        path if path.contains("/secrets/longshore-access") => (200, access(json!({}))),
        path if path.contains("/statefulsets") => refusal(403, "no", json!({})),
        path if path.contains("/topics") => list("Topic", &[topic()]),
        _ => (200, json!({"metadata": {"resourceVersion": "7"}, "items": []})),
    });
    let error = rotate::run(&cluster, false, &mut Vec::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(r#"{apiGroups: ["apps"], resources: [statefulsets], verbs: [list]}"#),
        "{error}"
    );
    assert!(asked.lock().unwrap().iter().all(|(method, ..)| method == "GET"));
}

#[tokio::test]
async fn explain_takes_policies_place_and_the_bots_own_list_from_the_cluster() {
    let bound = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Topic", "metadata": {"name": "deep", "uid": "t"},
        "spec": {"telegram": {"chatId": -100, "threadId": 7}}});
    let policy = json!({"metadata": {"name": "team"}, "spec": {"access": {"users": [{"id": 6}]},
        "rules": [{"name": "aside", "match": {"keywords": ["btw"]}, "action": {"mode": "Task"}}]}});
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    let bot = json!({"metadata": {"name": "longshore-bot"}, "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "bot",
        "env": [env("LONGSHORE_NAMESPACE", "team"), env("LONGSHORE_ALLOWED_USERS", "5"), env("LONGSHORE_DONE_WORDS", "fertig")]}]}}}});
    let answers = move |may_see_the_bot: bool| {
        let (bound, policy, bot) = (bound.clone(), policy.clone(), bot.clone());
        cluster(move |_, path| match path {
            path if path.contains("/topics") => list("Topic", std::slice::from_ref(&bound)),
            path if path.contains("/routingpolicies") => list("RoutingPolicy", std::slice::from_ref(&policy)),
            path if path.contains("/persistentsessions") => list("PersistentSession", &[session("Suspended", "w")]),
            path if path.contains("/deployments") && may_see_the_bot => list("Deployment", std::slice::from_ref(&bot)),
            _ => refusal(403, "no", json!({})),
        })
        .0
    };
    let ask = async |may_see_the_bot: bool, user: &str, text: &str| {
        let args = [
            "kubectl-longshore",
            "explain",
            "--chat=-100",
            "--thread=7",
            "--user",
            user,
            text,
        ];
        let Command::Explain(wanted) = Cli::try_parse_from(args).unwrap().command else {
            panic!("another command")
        };
        let mut out = Vec::new();
        explain::run(Some(&answers(may_see_the_bot)), &wanted, &mut out)
            .await
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    let said = ask(true, "6", "btw, how late is it?").await;
    assert!(
        said.contains("rule aside of policy team: keyword “btw”; it starts when session one has ended"),
        "{said}"
    );
    let said = ask(true, "5", "go on").await;
    assert!(said.starts_with("Decision  a message to session one\n"), "{said}");
    assert!(
        said.contains("access: user 5 is Approver by the bot's own list"),
        "{said}"
    );
    assert!(!said.contains("Note:"), "{said}");
    let said = ask(true, "5", "Fertig!").await;
    assert!(said.starts_with("Decision  session one is ended\n"), "{said}");
    let said = ask(false, "5", "go on").await;
    assert!(said.starts_with("Decision  nothing, without a word\n"), "{said}");
    assert!(said.contains("--allowed-users says who is on it"), "{said}");
}
