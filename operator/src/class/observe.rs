//! What is known of a class: its ledger, who is done with a slot, who runs without one.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use longshore_crds::{AgentClass, Slot, SlotKind, meta};

use crate::cluster::{self, Error};
use crate::index::{Index, by_name};
use crate::ledger::{self, Claim, Crowd, Keepers, Others, entry, limit};
use crate::{pod, session, task};

#[derive(Clone, Debug)]
pub struct Observed {
    pub class: Arc<AgentClass>,
    /// The class that limits the namespace.
    pub namespace: Option<Arc<AgentClass>>,
    /// UIDs of holders that were found to be done, live.
    pub done: Vec<String>,
    /// Entries for those who were admitted, found live, and have none.
    pub without: Vec<Slot>,
}

/// Both kinds of change are made only after a live look: were one made by the caches, two leaders of which one is behind would undo
/// each other's change for as long as that lasts.
pub async fn observe(
    class: &Arc<AgentClass>,
    client: &Client,
    index: &Index,
    now: Timestamp,
) -> Result<Observed, Error> {
    let namespace = class.namespace().unwrap_or_default();
    let slots = ledger::slots(class);
    let running = if ledger::is_of_namespace(class) {
        everybody(index, &namespace, now)
    } else {
        running(index, &namespace, &class.name_any(), now)
    };
    let mut done = Vec::new();
    for slot in slots {
        let suspicious = !running.iter().any(|one| one.uid == slot.uid) && !has_pod(index, &slot.uid);
        if suspicious && cluster::is_done(client, &namespace, slot).await? {
            done.push(slot.uid.clone());
        }
    }
    let mut without = Vec::new();
    let of_namespace = index.class_of_namespace(&namespace);
    let keepers = Keepers::new(class, of_namespace.as_deref());
    let limited = |kind: SlotKind| keepers.shared(kind).is_none() && keepers.is_limited(kind);
    let unlisted = |one: &Slot| limited(one.kind) && !slots.iter().any(|slot| slot.uid == one.uid);
    for one in running.into_iter().filter(unlisted) {
        if cluster::is_admitted(client, &namespace, &one).await? {
            without.push(one);
        }
    }
    Ok(Observed {
        class: Arc::clone(class),
        namespace: of_namespace,
        done,
        without,
    })
}

/// Who else has and wants slots of a kind that somebody of the class `keepers` is about claims. `waiting` says who of a class waits.
pub fn others(
    index: &Index,
    keepers: &Keepers<'_>,
    kind: SlotKind,
    waiting: impl Fn(&str) -> Vec<Claim>,
    now: Timestamp,
) -> Others {
    let namespace = keepers.class.namespace().unwrap_or_default();
    let crowd = |class: &str| {
        let mut running = running(index, &namespace, class, now);
        running.extend(leaving(index, &namespace, class, &running, now));
        Crowd {
            waiting: waiting(class),
            running,
        }
    };
    let mut others = Others {
        own: crowd(&keepers.class.name_any()),
        ..Others::default()
    };
    let Some(shared) = keepers.shared(kind) else {
        return others;
    };
    for class in index.classes_of(&namespace) {
        let name = class.name_any();
        if name == keepers.class.name_any() {
            continue;
        }
        let mut crowd = crowd(&name);
        if let Some(limit) = limit(&class.spec.limits, kind).filter(|_| !ledger::is_of_namespace(&class)) {
            let has = |uid: &str| ledger::holds(ledger::slots(shared), Some(uid));
            let of_class = |slot: &&Slot| slot.kind == kind && slot.agent_class_name.as_deref() == Some(&name);
            let listed = ledger::slots(shared).iter().filter(of_class).count();
            let unlisted = crowd
                .running
                .iter()
                .filter(|slot| slot.kind == kind && !has(&slot.uid))
                .count();
            let free = usize::try_from(limit)
                .unwrap_or_default()
                .saturating_sub(listed + unlisted);
            crowd.waiting.retain(|claim| !has(&claim.uid));
            crowd.waiting.sort();
            crowd.waiting.truncate(free);
        }
        others.beside.waiting.extend(crowd.waiting);
        others.beside.running.extend(crowd.running);
    }
    others
}

/// What the entries of everybody of this class who was admitted would be, by the caches.
fn running(index: &Index, namespace: &str, class: &str, now: Timestamp) -> Vec<Slot> {
    let found = admitted(index, namespace)
        .into_iter()
        .filter(|(_, _, of)| of.as_deref() == Some(class));
    found.map(|(kind, claim, _)| entry(kind, &claim, None, now)).collect()
}

/// The same of everybody in the namespace, with their classes.
fn everybody(index: &Index, namespace: &str, now: Timestamp) -> Vec<Slot> {
    let found = admitted(index, namespace).into_iter();
    found
        .map(|(kind, claim, class)| entry(kind, &claim, class, now))
        .collect()
}

