//! What is known of a class: its ledger, who is done with a slot, who runs without one.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::{AgentClass, Slot, SlotKind, meta};

use crate::cluster::{self, Error};
use crate::context::Context;
use crate::index::{Index, by_name};
use crate::ledger::entry;
use crate::{pod, session, task};

#[derive(Clone, Debug)]
pub struct Observed {
    pub class: Arc<AgentClass>,
    /// UIDs of holders that were found to be done, live.
    pub done: Vec<String>,
    /// Entries for those who occupy a pod and have none.
    pub without: Vec<Slot>,
}

pub async fn observe(class: &Arc<AgentClass>, ctx: &Context) -> Result<Observed, Error> {
    let namespace = class.namespace().unwrap_or_default();
    let slots = class.status.as_ref().map_or(&[][..], |status| &status.slots);
    let running = running(&ctx.index, &namespace, &class.name_any(), ctx.clock.now());
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
        done,
        without,
    })
}

/// What the entries of everybody of this class who was admitted would be, by the caches.
pub fn running(index: &Index, namespace: &str, class: &str, now: Timestamp) -> Vec<Slot> {
    let here = |found: Option<String>| found.as_deref() == Some(namespace);
    let of_class = |topic: &str, own: Option<&str>| index.class_name(namespace, topic, own).as_deref() == Some(class);
    let sessions = index.sessions.state_filter(|s| {
        here(s.namespace())
            && session::occupies(s)
            && of_class(&s.spec.topic_ref.name, s.spec.agent_class_name.as_deref())
    });
    let tasks = index.tasks.state_filter(|t| {
        here(t.namespace()) && task::occupies(t) && of_class(&t.spec.topic_ref.name, t.spec.agent_class_name.as_deref())
    });
    let (sessions, tasks) = (by_name(sessions), by_name(tasks));
    let sessions = sessions
        .iter()
        .map(|s| entry(SlotKind::Session, &session::claim(s), now));
    sessions
        .chain(tasks.iter().map(|t| entry(SlotKind::Task, &task::claim(t), now)))
        .collect()
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
    }
}
