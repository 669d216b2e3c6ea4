//! The edge to Kubernetes: our own kinds, and nothing else but one Secret.
//!
//! Owns three reflectors ([`Cluster::watch`]), the creates and patches ([`write`]) and the topic tokens ([`access`]). It
//! never touches a pod, a Job or a StatefulSet: no call for one exists here. Knows nothing of Telegram beyond the
//! binding in a Topic. Reads come from the reflectors; after a 409 the live object is read, since the reflector may lag.

pub mod access;
pub mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use longshore_crds::{AgentClass, ContainerTask, PersistentSession, Topic};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chat::Place;
use crate::moved::Moved;

/// Something changed in the cluster.
#[derive(Clone, Debug)]
pub enum Observed {
    /// A task is there or changed.
    Task(Arc<ContainerTask>),
    /// A task is gone.
    TaskGone(Arc<ContainerTask>),
    /// A session is there or changed.
    Session(Arc<PersistentSession>),
    /// A session is gone.
    SessionGone(Arc<PersistentSession>),
    /// A Topic is there or changed.
    Topic(Arc<Topic>),
    /// A Topic is gone.
    TopicGone,
    /// A reflector began anew and holds everything; what is not in it is gone.
    Synced,
}

/// One namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    topic_api: Api<Topic>,
    task_api: Api<ContainerTask>,
    session_api: Api<PersistentSession>,
    secret_api: Api<Secret>,
    class_api: Api<AgentClass>,
    namespace: String,
    topics: Store<Topic>,
    tasks: Store<ContainerTask>,
    sessions: Store<PersistentSession>,
    keys: access::Keys,
    /// Chats that have another id now.
    moved: Moved,
    /// Topics that were made just now, until the reflector shows them.
    made: Arc<Mutex<HashMap<String, Arc<Topic>>>>,
}

impl Cluster {
    /// Starts the reflectors on a namespace. What they see is sent to `observed`.
    pub fn watch(
        client: &Client,
        namespace: &str,
        moved: Moved,
        observed: mpsc::UnboundedSender<Observed>,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let topic_api = Api::namespaced(client.clone(), namespace);
        let task_api = Api::namespaced(client.clone(), namespace);
        let session_api = Api::namespaced(client.clone(), namespace);
        let follow = Follow {
            observed,
            tracker,
            stop,
        };
        let topics = follow.start(topic_api.clone(), Observed::Topic, |_| Observed::TopicGone);
        let tasks = follow.start(task_api.clone(), Observed::Task, Observed::TaskGone);
        let sessions = follow.start(session_api.clone(), Observed::Session, Observed::SessionGone);
        Self {
            topic_api,
            task_api,
            session_api,
            secret_api: Api::namespaced(client.clone(), namespace),
            class_api: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            topics,
            tasks,
            sessions,
            keys: access::Keys::default(),
            moved,
            made: Arc::default(),
        }
    }

    /// Waits until the reflectors hold everything. False when they were stopped before. To be called by one task only:
    /// kube's store wakes the last of several waiters and forgets the others.
    pub async fn synced(&self) -> bool {
        let ready = (
            self.topics.wait_until_ready(),
            self.tasks.wait_until_ready(),
            self.sessions.wait_until_ready(),
        );
        ready.0.await.is_ok() && ready.1.await.is_ok() && ready.2.await.is_ok()
    }

    /// The Topic that is bound to a place. Of several the oldest counts.
    pub fn topic_at(&self, place: Place) -> Option<Arc<Topic>> {
        let place = self.moved.place(place);
        let mut bound = self.topics.state_filter(|topic| self.place_of(topic) == Some(place));
        bound.sort_by_key(|topic| (topic.creation_timestamp().map(|time| time.0), topic.name_any()));
        bound
            .into_iter()
            .next()
            .or_else(|| self.made(|topic| self.place_of(topic) == Some(place)))
    }

