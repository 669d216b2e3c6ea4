//! Longshore's bot: the Telegram edge and the mode router.
//!
//! The way of a message: [`intake`] puts it into the [`store`], [`gather`] waits for the rest of it, [`dispatch`] lets the router ([`longshore_routing`]) decide, a [`lane`] carries the
//! decision out in the [`cluster`] or at a runner ([`agent`]), after [`wake`] where that sleeps; [`observe`] and [`follow`] hear what becomes of it,
//! [`conversation`] says what that looks like, [`render`] formats it, the [`outbox`] shows it, and the [`courier`] records
//! that it was shown.
//!
//! Invariants: it never touches a pod, a Job or a StatefulSet; a message is in the store before Telegram forgets it; text
//! goes out only by edits of a message whose id is in the store, a file in one call under a name that stays; rendering, pacing and the conversation do no IO.

pub mod agent;
pub mod background;
pub mod bot;
pub mod chat;
pub mod cluster;
pub mod command;
pub mod conversation;
pub mod courier;
pub mod deliver;
pub mod dispatch;
pub mod door;
pub mod download;
pub mod edit;
pub mod escalate;
pub mod express;
pub mod farewell;
pub mod follow;
pub mod gather;
pub mod grants;
pub mod handover;
pub mod health;
pub mod hear;
pub mod intake;
pub mod judge;
pub mod lane;
pub mod menu;
pub mod migrate;
pub mod moved;
pub mod observe;
pub mod offer;
pub mod outbox;
pub mod policies;
pub mod press;
pub mod preview;
pub mod reach;
pub mod render;
pub mod run;
pub mod running;
pub mod sent;
pub mod settings;
pub mod situation;
pub mod store;
pub mod telegram;
pub mod timer;
pub mod transcribe;
pub mod wake;
pub mod words;
