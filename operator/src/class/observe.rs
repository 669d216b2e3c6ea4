//! What is known of a class: its ledger, who is done with a slot, who runs without one.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::{AgentClass, Slot, SlotKind, meta};

use crate::cluster::{self, Error};
use crate::context::Context;
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
    let running = running(class, ctx);
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

/// Everybody of this class who was admitted, by the caches.
fn running(class: &AgentClass, ctx: &Context) -> Vec<Slot> {
    let (index, namespace, name) = (&ctx.index, class.namespace().unwrap_or_default(), class.name_any());
    let here = |found: Option<String>| found.as_deref() == Some(&namespace);
    let of_class =
        |topic: &str, own: Option<&str>| index.class_name(&namespace, topic, own).as_deref() == Some(name.as_str());
    let now = ctx.clock.now();
    let sessions = index.sessions.state_filter(|s| {
        here(s.namespace())
            && session::occupies(s)
            && of_class(&s.spec.topic_ref.name, s.spec.agent_class_name.as_deref())
    });
    let tasks = index.tasks.state_filter(|t| {
        here(t.namespace()) && task::occupies(t) && of_class(&t.spec.topic_ref.name, t.spec.agent_class_name.as_deref())
    });
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
