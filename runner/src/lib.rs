//! PID 1 of every agent pod: drives the `claude` CLI, keeps the journal, serves HTTP and SSE.
//!
//! Never talks to the Kubernetes API server and holds no credential for it. What decides is pure (`turn`); what touches
//! the world is in a module named for what it touches.

pub mod claude;
pub mod git;
pub mod history;
pub mod http;
pub mod journal;
pub mod lifecycle;
pub mod memory;
pub mod notice;
pub mod outgoing;
pub mod owed;
pub mod proxy;
pub mod replay;
pub mod repository;
pub mod serve;
pub mod settings;
pub mod state;
pub mod turn;
pub mod volume;
pub mod when;
