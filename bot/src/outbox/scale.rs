//! Time that passes faster than the clock. For tests, which share the factor with the Telegram emulator; 1 otherwise.
//!
//! Budgets, gaps and what Telegram asks to wait are spans of that time; only sleeping is done in real time.

use std::time::Duration;

/// So many seconds pass in a real one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale(f64);

impl Default for Scale {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Scale {
    /// A factor of at least 1; smaller ones count as 1.
    pub fn new(factor: f64) -> Self {
        // Not a number is not greater either.
        Self(if factor > 1.0 { factor.min(1_000.0) } else { 1.0 })
    }

    /// How long a span takes in real time.
    pub fn real(self, span: Duration) -> Duration {
        span.div_f64(self.0)
    }

    /// How much passes in a span of real time.
    pub fn passed(self, real: Duration) -> Duration {
        real.mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_passes_in_seconds_and_nothing_goes_slower_than_the_clock() {
        let (minute, six) = (Duration::from_secs(60), Duration::from_secs(6));
        assert_eq!(
            (Scale::new(10.0).real(minute), Scale::new(10.0).passed(six)),
            (six, minute)
        );
        for odd in [0.0, -3.0, f64::NAN, 0.5] {
            assert_eq!(Scale::new(odd).real(minute), minute, "{odd}");
        }
    }
}
