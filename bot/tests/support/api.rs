//! As much of a Kubernetes API server as the bot talks to: our kinds in memory, with create, get, list, watch, patch and
//! delete, and one Secret. The real one is behind the end-to-end tests; this one can be held up at will.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use base64::Engine;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

pub const NAMESPACE: &str = "harbour";
pub const KEY: &[u8] = b"key of the operator, 32 or more bytes";

type Key = (String, String);

#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Mutex<BTreeMap<Key, Value>>,
    version: Mutex<u64>,
    events: broadcast::Sender<(String, Value)>,
    log: Mutex<Vec<(u64, String, Value)>>,
    calls: Mutex<Vec<String>>,
    /// Creates wait while this is true.
    pub hold: watch::Sender<bool>,
    arrived: watch::Sender<usize>,
    /// Creates are done but not answered while this is true.
    hold_replies: watch::Sender<bool>,
    /// Creates are refused with 503 while this is true.
    refuse: watch::Sender<bool>,
}

impl Api {
    pub async fn start() -> (Self, String) {
        let inner = Inner {
            objects: Mutex::default(),
            version: Mutex::new(1),
            events: broadcast::Sender::new(1024),
            log: Mutex::default(),
            calls: Mutex::default(),
            hold: watch::Sender::new(false),
            arrived: watch::Sender::new(0),
            hold_replies: watch::Sender::new(false),
            refuse: watch::Sender::new(false),
        };
        let api = Self { inner: Arc::new(inner) };
        let kinds = "/apis/longshore.dev/v1alpha1/namespaces/harbour/{plural}";
        let routes = Router::new()
            .route(kinds, get(list).post(create))
            .route(&format!("{kinds}/{{name}}"), any(one))
            .route(&format!("{kinds}/{{name}}/status"), any(one))
            .route("/api/v1/namespaces/harbour/secrets/longshore-access", get(secret))
            .with_state(api.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (api, url)
    }

    /// Creates wait from now on, or go on.
    pub fn hold(&self, hold: bool) {
        self.inner.hold.send_replace(hold);
    }

    /// Creates are answered late from now on, with what was made; or are answered.
    pub fn hold_replies(&self, hold: bool) {
        self.inner.hold_replies.send_replace(hold);
    }

    /// Creates are refused with 503 from now on, or not any more.
    pub fn refuse(&self, refuse: bool) {
        self.inner.refuse.send_replace(refuse);
    }

    /// Waits until so many creates have come in.
    pub async fn creates_arrive(&self, count: usize) {
        let mut arrived = self.inner.arrived.subscribe();
        super::in_time("creates", arrived.wait_for(|n| *n >= count))
            .await
            .unwrap();
    }

    /// Mutating calls so far, as `METHOD plural/name`.
    pub fn writes(&self) -> Vec<String> {
        self.inner.calls.lock().unwrap().clone()
    }

    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.inner
            .objects
            .lock()
            .unwrap()
            .get(&(plural.into(), name.into()))
            .cloned()
    }

