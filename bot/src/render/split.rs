//! Cutting text into messages.
//!
//! Cuts at the end of a paragraph, a line or a word if there is one in the second half of what fits, and never inside a grapheme
//! that fits. Formatting that spans a cut goes on in the next part, so a code block is never broken open. White space at a
//! cut is left out, as Telegram would strip it anyway, and so is a part in which nothing shows; nothing else is.

use unicode_segmentation::GraphemeCursor;

use super::characters::is_blank;
use super::settle::drop_blank;
use super::{Entity, Rich, units};

/// Longest text of one message, in UTF-16 code units.
pub const MESSAGE_UNITS: usize = 4096;
/// Longest text under a file.
pub const CAPTION_UNITS: usize = 1024;
/// Telegram forgets the formatting behind so many pieces of it, and links with it.
const MESSAGE_ENTITIES: usize = 100;
/// Previews begin with a whole line if it begins within so many bytes.
const LONGEST_LINE: usize = 200;

/// Parts of at most `limit` UTF-16 units. None is blank; there is none for text that is blank.
pub fn split(rich: &Rich, limit: usize) -> Vec<Rich> {
    let mut parts = Vec::new();
    let mut rest = rich.text.as_str();
    let mut offset = 0;
    while !rest.is_empty() {
        let cut = cut(rest, limit.min(entity_limit(&rich.entities, offset)).max(2));
        let (piece, after) = rest.split_at(cut);
        let lead = lead(piece, &rich.entities, offset);
        let shown = piece[lead..].trim_end();
        if !is_blank(shown) {
            let mut entities = clip(&rich.entities, offset + lead, units(shown));
            drop_blank(shown, &mut entities);
            parts.push(Rich {
                text: shown.to_owned(),
                entities,
            });
        }
        offset += units(piece);
        rest = after;
    }
    parts
}

/// How many spaces and newlines at the beginning of a part do not count. Those in code do.
fn lead(piece: &str, entities: &[Entity], offset: usize) -> usize {
    let blank = piece.len() - piece.trim_start_matches(['\n', ' ']).len();
    let covered = |entity: &&Entity| entity.offset < offset + blank && entity.offset + entity.length > offset;
    let first = entities.iter().filter(covered).map(|entity| entity.offset).min();
    first.map_or(blank, |first| blank.min(first.saturating_sub(offset)))
}

/// How long a part from here on may be until it has too many pieces of formatting.
fn entity_limit(entities: &[Entity], offset: usize) -> usize {
    let here = |entity: &&Entity| entity.offset + entity.length > offset;
    let surplus = entities.iter().filter(here).nth(MESSAGE_ENTITIES);
    surplus.map_or(usize::MAX, |entity| entity.offset.saturating_sub(offset))
}

/// The last part that fits in `limit` units, with a mark when something was left out before it. For previews only.
pub fn tail(rich: &Rich, limit: usize) -> Rich {
    const MARK: &str = "[…]\n";
    let all = rich.units();
    if all <= limit {
        return rich.clone();
    }
    let shift = units(MARK);
    let mut skip = head(&rich.text, all - limit.saturating_sub(shift)).len();
    let fits = |at: &usize| units(&rich.text[*at..]) + shift <= limit;
    // Half a line looks broken, most of all in a table or in code.
    let line = rich.text[skip..].find('\n').map(|at| skip + at + 1);
    match line.filter(|at| *at < rich.text.len() && at - skip <= LONGEST_LINE) {
        Some(line) => skip = line,
        None => {
            while !fits(&skip) || !is_boundary(&rich.text, skip) {
                skip += rich.text[skip..].chars().next().map_or(1, char::len_utf8);
            }
        }
    }
    let rest = &rich.text[skip..];
    let mut entities = clip(&rich.entities, units(&rich.text[..skip]), units(rest));
    for entity in &mut entities {
        entity.offset += shift;
    }
    Rich {
        text: format!("{MARK}{rest}"),
        entities,
    }
}

/// Byte position of the best cut of `text`: everything when it fits.
fn cut(text: &str, limit: usize) -> usize {
    let end = head(text, limit).len();
    if end == text.len() {
        return end;
    }
    let fits = &text[..end];
    for separator in ["\n\n", "\n", " "] {
        let found = fits.rfind(separator).map(|at| at + separator.len());
        // A space can bear a combining mark.
        if let Some(at) = found.filter(|at| *at > end / 2 && is_boundary(text, *at)) {
            return at;
        }
    }
    end
}

