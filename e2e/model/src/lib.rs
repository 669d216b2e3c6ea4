//! A stand-in for the Anthropic Messages API, good enough for the real `claude` CLI and fully scripted.
//!
//! What it answers comes, in this order, from rules added at run time, from directives inside the user's own text
//! (`[[bash ls]]`), from the rules it was started with, and from a default that quotes the user. See `README.md`.
//!
//! [`conversation`], [`script`], [`directive`] and [`answer`] are pure; [`gate`], [`journal`] and [`stream`] hold what
//! changes; [`server`] and [`control`] are the HTTP around them and [`client`] the typed way to steer it from a test.

pub mod answer;
pub mod client;
pub mod control;
pub mod conversation;
pub mod directive;
pub mod gate;
pub mod journal;
pub mod script;
pub mod server;
pub mod stream;

pub use client::Client;
pub use script::{Match, Rule, Script, Step};
pub use server::Model;
