//! Controllers of StatefulSets and Jobs, the garbage collector, and the kubelet.
//!
//! They do what Kubernetes promises, at a pace that the seed sets: a pod's name is taken until its processes are gone, a pod
//! that is deleted by force leaves its processes behind for a while, a Job counts a pod that failed unless it was disrupted.

use std::sync::Arc;

use jiff::Timestamp;
use longshore_crds::SlotKind;
use serde_json::{Value, json};

use super::kind::Kind;
use super::people::topic_name;
use super::runners::Process;
use super::server::{Change, Object};
use super::world::{Event, World};

/// What the kubelet knows of a pod.
pub struct PodRun {
    pub name: String,
    pub topic: String,
    pub process: Option<u64>,
    pub node: usize,
    restarts: i64,
    disrupted: bool,
    ip: String,
    /// The last process of a task's pod is over; whether well.
    over: Option<bool>,
}

fn owner_reference(owner: &Object) -> Value {
    json!([{ "apiVersion": owner.kind.api_version(), "kind": owner.kind.name(), "name": owner.name, "uid": owner.uid, "controller": true }])
}

/// Whether a life is over by this change: one of these conditions holds now and did not before, or it is gone without.
fn is_last(change: &Change, ends: &[&str]) -> bool {
    let over = |object: &Arc<Object>| ends.iter().any(|end| object.holds(end));
    if change.gone {
        !over(&change.object)
    } else {
        over(&change.object) && !change.before.as_ref().is_some_and(over)
    }
}

impl World {
    fn time(&self) -> String {
        Timestamp::from_second(self.now.div_euclid(1000)).unwrap().to_string()
    }

    /// What follows from a change on the server, besides what watchers see.
    pub fn react(&mut self, change: &Change) {
        let object = &change.object;
        // What is made for an owner that is gone already goes as well.
        let orphan = change.before.is_none() && object.owners().any(|uid| !self.server.has_uid(uid));
        if change.gone || orphan {
            let delay = self.chance.delay(200, 5_000);
            self.later(delay, Event::Collect);
        }
        match object.kind {
            Kind::Set | Kind::Job => {
                let delay = self.chance.delay(50, 3_000);
                self.later(delay, Event::Sync(object.kind, object.name.clone()));
            }
            Kind::Pod => self.pod_changed(change),
            Kind::Session => {
                self.lives.sessions += u64::from(is_last(change, &["Ended"]));
                self.session_changed(change);
                self.count_lost(change);
            }
            Kind::Task => self.lives.tasks += u64::from(is_last(change, &["Complete", "Failed"])),
            _ => {}
        }
    }

    fn kubelet_delay(&mut self, usual: i64, rare: i64) -> i64 {
        let factor = if self.trouble.kubelets.is_empty() { 1 } else { 10 };
        self.chance.delay(usual, rare) * factor
    }

