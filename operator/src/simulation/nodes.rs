//! Nodes that fall silent, and what Kubernetes does about it.
//!
//! The kubelet of a silent node does nothing that is asked of it and says nothing; what runs there goes on running, out of reach of
//! the operator and of the bot. After a while the node controller calls its pods not ready, and later deletes them, which nobody
//! carries out. In the end the node comes back, or a person who knows that it is off deletes its Node object or taints it
//! out-of-service: only then its pods go.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kind::Kind;
use super::server::{Change, Object};
use super::world::{Event, World};

/// Nodes that there are.
const NODES: usize = 3;
/// When the node controller calls the pods of a silent node not ready, and when it deletes them.
const DOUBTED: i64 = 40_000;
const DRAINED: i64 = 340_000;
/// How often a kubelet that is cut off is asked again.
const STALLED: i64 = 5_000;

impl World {
    pub fn is_silent(&self, node: usize) -> bool {
        self.trouble.nodes.iter().any(|(_, silent)| *silent == node)
    }

    /// The node of a pod that is to start; none while all are silent.
    pub fn schedule_pod(&mut self) -> Option<usize> {
        let first = self.chance.index(NODES);
        (first..first + NODES)
            .map(|node| node % NODES)
            .find(|node| !self.is_silent(*node))
    }

    /// Puts off what a silent kubelet would have to do. Whether it did.
    pub fn stalls(&mut self, event: Event) -> Option<Event> {
        let node = match &event {
            Event::Start(uid) | Event::Terminate(uid) | Event::Remove(uid) => self.pods.get(uid).map(|run| run.node),
            Event::Probe(pid) | Event::Exit(pid, _) | Event::Notice(pid) => {
                self.processes.get(pid).map(|process| process.node)
            }
            _ => None,
        };
        if node.is_some_and(|node| self.is_silent(node)) {
            self.later(STALLED, event);
            return None;
        }
        Some(event)
    }

    /// The node of the topic's pod falls silent.
    pub fn lose_node(&mut self, place: usize, topic: usize) {
        let node = self
            .pod_of(topic)
            .and_then(|uid| self.pods.get(&uid))
            .map(|run| run.node);
        let Some(node) = node else { return };
        self.trouble.nodes.push((place, node));
        self.later(DOUBTED, Event::NodeControl(place, false));
        self.later(DRAINED, Event::NodeControl(place, true));
    }

    fn pods_on(&self, node: usize) -> Vec<String> {
        let there = self.pods.iter().filter(|(_, run)| run.node == node);
        there.map(|(uid, _)| uid.clone()).collect()
    }

    /// The node controller doubts the pods of a silent node, or deletes them.
    pub fn control_node(&mut self, place: usize, drains: bool) {
        let silent = self.trouble.nodes.iter().find(|(one, _)| *one == place);
        let Some(node) = silent.map(|(_, node)| *node) else {
            return;
        };
        for uid in self.pods_on(node) {
            let Some(pod) = self.server.all(Kind::Pod).find(|pod| pod.uid == uid).cloned() else {
                continue;
            };
            if drains && !pod.is_leaving() {
                self.note(|| format!("pod {} is deleted, its node is silent", pod.name));
                let _ = self.server.delete(Kind::Pod, &pod.name, &Value::Null);
            } else if !drains {
                let disrupted = pod.condition("DisruptionTarget").cloned().unwrap_or(Value::Null);
                let ready = json!({ "type": "Ready", "status": "False" });
                let status = json!({ "status": { "conditions": [disrupted, ready] } });
                let _ = self.server.patch_status(Kind::Pod, &pod.name, &status, false);
            }
        }
    }

    /// The node is back and its kubelet says how things are, or it is known to be off and its pods are taken away.
    pub fn end_silence(&mut self, place: usize, back: bool) {
        let silent = self.trouble.nodes.iter().position(|(one, _)| *one == place);
        let Some((_, node)) = silent.map(|at| self.trouble.nodes.remove(at)) else {
            return;
        };
        self.watchdog.disturbed(self.now);
        let there: Vec<u64> = self
            .processes
            .iter()
            .filter(|(_, process)| process.node == node)
            .map(|(pid, _)| *pid)
            .collect();
        if back {
            for pid in there {
                self.stream(pid);
            }
            for uid in self.pods_on(node) {
                let pid = self.pods.get(&uid).and_then(|run| run.process);
                let listens = pid
                    .and_then(|pid| self.processes.get(&pid))
                    .is_some_and(|one| one.listens());
                self.report_pod(&uid, listens);
            }
            return;
        }
        for pid in there {
            let Some(process) = self.processes.remove(&pid) else {
                continue;
            };
            self.disrupted.extend(process.job.clone());
            self.release(&process.volume);
        }
        for uid in self.pods_on(node) {
            let Some(run) = self.pods.remove(&uid) else { continue };
            let _ = self
                .server
                .delete(Kind::Pod, &run.name, &json!({ "gracePeriodSeconds": 0 }));
        }
    }

    /// Counts how often a session says that its node is lost.
    pub fn count_lost(&mut self, change: &Change) {
        let says = |object: &Arc<Object>| {
            object
                .condition("Ready")
                .is_some_and(|ready| ready["reason"] == "NodeLost")
        };
        if says(&change.object) && !change.before.as_ref().is_some_and(says) {
            *self.troubles.entry("NodeLost said").or_default() += 1;
        }
    }

    /// Whether the pod of a session is on a silent node, was ready, and is known not to be.
    pub fn is_on_silent_node(&self, uid: &str) -> bool {
        let process = self
            .processes
            .values()
            .find(|process| process.uid == uid && !process.orphan);
        let Some(process) = process.filter(|process| self.is_silent(process.node)) else {
            return false;
        };
        let pod = self.server.all(Kind::Pod).find(|pod| pod.uid == process.pod);
        pod.is_some_and(|pod| {
            pod.value["status"]["containerStatuses"][0]["ready"] == true
                && pod.condition("Ready").is_some_and(|ready| ready["status"] == "False")
        })
    }
}
