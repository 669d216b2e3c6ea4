//! The claude process: how it is started, what it is told about itself, and what its files say.
//!
//! Knows nothing of HTTP or of turns. What claude prints is handed on as typed lines.

pub mod environment;
pub mod instructions;
pub mod process;
pub mod processes;
pub mod question;
pub mod reaper;
pub mod transcript;
