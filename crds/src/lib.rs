//! Longshore's API types, group `longshore.dev/v1alpha1`.
//!
//! Owns the kinds ([`AgentClass`], [`Topic`], [`ContainerTask`], [`PersistentSession`], [`RoutingPolicy`],
//! [`ScheduledTask`]) with their schema, CEL rules,
//! columns, condition types and reasons ([`conditions`]), labels and annotations ([`meta`]), and the names of everything
//! that is derived from them ([`names`]).
//!
//! Knows no client, no runtime and no IO: kube's `client` feature is never enabled here. The doc comments of spec and
//! status fields are the user manual; `kubectl explain` prints them.
#![deny(missing_docs)]

mod agent_class;
pub mod conditions;
mod container_task;
mod manifests;
pub mod meta;
pub mod names;
mod persistent_session;
mod routing_policy;
mod scheduled_task;
mod shared;
mod topic;
mod topic_template;
pub mod wish;

pub use agent_class::*;
pub use container_task::*;
pub use manifests::{all_crds, to_yaml};
pub use persistent_session::*;
pub use routing_policy::*;
pub use scheduled_task::*;
pub use shared::*;
pub use topic::*;
pub use topic_template::*;

/// API group of all kinds.
pub const GROUP: &str = "longshore.dev";
/// API version of all kinds.
pub const VERSION: &str = "v1alpha1";
