//! One set of watches and reconcilers: for one namespace, or for all.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use longshore_crds::{PersistentSession, meta};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{Dialer, Quiesced};
use crate::clock::Clock;
use crate::cluster::Superseded;
use crate::context::Context;
use crate::furniture::{Access, Policies};
use crate::index::{Index, Names};
use crate::metrics::Metrics;
use crate::settings::{Scope, Settings};
use crate::wake::{Wake, queues};
use crate::watch::{Change, watch};
use crate::{class, controller, pod, policy, schedule, session, task, topic};

/// What others may use of a running scope.
#[derive(Clone)]
pub struct Running {
    pub index: Index,
    pub wake: Wake,
    filled: CancellationToken,
}

impl Running {
    /// Waits until every cache has been filled once.
    pub async fn filled(&self) {
        self.filled.cancelled().await;
    }

    pub fn sessions(&self) -> Store<PersistentSession> {
        self.index.sessions.clone()
    }
}

/// Starts everything; it ends when `stop` is cancelled, and `tracker` knows when.
pub fn start(
    client: &Client,
    scope: &Scope,
    settings: &Arc<Settings>,
    dialer: &Dialer,
    metrics: &Metrics,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Running {
    let (wake, queues) = queues();
    let index = Watches {
        client,
        scope,
        tracker,
        stop,
        wake: &wake,
    }
    .start();
    let reporter = Reporter {
        controller: meta::OPERATOR.to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let context = Arc::new(Context {
        client: client.clone(),
        settings: Arc::clone(settings),
        index: index.clone(),
        superseded: Superseded::default(),
        access: Access::new(client.clone()),
        policies: Policies::default(),
        dialer: dialer.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        served: Names::default(),
        clock: Clock::System,
        quiesced: Quiesced::default(),
    });
    let filled = CancellationToken::new();
    announce_when_filled(index.clone(), tracker, filled.clone(), stop.clone());
    macro_rules! control {
        ($store:ident, $reconcile:path) => {
            let (context, metrics, stop, filled) = (
                Arc::clone(&context),
                metrics.clone(),
                stop.clone(),
                filled.clone(),
            );
            let (store, queue) = (index.$store.clone(), queues.$store);
            tracker.spawn(async move {
                // A reconciler decides by all caches, so it waits for all.
                tokio::select! {
                    () = filled.cancelled() => {}
                    () = stop.cancelled() => return,
                }
                controller::run(store, queue, context, metrics, $reconcile, stop).await;
            });
        };
    }
    control!(classes, class::reconcile);
    control!(topics, topic::reconcile);
    control!(tasks, task::reconcile);
    control!(sessions, session::reconcile);
    control!(routing, policy::reconcile);
    control!(schedules, schedule::reconcile);
    Running { index, wake, filled }
}

/// Asks the caches in one task and tells all others: of several tasks that wait for one cache of kube's, only the last is woken.
fn announce_when_filled(index: Index, tracker: &TaskTracker, filled: CancellationToken, stop: CancellationToken) {
    tracker.spawn(async move {
        tokio::select! {
            () = index.ready() => filled.cancel(),
            () = stop.cancelled() => {}
        }
    });
}

struct Watches<'a> {
    client: &'a Client,
    scope: &'a Scope,
    tracker: &'a TaskTracker,
    stop: &'a CancellationToken,
    wake: &'a Wake,
}

impl Watches<'_> {
    fn start(&self) -> Index {
        let (classes, class_writer) = store();
        let (topics, topic_writer) = store();
        let (tasks, task_writer) = store();
        let (sessions, session_writer) = store();
        let (schedules, schedule_writer) = store();
        let (claims, claim_writer) = store();
        let (jobs, job_writer) = store();
        let (stateful_sets, stateful_set_writer) = store();
        let (pods, pod_writer) = store();
        let (policies, policy_writer) = store();
        let (routing, routing_writer) = store();
        let index = Index {
            classes,
            topics,
            tasks,
            sessions,
            schedules,
            claims,
            jobs,
            stateful_sets,
            pods,
            policies,
            routing,
        };
        let (all, ours) = (Config::default, || {
            Config::default().labels(&format!("{}={}", meta::MANAGED_BY.0, meta::MANAGED_BY.1))
        });
        self.feed(&index, class_writer, all(), |wake, index, class, _| {
            wake.on_class(index, class)
        });
        self.feed(&index, topic_writer, all(), |wake, index, topic, _| {
            wake.on_topic(index, topic)
        });
        self.feed(&index, task_writer, all(), |wake, index, task, _| {
            wake.on_task(index, task)
        });
        self.feed(&index, session_writer, all(), |wake, index, session, _| {
            wake.on_session(index, session)
        });
        self.feed(&index, schedule_writer, all(), |wake, _, schedule, _| {
            wake.on_schedule(schedule)
        });
        self.feed(&index, claim_writer, all(), |wake, index, claim, _| {
            wake.on_claim(index, claim)
        });
        self.feed(&index, job_writer, ours(), |wake, index, job: &Job, change| {
            wake.on_child(index, job, change, task::job_is_over(job));
        });
        self.feed(
            &index,
            stateful_set_writer,
            ours(),
            |wake, index, set: &StatefulSet, change| {
                wake.on_child(index, set, change, false);
            },
        );
        self.feed(&index, pod_writer, ours(), |wake, index, found: &Pod, change| {
            wake.on_child(index, found, change, pod::is_finished(found));
        });
        self.feed(&index, policy_writer, ours(), |wake, index, policy, _| {
            wake.on_policy(index, policy)
        });
        self.feed(&index, routing_writer, all(), |wake, index, policy, _| {
            wake.on_routing(index, policy)
        });
        index
    }

    fn feed<K>(&self, index: &Index, writer: Writer<K>, config: Config, touched: fn(&Wake, &Index, &K, Change))
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = match self.scope {
            Scope::Cluster => Api::all(self.client.clone()),
            Scope::Namespace(name) => Api::namespaced(self.client.clone(), name),
        };
        let (wake, index) = (self.wake.clone(), index.clone());
        let touched = move |object: &K, change: Change| touched(&wake, &index, object, change);
        self.tracker
            .spawn(watch(api, config, writer, touched, self.stop.clone()));
    }
}