    pub fn names(&self, plural: &str) -> Vec<String> {
        let objects = self.inner.objects.lock().unwrap();
        objects
            .keys()
            .filter(|(kind, _)| kind == plural)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Waits for an object, and for something to be true of it.
    pub async fn wait(&self, plural: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut events = self.inner.events.subscribe();
        super::in_time(&format!("{plural}/{name}"), async {
            loop {
                if let Some(object) = self.get(plural, name).filter(&holds) {
                    return object;
                }
                let _ = events.recv().await;
            }
        })
        .await
    }

    /// What the operator or a person does.
    pub fn merge(&self, plural: &str, name: &str, patch: Value) {
        let mut object = self.get(plural, name).expect("the object exists");
        merge(&mut object, &patch);
        self.put(plural, "MODIFIED", object);
    }

    pub fn delete(&self, plural: &str, name: &str) {
        let removed = self.inner.objects.lock().unwrap().remove(&(plural.into(), name.into()));
        if let Some(object) = removed {
            self.announce(plural, "DELETED", object);
        }
    }

    pub fn add(&self, plural: &str, kind: &str, mut object: Value) {
        object["kind"] = json!(kind);
        object["apiVersion"] = json!("longshore.dev/v1alpha1");
        object["metadata"]["namespace"] = json!(NAMESPACE);
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
        self.put(plural, "ADDED", object);
    }

    fn put(&self, plural: &str, event: &str, object: Value) {
        let object = self.announce(plural, event, object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.inner.objects.lock().unwrap().insert((plural.into(), name), object);
        let _ = self.inner.events.send((String::new(), Value::Null));
    }

    fn announce(&self, plural: &str, event: &str, mut object: Value) -> Value {
        let mut version = self.inner.version.lock().unwrap();
        *version += 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let event = json!({"type": event, "object": object});
        self.inner
            .log
            .lock()
            .unwrap()
            .push((*version, plural.into(), event.clone()));
        let _ = self.inner.events.send((plural.into(), event));
        object
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match patch.as_object() {
        Some(fields) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in fields {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(key);
                } else {
                    merge(&mut target[key], value);
                }
            }
        }
        None => *target = patch.clone(),
    }
}

fn problem(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

async fn list(
    State(api): State<Api>,
    Path(plural): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if query.get("watch").map(String::as_str) != Some("true") {
        let version = *api.inner.version.lock().unwrap();
        let objects = api.inner.objects.lock().unwrap();
        let items = objects
            .iter()
            .filter(|((kind, _), _)| *kind == plural)
            .map(|(_, object)| object)
            .collect::<Vec<_>>();
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()}, "items": items});
        return axum::Json(list).into_response();
    }
    let from: u64 = query
        .get("resourceVersion")
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    // The log is locked while subscribing, so no event falls between what was and what comes.
    let (past, live) = {
        let log = api.inner.log.lock().unwrap();
        let past = log
            .iter()
            .filter(|(version, kind, _)| *version > from && *kind == plural)
            .map(|(_, _, event)| event.clone());
        (past.collect::<Vec<_>>(), api.inner.events.subscribe())
    };
    let known = past
        .last()
        .and_then(|event| event["object"]["metadata"]["resourceVersion"].as_str()?.parse().ok())
        .unwrap_or(from);
    let live = BroadcastStream::new(live).filter_map(move |event| {
        let plural = plural.clone();
        async move {
            let (kind, event) = event.ok()?;
            let version: u64 = event["object"]["metadata"]["resourceVersion"].as_str()?.parse().ok()?;
            (kind == plural && version > known).then_some(event)
        }
    });
    let lines = futures::stream::iter(past)
        .chain(live)
        .map(|event| Ok::<_, std::io::Error>(format!("{event}\n")));
    Body::from_stream(lines).into_response()
}

async fn create(State(api): State<Api>, Path(plural): Path<String>, body: Bytes) -> Response {
    let object: Value = serde_json::from_slice(&body).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    api.inner.arrived.send_modify(|count| *count += 1);
    let mut hold = api.inner.hold.subscribe();
    let _ = hold.wait_for(|hold| !hold).await;
    if *api.inner.refuse.borrow() {
        return problem(503, "ServiceUnavailable");
    }
    api.inner.calls.lock().unwrap().push(format!("POST {plural}/{name}"));
    if api.get(&plural, &name).is_some() {
        return problem(409, "AlreadyExists");
    }
    let kind = object["kind"].as_str().unwrap().to_owned();
    api.add(&plural, &kind, object);
    let made = api.get(&plural, &name);
    let mut hold = api.inner.hold_replies.subscribe();
    let _ = hold.wait_for(|hold| !hold).await;
    (StatusCode::CREATED, axum::Json(made)).into_response()
}

async fn one(
    State(api): State<Api>,
    Path(path): Path<BTreeMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (plural, name) = (path["plural"].clone(), path["name"].clone());
    let Some(mut object) = api.get(&plural, &name) else {
        return problem(404, "NotFound");
    };
    if method == Method::GET {
        return axum::Json(object).into_response();
    }
    api.inner
        .calls
        .lock()
        .unwrap()
        .push(format!("{method} {plural}/{name}"));
    if method == Method::DELETE {
        api.delete(&plural, &name);
        return axum::Json(object).into_response();
    }
    let patch: Value = serde_json::from_slice(&body).unwrap();
    assert!(headers["content-type"].to_str().unwrap().contains("patch"));
    // An apply of one condition replaces that condition alone, as a list-map does.
    let mut patch = patch;
    let conditions = patch
        .pointer_mut("/status")
        .and_then(|status| status.as_object_mut()?.remove("conditions"));
    if let Some(conditions) = conditions.as_ref().and_then(Value::as_array) {
        let mut all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        for condition in conditions {
            all.retain(|known| known["type"] != condition["type"]);
            all.push(condition.clone());
        }
        object["status"]["conditions"] = json!(all);
    }
    merge(&mut object, &patch);
    api.put(&plural, "MODIFIED", object.clone());
    axum::Json(object).into_response()
}

async fn secret() -> Response {
    let data = json!({"current": base64::prelude::BASE64_STANDARD.encode(KEY)});
    axum::Json(json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "longshore-access", "namespace": NAMESPACE}, "data": data}))
        .into_response()
}
