//! A RoutingPolicy as it is stored.
//!
//! The spec stays JSON: what is wrong with a policy that this program cannot read must be said in its status, and must not hide the
//! other policies.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::TypeMeta;
use kube::core::object::HasStatus;
use longshore_crds::{RoutingPolicy, RoutingPolicyStatus};
use longshore_routing::PolicySource;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A RoutingPolicy whose spec was not read yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPolicy {
    #[serde(flatten, default)]
    types: Option<TypeMeta>,
    metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Value,
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub status: Option<RoutingPolicyStatus>,
}

/// A status that was written by another version is written anew.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RoutingPolicyStatus>, D::Error> {
    let status = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(status).ok())
}

impl StoredPolicy {
    /// For the router.
    pub fn source(&self) -> PolicySource {
        PolicySource {
            name: self.metadata.name.clone().unwrap_or_default(),
            spec: self.spec.clone(),
        }
    }

    /// Whether one of its rules or templates names a class.
    pub fn names_class(&self, class: &str) -> bool {
        let named = |list: &str, pointer: &str| {
            let entries = self.spec.get(list).and_then(Value::as_array).into_iter().flatten();
            let mut named = entries.filter_map(|entry| entry.pointer(pointer)?.as_str());
            named.any(|named| named == class)
        };
        named("rules", "/action/agentClassName") || named("topicTemplates", "/topic/agentClassName")
    }
}

impl Resource for StoredPolicy {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        RoutingPolicy::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        RoutingPolicy::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        RoutingPolicy::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        RoutingPolicy::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl HasStatus for StoredPolicy {
    type Status = RoutingPolicyStatus;

    fn status(&self) -> Option<&RoutingPolicyStatus> {
        self.status.as_ref()
    }

    fn status_mut(&mut self) -> &mut Option<RoutingPolicyStatus> {
        &mut self.status
    }
}
