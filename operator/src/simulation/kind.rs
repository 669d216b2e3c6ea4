//! The kinds that the model knows.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use longshore_crds::{AgentClass, ContainerTask, PersistentSession, Topic};
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Class,
    Topic,
    Task,
    Session,
    Claim,
    Job,
    Set,
    Pod,
    Policy,
    Service,
    Secret,
    Node,
}

/// Kinds that have a cache.
pub const WATCHED: [Kind; 9] = [
    Kind::Class,
    Kind::Topic,
    Kind::Task,
    Kind::Session,
    Kind::Claim,
    Kind::Job,
    Kind::Set,
    Kind::Pod,
    Kind::Policy,
];

/// An object as the operator's caches hold it.
pub enum Typed {
    Class(AgentClass),
    Topic(Topic),
    Task(ContainerTask),
    Session(PersistentSession),
    Claim(PersistentVolumeClaim),
    Job(Job),
    Set(StatefulSet),
    Pod(Pod),
    Policy(NetworkPolicy),
    Other,
}

const ALL: [(Kind, &str, &str, &str); 12] = [
    (Kind::Class, "agentclasses", "AgentClass", "longshore.dev/v1alpha1"),
    (Kind::Topic, "topics", "Topic", "longshore.dev/v1alpha1"),
    (Kind::Task, "containertasks", "ContainerTask", "longshore.dev/v1alpha1"),
    (
        Kind::Session,
        "persistentsessions",
        "PersistentSession",
        "longshore.dev/v1alpha1",
    ),
    (Kind::Claim, "persistentvolumeclaims", "PersistentVolumeClaim", "v1"),
    (Kind::Job, "jobs", "Job", "batch/v1"),
    (Kind::Set, "statefulsets", "StatefulSet", "apps/v1"),
    (Kind::Pod, "pods", "Pod", "v1"),
    (Kind::Policy, "networkpolicies", "NetworkPolicy", "networking.k8s.io/v1"),
    (Kind::Service, "services", "Service", "v1"),
    (Kind::Secret, "secrets", "Secret", "v1"),
    (Kind::Node, "nodes", "Node", "v1"),
];

fn read<'a, T: Deserialize<'a>>(value: &'a Value) -> T {
    T::deserialize(value).unwrap_or_else(|e| panic!("the model made an object that cannot be read: {e}: {value}"))
}

impl Kind {
    pub fn of(plural: &str) -> Option<Self> {
        ALL.iter().find(|row| row.1 == plural).map(|row| row.0)
    }

    fn row(self) -> &'static (Kind, &'static str, &'static str, &'static str) {
        ALL.iter()
            .find(|row| row.0 == self)
            .expect("all kinds are in the table")
    }

    pub fn plural(self) -> &'static str {
        self.row().1
    }

    pub fn name(self) -> &'static str {
        self.row().2
    }

    pub fn api_version(self) -> &'static str {
        self.row().3
    }

    /// Whether a status in a create is ignored. The model's own controllers write theirs later, as the real ones do.
    pub fn has_status(self) -> bool {
        !matches!(self, Self::Secret | Self::Policy)
    }

    /// The same as `read`, for a version with the spec of an earlier one: pod templates are long, and statuses change often.
    pub fn read_over(before: &Typed, value: &Value) -> Option<Typed> {
        Some(match before {
            Typed::Job(before) => Typed::Job(Job {
                metadata: read(&value["metadata"]),
                spec: before.spec.clone(),
                status: read(&value["status"]),
            }),
            Typed::Set(before) => Typed::Set(StatefulSet {
                metadata: read(&value["metadata"]),
                spec: before.spec.clone(),
                status: read(&value["status"]),
            }),
            _ => return None,
        })
    }

    pub fn read(self, value: &Value) -> Typed {
        match self {
            Self::Class => Typed::Class(read(value)),
            Self::Topic => Typed::Topic(read(value)),
            Self::Task => Typed::Task(read(value)),
            Self::Session => Typed::Session(read(value)),
            Self::Claim => Typed::Claim(read(value)),
            Self::Job => Typed::Job(read(value)),
            Self::Set => Typed::Set(read(value)),
            Self::Pod => Typed::Pod(read(value)),
            Self::Policy => Typed::Policy(read(value)),
            Self::Service | Self::Secret | Self::Node => Typed::Other,
        }
    }
}
