//! What to do about a topic. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{TopicStatus, meta};
use serde_json::Value;

use super::build::{claim, claim_change, claim_name, hash};
use super::observe::Observed;
use crate::cluster::Error;
use crate::conditions::{Verdict, merge, no, yes};
use crate::events::{News, news};

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub step: Option<Step>,
    pub status: TopicStatus,
    pub news: Vec<News>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    CreateClaim(Box<PersistentVolumeClaim>),
    ChangeClaim { name: String, patch: Value },
}

pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let (step, ready) = match (&seen.twin, &seen.co_owner) {
        (Some(twin), _) => {
            let message = format!("The older Topic {twin} answers in this chat; delete one of the two");
            (None, no(types::READY, reasons::DUPLICATE_BINDING, message))
        }
        (None, Some(other)) => {
            let claim = claim_name(&seen.topic);
            let message = format!(
                "The older Topic {other} has PersistentVolumeClaim {claim}, which two cannot write; delete one of the two Topics"
            );
            (None, no(types::READY, reasons::NAME_CONFLICT, message))
        }
        (None, None) => workspace(seen),
    };
    state(seen, step, ready, now)
}

impl Plan {
    /// The same, when the step did not succeed. A volume that cannot be made larger is as good as it was.
    pub fn hindered(self, seen: &Observed, error: &Error, now: Timestamp) -> Self {
        let ready = if matches!(self.step, Some(Step::ChangeClaim { .. })) {
            let message = format!(
                "The workspace's claim exists, but does not follow spec.workspace: {}",
                error.answer()
            );
            yes(types::READY, reasons::CLAIM_CREATED, message)
        } else {
            no(types::READY, reasons::PENDING, error.answer())
        };
        state(seen, self.step, ready, now)
    }
}

fn state(seen: &Observed, step: Option<Step>, ready: Verdict, now: Timestamp) -> Plan {
    let topic = &seen.topic;
    let old = topic.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let conditions = merge(old, vec![ready, bound(seen)], topic.metadata.generation, now);
    Plan {
        step,
        news: news(old, &conditions),
        status: TopicStatus {
            observed_generation: topic.metadata.generation,
            workspace_claim: Some(claim_name(topic)),
            conditions,
            ..TopicStatus::default()
        },
    }
}

fn workspace(seen: &Observed) -> (Option<Step>, Verdict) {
    let topic = &seen.topic;
    let ready = yes(types::READY, reasons::CLAIM_CREATED, "The workspace's claim exists");
    if topic.metadata.deletion_timestamp.is_some() {
        return (None, no(types::READY, reasons::DELETED, "The Topic is being deleted"));
    }
    let name = claim_name(topic);
    match (&seen.claim, &topic.spec.workspace.existing_claim) {
        (Some(_), Some(_)) => (None, ready),
        (None, Some(_)) => {
            let message = format!("PersistentVolumeClaim {name} does not exist; create it, or name another one");
            (None, no(types::READY, reasons::CLAIM_NOT_FOUND, message))
        }
        (None, None) => (Some(Step::CreateClaim(Box::new(claim(topic)))), ready),
        (Some(found), None) if found.labels().get(meta::TOPIC_LABEL) != Some(&topic.name_any()) => {
            let message = format!(
                "PersistentVolumeClaim {name} was not made by Longshore; use it by workspace.existingClaim, or give the Topic another name"
            );
            (None, no(types::READY, reasons::NAME_CONFLICT, message))
        }
        (Some(found), None) if found.annotations().get(meta::SPEC_HASH) != Some(&hash(topic)) => (
            Some(Step::ChangeClaim {
                name,
                patch: claim_change(topic),
            }),
            ready,
        ),
        (Some(_), None) => (None, ready),
    }
}

