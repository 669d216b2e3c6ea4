//! One process of the operator: the real reconcilers on caches of its own, with a queue that the simulation runs.
//!
//! Passes are real futures. Each waits for one call at a time, to the API server or to a runner, and goes on when the world
//! answers it; between two answers anything may happen, the end of the process included.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use http::Response;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::watcher::Event;
use longshore_crds::{AgentClass, ContainerTask, PersistentSession, SlotKind, Topic};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::kind::{Kind, Typed, WATCHED};
use super::request::Request;
use super::server::{NAMESPACE, Object};
use crate::agent::{Dialer, Quiesced};
use crate::clock::Clock;
use crate::cluster::{Error, Superseded};
use crate::context::Context;
use crate::furniture::{Access, Policies};
use crate::index::{Index, Names};
use crate::settings::Settings;
use crate::wake::{Queues, Wake, queues};
use crate::watch::Change;
use crate::{class, pod, session, task, topic};

/// An object that a reconciler looks at.
pub type Key = (Kind, String);

/// A call that a pass waits for.
pub enum Call {
    Api(Request, oneshot::Sender<Response<Body>>),
    Runner(RunnerRequest, oneshot::Sender<Option<Response<Vec<u8>>>>),
}

/// A call to a runner.
#[derive(Debug)]
pub struct RunnerRequest {
    pub endpoint: String,
    pub route: String,
    pub body: Vec<u8>,
}

/// How a pass ended.
pub struct Ended {
    pub operator: u64,
    pub key: Key,
    pub outcome: Result<Action, Error>,
}

/// Where passes leave their calls and their outcomes.
#[derive(Default)]
pub struct Exchange {
    pub calls: Vec<(u64, Call)>,
    pub ended: Vec<Ended>,
}

pub type Desk = Arc<Mutex<Exchange>>;

macro_rules! caches {
    ($($field:ident: $kind:ident),*) => {
        /// Writing ends of the caches.
        struct Writers { $($field: Writer<kube_type!($kind)>),* }

        fn caches() -> (Index, Writers) {
            $(let ($field, writer) = store(); let $field = ($field, writer);)*
            (Index { $($field: $field.0,)* routing: store().0, schedules: store().0 }, Writers { $($field: $field.1),* })
        }

        impl Writers {
            fn change(&mut self, object: &Object, gone: bool) {
                match object.typed() {
                    $(Typed::$kind(typed) => {
                        let event = if gone { Event::Delete(typed.clone()) } else { Event::Apply(typed.clone()) };
                        self.$field.apply_watcher_event(&event);
                    })*
                    Typed::Other => {}
                }
            }

            fn fill(&mut self, kind: Kind, objects: &[Arc<Object>]) {
                match kind {
                    $(Kind::$kind => {
                        self.$field.apply_watcher_event(&Event::Init);
                        for object in objects {
                            if let Typed::$kind(typed) = object.typed() {
                                self.$field.apply_watcher_event(&Event::InitApply(typed.clone()));
                            }
                        }
                        self.$field.apply_watcher_event(&Event::InitDone);
                    })*
                    _ => {}
                }
            }
        }
    };
}

macro_rules! kube_type {
    (Class) => {
        AgentClass
    };
    (Topic) => {
        Topic
    };
    (Task) => {
        ContainerTask
    };
    (Session) => {
        PersistentSession
    };
    (Claim) => {
        k8s_openapi::api::core::v1::PersistentVolumeClaim
    };
    (Job) => {
        k8s_openapi::api::batch::v1::Job
    };
    (Set) => {
        k8s_openapi::api::apps::v1::StatefulSet
    };
    (Pod) => {
        k8s_openapi::api::core::v1::Pod
    };
    (Policy) => {
        k8s_openapi::api::networking::v1::NetworkPolicy
    };
}

caches!(classes: Class, topics: Topic, tasks: Task, sessions: Session, claims: Claim, jobs: Job, stateful_sets: Set, pods: Pod,
    policies: Policy);

/// A process.
pub struct Operator {
    pub id: u64,
    pub clock: Arc<AtomicI64>,
    context: Arc<Context>,
    wake: Wake,
    queues: Queues,
    writers: Writers,
    filled: BTreeSet<Kind>,
    /// When to look at an object.
    pub due: BTreeMap<Key, i64>,
    running: BTreeMap<Key, JoinHandle<()>>,
    again: BTreeSet<Key>,
    failures: BTreeMap<Key, u32>,
    /// Number of the watch of each kind; what an older one brings is dropped.
    pub watches: BTreeMap<Kind, u64>,
    /// When the newest change of each kind arrives: watches keep the order.
    pub arrivals: BTreeMap<Kind, i64>,
}

