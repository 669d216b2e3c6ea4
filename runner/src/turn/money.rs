//! Sums of tokens and of money.

use longshore_wire::api::Usage;
use longshore_wire::claude::TurnResult;
use longshore_wire::money::Usd;

/// A running sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    turns: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost: Usd,
    /// claude's own last sum, for versions that do not say what one turn cost.
    claude_cost: Usd,
}

impl Total {
    /// Adds a turn of an earlier life.
    pub fn add(&mut self, usage: &Usage) {
        self.turns += usage.turns;
        self.input_tokens += usage.input_tokens;
        self.output_tokens += usage.output_tokens;
        self.cost = self.cost.plus(Usd::read(&usage.cost_usd));
        self.claude_cost = self.cost;
    }

    /// Adds the turn that this line ends, and returns its own use.
    ///
    /// claude's `total_cost_usd` is a sum over resumes too, but a killed process forgets what it had not saved, so the
    /// figure for this turn alone is used where claude gives one.
    pub fn add_result(&mut self, result: &TurnResult) -> Usage {
        let sum = Usd::from_f64(result.total_cost_usd);
        let cost: Usd = match &result.model_usage_since_last_result {
            Some(models) => models.values().map(|model| Usd::from_f64(model.cost_usd)).sum(),
            None => sum.minus(self.claude_cost).unwrap_or(sum),
        };
        let tokens = &result.usage;
        let usage = Usage {
            turns: 1,
            input_tokens: tokens.input_tokens + tokens.cache_creation_input_tokens + tokens.cache_read_input_tokens,
            output_tokens: tokens.output_tokens,
            cost_usd: cost.to_string(),
        };
        self.add(&usage);
        self.claude_cost = sum;
        usage
    }

    /// The sum.
    pub fn to_wire(self) -> Usage {
        Usage {
            turns: self.turns,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost_usd: self.cost.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
