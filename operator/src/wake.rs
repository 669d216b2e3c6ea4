//! Which reconcilers look again when something changes.
//!
//! An object wakes its own reconciler, and those that wait for what it may have given free. Waking one too many costs a pass
//! over the caches; one too few is mended by the resync.

use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use longshore_crds::names::NAMESPACE_CLASS;
use longshore_crds::{
    AgentClass, ContainerTask, PersistentSession, ScheduledTask, SessionPhase, SlotKind, TaskPhase, Topic, meta,
};

use crate::index::Index;
use crate::ledger::is_of_namespace;
use crate::policy::StoredPolicy;
use crate::topic::claim_name;
use crate::watch::Change;
use crate::{schedule, session};

/// Senders to the queues of the reconcilers. The queues drop repetitions, so they hold at most one entry per object.
#[derive(Clone)]
pub struct Wake {
    classes: UnboundedSender<ObjectRef<AgentClass>>,
    topics: UnboundedSender<ObjectRef<Topic>>,
    tasks: UnboundedSender<ObjectRef<ContainerTask>>,
    sessions: UnboundedSender<ObjectRef<PersistentSession>>,
    routing: UnboundedSender<ObjectRef<StoredPolicy>>,
    schedules: UnboundedSender<ObjectRef<ScheduledTask>>,
}

/// Receiving ends.
pub struct Queues {
    pub classes: UnboundedReceiver<ObjectRef<AgentClass>>,
    pub topics: UnboundedReceiver<ObjectRef<Topic>>,
    pub tasks: UnboundedReceiver<ObjectRef<ContainerTask>>,
    pub sessions: UnboundedReceiver<ObjectRef<PersistentSession>>,
    pub routing: UnboundedReceiver<ObjectRef<StoredPolicy>>,
    pub schedules: UnboundedReceiver<ObjectRef<ScheduledTask>>,
}

/// New queues.
pub fn queues() -> (Wake, Queues) {
    let (class_tx, classes) = unbounded();
    let (topic_tx, topics) = unbounded();
    let (task_tx, tasks) = unbounded();
    let (session_tx, sessions) = unbounded();
    let (routing_tx, routing) = unbounded();
    let (schedule_tx, schedules) = unbounded();
    let wake = Wake {
        classes: class_tx,
        topics: topic_tx,
        tasks: task_tx,
        sessions: session_tx,
        routing: routing_tx,
        schedules: schedule_tx,
    };
    (
        wake,
        Queues {
            classes,
            topics,
            tasks,
            sessions,
            routing,
            schedules,
        },
    )
}

fn send<K: Resource<DynamicType = ()>>(queue: &UnboundedSender<ObjectRef<K>>, namespace: &str, name: &str) {
    // A closed queue means that its reconciler has stopped, and so shall we.
    let _ = queue.unbounded_send(ObjectRef::new(name).within(namespace));
}

fn place<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

impl Wake {
    /// Looks at one task or session now.
    pub fn holder(&self, kind: SlotKind, namespace: &str, name: &str) {
        match kind {
            SlotKind::Session => send(&self.sessions, namespace, name),
            SlotKind::Task => send(&self.tasks, namespace, name),
        }
    }

    pub fn on_class(&self, index: &Index, class: &AgentClass) {
        let (namespace, name) = place(class);
        send(&self.classes, &namespace, &name);
        self.waiting_for_class(index, &namespace, &name);
        if is_of_namespace(class) {
            // What it limits it keeps, and they do not.
            for other in index.classes_of(&namespace) {
                send(&self.classes, &namespace, &other.name_any());
            }
        }
        for policy in policies_of(index, &namespace).filter(|policy| policy.names_class(&name)) {
            send(&self.routing, &namespace, &policy.name_any());
        }
    }

    /// What is said about one RoutingPolicy depends on all of its namespace.
    pub fn on_routing(&self, index: &Index, policy: &StoredPolicy) {
        let namespace = policy.namespace().unwrap_or_default();
        for other in policies_of(index, &namespace) {
            send(&self.routing, &namespace, &other.name_any());
        }
    }

