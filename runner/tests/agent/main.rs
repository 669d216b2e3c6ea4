//! The runner with the real claude CLI and the model stand-in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "this is a test")]

mod conversation;
mod crashes;
mod escalation;
mod files;
mod git_server;
mod hostile;
mod idle;
mod memory;
mod notices;
mod people;
mod repository;
mod secrets;
mod space;
mod steps;
mod summaries;
mod support;
mod task;
mod trouble;
mod when;
mod winding;