fn settings() -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        identity: "operator".to_owned(),
        notice_url: Some("http://operator:7412".to_owned()),
        ..Settings::example()
    }
}

fn client(operator: u64, desk: &Desk) -> Client {
    let desk = Arc::clone(desk);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let desk = Arc::clone(&desk);
        let (parts, body) = request.into_parts();
        let body = body.collect().now_or_never().and_then(Result::ok);
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let content = parts.headers.get(http::header::CONTENT_TYPE);
        let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let request = Request::parse(parts.method.as_str(), path, query, content, &body);
        async move {
            let (reply, answer) = oneshot::channel();
            match request {
                Some(request) => desk.lock().unwrap().calls.push((operator, Call::Api(request, reply))),
                // Events are not modelled; losing one is no error.
                None => return Ok::<_, tower::BoxError>(refusal(403, "Forbidden")),
            }
            answer.await.map_err(tower::BoxError::from)
        }
    });
    Client::new(service, NAMESPACE)
}

/// An answer of the API server.
pub fn refusal(code: u16, reason: &str) -> Response<Body> {
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"because {reason}","reason":"{reason}","code":{code}}}"#
    );
    Response::builder()
        .status(code)
        .body(Body::from(body.into_bytes()))
        .unwrap()
}

/// The dialer that all processes share but for what stands in for the network: making one costs milliseconds.
fn dialer(operator: u64, desk: &Desk) -> Dialer {
    static BARE: std::sync::OnceLock<Dialer> = std::sync::OnceLock::new();
    let desk = Arc::clone(desk);
    BARE.get_or_init(|| Dialer::new().unwrap())
        .clone()
        .with(Arc::new(move |request: reqwest::Request| {
            let url = request.url();
            let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
            let asked = RunnerRequest {
                endpoint: format!("{host}:{port}"),
                route: format!("{} {}", request.method(), url.path()),
                body: request
                    .body()
                    .and_then(|body| body.as_bytes())
                    .unwrap_or_default()
                    .to_vec(),
            };
            let (reply, answer) = oneshot::channel();
            desk.lock().unwrap().calls.push((operator, Call::Runner(asked, reply)));
            answer.map(|answer| answer.ok().flatten()).boxed()
        }))
}

impl Operator {
    pub fn new(id: u64, desk: &Desk) -> Self {
        let (wake, queues) = queues();
        let (index, writers) = caches();
        let client = client(id, desk);
        let clock = Arc::new(AtomicI64::new(0));
        let reporter = Reporter {
            controller: "operator".to_owned(),
            instance: None,
        };
        let context = Context {
            client: client.clone(),
            settings: Arc::new(settings()),
            index,
            superseded: Superseded::default(),
            access: Access::new(client.clone()),
            policies: Policies::default(),
            dialer: dialer(id, desk),
            recorder: Recorder::new(client, reporter),
            served: Names::default(),
            clock: Clock::Set(Arc::clone(&clock)),
            quiesced: Quiesced::default(),
        };
        Self {
            id,
            clock,
            context: Arc::new(context),
            wake,
            queues,
            writers,
            filled: BTreeSet::new(),
            due: BTreeMap::new(),
            running: BTreeMap::new(),
            again: BTreeSet::new(),
            failures: BTreeMap::new(),
            watches: BTreeMap::new(),
            arrivals: BTreeMap::new(),
        }
    }

