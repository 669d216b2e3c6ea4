//! Times as people say them. Pure: `now` comes in.

use jiff::{SignedDuration, Timestamp};

/// Time between two moments in one or two units, e.g. `42s`, `5m`, `3h10m`, `2d4h`; `0s` when they come in the wrong order.
pub fn age(from: Timestamp, to: Timestamp) -> String {
    span(to.duration_since(from).max(SignedDuration::ZERO))
}

/// A moment to come: `in 5m`, or `now`.
pub fn ahead(at: Timestamp, now: Timestamp) -> String {
    match at.duration_since(now) {
        left if left.as_secs() > 0 => format!("in {}", span(left)),
        _ => "now".to_owned(),
    }
}

/// A moment that has been: `5m ago`, or `now`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at) {
        past if past.as_secs() > 0 => format!("{} ago", span(past)),
        _ => "now".to_owned(),
    }
}

fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m"),
        7200..172_800 => two(hours, 'h', minutes % 60, 'm'),
        _ => two(days, 'd', hours % 24, 'h'),
    }
}

fn two(large: i64, unit: char, small: i64, small_unit: char) -> String {
    match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_those_of_kubectl() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let ages = [0, 119, 120, 7199, 7200, 11_400, 172_800, 190_800].map(|seconds| age(at(0), at(seconds)));
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "3h10m", "2d", "2d5h"]);
        assert_eq!(
            (ahead(at(90), at(0)), ahead(at(0), at(9))),
            ("in 90s".to_owned(), "now".to_owned())
        );
        assert_eq!(
            (ago(at(0), at(90)), ago(at(9), at(0)), age(at(9), at(0))),
            ("90s ago".to_owned(), "now".to_owned(), "0s".to_owned())
        );
    }
}