fn bound(seen: &Observed) -> Verdict {
    let phase = seen
        .claim
        .as_ref()
        .and_then(|claim| claim.status.as_ref()?.phase.as_deref());
    match phase {
        Some("Bound") => yes(types::WORKSPACE_BOUND, reasons::BOUND, "The claim is bound to a volume"),
        Some("Lost") => no(types::WORKSPACE_BOUND, reasons::LOST, "The claim's volume is lost"),
        _ => no(
            types::WORKSPACE_BOUND,
            reasons::PENDING,
            "The claim waits for its first pod, or for a volume",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longshore_crds::Topic;
    use serde_json::json;

    use super::super::build::bare_spec;
    use super::*;

    fn topic(workspace: Value) -> Topic {
        let mut topic = Topic::new("build", bare_spec());
        topic.metadata.namespace = Some("ns".to_owned());
        topic.metadata.uid = Some("uid".to_owned());
        topic.metadata.generation = Some(1);
        topic.spec.workspace = serde_json::from_value(workspace).unwrap();
        topic
    }

    /// Step and the reasons of `Ready` and `WorkspaceBound`.
    fn check(seen: &Observed, step: Option<&str>, reasons: [&str; 2]) -> Plan {
        let plan = plan(seen, Timestamp::UNIX_EPOCH);
        let name = plan.step.as_ref().map(|step| match step {
            Step::CreateClaim(_) => "create",
            Step::ChangeClaim { .. } => "change",
        });
        let found: Vec<&str> = plan.status.conditions.iter().map(|c| c.reason.as_str()).collect();
        assert_eq!((name, found.as_slice()), (step, &reasons[..]));
        plan
    }

    fn seen(topic: &Topic, claim: Option<PersistentVolumeClaim>) -> Observed {
        Observed {
            topic: Arc::new(topic.clone()),
            claim: claim.map(Arc::new),
            twin: None,
            co_owner: None,
        }
    }

    #[test]
    fn a_claim_is_made_once_and_readiness_does_not_wait_for_its_volume() {
        let topic = topic(json!({}));
        check(&seen(&topic, None), Some("create"), ["ClaimCreated", "Pending"]);
        let mut made = claim(&topic);
        check(&seen(&topic, Some(made.clone())), None, ["ClaimCreated", "Pending"]);
        made.status = serde_json::from_value(json!({ "phase": "Bound" })).unwrap();
        check(&seen(&topic, Some(made)), None, ["ClaimCreated", "Bound"]);
    }

    #[test]
    fn a_claim_follows_its_topic_in_what_can_change() {
        let small = claim(&topic(json!({ "size": "1Gi" })));
        check(
            &seen(&topic(json!({ "size": "2Gi" })), Some(small)),
            Some("change"),
            ["ClaimCreated", "Pending"],
        );
    }

    #[test]
    fn a_topic_whose_volume_cannot_be_resized_stays_usable_and_says_why() {
        let refused = Error::Timeout {
            what: "PersistentVolumeClaim ls-build".to_owned(),
        };
        let hindered = |seen: &Observed| {
            let plan = plan(seen, Timestamp::UNIX_EPOCH).hindered(seen, &refused, Timestamp::UNIX_EPOCH);
            let ready = plan.status.conditions[0].clone();
            assert!(ready.message.contains("took longer than"), "{}", ready.message);
            (ready.status, ready.reason)
        };
        let small = claim(&topic(json!({ "size": "1Gi" })));
        let resized = seen(&topic(json!({ "size": "2Gi" })), Some(small));
        assert_eq!(hindered(&resized), ("True".to_owned(), "ClaimCreated".to_owned()));
        let unmade = seen(&topic(json!({})), None);
        assert_eq!(hindered(&unmade), ("False".to_owned(), "Pending".to_owned()));
    }

    #[test]
    fn a_foreign_claim_is_left_alone() {
        let mut foreign = claim(&topic(json!({})));
        foreign.metadata.labels = None;
        check(
            &seen(&topic(json!({})), Some(foreign.clone())),
            None,
            ["NameConflict", "Pending"],
        );
        let named = topic(json!({ "existingClaim": "mine" }));
        check(&seen(&named, Some(foreign)), None, ["ClaimCreated", "Pending"]);
        check(&seen(&named, None), None, ["ClaimNotFound", "Pending"]);
    }

    #[test]
    fn the_younger_of_two_topics_with_one_binding_is_not_ready() {
        let twin = Observed {
            twin: Some("older".to_owned()),
            ..seen(&topic(json!({})), None)
        };
        check(&twin, None, ["DuplicateBinding", "Pending"]);
    }

    #[test]
    fn the_younger_of_two_topics_with_one_claim_is_not_ready_and_makes_none() {
        let second = Observed {
            co_owner: Some("older".to_owned()),
            ..seen(&topic(json!({})), None)
        };
        check(&second, None, ["NameConflict", "Pending"]);
    }

    #[test]
    fn a_plan_is_a_fixpoint_after_its_own_effects() {
        let mut topic = topic(json!({}));
        let first = check(&seen(&topic, None), Some("create"), ["ClaimCreated", "Pending"]);
        let made = claim(&topic);
        topic.status = Some(first.status.clone());
        let second = plan(&seen(&topic, Some(made)), Timestamp::from_second(99).unwrap());
        assert_eq!(
            second,
            Plan {
                step: None,
                status: first.status,
                news: Vec::new()
            }
        );
    }
}
