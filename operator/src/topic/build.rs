//! The volume claim of a topic. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use longshore_crds::{ReclaimPolicy, Topic, meta, names};
use serde_json::{Value, json};

use crate::fingerprint::fingerprint;

const DEFAULT_SIZE: &str = "10Gi";

/// Name of the claim, ours or an existing one.
pub fn claim_name(topic: &Topic) -> String {
    topic
        .spec
        .workspace
        .existing_claim
        .clone()
        .unwrap_or_else(|| names::claim(&topic.name_any()))
}

/// The claim to make.
pub fn claim(topic: &Topic) -> PersistentVolumeClaim {
    let workspace = &topic.spec.workspace;
    let modes = workspace
        .access_modes
        .as_ref()
        .filter(|modes| !modes.is_empty())
        .map_or_else(
            || vec!["ReadWriteOnce".to_owned()],
            |modes| modes.iter().map(|mode| mode.as_ref().to_owned()).collect(),
        );
    let labels = [meta::MANAGED_BY, (meta::TOPIC_LABEL, &topic.name_any())];
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim_name(topic)),
            namespace: topic.namespace(),
            labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
            annotations: Some(BTreeMap::from([(meta::SPEC_HASH.to_owned(), hash(topic))])),
            owner_references: owner(topic).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(modes),
            storage_class_name: workspace.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size(topic)))])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// What may change about a claim: its size and whether it goes with the Topic. Class and access modes of a claim are
/// immutable, so later changes of them reach only a claim that is made anew.
pub fn claim_change(topic: &Topic) -> Value {
    json!({
        "metadata": {
            "annotations": { meta::SPEC_HASH: hash(topic) },
            "ownerReferences": owner(topic).map(|owner| vec![owner]),
        },
        "spec": { "resources": { "requests": { "storage": size(topic) } } },
    })
}

/// Hash of what may change.
pub fn hash(topic: &Topic) -> String {
    fingerprint(&(size(topic), owner(topic)))
}

fn size(topic: &Topic) -> String {
    topic
        .spec
        .workspace
        .size
        .clone()
        .unwrap_or_else(|| DEFAULT_SIZE.to_owned())
}

fn owner(topic: &Topic) -> Option<OwnerReference> {
    let delete = topic.spec.workspace.reclaim_policy == Some(ReclaimPolicy::Delete);
    delete.then(|| topic.controller_owner_ref(&())).flatten()
}

#[cfg(test)]
pub(super) fn bare_spec() -> longshore_crds::TopicSpec {
    serde_json::from_value(json!({})).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_goes_with_its_topic_only_when_asked_to() {
        let mut topic = Topic::new("build", bare_spec());
        topic.metadata.namespace = Some("ns".to_owned());
        topic.metadata.uid = Some("uid".to_owned());
        insta::assert_yaml_snapshot!(claim(&topic));
        topic.spec.workspace.reclaim_policy = Some(ReclaimPolicy::Delete);
        assert_eq!(claim(&topic).owner_references()[0].uid, "uid");
    }
}
