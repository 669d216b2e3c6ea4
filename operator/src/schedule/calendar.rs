//! When a schedule comes true, in its time zone. Pure: time zones are those that were built in.
//!
//! What happens when clocks are put forward or back is croner's rule, which is Vixie cron's: a fixed time (one minute and one
//! hour) that does not exist moves to the first minute after the gap, and one that comes twice counts the first time. A
//! repeated one (`*`, `/`, `,` or `-` in minute or hour) has no run in the gap and runs in both of two equal hours.

use std::sync::LazyLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use crate::conditions::whole_seconds;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A schedule that was understood.
#[derive(Clone, Debug)]
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

/// Why it was not. The text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("schedule {given:?} cannot be read ({why}); {WRITE}")]
    Schedule { given: String, why: String },
    #[error("schedule {0:?} never comes true; write a day that the month has")]
    Never(String),
    #[error("timeZone {0:?} is not known; write an IANA name such as Europe/Berlin, America/New_York or UTC")]
    TimeZone(String),
}

const WRITE: &str = "write five fields, minute hour day-of-month month day-of-week, such as '0 9 * * 1-5' for nine o'clock on workdays, or one of @hourly, @daily, @weekly, @monthly, @yearly";

impl Calendar {
    pub fn read(schedule: &str, zone: &str) -> Result<Self, Unreadable> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(schedule.trim()).map_err(|error| Unreadable::Schedule {
            given: schedule.to_owned(),
            why: error.to_string().trim_end_matches('.').to_owned(),
        })?;
        let zone = ZONES.get(zone).map_err(|_| Unreadable::TimeZone(zone.to_owned()))?;
        Ok(Self { cron, zone })
    }

    /// The first run after this time; none when there never is one.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&self.local(after), false);
        next.ok().map(|at| at.timestamp())
    }

    /// The last run at this time or before it.
    pub fn latest(&self, at: Timestamp) -> Option<Timestamp> {
        let latest = self.cron.find_previous_occurrence(&self.local(at), true);
        latest.ok().map(|at| at.timestamp())
    }

    /// The last run before this one.
    pub fn before(&self, run: Timestamp) -> Option<Timestamp> {
        let before = self.cron.find_previous_occurrence(&self.local(run), false);
        before.ok().map(|at| at.timestamp())
    }

    /// A time as clocks show it there, e.g. `2026-03-29T09:00:00+02:00`.
    pub fn show(&self, at: Timestamp) -> String {
        self.local(at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    fn local(&self, at: Timestamp) -> Zoned {
        whole_seconds(at).to_zoned(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "Europe/Berlin";
    const NEW_YORK: &str = "America/New_York";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The runs after `from` and until `to`, found forwards, as clocks there show them; and the same backwards.
    fn check(schedule: &str, zone: &str, [from, to]: [&str; 2], expected: &[&str]) {
        let calendar = Calendar::read(schedule, zone).unwrap();
        let (from, to) = (at(from), at(to));
        let show = |runs: Vec<Timestamp>| runs.into_iter().map(|run| calendar.show(run)).collect::<Vec<_>>();
        let forwards = std::iter::successors(calendar.next(from), |run| calendar.next(*run));
        let forwards: Vec<Timestamp> = forwards.take_while(|run| *run <= to).collect();
        let backwards = std::iter::successors(calendar.latest(to), |run| calendar.before(*run));
        let mut backwards: Vec<Timestamp> = backwards.take_while(|run| *run > from).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards, "{schedule} {zone}");
        assert_eq!(show(forwards), expected, "{schedule} {zone}");
    }

    #[test]
    fn a_fixed_time_that_does_not_exist_runs_right_after_the_gap_and_once() {
        let berlin = ["2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"];
        let expected = ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
        check("30 2 * * *", BERLIN, berlin, &expected);
        let new_york = ["2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z"];
        let expected = ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"];
        check("30 2 * * *", NEW_YORK, new_york, &expected);
        // The hour before and the hour after the gap are not touched by it.
        let berlin = ["2026-03-28T22:00:00Z", "2026-03-29T12:00:00Z"];
        check("59 1 * * *", BERLIN, berlin, &["2026-03-29T01:59:00+01:00"]);
        check("0 3 * * *", BERLIN, berlin, &["2026-03-29T03:00:00+02:00"]);
        check("@daily", BERLIN, berlin, &["2026-03-29T00:00:00+01:00"]);
    }

    #[test]
    fn a_fixed_time_that_comes_twice_runs_once() {
        let berlin = ["2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"];
        let expected = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];
        check("30 2 * * *", BERLIN, berlin, &expected);
        let new_york = ["2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z"];
        let expected = ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"];
        check("30 1 * * *", NEW_YORK, new_york, &expected);
    }

    #[test]
    fn a_repeated_time_has_no_run_in_the_gap_and_runs_in_both_equal_hours() {
        let gap = ["2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"];
        let expected = [
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
            "2026-03-29T04:00:00+02:00",
        ];
        check("*/30 * * * *", BERLIN, gap, &expected);
        let fold = ["2026-11-01T05:00:00Z", "2026-11-01T07:30:00Z"];
        let expected = [
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:00:00-05:00",
            "2026-11-01T02:30:00-05:00",
        ];
        check("*/30 * * * *", NEW_YORK, fold, &expected);
        // A list counts as repeated.
        let spring = ["2026-03-28T22:00:00Z", "2026-03-29T22:00:00Z"];
        check("0 2,14 * * *", BERLIN, spring, &["2026-03-29T14:00:00+02:00"]);
    }

    #[test]
    fn seconds_and_their_fractions_do_not_hide_a_run() {
        let calendar = Calendar::read("0 9 * * *", "UTC").unwrap();
        let nine = at("2026-01-01T09:00:00Z");
        for now in [
            "2026-01-01T09:00:00Z",
            "2026-01-01T09:00:00.000001Z",
            "2026-01-01T09:00:59.9Z",
        ] {
            assert_eq!(calendar.latest(at(now)), Some(nine), "{now}");
        }
        assert_eq!(
            calendar.latest(at("2026-01-01T08:59:59.999Z")),
            Some(at("2025-12-31T09:00:00Z"))
        );
        assert_eq!(calendar.next(at("2026-01-01T08:59:59.999Z")), Some(nine));
        assert_eq!(calendar.next(nine), Some(at("2026-01-02T09:00:00Z")));
    }

    #[test]
    fn names_days_and_nicknames_are_understood() {
        let week = ["2026-01-01T00:00:00Z", "2026-01-06T00:00:00Z"];
        check(
            "0 9 * * MON-FRI",
            "UTC",
            week,
            &[
                "2026-01-01T09:00:00+00:00",
                "2026-01-02T09:00:00+00:00",
                "2026-01-05T09:00:00+00:00",
            ],
        );
        check("@weekly", "UTC", week, &["2026-01-04T00:00:00+00:00"]);
        // Either day is enough.
        check(
            "0 9 3 * 1",
            "UTC",
            week,
            &["2026-01-03T09:00:00+00:00", "2026-01-05T09:00:00+00:00"],
        );
        check(" 0  9 3 1 * ", "UTC", week, &["2026-01-03T09:00:00+00:00"]);
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_to_write() {
        let refuse = |schedule: &str, zone: &str, expected: &str| {
            let said = Calendar::read(schedule, zone).unwrap_err().to_string();
            assert!(said.contains(expected), "{schedule} {zone}: {said}");
        };
        for bad in [
            "",
            "every day",
            "* * * *",
            "61 * * * *",
            "0 25 * * *",
            "* * * * * *",
            "@reboot",
            "0 0 * * MON-",
            "*/0 * * * *",
        ] {
            refuse(bad, "UTC", "write five fields");
        }
        refuse("@daily", "Europe/Atlantis", "write an IANA name such as Europe/Berlin");
        refuse("@daily", "", "write an IANA name");
    }

    #[test]
    fn a_day_that_never_comes_has_no_next_run() {
        let calendar = Calendar::read("0 0 31 2 *", "UTC").unwrap();
        assert_eq!(calendar.next(at("2026-01-01T00:00:00Z")), None);
    }
}
