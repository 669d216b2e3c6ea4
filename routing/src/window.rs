//! Parts of the week.
//!
//! Time zones come from the database that is compiled in, so that a decision is the same on every machine.

use jiff::Timestamp;
use jiff::civil::Weekday as Day;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use longshore_crds::{TimeWindow, Weekday};

/// A window that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    zone: TimeZone,
    name: String,
    days: Vec<Weekday>,
    /// Minutes of the day; `to` is above `from`, or on the next day.
    from: u16,
    to: u16,
}

fn minutes(clock: &str) -> Option<u16> {
    let (hours, minutes) = clock.split_once(':')?;
    let number = |text: &str| match text.len() {
        2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u16>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0))).then_some(hours * 60 + minutes)
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Monday => Weekday::Mon,
        Day::Tuesday => Weekday::Tue,
        Day::Wednesday => Weekday::Wed,
        Day::Thursday => Weekday::Thu,
        Day::Friday => Weekday::Fri,
        Day::Saturday => Weekday::Sat,
        Day::Sunday => Weekday::Sun,
    }
}

impl Window {
    /// Reads a window, or says what is wrong with it.
    pub(crate) fn read(window: &TimeWindow) -> Result<Self, String> {
        let zone = TimeZoneDatabase::bundled().get(&window.time_zone).map_err(|_| {
            format!(
                "match.timeWindow.timeZone: there is no time zone {:?}; write an IANA name such as Europe/Berlin",
                window.time_zone
            )
        })?;
        let clock = |field: &str, text: &str, last: u16| {
            minutes(text)
                .filter(|minutes| *minutes <= last)
                .ok_or_else(|| format!("match.timeWindow.{field}: {text:?} is no time; write one such as \"08:30\""))
        };
        let (from, to) = (clock("from", &window.from, 1439)?, clock("to", &window.to, 1440)?);
        if from == to {
            return Err("match.timeWindow: from and to are the same; for whole days write 00:00 and 24:00".to_owned());
        }
        Ok(Self {
            zone,
            name: window.time_zone.clone(),
            days: window.days.clone(),
            from,
            to,
        })
    }

    /// Whether a moment is in it.
    pub(crate) fn contains(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone());
        let minute = u16::try_from(local.hour()).unwrap_or(0) * 60 + u16::try_from(local.minute()).unwrap_or(0);
        let begins = |day: Day| self.days.is_empty() || self.days.contains(&weekday(day));
        let today = local.weekday();
        if self.from < self.to {
            return begins(today) && (self.from..self.to).contains(&minute);
        }
        (begins(today) && minute >= self.from) || (begins(today.previous()) && minute < self.to)
    }

    /// The moment on the clock of the window, for people.
    pub(crate) fn local(&self, now: Timestamp) -> String {
        let local = now.to_zoned(self.zone.clone());
        format!(
            "{:?} {:02}:{:02} {}",
            weekday(local.weekday()),
            local.hour(),
            local.minute(),
            self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(zone: &str, days: &[Weekday], from: &str, to: &str) -> TimeWindow {
        TimeWindow {
            time_zone: zone.into(),
            days: days.to_vec(),
            from: from.into(),
            to: to.into(),
        }
    }

    fn check(window: &TimeWindow, at: &str, expected: bool) {
        let read = Window::read(window).unwrap();
        assert_eq!(read.contains(at.parse().unwrap()), expected, "{window:?} at {at}");
    }

    #[test]
    fn a_window_begins_on_its_days_and_may_end_on_the_next() {
        use Weekday::*;
        // 2026-11-23 is a Monday.
        let office = window("UTC", &[Mon, Tue], "08:00", "18:00");
        check(&office, "2026-11-23T08:00:00Z", true);
        check(&office, "2026-11-23T07:59:59Z", false);
        check(&office, "2026-11-23T17:59:59Z", true);
        check(&office, "2026-11-23T18:00:00Z", false);
        check(&office, "2026-11-25T12:00:00Z", false);
        let night = window("UTC", &[Fri], "22:00", "06:00");
        check(&night, "2026-11-27T23:00:00Z", true);
        check(&night, "2026-11-28T05:59:00Z", true);
        check(&night, "2026-11-28T06:00:00Z", false);
        check(&night, "2026-11-28T23:00:00Z", false);
        check(&night, "2026-11-27T05:00:00Z", false);
        let whole = window("UTC", &[Sun], "00:00", "24:00");
        check(&whole, "2026-11-29T23:59:59Z", true);
        check(&whole, "2026-11-30T00:00:00Z", false);
    }

    #[test]
    fn the_clock_is_that_of_the_time_zone_also_when_it_is_put_forward() {
        let office = window("Europe/Berlin", &[], "08:00", "18:00");
        check(&office, "2026-03-28T07:00:00Z", true);
        check(&office, "2026-03-28T06:30:00Z", false);
        // Summer time began that night.
        check(&office, "2026-03-29T06:30:00Z", true);
        check(&office, "2026-03-29T16:30:00Z", false);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (broken, said) in [
            (
                window("Europe/Atlantis", &[], "08:00", "18:00"),
                "there is no time zone",
            ),
            (window("UTC", &[], "24:00", "18:00"), "from: \"24:00\" is no time"),
            (window("UTC", &[], "08:00", "8:00"), "to: \"8:00\" is no time"),
            (window("UTC", &[], "08:00", "08:60"), "to: \"08:60\" is no time"),
            (window("UTC", &[], "08:00", "08:00"), "are the same"),
        ] {
            let error = Window::read(&broken).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