    /// The Topics that are bound to a place, or to any place of its chat.
    pub fn topics_of(&self, place: Place, whole_chat: bool) -> Vec<Arc<Topic>> {
        let place = self.moved.place(place);
        self.topics.state_filter(|topic| {
            self.place_of(topic)
                .is_some_and(|bound| bound == place || (whole_chat && bound.chat == place.chat))
        })
    }

    /// Where a Topic is bound, and its chat is now.
    pub fn place_of(&self, topic: &Topic) -> Option<Place> {
        let binding = topic.binding()?;
        let place = Place {
            chat: binding.chat_id,
            thread: binding.thread_id,
        };
        Some(self.moved.place(place))
    }

    /// The Topic of this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        let seen = self.topics.get(&ObjectRef::new(name).within(&self.namespace));
        seen.or_else(|| self.made(|topic| topic.name_any() == name))
    }

    fn made(&self, wanted: impl Fn(&Topic) -> bool) -> Option<Arc<Topic>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.values().find(|topic| wanted(topic)).cloned()
    }

    /// Remembers a Topic that was made just now.
    fn remember(&self, topic: &Topic) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(topic.name_any(), Arc::new(topic.clone()));
    }

    /// The reflector has shown this Topic, or with none, everything there is.
    pub fn shown(&self, topic: Option<&str>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|name, _| topic.is_some_and(|shown| shown != name));
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<Arc<ContainerTask>> {
        self.tasks.get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// The session of this name.
    pub fn session(&self, name: &str) -> Option<Arc<PersistentSession>> {
        self.sessions.get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// Sessions in Topics that are bound to a chat.
    pub fn sessions(&self) -> Vec<Arc<PersistentSession>> {
        self.sessions.state()
    }

    /// Sessions of a Topic, also those that are over.
    pub fn sessions_of(&self, topic: &str) -> Vec<Arc<PersistentSession>> {
        self.sessions
            .state_filter(|session| session.spec.topic_ref.name == topic)
    }

    /// Tasks of a Topic, also those that are over.
    pub fn tasks_of(&self, topic: &str) -> Vec<Arc<ContainerTask>> {
        self.tasks.state_filter(|task| task.spec.topic_ref.name == topic)
    }

    /// Tasks of a Topic that are not finished.
    pub fn unfinished_tasks(&self, topic: &str) -> Vec<Arc<ContainerTask>> {
        use crate::conversation::outcome::is_true;
        use longshore_crds::conditions::types;
        self.tasks.state_filter(|task| {
            let over = task.status.as_ref().is_some_and(|status| {
                is_true(&status.conditions, types::COMPLETE) || is_true(&status.conditions, types::FAILED)
            });
            task.spec.topic_ref.name == topic && !over
        })
    }
}

struct Follow<'a> {
    observed: mpsc::UnboundedSender<Observed>,
    tracker: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Follow<'_> {
    fn start<K>(&self, api: Api<K>, there: fn(Arc<K>) -> Observed, gone: fn(Arc<K>) -> Observed) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store();
        let (observed, stop) = (self.observed.clone(), self.stop.clone());
        let events = reflector::reflector(
            writer,
            watcher(api, watcher::Config::default())
                .default_backoff()
                .map(|event| event.map(|event| event.modify(|object| object.managed_fields_mut().clear()))),
        );
        self.tracker.spawn(async move {
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            while let Some(event) = events.next().await {
                let message = match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => there(Arc::new(object)),
                    Ok(watcher::Event::Delete(object)) => gone(Arc::new(object)),
                    // A watch that began anew may have missed a deletion.
                    Ok(watcher::Event::InitDone) => Observed::Synced,
                    Ok(watcher::Event::Init) => continue,
                    Err(error) => {
                        tracing::warn!(kind = %K::kind(&()), %error, "the watch broke; it is started again");
                        continue;
                    }
                };
                if observed.send(message).is_err() {
                    return;
                }
            }
        });
        store
    }
}
