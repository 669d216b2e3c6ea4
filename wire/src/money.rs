//! Money as it crosses processes: US dollars as a decimal string, counted in whole billionths so that sums do not drift.

use std::fmt;
use std::iter::Sum;

const NANO: u64 = 1_000_000_000;

/// An amount of US dollars. Sums stop at the largest amount instead of starting over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd {
    nano: u64,
}

impl Usd {
    /// From claude's own floating-point figure, which is never trusted to be sane: negative and not-a-number are nothing.
    pub fn from_f64(usd: f64) -> Self {
        // The cast saturates.
        let nano = (usd * NANO as f64).round() as u64;
        Self { nano }
    }

    /// Reads a decimal; what is none is nothing. Digits beyond the ninth are dropped.
    pub fn read(decimal: &str) -> Self {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        let fraction = format!("{fraction:0<9}");
        let whole: u64 = whole.parse().unwrap_or(0);
        let fraction: u64 = fraction.get(..9).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Self {
            nano: whole.saturating_mul(NANO).saturating_add(fraction),
        }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_add(other.nano),
        }
    }

    /// The difference; none when there would be a debt.
    pub fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            nano: self.nano.checked_sub(other.nano)?,
        })
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Self::plus)
    }
}

/// The shortest decimal.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.nano / NANO, self.nano % NANO);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_short_decimal_and_reads_back() {
        for (nano, text) in [
            (0, "0"),
            (7_400_000, "0.0074"),
            (1_500_000_000, "1.5"),
            (NANO, "1"),
            (1, "0.000000001"),
        ] {
            assert_eq!(Usd { nano }.to_string(), text);
            assert_eq!(Usd::read(text), Usd { nano });
        }
        assert_eq!(Usd::from_f64(0.007_399_999_999_999_999_5).to_string(), "0.0074");
        assert_eq!(Usd::from_f64(f64::NAN), Usd::default());
        assert_eq!(Usd::from_f64(-1.0), Usd::default());
        assert_eq!(Usd::read("garbage"), Usd::default());
    }

    #[test]
    fn sums_are_exact_and_stop_at_the_largest() {
        // The same in floating point is 0.7999999999999999.
        let tenths = std::iter::repeat_n(Usd::read("0.1"), 8);
        assert_eq!(tenths.sum::<Usd>().to_string(), "0.8");
        let most = Usd { nano: u64::MAX };
        assert_eq!(most.plus(Usd::read("1")), most);
        assert_eq!(Usd::read("1").minus(Usd::read("0.4")), Some(Usd::read("0.6")));
        assert_eq!(Usd::read("1").minus(Usd::read("1.1")), None);
    }
}
