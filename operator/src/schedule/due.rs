//! Which run is due. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::calendar::Calendar;

/// What is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// This run. `earlier` is the last of those before it that were missed, too, and are not made up for.
    Run {
        at: Timestamp,
        earlier: Option<Timestamp>,
    },
    /// This run was, but it is too late for it.
    TooLate(Timestamp),
}

/// Of all runs after `done` that are due the latest counts, if it is not later than `deadline` after its time. When the clock
/// was set back nothing is due before it is past `done` again.
pub fn due(calendar: &Calendar, done: Timestamp, deadline: Option<Duration>, now: Timestamp) -> Due {
    let Some(at) = calendar.latest(now).filter(|at| *at > done) else {
        return Due::Nothing;
    };
    if deadline.is_some_and(|deadline| now > at + deadline) {
        return Due::TooLate(at);
    }
    let earlier = calendar.before(at).filter(|before| *before > done);
    Due::Run { at, earlier }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().expect("a time")
    }

    fn check(done: &str, deadline: Option<u64>, now: &str, expected: Due) {
        let calendar = Calendar::read("0 * * * *", "UTC").unwrap();
        let found = due(&calendar, at(done), deadline.map(Duration::from_secs), at(now));
        assert_eq!(found, expected, "{done} {deadline:?} {now}");
    }

    #[test]
    fn a_run_is_due_from_its_second_on() {
        let run = Due::Run {
            at: at("09:00:00"),
            earlier: None,
        };
        check("08:00:00", None, "08:59:59", Due::Nothing);
        check("08:00:00", None, "09:00:00", run);
        check("08:00:00", None, "09:00:00.5", run);
        check("09:00:00", None, "09:00:00.5", Due::Nothing);
        check("08:30:00", Some(10), "09:00:10", run);
        check("08:30:00", Some(10), "09:00:10.001", Due::TooLate(at("09:00:00")));
    }

    #[test]
    fn of_several_only_the_latest_is_due() {
        let run = Due::Run {
            at: at("12:00:00"),
            earlier: Some(at("11:00:00")),
        };
        check("08:00:00", None, "12:10:00", run);
        check("08:00:00", Some(600), "12:10:00", run);
        check("08:00:00", Some(599), "12:10:00", Due::TooLate(at("12:00:00")));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_due_again() {
        check("12:00:00", None, "11:30:00", Due::Nothing);
        check("12:00:00", None, "12:00:00", Due::Nothing);
        let next = Due::Run {
            at: at("13:00:00"),
            earlier: None,
        };
        check("12:00:00", None, "13:00:00", next);
    }
}