/// The beginning of a text: at most `limit` units, and whole graphemes unless the first is longer than that.
pub(super) fn head(text: &str, limit: usize) -> &str {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.len_utf16();
        used <= limit
    };
    let end: usize = text.chars().take_while(fits).map(char::len_utf8).sum();
    if is_boundary(text, end) {
        return &text[..end];
    }
    let before = GraphemeCursor::new(end, text.len(), true).prev_boundary(text, 0);
    match before {
        Ok(Some(at)) if at > 0 => &text[..at],
        _ => &text[..end],
    }
}

/// Whether no grapheme is torn here: no emoji with its parts, no letter with its marks.
fn is_boundary(text: &str, at: usize) -> bool {
    GraphemeCursor::new(at, text.len(), true)
        .is_boundary(text, 0)
        .unwrap_or(true)
}

fn clip(entities: &[Entity], start: usize, length: usize) -> Vec<Entity> {
    let end = start + length;
    entities
        .iter()
        .filter_map(|entity| {
            let from = entity.offset.max(start);
            let to = (entity.offset + entity.length).min(end);
            (from < to).then(|| Entity {
                style: entity.style.clone(),
                offset: from - start,
                length: to - from,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Style, markdown};
    use super::*;

    #[test]
    fn a_code_block_that_is_cut_goes_on_as_a_code_block() {
        let code = (0..40).map(|n| format!("line {n}\n")).collect::<String>();
        let parts = split(&markdown(&format!("before\n\n```rust\n{code}```\n\nafter")), 120);
        assert!(parts.len() > 2);
        for part in &parts[..parts.len() - 1] {
            let pre = part.entities.iter().find(|e| {
                e.style
                    == Style::Pre {
                        language: Some("rust".into()),
                    }
            });
            assert!(pre.is_some(), "{part:?}");
            assert!(
                part.text
                    .lines()
                    .all(|line| line == "before" || line.is_empty() || line.starts_with("line ")),
                "{part:?}"
            );
        }
    }

    #[test]
    fn surrogate_pairs_count_twice_and_are_never_torn() {
        let parts = split(&Rich::plain("😀".repeat(10)), 5);
        assert_eq!(parts.iter().map(Rich::units).max(), Some(4));
        assert_eq!(
            parts.iter().map(|part| part.text.as_str()).collect::<String>(),
            "😀".repeat(10)
        );
    }

    #[test]
    fn graphemes_are_never_torn_unless_one_is_longer_than_a_message() {
        for grapheme in [
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "🇩🇪",
            "e\u{301}\u{323}",
            "👍🏽",
            " \u{308}",
        ] {
            let whole = Rich::plain(grapheme.repeat(20));
            for part in split(&whole, 13) {
                assert_eq!(part.text.replace(grapheme.trim(), "").trim(), "", "{part:?}");
            }
        }
        let endless = format!("a{}", "\u{301}".repeat(50));
        let parts = split(&Rich::plain(endless.clone()), 20);
        assert_eq!(parts.iter().map(|part| part.text.as_str()).collect::<String>(), endless);
        assert!(parts.iter().all(|part| part.units() <= 20));
    }

    #[test]
    fn a_message_has_no_more_formatting_than_telegram_keeps() {
        let words = (0..250)
            .map(|n| format!("[w{n}](https://x.y/{n}) "))
            .collect::<String>();
        let parts = split(&markdown(&words), MESSAGE_UNITS);
        assert_eq!(
            parts.iter().map(|part| part.entities.len()).collect::<Vec<_>>(),
            [100, 100, 50]
        );
        let text = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>();
        assert_eq!(
            text.join(" "),
            (0..250).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ")
        );
    }

    #[test]
    fn code_at_the_beginning_of_a_part_keeps_its_indentation() {
        let code = "    four spaces\n".repeat(10);
        for part in split(&markdown(&format!("```\n{code}```")), 60) {
            assert!(part.text.starts_with("    four"), "{part:?}");
        }
    }

    #[test]
    fn a_preview_begins_with_a_whole_line() {
        let rows = (0..50).map(|n| format!("| row {n} | x |\n")).collect::<String>();
        let shown = tail(&markdown(&format!("| a | b |\n|---|---|\n{rows}")), 100);
        assert!(shown.text.starts_with("[…]\nrow ") && shown.units() <= 100, "{shown:?}");
    }

    #[test]
    fn a_preview_shows_the_end_with_its_formatting() {
        let shown = tail(&markdown(&format!("{} **end**", "x".repeat(50))), 20);
        assert!(shown.text.starts_with("[…]\n") && shown.text.ends_with(" end"));
        assert_eq!(shown.units(), 20);
        assert_eq!(
            shown.entities,
            [Entity {
                style: Style::Bold,
                offset: 17,
                length: 3
            }]
        );
    }
}
