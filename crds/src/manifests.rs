//! The kinds as CustomResourceDefinition manifests.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{AgentClass, ContainerTask, PersistentSession, RoutingPolicy, ScheduledTask, Topic};

/// All kinds, in the order in which people read them.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![
        AgentClass::crd(),
        Topic::crd(),
        ContainerTask::crd(),
        PersistentSession::crd(),
        RoutingPolicy::crd(),
        ScheduledTask::crd(),
    ]
}

/// The manifest as it stands under `manifests/crds` and in the chart.
///
/// # Errors
/// Only when a value cannot be written as YAML, which a test rules out.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let body = serde_saphyr::to_string(crd)?;
    Ok(format!(
        "# Generated from crds/src; UPDATE_GOLDEN=1 cargo test -p longshore-crds writes it anew.\n{body}"
    ))
}
