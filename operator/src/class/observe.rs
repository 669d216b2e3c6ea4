//! What is known of a class: its ledger, who is done with a slot, who runs without one.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::{AgentClass, Slot, SlotKind, meta};

use crate::cluster::{self, Error};
use crate::context::Context;
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
    /// Entries for those who occupy a pod and have none.
    pub without: Vec<Slot>,
}

pub async fn observe(class: &Arc<AgentClass>, ctx: &Context) -> Result<Observed, Error> {
    let (namespace, now) = (class.namespace().unwrap_or_default(), ctx.clock.now());
    let slots = ledger::slots(class);
    let running = if ledger::is_of_namespace(class) {
        everybody(&ctx.index, &namespace, now)
    } else {
        running(&ctx.index, &namespace, &class.name_any(), now)
    };
    let mut done = Vec::new();
    for slot in slots {
        let suspicious = !running.iter().any(|one| one.uid == slot.uid) && !has_pod(ctx, &slot.uid);
        if suspicious && cluster::is_done(&ctx.client, &namespace, slot).await? {
            done.push(slot.uid.clone());
        }
    }
    let without = running
        .into_iter()
        .filter(|one| !slots.iter().any(|slot| slot.uid == one.uid))
        .collect();
    Ok(Observed {
        class: Arc::clone(class),
        namespace: ctx.index.class_of_namespace(&namespace),
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
    let crowd = |class: &str| Crowd {
        waiting: waiting(class),
        running: running(index, &namespace, class, now),
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

fn has_pod(ctx: &Context, uid: &str) -> bool {
    let mine = |found: &k8s_openapi::api::core::v1::Pod| {
        found.labels().get(meta::UID_LABEL).is_some_and(|label| label == uid) && !pod::is_finished(found)
    };
    ctx.index.pods.find(mine).is_some()
}

#[cfg(test)]
mod tests {
    use longshore_crds::conditions::{reasons, types};
    use longshore_crds::{ContainerTask, ContainerTaskStatus, PersistentSession, PersistentSessionStatus, Topic};
    use serde_json::json;

    use super::*;
    use crate::conditions::{merge, no, yes};

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
