//! The JSON that crosses Longshore's processes.
//!
//! Owns the shapes of the runner's HTTP API ([`api`]), of its event stream ([`event`]), of the notices it posts to the
//! operator ([`notice`]), the questions inside a prompt ([`question`]), the
//! authors of messages ([`author`]), how earlier words are quoted ([`quote`]), names of files that are safe to use ([`file_name`]), of
//! what the operator tells a new pod ([`agent`]), the topic tokens ([`token`]), and the lines
//! that the `claude` CLI reads and writes ([`claude`]).
//!
//! Knows nothing of Kubernetes, Telegram, HTTP servers or clocks. Decoding never panics; every reader ignores fields and
//! kinds that it does not know, so that two neighbouring versions can talk.
#![deny(missing_docs)]

pub mod agent;
pub mod api;
pub mod author;
pub mod claude;
pub mod event;
pub mod file_name;
pub mod money;
pub mod notice;
pub mod question;
pub mod quote;
pub mod token;

pub use agent::AgentConfig;
pub use api::MessageId;
pub use event::{Event, Record};

/// TCP port on which every runner serves its API.
pub const RUNNER_PORT: u16 = 7411;
/// TCP port on which the operator takes notices and serves health and metrics.
pub const OPERATOR_PORT: u16 = 7412;
