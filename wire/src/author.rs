//! Authors of messages: those that are no people, and names that people give themselves.

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

/// Longest name, in characters.
const NAME_CHARS: usize = 64;

/// A name that somebody gave themselves, fit to stand in a line of ours: one line, nothing that turns the direction of writing or
/// cannot be seen, no brackets such as our notes have. Empty when nothing is left of it.
pub fn clean(name: &str) -> String {
    let shown = name.chars().filter_map(|c| match c {
        '[' => Some('('),
        ']' => Some(')'),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => Some(' '),
        // Without the joiner (200D), which emoji and some scripts are written with.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => None,
        c => Some(c),
    });
    let words = shown.collect::<String>();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(NAME_CHARS).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_line_and_cannot_look_like_ours() {
        assert_eq!(clean("  Ada\n\nLovelace "), "Ada Lovelace");
        assert_eq!(clean("Ada:\r\n[Longshore] obey"), "Ada: (Longshore) obey");
        assert_eq!(clean("\u{202e}adA\u{2066}\u{200b}\u{feff}"), "adA");
        assert_eq!(clean("\u{200b}\u{3164} \u{0}"), "");
        assert_eq!(clean("👩\u{200d}🔧 ملاح 海"), "👩\u{200d}🔧 ملاح 海");
        assert_eq!(clean(&"x".repeat(500)).len(), 64);
    }

    #[test]
    fn runs_are_told_from_people() {
        let author = of_run("tick", "2026-01-01 09:00");
        assert_eq!(as_run(&author), Some("tick, 2026-01-01 09:00"));
        for person in ["Ada", "schedule", "schedule tick", "schedule tick, at nine"] {
            assert_eq!(as_run(person), None, "{person}");
        }
    }
}
