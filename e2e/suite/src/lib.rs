//! End-to-end tests, measurements and the demo: Longshore as its users install it, on a real cluster.
//!
//! Owns the way to the cluster ([`cluster`]), one installation per test ([`install`]), the local ends of pods' ports
//! ([`forward`]), and the counts taken from the audit log ([`audit`]). The product is used through its chart, its kinds,
//! its chat and its images only; nothing here links the operator, the bot or the runner.
//!
//! Every wait has a deadline. A failing test prints what `kubectl` would have shown.

pub mod admission;
pub mod audit;
pub mod chat;
pub mod cluster;
pub mod forward;
pub mod golden;
pub mod install;
pub mod kinds;
pub mod outside;
pub mod plugin;
pub mod pods;
pub mod processes;
pub mod runner;
pub mod table;
