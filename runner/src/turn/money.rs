//! Sums of tokens and of money. Money is counted in whole billionths of a US dollar, so that sums do not drift.

use longshore_wire::api::Usage;
use longshore_wire::claude::TurnResult;

const NANO: u64 = 1_000_000_000;

/// A running sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    turns: u64,
    input_tokens: u64,
    output_tokens: u64,
    nano_usd: u64,
    /// claude's own last sum, for versions that do not say what one turn cost.
    claude_nano_usd: u64,
}

impl Total {
    /// Adds a turn of an earlier life.
    pub fn add(&mut self, usage: &Usage) {
        self.turns += usage.turns;
        self.input_tokens += usage.input_tokens;
        self.output_tokens += usage.output_tokens;
        self.nano_usd += parse(&usage.cost_usd);
        self.claude_nano_usd = self.nano_usd;
    }

    /// Adds the turn that this line ends, and returns its own use.
    ///
    /// claude's `total_cost_usd` is a sum over resumes too, but a killed process forgets what it had not saved, so the
    /// figure for this turn alone is used where claude gives one.
    pub fn add_result(&mut self, result: &TurnResult) -> Usage {
        let sum = nano(result.total_cost_usd);
        let cost = match &result.model_usage_since_last_result {
            Some(models) => models.values().map(|model| nano(model.cost_usd)).sum(),
            None if sum >= self.claude_nano_usd => sum - self.claude_nano_usd,
            None => sum,
        };
        let tokens = &result.usage;
        let usage = Usage {
            turns: 1,
            input_tokens: tokens.input_tokens + tokens.cache_creation_input_tokens + tokens.cache_read_input_tokens,
            output_tokens: tokens.output_tokens,
            cost_usd: format(cost),
        };
        self.add(&usage);
        self.claude_nano_usd = sum;
        usage
    }

    /// The sum.
    pub fn to_wire(self) -> Usage {
        Usage {
            turns: self.turns,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost_usd: format(self.nano_usd),
        }
    }
}

/// No use at all, of a turn that did or did not run.
pub fn nothing(turns: u64) -> Usage {
    Usage {
        turns,
        cost_usd: "0".to_owned(),
        ..Usage::default()
    }
}

fn nano(usd: f64) -> u64 {
    // The cast saturates: negative and not-a-number become 0. A figure of claude's is never trusted to be sane.
    (usd * NANO as f64).round() as u64
}

fn format(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / NANO, nano % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse(decimal: &str) -> u64 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let fraction = format!("{fraction:0<9}");
    let whole: u64 = whole.parse().unwrap_or(0);
    let fraction: u64 = fraction.get(..9).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    whole.saturating_mul(NANO).saturating_add(fraction)
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
            assert_eq!(format(nano), text);
            assert_eq!(parse(text), nano);
        }
        assert_eq!(nano(0.007_399_999_999_999_999_5), 7_400_000);
        assert_eq!(nano(f64::NAN), 0);
        assert_eq!(nano(-1.0), 0);
        assert_eq!(parse("garbage"), 0);
    }

    #[test]
    fn the_cost_of_a_turn_is_the_difference_of_the_sums() {
        let mut total = Total::default();
        let result = |sum| TurnResult {
            total_cost_usd: sum,
            ..TurnResult::default()
        };
        assert_eq!(total.add_result(&result(0.01)).cost_usd, "0.01");
        assert_eq!(total.add_result(&result(0.015)).cost_usd, "0.005");
        assert_eq!(
            total.add_result(&result(0.002)).cost_usd,
            "0.002",
            "a killed process forgot its sum"
        );
        assert_eq!(total.to_wire().cost_usd, "0.017");
    }
}