/// Everybody who was admitted, with the names of their classes.
fn admitted(index: &Index, namespace: &str) -> Vec<(SlotKind, Claim, Option<String>)> {
    let here = |found: Option<String>| found.as_deref() == Some(namespace);
    let class = |topic: &str, own: Option<&str>| index.class_name(namespace, topic, own);
    let sessions = index
        .sessions
        .state_filter(|s| here(s.namespace()) && session::occupies(s));
    let tasks = index.tasks.state_filter(|t| here(t.namespace()) && task::occupies(t));
    let (sessions, tasks) = (by_name(sessions), by_name(tasks));
    let sessions = sessions.iter().map(|s| {
        let class = class(&s.spec.topic_ref.name, s.spec.agent_class_name.as_deref());
        (SlotKind::Session, session::claim(s), class)
    });
    let tasks = tasks.iter().map(|t| {
        let class = class(&t.spec.topic_ref.name, t.spec.agent_class_name.as_deref());
        (SlotKind::Task, task::claim(t), class)
    });
    sessions.chain(tasks).collect()
}

/// What the entries of those would be who are over, or gone, and have a pod that still stops. A limit that is new finds them.
fn leaving(index: &Index, namespace: &str, class: &str, running: &[Slot], now: Timestamp) -> Vec<Slot> {
    let pods = index.pods.state_filter(|found| {
        found.metadata.namespace.as_deref() == Some(namespace)
            && found
                .labels()
                .get(meta::CLASS_LABEL)
                .is_some_and(|label| label == class)
            && !pod::is_finished(found)
    });
    let slot = |found: Arc<Pod>| {
        let label = |name: &str| found.labels().get(name).cloned();
        let kind = match label(meta::KIND_LABEL)?.as_str() {
            "session" => SlotKind::Session,
            "task" => SlotKind::Task,
            _ => return None,
        };
        let holder = Claim {
            first_start: false,
            created: Timestamp::UNIX_EPOCH,
            name: label(meta::OWNER_LABEL)?,
            uid: label(meta::UID_LABEL)?,
            returns: false,
        };
        Some(entry(kind, &holder, None, now))
    };
    let left = pods.into_iter().filter_map(slot);
    left.filter(|slot| !ledger::holds(running, Some(&slot.uid))).collect()
}

fn has_pod(index: &Index, uid: &str) -> bool {
    let mine =
        |found: &Pod| found.labels().get(meta::UID_LABEL).is_some_and(|label| label == uid) && !pod::is_finished(found);
    index.pods.find(mine).is_some()
}

#[cfg(test)]
mod tests {
    use longshore_crds::conditions::{reasons, types};
    use longshore_crds::{ContainerTask, ContainerTaskStatus, PersistentSession, PersistentSessionStatus, Topic};
    use serde_json::json;

    use super::*;
    use crate::cluster::tests::{failure, server};
    use crate::conditions::{merge, no, yes};

    #[tokio::test]
    async fn who_runs_by_the_cache_alone_is_not_entered_in_the_ledger() {
        let limits = json!({ "limits": { "maxActiveSessions": 2 } });
        let mut class = AgentClass::new("default", serde_json::from_value(limits).unwrap());
        class.metadata.namespace = Some("ns".to_owned());
        let spec = json!({ "topicRef": { "name": "t" }, "agentClassName": "default" });
        let mut session = PersistentSession::new("s", serde_json::from_value(spec).unwrap());
        session.metadata.namespace = Some("ns".to_owned());
        session.metadata.uid = Some("u".to_owned());
        session.status = Some(PersistentSessionStatus {
            conditions: merge(
                &[],
                vec![yes(types::ADMITTED, reasons::ADMITTED, "")],
                None,
                Timestamp::UNIX_EPOCH,
            ),
            ..Default::default()
        });
        let there = (200, serde_json::to_value(&session).unwrap());
        let mut queued = there.clone();
        queued.1["status"]["conditions"][0]["status"] = "False".into();
        let (class, index) = (
            Arc::new(class),
            Index::with(Vec::new(), Vec::new(), Vec::new(), vec![session]),
        );
        let entered = |answers| {
            let (client, _) = server(answers);
            let (class, index) = (&class, &index);
            async move {
                let seen = observe(class, &client, index, Timestamp::UNIX_EPOCH).await;
                seen.unwrap().without.len()
            }
        };
        assert_eq!(entered(vec![there]).await, 1);
        assert_eq!(entered(vec![queued]).await, 0);
        assert_eq!(entered(vec![(404, failure(404, "NotFound"))]).await, 0);
    }