    pub fn on_topic(&self, index: &Index, topic: &Topic) {
        let (namespace, name) = place(topic);
        send(&self.topics, &namespace, &name);
        let (binding, claim) = (topic.spec.telegram.as_ref(), claim_name(topic));
        let is_rival = |t: &Topic| {
            t.namespace().as_deref() == Some(&namespace)
                && t.name_any() != name
                && ((binding.is_some() && t.spec.telegram.as_ref() == binding) || claim_name(t) == claim)
        };
        for rival in index.topics.state_filter(is_rival) {
            send(&self.topics, &namespace, &rival.name_any());
        }
        self.waiting_for_topic(index, &namespace, &name);
        // One that has its pod goes by the topic's spans, and is cut off from people when the topic is deleted.
        for session in index
            .sessions_of(&namespace, &name)
            .iter()
            .filter(|s| !session::is_over(s))
        {
            send(&self.sessions, &namespace, &session.name_any());
        }
        let runs_here = |schedule: &ScheduledTask| {
            schedule.namespace().as_deref() == Some(&namespace) && schedule.spec.topic_ref.name == name
        };
        for schedule in index.schedules.state_filter(runs_here) {
            self.on_schedule(&schedule);
        }
    }

    pub fn on_schedule(&self, schedule: &ScheduledTask) {
        let (namespace, name) = place(schedule);
        send(&self.schedules, &namespace, &name);
    }

    pub fn on_task(&self, index: &Index, task: &ContainerTask) {
        let (namespace, name) = place(task);
        send(&self.tasks, &namespace, &name);
        if let Some(schedule) = schedule::of_run(task) {
            send(&self.schedules, &namespace, schedule);
        }
        self.waiting_for_topic(index, &namespace, &task.spec.topic_ref.name);
        let own = task.spec.agent_class_name.as_deref();
        self.class_of(index, &namespace, &task.spec.topic_ref.name, own);
    }

    pub fn on_session(&self, index: &Index, session: &PersistentSession) {
        let (namespace, name) = place(session);
        send(&self.sessions, &namespace, &name);
        self.waiting_for_topic(index, &namespace, &session.spec.topic_ref.name);
        self.waiting_for_session(index, session);
        let own = session.spec.agent_class_name.as_deref();
        self.class_of(index, &namespace, &session.spec.topic_ref.name, own);
    }

    pub fn on_claim(&self, index: &Index, claim: &PersistentVolumeClaim) {
        let (namespace, name) = place(claim);
        for topic in index.topics.state() {
            if claim_name(&topic) == name && topic.namespace().as_deref() == Some(&namespace) {
                send(&self.topics, &namespace, &topic.name_any());
            }
        }
    }

    /// A Job, StatefulSet or Pod. One that ends or goes may be what a topic or a class waits for.
    pub fn on_child<K: Resource>(&self, index: &Index, child: &K, change: Change, ended: bool) {
        let namespace = child.namespace().unwrap_or_default();
        let label = |key: &str| child.labels().get(key).map(String::as_str);
        match (label(meta::KIND_LABEL), label(meta::OWNER_LABEL)) {
            (Some("session"), Some(owner)) => send(&self.sessions, &namespace, owner),
            (Some("task"), Some(owner)) => send(&self.tasks, &namespace, owner),
            _ => return,
        }
        if change == Change::Gone || ended {
            if let Some(topic) = label(meta::TOPIC_LABEL) {
                self.waiting_for_topic(index, &namespace, topic);
            }
            if let Some(class) = label(meta::CLASS_LABEL) {
                send(&self.classes, &namespace, class);
                self.class_of_namespace(index, &namespace);
            }
        }
    }

    /// A network policy belongs to one class or to all of a namespace.
    pub fn on_policy<K: Resource>(&self, index: &Index, policy: &K) {
        let namespace = policy.namespace().unwrap_or_default();
        for class in index
            .classes
            .state_filter(|class| class.namespace().as_deref() == Some(&namespace))
        {
            send(&self.classes, &namespace, &class.name_any());
        }
    }

    fn class_of(&self, index: &Index, namespace: &str, topic: &str, own: Option<&str>) {
        if let Some(class) = index.class_name(namespace, topic, own) {
            send(&self.classes, namespace, &class);
            self.waiting_for_class(index, namespace, &class);
            self.class_of_namespace(index, namespace);
        }
    }

    fn class_of_namespace(&self, index: &Index, namespace: &str) {
        if index.class_of_namespace(namespace).is_some() {
            send(&self.classes, namespace, NAMESPACE_CLASS);
            self.waiting_for_class(index, namespace, NAMESPACE_CLASS);
        }
    }

