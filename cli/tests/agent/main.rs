//! Conversations and journals with a real runner, the real claude CLI and the model stand-in. The way to the runner is a local
//! connection instead of a port-forward.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "this is a test")]

mod conversation;
mod journal;
mod scripted;
mod support;
