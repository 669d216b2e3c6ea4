//! Longshore's bot: the Telegram edge and the mode router.
//!
//! Invariants: it never touches a pod, a Job or a StatefulSet; every message is in the store before Telegram forgets it;
//! text of an answer goes out only by edits of a message whose id is in the store; routing does no IO.

pub mod chat;
pub mod render;
pub mod telegram;
pub mod outbox;
pub mod route;
pub mod conversation;
pub mod store;
pub mod agent;
pub mod cluster;
