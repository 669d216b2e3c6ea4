//! PID 1 of every agent pod: drives the `claude` CLI, keeps the journal, serves HTTP and SSE.
//!
//! Never talks to the Kubernetes API server and holds no credential for it. Everything that decides is pure (`turn`);
//! everything that touches the world is in a module named for what it touches.

pub mod journal;
pub mod turn;
