//! The emulated clock: real time times a factor, plus what a test has advanced it by.
//!
//! Dates, limits and expiry follow it. What a client is told to wait (`retry_after`) is given in its own seconds: real ones, unless
//! the client shares this clock's factor.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug)]
pub struct Clock {
    /// Emulated time at `since`, in milliseconds since 1970.
    base_ms: i64,
    since: Instant,
    factor: f64,
    /// Whether the client's time passes as fast.
    shared: bool,
}

impl Default for Clock {
    fn default() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            base_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
            since: Instant::now(),
            factor: 1.0,
            shared: false,
        }
    }
}

impl Clock {
    pub fn now_ms(&self) -> i64 {
        self.base_ms + (self.since.elapsed().as_secs_f64() * 1_000.0 * self.factor) as i64
    }

    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// From now on `factor` emulated seconds pass in a real one.
    pub fn set_factor(&mut self, factor: f64) {
        self.base_ms = self.now_ms();
        self.since = Instant::now();
        self.factor = factor;
    }

    /// Whether the client's time passes as fast.
    pub fn share(&mut self, shared: bool) {
        self.shared = shared;
    }

    pub fn advance(&mut self, by: Duration) {
        self.base_ms += i64::try_from(by.as_millis()).unwrap_or(0);
    }

    /// An emulated span in seconds of the client.
    pub fn client_seconds(&self, emulated_ms: i64) -> f64 {
        let factor = if self.shared { 1.0 } else { self.factor };
        emulated_ms.max(0) as f64 / 1_000.0 / factor
    }
}
