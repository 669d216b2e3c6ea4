//! The edge to Telegram: raw updates in, a handful of calls out.
//!
//! Owns the HTTP client ([`client`], [`payload`]), what the calls and their errors mean ([`error`]) and how an update is read
//! ([`update`]: [`content`], [`person`], [`reference`](mod@reference)). Knows nothing of Kubernetes, routing or the store. Fails with
//! [`error::CallError`], which says what the caller may do next; it never retries by itself, because a retry costs budget that only
//! the outbox knows.

pub mod client;
pub mod content;
pub mod error;
mod forward;
mod payload;
pub mod person;
pub mod reference;
pub mod update;

pub use client::Telegram;
pub use error::CallError;

#[cfg(test)]
mod corpus;
