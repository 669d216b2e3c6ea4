//! The StatefulSet of a session. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::{Resource, ResourceExt};
use longshore_crds::{AgentClass, Topic, meta, names};
use longshore_wire::agent::AgentKind;

use super::observe::Observed;
use crate::fingerprint::fingerprint;
use crate::pod::{Agent, labels, template};
use crate::settings::Settings;
use crate::topic::claim_name;

/// None when the session has no UID, which no session of an API server lacks.
pub fn stateful_set(
    seen: &Observed,
    topic: &Topic,
    class: &AgentClass,
    token_sha256: &[String],
    settings: &Settings,
) -> Option<StatefulSet> {
    let (namespace, name) = (seen.namespace(), seen.session.name_any());
    let (topic_name, claim, class_name) = (topic.name_any(), claim_name(topic), class.name_any());
    let topic_uid = topic.uid().unwrap_or_default();
    let agent = Agent {
        kind: AgentKind::Session,
        namespace: &namespace,
        name: &name,
        uid: seen.uid()?,
        topic: &topic_name,
        topic_uid: &topic_uid,
        topic_instructions: topic.spec.instructions.as_ref(),
        repository: topic.spec.repository.as_ref(),
        claim: &claim,
        class_name: &class_name,
        class: &class.spec,
        token_sha256,
        // A session has its own conversation.
        history: None,
        escalation: None,
        sends_files: topic.spec.telegram.is_some(),
        read_only: None,
        when: None,
    };
    let template = template(&agent, settings);
    Some(StatefulSet {
        metadata: ObjectMeta {
            name: Some(names::stateful_set(&topic_name)),
            namespace: Some(namespace.clone()),
            labels: Some(labels(&agent)),
            annotations: Some(BTreeMap::from([(meta::SPEC_HASH.to_owned(), fingerprint(&template))])),
            owner_references: seen.session.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(names::AGENT_SERVICE.to_owned()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([(meta::UID_LABEL.to_owned(), agent.uid.to_string())])),
                ..LabelSelector::default()
            },
            template,
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// The one write that brings a stopped StatefulSet up again, with the template as it shall be now.
pub fn started_again(stopped: &StatefulSet, wanted: &StatefulSet) -> StatefulSet {
    let mut next = stopped.clone();
    next.metadata.labels = wanted.metadata.labels.clone();
    next.metadata
        .annotations
        .get_or_insert_default()
        .extend(wanted.metadata.annotations.clone().unwrap_or_default());
    if let (Some(spec), Some(wanted)) = (&mut next.spec, &wanted.spec) {
        spec.replicas = Some(1);
        spec.template = wanted.template.clone();
    }
    next
}
