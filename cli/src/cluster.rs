//! The way to the API server: the person's kubeconfig, and its refusals as sentences.
//!
//! Knows which right each call needs, so that a refusal names the rule that is missing.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};

/// A right that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with a subresource behind a slash.
    pub resource: &'static str,
    /// Only this object.
    pub name: Option<&'static str>,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// What a person has of it: "to ...".
    pub what_for: &'static str,
}

impl Right {
    /// The rule of a Role that gives it.
    pub fn rule(&self) -> String {
        let name = self
            .name
            .map_or_else(String::new, |name| format!(", resourceNames: [{name}]"));
        format!(
            "{{apiGroups: [\"{}\"], resources: [{}]{name}, verbs: [{}]}}",
            self.group,
            self.resource,
            self.verbs.join(", ")
        )
    }
}

/// Rights on Longshore's kinds.
pub mod rights {
    use longshore_wire::token::ACCESS_SECRET;

    use super::Right;

    /// Looking at topics.
    pub const TOPICS: Right = Right {
        group: longshore_crds::GROUP,
        resource: "topics",
        name: None,
        verbs: &["get", "list"],
        what_for: "to see topics",
    };
    /// Looking at sessions, and waiting for them.
    pub const SESSIONS: Right = Right {
        group: longshore_crds::GROUP,
        resource: "persistentsessions",
        name: None,
        verbs: &["get", "list", "watch"],
        what_for: "to see sessions",
    };
    /// Looking at policies.
    pub const POLICIES: Right = Right {
        group: longshore_crds::GROUP,
        resource: "routingpolicies",
        name: None,
        verbs: &["list"],
        what_for: "to see RoutingPolicies",
    };
    /// Ending, suspending and waking sessions.
    pub const CHANGE: Right = Right {
        verbs: &["patch"],
        what_for: "to end, suspend or wake sessions",
        ..SESSIONS
    };
    /// The keys from which topic tokens are made.
    pub const ACCESS: Right = Right {
        group: "",
        resource: "secrets",
        name: Some(ACCESS_SECRET),
        verbs: &["get"],
        what_for: "to talk to agents from a terminal",
    };
    /// Replacing them.
    pub const ROTATE: Right = Right {
        verbs: &["get", "update"],
        what_for: "to rotate keys",
        ..ACCESS
    };
    /// The way into pods.
    pub const FORWARD: Right = Right {
        group: "",
        resource: "pods/portforward",
        name: None,
        verbs: &["get", "create"],
        what_for: "to reach agents from a terminal",
    };
    /// Looking at pods.
    pub const PODS: Right = Right {
        resource: "pods",
        verbs: &["list"],
        what_for: "to see which pods depend on which key",
        ..FORWARD
    };
    /// Looking at what makes pods.
    pub const STATEFUL_SETS: Right = Right {
        group: "apps",
        resource: "statefulsets",
        ..PODS
    };
    /// Looking at what makes pods.
    pub const JOBS: Right = Right {
        group: "batch",
        resource: "jobs",
        ..PODS
    };
}

/// Why the API server did not do something.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no usable kubeconfig.
    #[error("the kubeconfig cannot be used: {0}. Check KUBECONFIG and --context")]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no usable client.
    #[error("no connection can be made with this kubeconfig: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The person may not do it.
    #[error(
        "you have no right {what_for} in namespace {namespace}. Missing is this rule of a Role or ClusterRole: {rule}"
    )]
    Forbidden {
        /// What for.
        what_for: &'static str,
        /// Where.
        namespace: String,
        /// The rule that is missing.
        rule: String,
    },
    /// The kinds are not there.
    #[error("this cluster does not know {0}. Is Longshore installed, and is it the right --context?")]
    NotInstalled(String),
    /// It is not there.
    #[error("{0}")]
    Missing(String),
    /// Somebody else was faster.
    #[error("somebody else changed it at the same time; try again")]
    Conflict,
    /// Everything else.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// Everything else.
    #[error("the API server cannot be asked: {0}")]
    Failed(#[source] Box<kube::Error>),
}

/// A cluster and a namespace of it.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the person's rights.
    pub client: Client,
    /// Namespace.
    pub namespace: String,
}

impl Cluster {
    /// Connects with the kubeconfig, as kubectl finds it.
    pub async fn connect(namespace: Option<String>, context: Option<String>) -> Result<Self, ClusterError> {
        let options = KubeConfigOptions {
            context,
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(Kubeconfig::read()?, &options).await?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?;
        Ok(Self { client, namespace })
    }

    /// Objects of one kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A failed call as what a person can do about it.
    pub fn explain(&self, error: kube::Error, needed: Right) -> ClusterError {
        explain(error, needed, &self.namespace)
    }

    /// The person's name as the API server knows it; none when it does not say.
    pub async fn person(&self) -> Option<String> {
        let review = Api::<SelfSubjectReview>::all(self.client.clone());
        let asked = review
            .create(&Default::default(), &SelfSubjectReview::default())
            .await
            .ok()?;
        asked.status?.user_info?.username
    }
}

/// A failed call as what a person can do about it.
pub fn explain(error: kube::Error, needed: Right, namespace: &str) -> ClusterError {
    let kube::Error::Api(status) = &error else {
        return ClusterError::Failed(Box::new(error));
    };
    match status.code {
        401 => ClusterError::Refused("it does not accept the kubeconfig's credentials; log in again".to_owned()),
        403 => forbidden(needed, namespace),
        // A kind that does not exist is answered in words, without a status object and so without details.
        404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
            ClusterError::NotInstalled(format!("{}.{}", needed.resource, needed.group))
        }
        404 => ClusterError::Missing(format!("{} in namespace {namespace}", status.message)),
        409 => ClusterError::Conflict,
        _ => ClusterError::Refused(status.message.clone()),
    }
}

/// The person lacks a right.
pub fn forbidden(needed: Right, namespace: &str) -> ClusterError {
    ClusterError::Forbidden {
        what_for: needed.what_for,
        namespace: namespace.to_owned(),
        rule: needed.rule(),
    }
}