    fn waiting_for_topic(&self, index: &Index, namespace: &str, topic: &str) {
        for session in index.sessions_of(namespace, topic).iter().filter(|s| session_waits(s)) {
            send(&self.sessions, namespace, &session.name_any());
        }
        for task in index.tasks_of(namespace, topic).iter().filter(|t| task_waits(t)) {
            send(&self.tasks, namespace, &task.name_any());
        }
    }

    /// Schedules with a run for it.
    fn waiting_for_session(&self, index: &Index, session: &PersistentSession) {
        let (namespace, uid) = (session.namespace(), session.uid());
        let waits = |schedule: &ScheduledTask| {
            let pending = schedule.status.as_ref().and_then(|status| status.pending.as_ref());
            schedule.namespace() == namespace
                && pending.is_some_and(|pending| Some(&pending.session_uid) == uid.as_ref())
        };
        for schedule in index.schedules.state_filter(waits) {
            self.on_schedule(&schedule);
        }
    }

    fn waiting_for_class(&self, index: &Index, namespace: &str, class: &str) {
        let of_class = |topic: &str, own: Option<&str>| {
            class == NAMESPACE_CLASS || index.class_name(namespace, topic, own).as_deref() == Some(class)
        };
        let here = |found: Option<String>| found.as_deref() == Some(namespace);
        let sessions = index.sessions.state_filter(|s| here(s.namespace()) && session_waits(s));
        for session in sessions {
            if of_class(&session.spec.topic_ref.name, session.spec.agent_class_name.as_deref()) {
                send(&self.sessions, namespace, &session.name_any());
            }
        }
        let tasks: Vec<Arc<ContainerTask>> = index.tasks.state_filter(|t| here(t.namespace()) && task_waits(t));
        for task in tasks {
            if of_class(&task.spec.topic_ref.name, task.spec.agent_class_name.as_deref()) {
                send(&self.tasks, namespace, &task.name_any());
            }
        }
    }
}

fn policies_of(index: &Index, namespace: &str) -> impl Iterator<Item = Arc<StoredPolicy>> {
    let here = |policy: &StoredPolicy| policy.namespace().as_deref() == Some(namespace);
    index.routing.state_filter(here).into_iter()
}

fn session_waits(session: &PersistentSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    matches!(phase, None | Some(SessionPhase::Queued | SessionPhase::Starting))
}

fn task_waits(task: &ContainerTask) -> bool {
    let phase = task.status.as_ref().and_then(|status| status.phase);
    matches!(phase, None | Some(TaskPhase::Queued | TaskPhase::Starting))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_topic_wakes_those_that_wait_for_its_chat_or_its_claim() {
        let topic = |name: &str, namespace: &str, spec| {
            let mut topic = Topic::new(name, serde_json::from_value(spec).unwrap());
            topic.metadata.namespace = Some(namespace.to_owned());
            topic
        };
        let bound = || json!({ "telegram": { "chatId": -7 } });
        let gone = topic("a", "ns", bound());
        let others = vec![
            topic("same-chat", "ns", bound()),
            topic("same-claim", "ns", json!({ "workspace": { "existingClaim": "ls-a" } })),
            topic("other", "ns", json!({})),
            topic("elsewhere", "there", bound()),
        ];
        let (wake, queues) = queues();
        wake.on_topic(&Index::with(Vec::new(), others, Vec::new(), Vec::new()), &gone);
        drop(wake);
        let mut woken: Vec<String> = queues.topics.map(|topic| topic.name).collect().await;
        woken.sort();
        assert_eq!(woken, ["a", "same-chat", "same-claim"]);
    }

    #[tokio::test]
    async fn a_topic_wakes_its_sessions_until_they_have_ended() {
        let session = |name: &str, phase: &str, condition: &str| {
            let condition = json!({ "type": condition, "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z" });
            let session = json!({
                "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
                "metadata": { "name": name, "namespace": "ns" }, "spec": { "topicRef": { "name": "a" } },
                "status": { "phase": phase, "conditions": [condition] },
            });
            serde_json::from_value::<PersistentSession>(session).unwrap()
        };
        let sessions = vec![session("runs", "Running", "Ready"), session("over", "Ended", "Ended")];
        let mut topic = Topic::new("a", serde_json::from_value(json!({})).unwrap());
        topic.metadata.namespace = Some("ns".to_owned());
        let (wake, queues) = queues();
        wake.on_topic(&Index::with(Vec::new(), Vec::new(), Vec::new(), sessions), &topic);
        drop(wake);
        let woken: Vec<String> = queues.sessions.map(|session| session.name).collect().await;
        assert_eq!(woken, ["runs"]);
    }
}
