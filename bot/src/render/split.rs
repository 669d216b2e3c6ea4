//! Cutting text into messages.
//!
//! Cuts at the end of a paragraph, a line or a word if there is one in the second half of what fits. Formatting that
//! spans a cut goes on in the next part, so a code block is never broken open. White space at a cut is left out, as
//! Telegram would strip it anyway; nothing else is.

use super::{Entity, Rich};

/// Longest text of one message, in UTF-16 code units.
pub const MESSAGE_UNITS: usize = 4096;

/// Parts of at most `limit` UTF-16 units. None has white space only; there is none for text that is white space only.
pub fn split(rich: &Rich, limit: usize) -> Vec<Rich> {
    let mut parts = Vec::new();
    let mut rest = rich.text.as_str();
    let mut offset = 0;
    while !rest.is_empty() {
        let cut = cut(rest, limit.max(2));
        let (piece, after) = rest.split_at(cut);
        let shown = piece.trim_end();
        if !shown.trim().is_empty() {
            let entities = clip(&rich.entities, offset, super::units(shown));
            parts.push(Rich {
                text: shown.to_owned(),
                entities,
            });
        }
        offset += super::units(piece);
        rest = after;
    }
    parts
}

/// The last part that fits in `limit` units, with a mark when something was left out before it. For previews only.
pub fn tail(rich: &Rich, limit: usize) -> Rich {
    let all = rich.units();
    if all <= limit {
        return rich.clone();
    }
    const MARK: &str = "[…]\n";
    let mut skip = all - (limit - super::units(MARK));
    let mut bytes = 0;
    let mut skipped = 0;
    for c in rich.text.chars() {
        if skipped >= skip {
            break;
        }
        skipped += c.len_utf16();
        bytes += c.len_utf8();
    }
    skip = skipped;
    let rest = &rich.text[bytes..];
    let shift = super::units(MARK);
    let mut entities = clip(&rich.entities, skip, super::units(rest));
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
    let mut used = 0;
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        if used + c.len_utf16() > limit {
            end = at;
            break;
        }
        used += c.len_utf16();
    }
    if end == text.len() {
        return end;
    }
    let fits = &text[..end];
    for separator in ["\n\n", "\n", " "] {
        if let Some(at) = fits.rfind(separator).filter(|at| *at > end / 2) {
            return at + separator.len();
        }
    }
    end
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
    use super::super::{Style, markdown, units};
    use super::*;
    use proptest::prelude::*;

    fn visible(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

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

    proptest! {
        #[test]
        fn parts_fit_and_rejoin_to_the_whole(text in "[a-z 😀\n`*]{0,400}", limit in 2usize..60) {
            let whole = markdown(&text);
            let parts = split(&whole, limit);
            let mut joined = String::new();
            for part in &parts {
                prop_assert!(part.units() <= limit);
                prop_assert!(!part.text.trim().is_empty());
                for entity in &part.entities {
                    prop_assert!(entity.length > 0 && entity.offset + entity.length <= units(&part.text));
                }
                joined.push_str(&part.text);
            }
            prop_assert_eq!(visible(&joined), visible(&whole.text));
        }

        #[test]
        fn no_letter_of_an_answer_is_dropped(text in "[a-z0-9 \n#>`*_~\\-\\[\\]()!:.<>|]{0,300}") {
            let letters = |text: &str| {
                let mut letters = text.chars().filter(char::is_ascii_alphabetic).collect::<Vec<_>>();
                letters.sort_unstable();
                letters
            };
            let whole = markdown(&text);
            let mut shown = whole.text.clone();
            for entity in &whole.entities {
                match &entity.style {
                    Style::Pre { language: Some(language) } => shown.push_str(language),
                    Style::TextLink { url } => shown.push_str(url),
                    _ => {}
                }
            }
            let (had, has) = (letters(&text), letters(&shown));
            // Definitions of links may be shown more than once; nothing may be shown less often than it was written.
            for letter in 'a'..='z' {
                let count = |letters: &[char]| letters.iter().filter(|c| **c == letter).count();
                prop_assert!(count(&has) >= count(&had), "{:?} became {:?}", text, whole);
            }
        }
    }
}
