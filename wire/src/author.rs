//! Authors of messages that no person wrote.

/// Author of a message that a schedule gives to a session: its name, and the run's minute as clocks in its time zone show it.
pub fn of_run(schedule: &str, clock: &str) -> String {
    format!("schedule {schedule}, {clock}")
}

/// The run that this author stands for, as `name, YYYY-MM-DD hh:mm`; none for people.
pub fn as_run(author: &str) -> Option<&str> {
    let run = author.strip_prefix("schedule ")?;
    let (_, clock) = run.split_once(", ")?;
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    (clock.chars().map(shape).collect::<String>() == "0000-00-00 00:00").then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_from_people() {
        let author = of_run("tick", "2026-01-01 09:00");
        assert_eq!(as_run(&author), Some("tick, 2026-01-01 09:00"));
        for person in ["Ada", "schedule", "schedule tick", "schedule tick, at nine"] {
            assert_eq!(as_run(person), None, "{person}");
        }
    }
}
