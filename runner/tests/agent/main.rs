//! The runner with the real claude CLI and the model stand-in.

mod conversation;
mod crashes;
mod hostile;
mod people;
mod secrets;
mod support;
mod task;
mod trouble;
mod winding;