    #[test]
    fn a_pod_that_still_stops_counts_though_its_session_is_gone() {
        let limits = json!({ "limits": { "maxActiveSessions": 2 } });
        let mut class = AgentClass::new("default", serde_json::from_value(limits).unwrap());
        class.metadata.namespace = Some("ns".to_owned());
        let pod = |uid: &str, class: &str, phase: &str| {
            let labels = json!({
                meta::KIND_LABEL: "session", meta::CLASS_LABEL: class, meta::UID_LABEL: uid, meta::OWNER_LABEL: uid,
            });
            let pod = json!({ "metadata": { "name": uid, "namespace": "ns", "labels": labels }, "status": { "phase": phase } });
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        let mut index = Index::with(Vec::new(), Vec::new(), Vec::new(), Vec::new());
        index.pods = crate::index::filled(vec![
            pod("left", "default", "Running"),
            pod("finished", "default", "Succeeded"),
            pod("elsewhere", "other", "Running"),
        ]);
        let others = others(
            &index,
            &Keepers::new(&class, None),
            SlotKind::Session,
            |_| Vec::new(),
            Timestamp::UNIX_EPOCH,
        );
        let names: Vec<&str> = others.own.running.iter().map(|slot| slot.name.as_str()).collect();
        assert_eq!(names, ["left"]);
    }

    #[test]
    fn those_who_run_are_the_admitted_of_the_class_named_or_by_way_of_the_topic() {
        let verdict = |admitted: bool| {
            let verdict = if admitted {
                yes(types::ADMITTED, reasons::ADMITTED, "")
            } else {
                no(types::ADMITTED, reasons::QUEUED, "")
            };
            merge(&[], vec![verdict], None, Timestamp::UNIX_EPOCH)
        };
        let spec = |class: Option<&str>| json!({ "topicRef": { "name": "t" }, "prompt": "p", "agentClassName": class });
        let session = |name: &str, class: Option<&str>, admitted: bool| {
            let mut session = PersistentSession::new(name, serde_json::from_value(spec(class)).unwrap());
            session.metadata.namespace = Some("ns".to_owned());
            session.status = Some(PersistentSessionStatus {
                conditions: verdict(admitted),
                ..Default::default()
            });
            session
        };
        let mut task = ContainerTask::new("task", serde_json::from_value(spec(Some("big"))).unwrap());
        task.metadata.namespace = Some("ns".to_owned());
        task.status = Some(ContainerTaskStatus {
            conditions: verdict(true),
            ..Default::default()
        });
        let mut topic = Topic::new("t", serde_json::from_value(json!({ "agentClassName": "big" })).unwrap());
        topic.metadata.namespace = Some("ns".to_owned());
        let sessions = vec![
            session("by-topic", None, true),
            session("by-name", Some("big"), true),
            session("other-class", Some("small"), true),
            session("queued", None, false),
        ];
        let index = Index::with(Vec::new(), vec![topic], vec![task], sessions);
        let mut names: Vec<String> = running(&index, "ns", "big", Timestamp::UNIX_EPOCH)
            .into_iter()
            .map(|slot| slot.name)
            .collect();
        names.sort();
        assert_eq!(names, ["by-name", "by-topic", "task"]);
        let mut all: Vec<(String, Option<String>)> = everybody(&index, "ns", Timestamp::UNIX_EPOCH)
            .into_iter()
            .map(|slot| (slot.name, slot.agent_class_name))
            .collect();
        all.sort();
        let entry = |name: &str, class: &str| (name.to_owned(), Some(class.to_owned()));
        let expected = ["by-name", "by-topic", "task"].map(|name| entry(name, "big"));
        assert_eq!(all[..2], expected[..2]);
        assert_eq!(all[2..], [entry("other-class", "small"), expected[2].clone()]);
    }

    #[test]
    fn in_a_namespace_with_a_limit_only_those_are_before_somebody_whose_own_class_has_room() {
        let class = |name: &str, sessions: Option<i32>| {
            let limits = longshore_crds::Limits {
                max_active_sessions: sessions,
                ..Default::default()
            };
            let spec = longshore_crds::AgentClassSpec {
                limits,
                ..Default::default()
            };
            let mut class = AgentClass::new(name, spec);
            class.metadata.namespace = Some("ns".to_owned());
            class
        };
        let claim = |name: &str| Claim {
            first_start: true,
            created: Timestamp::UNIX_EPOCH,
            name: name.to_owned(),
            uid: name.to_owned(),
            returns: false,
        };
        let mut all = class("namespace", Some(5));
        let held = entry(
            SlotKind::Session,
            &claim("held"),
            Some("small".to_owned()),
            Timestamp::UNIX_EPOCH,
        );
        all.status = Some(longshore_crds::AgentClassStatus {
            slots: vec![held],
            ..Default::default()
        });
        let (big, small) = (class("big", None), class("small", Some(2)));
        let index = Index::with(
            vec![all.clone(), big.clone(), small.clone()],
            Vec::new(),
            Vec::new(),
            Vec::new(),
        );
        let waiting = |of: &str| match of {
            "small" => ["held", "second", "first"].map(claim).to_vec(),
            "big" => vec![claim("me")],
            _ => Vec::new(),
        };
        let ask = |class: &AgentClass, namespace: Option<&AgentClass>| {
            let keepers = Keepers::new(class, namespace);
            others(&index, &keepers, SlotKind::Session, waiting, Timestamp::UNIX_EPOCH)
        };
        let names = |claims: &[Claim]| claims.iter().map(|claim| claim.name.clone()).collect::<Vec<_>>();
        let found = ask(&big, Some(&all));
        assert_eq!(
            (names(&found.own.waiting), names(&found.beside.waiting)),
            (vec!["me".to_owned()], vec!["first".to_owned()])
        );
        assert!(ask(&big, None).beside.waiting.is_empty());
        assert_eq!(names(&ask(&small, Some(&all)).beside.waiting), ["me"]);
    }
}