    fn pod_changed(&mut self, change: &Change) {
        let pod = &change.object;
        if change.gone {
            // Deleted by force: the kubelet stops the processes when it gets to it.
            if let Some(run) = self.pods.remove(&pod.uid)
                && let Some(pid) = run.process
            {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.orphan = true;
                }
                let delay = self.kubelet_delay(5_000, 30_000);
                self.later(delay, Event::Exit(pid, false));
            }
        } else if change.before.is_none() {
            let delay = self.kubelet_delay(800, 20_000);
            self.later(delay, Event::Start(pod.uid.clone()));
        } else if pod.is_leaving() && !change.before.as_ref().is_some_and(|before| before.is_leaving()) {
            let delay = self.kubelet_delay(50, 3_000);
            self.later(delay, Event::Terminate(pod.uid.clone()));
        }
        // Its owner looks again.
        for kind in [Kind::Set, Kind::Job] {
            let owner = self.server.all(kind).find(|one| pod.owners().any(|uid| uid == one.uid));
            if let Some(owner) = owner.map(|one| one.name.clone()) {
                let delay = self.chance.delay(50, 3_000);
                self.later(delay, Event::Sync(kind, owner));
            }
        }
        if change.gone && pod.label("longshore.dev/kind") == "session" {
            let delay = self.chance.delay(50, 3_000);
            self.later(
                delay,
                Event::Sync(Kind::Set, pod.name.trim_end_matches("-0").to_owned()),
            );
        }
    }

    fn create_pod(&mut self, owner: &Arc<Object>, name: String) {
        let template = &owner.value["spec"]["template"];
        let pod = json!({
            "metadata": { "name": name, "labels": template["metadata"]["labels"], "ownerReferences": owner_reference(owner) },
        });
        if self.server.create(Kind::Pod, pod).is_ok() {
            self.note(|| format!("{} creates pod {name}", owner.kind.name()));
        }
    }

    pub fn sync_set(&mut self, name: &str) {
        let Some(set) = self.server.get(Kind::Set, name).cloned() else {
            return;
        };
        if set.is_leaving() {
            return;
        }
        let wanted = set.value["spec"]["replicas"] != 0;
        let pod_name = format!("{name}-0");
        match self.server.get(Kind::Pod, &pod_name).cloned() {
            None if wanted => self.create_pod(&set, pod_name),
            Some(pod) if pod.owners().any(|uid| uid == set.uid) => {
                let finished = matches!(pod.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
                if (!wanted || finished) && !pod.is_leaving() {
                    let _ = self.server.delete(Kind::Pod, &pod_name, &Value::Null);
                }
            }
            _ => {}
        }
        let replicas = i64::from(self.server.get(Kind::Pod, &format!("{name}-0")).is_some());
        let status = json!({ "status": { "replicas": replicas } });
        let _ = self.server.patch_status(Kind::Set, name, &status, false);
    }

    pub fn sync_job(&mut self, name: &str) {
        let Some(job) = self.server.get(Kind::Job, name).cloned() else {
            return;
        };
        let suspended = job.value["spec"]["suspend"] == true && !self.server.guards.eager_jobs;
        if suspended || job.is_leaving() || job.holds("Complete") || job.holds("Failed") {
            return;
        }
        let status = &job.value["status"];
        if status["startTime"].is_null() {
            let begun = json!({ "status": { "startTime": self.time() } });
            let _ = self.server.patch_status(Kind::Job, name, &begun, false);
            let allowed = job.value["spec"]["activeDeadlineSeconds"].as_i64().unwrap_or_default();
            self.job_deadlines.insert(job.uid.clone(), self.now + allowed * 1000);
            self.later(allowed * 1000 + 1, Event::Sync(Kind::Job, name.to_owned()));
            self.create_pod(&job, format!("{name}-{}", self.server.version()));
            return;
        }
        let pods: Vec<Arc<Object>> = self
            .server
            .all(Kind::Pod)
            .filter(|pod| pod.owners().any(|uid| uid == job.uid))
            .cloned()
            .collect();
        let phase = |pod: &Arc<Object>| pod.value["status"]["phase"].as_str().unwrap_or_default().to_owned();
        let expired = self.job_deadlines.get(&job.uid).is_some_and(|at| *at <= self.now);
        if pods.iter().any(|pod| phase(pod) == "Succeeded") {
            self.finish_job(name, "Complete", "CompletionsReached");
        } else if expired {
            self.finish_job(name, "Failed", "DeadlineExceeded");
            for pod in pods.iter().filter(|pod| !pod.is_leaving()) {
                let _ = self.server.delete(Kind::Pod, &pod.name, &Value::Null);
            }
        } else if pods.iter().all(|pod| phase(pod) == "Failed") {
            // None at all: the last one is gone, and how it ended was noted when it went.
            let disrupted = match pods.is_empty() {
                true => self.disrupted.contains(&job.uid),
                false => pods.iter().all(|pod| pod.holds("DisruptionTarget")),
            };
            if !disrupted || job.value["spec"]["podFailurePolicy"].is_null() {
                self.finish_job(name, "Failed", "BackoffLimitExceeded");
            } else {
                self.create_pod(&job, format!("{name}-{}", self.server.version()));
            }
        }
    }

    fn finish_job(&mut self, name: &str, condition: &str, reason: &str) {
        let condition = json!([{ "type": condition, "status": "True", "reason": reason }]);
        let _ = self.server.patch_status(
            Kind::Job,
            name,
            &json!({ "status": { "conditions": condition } }),
            false,
        );
        self.note(|| format!("Job {name} is over: {reason}"));
    }

    /// Deletes what has lost its owner.
    pub fn collect(&mut self) {
        let orphans: Vec<(Kind, String)> = self
            .server
            .everything()
            .filter(|object| !object.is_leaving())
            .filter(|object| object.owners().next().is_some() && object.owners().all(|uid| !self.server.has_uid(uid)))
            .map(|object| (object.kind, object.name.clone()))
            .collect();
        for (kind, name) in orphans {
            self.note(|| format!("the garbage collector deletes {}/{name}", kind.plural()));
            let _ = self.server.delete(kind, &name, &Value::Null);
        }
    }

    /// The kubelet takes a pod up.
    pub fn start(&mut self, uid: &str) {
        let Some(pod) = self.server.all(Kind::Pod).find(|pod| pod.uid == uid).cloned() else {
            return;
        };
        if pod.is_leaving() {
            return;
        }
        let Some(node) = self.pods.get(uid).map(|run| run.node).or_else(|| self.schedule_pod()) else {
            return self.later(5_000, Event::Start(uid.to_owned()));
        };
        let run = self.pods.entry(uid.to_owned()).or_insert_with(|| PodRun {
            name: pod.name.clone(),
            topic: pod.label("longshore.dev/topic").to_owned(),
            process: None,
            node,
            restarts: 0,
            disrupted: false,
            ip: String::new(),
            over: None,
        });
        if run.process.is_some() || run.over.is_some() {
            return;
        }
        if run.ip.is_empty() {
            // Addresses come back: a small pool, the longest unused first.
            let of_processes = self.processes.values().map(|process| process.host().to_owned());
            let used: Vec<String> = self
                .pods
                .values()
                .map(|run| run.ip.clone())
                .chain(of_processes)
                .collect();
            let offset = self.numbers % 16;
            let ip = (0..64)
                .map(|n| format!("10.0.0.{}", 1 + (offset + n) % 64))
                .find(|ip| !used.contains(ip));
            if let Some(run) = self.pods.get_mut(uid) {
                run.ip = ip.unwrap_or_default();
            }
        }
        let pid = self.number();
        let kind = if pod.label("longshore.dev/kind") == "task" {
            SlotKind::Task
        } else {
            SlotKind::Session
        };
        let Some(run) = self.pods.get_mut(uid) else { return };
        run.process = Some(pid);
        let process = Process::new(uid, kind, &pod, format!("{}:7411", run.ip), run.node);
        self.note(|| format!("process {pid} of pod {} starts", pod.name));
        self.processes.insert(pid, process);
        self.report_pod(uid, false);
        let delay = self.kubelet_delay(300, 5_000);
        self.later(delay, Event::Listen(pid));
    }

    /// The kubelet writes a pod's status.
    pub fn report_pod(&mut self, uid: &str, ready: bool) {
        let Some(run) = self.pods.get(uid) else { return };
        let (state, phase) = match (run.process, run.over) {
            (Some(_), _) => (json!({ "running": { "startedAt": self.time() } }), "Running"),
            (None, Some(well)) => {
                let words = well.then_some(r#"{"v":1,"isError":false,"reason":"completed","text":"done"}"#);
                let code = if well { 0 } else { 137 };
                let state = json!({ "terminated": { "exitCode": code, "message": words } });
                (state, if well { "Succeeded" } else { "Failed" })
            }
            (None, None) => (
                json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } }),
                "Running",
            ),
        };
        let word = |is: bool| if is { "True" } else { "False" };
        let status = json!({ "status": {
            "phase": phase, "podIP": run.ip, "startTime": self.time(),
            "conditions": [
                { "type": "DisruptionTarget", "status": word(run.disrupted) },
                { "type": "Ready", "status": word(ready) },
            ],
            "containerStatuses": [{ "name": "agent", "image": "agent:1", "imageID": "", "ready": ready, "restartCount": run.restarts, "state": state }],
        }});
        let name = run.name.clone();
        let _ = self.server.patch_status(Kind::Pod, &name, &status, false);
    }

    /// The kubelet's readiness probe.
    pub fn probe(&mut self, pid: u64) {
        let Some(process) = self.processes.get(&pid).filter(|process| process.listens()) else {
            return;
        };
        let uid = process.pod.clone();
        if self.pods.get(&uid).is_some_and(|run| run.process == Some(pid)) {
            self.report_pod(&uid, true);
        }
    }

    /// SIGTERM.
    pub fn terminate(&mut self, uid: &str) {
        match self.pods.get(uid).and_then(|run| run.process) {
            Some(pid) => {
                let delay = self.term(pid);
                self.later(delay, Event::Exit(pid, false));
            }
            None => self.later(10, Event::Remove(uid.to_owned())),
        }
    }

    /// A process is gone.
    pub fn exit(&mut self, pid: u64, well: bool) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        let well = well || (process.kind == SlotKind::Task && self.has_result(&process.uid));
        self.release(&process.volume);
        self.note(|| format!("process {pid} of {} exits", process.owner));
        let uid = process.pod.clone();
        let Some(run) = self.pods.get_mut(&uid) else { return };
        run.process = None;
        let leaving = self.server.all(Kind::Pod).any(|pod| pod.uid == uid && pod.is_leaving());
        let finished = process.kind == SlotKind::Task || run.disrupted || leaving;
        if finished {
            run.over = Some(well);
            if run.disrupted {
                self.disrupted.extend(process.job.clone());
            }
        } else {
            run.restarts += 1;
        }
        self.report_pod(&uid, false);
        if leaving {
            let delay = self.chance.delay(100, 2_000);
            self.later(delay, Event::Remove(uid));
        } else if !finished {
            let delay = self.kubelet_delay(10_000, 60_000);
            self.later(delay, Event::Start(uid));
        }
    }

    /// The pod object goes after its processes.
    pub fn remove(&mut self, uid: &str) {
        let Some(pod) = self.server.all(Kind::Pod).find(|pod| pod.uid == uid).cloned() else {
            return;
        };
        self.pods.remove(uid);
        self.note(|| format!("pod {} is gone", pod.name));
        let _ = self
            .server
            .delete(Kind::Pod, &pod.name, &json!({ "gracePeriodSeconds": 0 }));
    }

    /// UID of a pod of the topic whose process runs, where somebody can get at it.
    pub fn pod_of(&self, topic: usize) -> Option<String> {
        let topic = topic_name(topic);
        let found = self
            .pods
            .iter()
            .find(|(_, run)| run.topic == topic && run.process.is_some() && !self.is_silent(run.node));
        found.map(|(uid, _)| uid.clone())
    }

    pub fn kill_process(&mut self, topic: usize) {
        let pid = self.pod_of(topic).and_then(|uid| self.pods.get(&uid)?.process);
        if let Some(pid) = pid {
            self.exit(pid, false);
        }
    }

    pub fn delete_pod(&mut self, topic: usize, force: bool) {
        let Some(uid) = self.pod_of(topic) else { return };
        let name = self.pods.get(&uid).map(|run| run.name.clone()).unwrap_or_default();
        let options = if force {
            json!({ "gracePeriodSeconds": 0 })
        } else {
            Value::Null
        };
        let _ = self.server.delete(Kind::Pod, &name, &options);
    }

    pub fn evict(&mut self, topic: usize) {
        let Some(uid) = self.pod_of(topic) else { return };
        if let Some(run) = self.pods.get_mut(&uid) {
            run.disrupted = true;
        }
        self.report_pod(&uid, false);
        self.delete_pod(topic, false);
    }
}
