//! The caches of one scope, and the questions that several kinds ask of them.
//!
//! Everything here may be a little old. What must not be wrong is decided by a live look or a compare-and-swap.
//! Lists are in the order of names: a cache has an order of its own, which differs from process to process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use longshore_crds::names::NAMESPACE_CLASS;
use longshore_crds::{AgentClass, ContainerTask, PersistentSession, ScheduledTask, Topic};

use crate::policy::StoredPolicy;

/// All caches.
#[derive(Clone)]
pub struct Index {
    pub classes: Store<AgentClass>,
    pub topics: Store<Topic>,
    pub tasks: Store<ContainerTask>,
    pub sessions: Store<PersistentSession>,
    pub schedules: Store<ScheduledTask>,
    pub claims: Store<PersistentVolumeClaim>,
    pub jobs: Store<Job>,
    pub stateful_sets: Store<StatefulSet>,
    pub pods: Store<Pod>,
    pub policies: Store<NetworkPolicy>,
    /// RoutingPolicies. No other reconciler decides by them, so none waits for this cache.
    pub routing: Store<StoredPolicy>,
}

/// The object of this name.
pub fn lookup<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

/// The same in the order of names.
pub fn by_name<K: Resource>(mut objects: Vec<Arc<K>>) -> Vec<Arc<K>> {
    objects.sort_by(|one, other| one.meta().name.cmp(&other.meta().name));
    objects
}

#[cfg(test)]
impl Index {
    /// Caches with these objects in them; the others are empty.
    pub fn with(
        classes: Vec<AgentClass>,
        topics: Vec<Topic>,
        tasks: Vec<ContainerTask>,
        sessions: Vec<PersistentSession>,
    ) -> Self {
        Self {
            classes: filled(classes),
            topics: filled(topics),
            tasks: filled(tasks),
            sessions: filled(sessions),
            schedules: filled(Vec::new()),
            claims: filled(Vec::new()),
            jobs: filled(Vec::new()),
            stateful_sets: filled(Vec::new()),
            pods: filled(Vec::new()),
            policies: filled(Vec::new()),
            routing: filled(Vec::new()),
        }
    }
}

#[cfg(test)]
pub fn filled<K: kube::Resource<DynamicType = ()> + Clone + 'static>(objects: Vec<K>) -> Store<K> {
    let (store, mut writer) = kube::runtime::reflector::store();
    for object in objects {
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(object));
    }
    store
}

impl Index {
    /// Sessions of a topic.
    pub fn sessions_of(&self, namespace: &str, topic: &str) -> Vec<Arc<PersistentSession>> {
        by_name(
            self.sessions
                .state_filter(|s| s.spec.topic_ref.name == topic && s.metadata.namespace.as_deref() == Some(namespace)),
        )
    }

    /// Tasks of a topic.
    pub fn tasks_of(&self, namespace: &str, topic: &str) -> Vec<Arc<ContainerTask>> {
        by_name(
            self.tasks
                .state_filter(|t| t.spec.topic_ref.name == topic && t.metadata.namespace.as_deref() == Some(namespace)),
        )
    }

    /// Name of the class of something that names a topic and perhaps a class; none when the topic is not known.
    pub fn class_name(&self, namespace: &str, topic: &str, own: Option<&str>) -> Option<String> {
        match own {
            Some(own) => Some(own.to_owned()),
            None => lookup(&self.topics, namespace, topic).map(|topic| topic.spec.agent_class_name.clone()),
        }
    }

    /// The class that limits the namespace, if there is one.
    pub fn class_of_namespace(&self, namespace: &str) -> Option<Arc<AgentClass>> {
        lookup(&self.classes, namespace, NAMESPACE_CLASS)
    }

    /// Classes of a namespace.
    pub fn classes_of(&self, namespace: &str) -> Vec<Arc<AgentClass>> {
        by_name(
            self.classes
                .state_filter(|class| class.metadata.namespace.as_deref() == Some(namespace)),
        )
    }

    /// Waits until every cache that decisions are made by has been filled once. To be awaited by one task only (see `scope`). That of
    /// schedules is none: each stands for itself. So an upgrade that has not brought their kind stops only them.
    pub async fn ready(&self) {
        // A cache whose watch has ended is never filled; then the process is on its way out.
        let _ = tokio::join!(
            self.classes.wait_until_ready(),
            self.topics.wait_until_ready(),
            self.tasks.wait_until_ready(),
            self.sessions.wait_until_ready(),
            self.claims.wait_until_ready(),
            self.jobs.wait_until_ready(),
            self.stateful_sets.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.policies.wait_until_ready(),
        );
    }
}

/// Names that were seen once.
#[derive(Debug, Default)]
pub struct Names(Mutex<HashSet<String>>);

impl Names {
    pub fn contains(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub fn insert(&self, name: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
    }
}