    /// Whether every cache has been filled once; no pass begins before.
    pub fn is_filled(&self) -> bool {
        self.filled.len() == WATCHED.len()
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// A watch brings a change.
    pub fn deliver(&mut self, object: &Object, gone: bool) {
        self.writers.change(object, gone);
        self.touch(object, if gone { Change::Gone } else { Change::Applied });
    }

    /// A new watch begins with everything there is.
    pub fn relist(&mut self, kind: Kind, objects: &[Arc<Object>]) {
        self.writers.fill(kind, objects);
        self.filled.insert(kind);
        for object in objects {
            self.touch(object, Change::Applied);
        }
    }

    /// As `scope` wires watches to reconcilers.
    fn touch(&self, object: &Object, change: Change) {
        let (wake, index) = (&self.wake, &self.context.index);
        match object.typed() {
            Typed::Class(class) => wake.on_class(index, class),
            Typed::Topic(topic) => wake.on_topic(index, topic),
            Typed::Task(task) => wake.on_task(index, task),
            Typed::Session(session) => wake.on_session(index, session),
            Typed::Claim(claim) => wake.on_claim(index, claim),
            Typed::Job(job) => wake.on_child(index, job, change, task::job_is_over(job)),
            Typed::Set(set) => wake.on_child(index, set, change, false),
            Typed::Pod(found) => wake.on_child(index, found, change, pod::is_finished(found)),
            Typed::Policy(policy) => wake.on_policy(index, policy),
            Typed::Other => {}
        }
    }

    /// A notice from a runner.
    pub fn notice(&mut self, kind: SlotKind, name: &str, uid: &str) {
        let reference = |name: &str| (NAMESPACE.to_owned(), name.to_owned());
        let (namespace, name) = reference(name);
        let index = &self.context.index;
        let known = match kind {
            SlotKind::Session => {
                crate::index::lookup(&index.sessions, &namespace, &name).and_then(|s| s.metadata.uid.clone())
            }
            SlotKind::Task => {
                crate::index::lookup(&index.tasks, &namespace, &name).and_then(|t| t.metadata.uid.clone())
            }
        };
        if known.as_deref() == Some(uid) {
            self.wake.holder(kind, &namespace, &name);
        }
    }

    /// Objects that were woken since the last call.
    pub fn woken(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        let queues = &mut self.queues;
        while let Ok(one) = queues.classes.try_recv() {
            keys.push((Kind::Class, one.name));
        }
        while let Ok(one) = queues.topics.try_recv() {
            keys.push((Kind::Topic, one.name));
        }
        while let Ok(one) = queues.tasks.try_recv() {
            keys.push((Kind::Task, one.name));
        }
        while let Ok(one) = queues.sessions.try_recv() {
            keys.push((Kind::Session, one.name));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Begins a pass, unless one over the same object runs; then another follows it. Whether one began.
    pub fn begin(&mut self, key: &Key, desk: &Desk) -> bool {
        if self.running.contains_key(key) {
            self.again.insert(key.clone());
            return false;
        }
        let (index, context, name) = (&self.context.index, Arc::clone(&self.context), key.1.as_str());
        macro_rules! pass {
            ($store:ident, $module:ident) => {
                match index.$store.get(&ObjectRef::new(name).within(NAMESPACE)) {
                    Some(object) => $module::reconcile(object, context).boxed(),
                    None => return false,
                }
            };
        }
        let pass = match key.0 {
            Kind::Class => pass!(classes, class),
            Kind::Topic => pass!(topics, topic),
            Kind::Task => pass!(tasks, task),
            _ => pass!(sessions, session),
        };
        let (desk, operator, ended) = (Arc::clone(desk), self.id, key.clone());
        let handle = tokio::spawn(async move {
            let outcome = pass.await;
            let ended = Ended {
                operator,
                key: ended,
                outcome,
            };
            desk.lock().unwrap().ended.push(ended);
        });
        self.running.insert(key.clone(), handle);
        true
    }

    /// Takes note of the end of a pass; when to look again, in milliseconds from now.
    pub fn end(&mut self, ended: &Ended) -> Option<i64> {
        self.running.remove(&ended.key);
        if self.again.remove(&ended.key) {
            return Some(1);
        }
        match &ended.outcome {
            Ok(action) => {
                self.failures.remove(&ended.key);
                delay(action)
            }
            // As `controller` does.
            Err(_) => {
                let failures = self.failures.entry(ended.key.clone()).or_default();
                *failures += 1;
                Some((500_i64 << (*failures - 1).min(10)).min(300_000))
            }
        }
    }

    /// The process is killed.
    pub fn kill(&mut self) {
        for handle in self.running.values() {
            handle.abort();
        }
        self.running.clear();
    }

    pub fn set_clock(&self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }
}

/// `Action` shows its delay only to people.
fn delay(action: &Action) -> Option<i64> {
    if *action == Action::await_change() {
        return None;
    }
    let text = format!("{action:?}");
    let text = text.split_once("Some(")?.1.split_once(')')?.0;
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => number,
        "ms" => number / 1e3,
        "µs" => number / 1e6,
        _ => number / 1e9,
    };
    i64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_millis())
        .ok()
        .map(|at| at + 1)
}

#[test]
fn the_delay_of_an_action_is_read() {
    let check = |millis: u64| delay(&Action::requeue(Duration::from_millis(millis)));
    assert_eq!(check(300_000), Some(300_001));
    assert_eq!(check(4950), Some(4951));
    assert_eq!(check(50), Some(51));
    assert_eq!(delay(&Action::await_change()), None);
}
