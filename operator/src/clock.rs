//! The time that reconcilers decide by.
//!
//! A pass reads it once and hands it on as `now`. In the simulation it is set by hand, forwards and backwards.

use jiff::Timestamp;
#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine.
    System,
    /// Milliseconds since the epoch that a test sets.
    #[cfg(test)]
    Set(Arc<AtomicI64>),
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            #[cfg(test)]
            Self::Set(milliseconds) => {
                Timestamp::from_millisecond(milliseconds.load(Ordering::Relaxed)).expect("tests set times of this era")
            }
        }
    }
}
