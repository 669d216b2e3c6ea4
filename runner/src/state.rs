//! The topic's state file, `state/state.md`: what people and agents wrote, and a section for every summary. Pure.

/// Longest state file with our sections, in bytes. Claude reads it at every start.
const LONGEST: usize = 32 * 1024;
/// Stands where sections were taken out.
const OLDER: &str = "_Older summaries stand in `state/summaries/`, one file for each session._";

/// The state without its oldest summaries, if it is too long. What others wrote stays, however long it is, and so does the newest
/// summary.
pub fn shortened(state: &str) -> Option<String> {
    if state.len() <= LONGEST {
        return None;
    }
    let sections = sections(state);
    let mut ours: Vec<usize> = (0..sections.len()).filter(|at| is_summary(sections[*at])).collect();
    ours.pop();
    let mut length = state.len() + OLDER.len() + 2;
    let mut left_out = Vec::new();
    for at in ours {
        if length <= LONGEST {
            break;
        }
        length -= sections[at].len();
        left_out.push(at);
    }
    let first = *left_out.first()?;
    let mut shorter = String::with_capacity(length);
    for (at, section) in sections.iter().enumerate() {
        if at == first && !state.contains(OLDER) {
            shorter.push_str(OLDER);
            shorter.push_str("\n\n");
        }
        if !left_out.contains(&at) {
            shorter.push_str(section);
        }
    }
    Some(shorter)
}

/// The text in pieces, each but the first beginning with a heading of the second level.
fn sections(state: &str) -> Vec<&str> {
    let mut starts = vec![0];
    starts.extend(state.match_indices("\n## ").map(|(at, _)| at + 1));
    starts.push(state.len());
    starts.windows(2).map(|pair| &state[pair[0]..pair[1]]).collect()
}

/// Whether a section is a summary, by its heading: `## Session NAME, 2030-01-01 12:00 UTC`.
fn is_summary(section: &str) -> bool {
    let heading = section.lines().next().unwrap_or_default();
    let ours = ["## Session ", "## Task "]
        .iter()
        .any(|beginning| heading.starts_with(beginning));
    ours && heading.ends_with(" UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(number: usize) -> String {
        format!(
            "\n## Session s{number}, 2030-01-01 12:00 UTC\n\n{}\n",
            "- done\n".repeat(150)
        )
    }

    #[test]
    fn the_oldest_summaries_go_and_what_others_wrote_stays() {
        let (preface, notes) = ("# Boat\n\nAsk Ada.\n", "\n## Session rules\n\nSpeak softly.\n");
        let mut state = preface.to_owned();
        for number in 0..200 {
            if number == 1 {
                state.push_str(notes);
            }
            state.push_str(&summary(number));
            if let Some(shorter) = shortened(&state) {
                state = shorter;
            }
            assert!(
                state.len() <= LONGEST && state.ends_with(&summary(number)[1..]),
                "after {number}"
            );
            assert!(state.starts_with(preface) && (number == 0 || state.contains(notes.trim())));
        }
        assert_eq!(state.matches(OLDER).count(), 1);
        assert!(
            !state.contains("## Session s170,") && state.contains("## Session s171,"),
            "{} left",
            state.matches("## Session s").count()
        );
    }

    #[test]
    fn a_state_that_others_made_long_is_left_to_them() {
        assert_eq!(shortened(&"x".repeat(LONGEST + 1)), None);
        assert_eq!(shortened(&format!("{}{}", "x".repeat(LONGEST), summary(1))), None);
        assert_eq!(shortened(&summary(1)), None);
    }
}
