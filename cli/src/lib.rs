//! The kubectl plugin: sessions from a terminal, with the person's own kubeconfig and rights.
//!
//! Owns how sessions look in a terminal ([`status`], [`story`]), what a person types ([`chat`], [`args`]), and the way to a runner
//! through the API server ([`way`], [`runner`]). Decides nothing about sessions: the operator does; what the plugin writes is a wish
//! in a spec or an annotation; what would become of a message ([`explain`]) the bot's own router says. Text that comes from an agent is shown without control characters ([`plain`]).
//!
//! Fails with a sentence: what did not work, why, and what to do.

pub mod access;
pub mod args;
pub mod change;
pub mod chat;
pub mod cluster;
pub mod explain;
pub mod feed;
pub mod logs;
pub mod plain;
pub mod prompts;
pub mod rotate;
pub mod runner;
pub mod session;
pub mod status;
pub mod story;
pub mod times;
pub mod way;
