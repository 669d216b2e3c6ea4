//! A stand-in for Telegram's Bot API servers, with forum topics, long polling, limits and faults.
//!
//! One emulator serves one bot and the people it talks to. [`world`] holds what exists; [`methods`] are the Bot API's
//! methods on it, [`control`] is what people and tests do to it; [`server`] is the HTTP around both and [`client`] the typed
//! way to steer it from a test. State is in memory only. See `README.md` for what is modelled and what is not.

pub mod calls;
pub mod client;
pub mod clock;
pub mod control;
pub mod entities;
pub mod error;
pub mod faults;
pub mod limits;
pub mod methods;
mod page;
pub mod params;
pub mod render;
pub mod server;
pub mod updates;
pub mod world;

pub use client::Client;
pub use server::{Emulator, Options};
