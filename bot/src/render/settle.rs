//! The last touch to a text: formatting that Telegram takes as it is, and no pings.
//!
//! Telegram repairs formatting that stands in each other's way, and not always as one would (`fix_entities` in TDLib): nothing may
//! overlap code, and what overlaps must lie inside. It also makes mentions and commands of `@name` and `/name` in any text that
//! is not code or a link. An answer about `@types/node` must ping nobody and one about `/end` must not end a session at a
//! touch, so these become code, in which they can be read and copied as they are.

use super::{Entity, Rich, Style, units};

/// Puts the formatting of a finished text right.
pub fn settle(text: String, entities: Vec<Entity>) -> Rich {
    let total = units(&text);
    let clamped = entities.into_iter().filter_map(|mut entity| {
        entity.length = (entity.offset + entity.length).min(total).checked_sub(entity.offset)?;
        (entity.length > 0).then_some(entity)
    });
    let (soft, mut entities): (Vec<_>, Vec<_>) = clamped.partition(|entity| is_soft(&entity.style));
    let solid = |entities: &[Entity], wanted: fn(&Style) -> bool| {
        let mut ranges = entities
            .iter()
            .filter(|entity| wanted(&entity.style))
            .map(|entity| (entity.offset, entity.offset + entity.length))
            .collect::<Vec<_>>();
        ranges.sort_unstable();
        ranges
    };
    let quiet = names(&text, &solid(&entities, |style| *style != Style::Blockquote));
    entities.extend(quiet.into_iter().map(|(start, end)| Entity {
        style: Style::Code,
        offset: start,
        length: end - start,
    }));
    let code = solid(&entities, |style| matches!(style, Style::Code | Style::Pre { .. }));
    for entity in soft {
        cut_out(entity, &code, &mut entities);
    }
    drop_blank(&text, &mut entities);
    entities.sort_by_key(|entity| {
        // What covers the same stands inside a quotation, not round it.
        let inside = entity.style != Style::Blockquote;
        (entity.offset, std::cmp::Reverse(entity.length), inside)
    });
    Rich { text, entities }
}

/// Drops formatting of nothing but white space.
pub fn drop_blank(text: &str, entities: &mut Vec<Entity>) {
    // For every unit, how many before it show.
    let mut shown = vec![0];
    for c in text.chars() {
        let before = shown.last().copied().unwrap_or(0);
        let until = before + usize::from(!c.is_whitespace());
        shown.extend(std::iter::repeat_n(until, c.len_utf16()));
    }
    entities.retain(|entity| shown.get(entity.offset) < shown.get(entity.offset + entity.length));
}

/// Formatting that may stand round and inside anything but code.
fn is_soft(style: &Style) -> bool {
    matches!(style, Style::Bold | Style::Italic | Style::Strikethrough)
}

/// Leaves of an entity what lies outside of these ranges.
fn cut_out(entity: Entity, ranges: &[(usize, usize)], into: &mut Vec<Entity>) {
    let end = entity.offset + entity.length;
    let mut from = entity.offset;
    let mut leave = |from: usize, to: usize| {
        if from < to {
            into.push(Entity {
                style: entity.style.clone(),
                offset: from,
                length: to - from,
            });
        }
    };
    let first = ranges.partition_point(|range| range.1 <= from);
    for (start, stop) in ranges[first..].iter().take_while(|range| range.0 < end) {
        leave(from, *start);
        from = *stop;
    }
    leave(from, end);
}

/// What Telegram would make a mention or command of (`match_mentions`, `match_bot_commands` in TDLib), with what belongs to the
/// same word, outside of these ranges.
fn names(text: &str, taken: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut before = ' ';
    let mut at = 0;
    let mut next_taken = 0;
    for (byte, c) in text.char_indices() {
        let start = at;
        at += c.len_utf16();
        let previous = std::mem::replace(&mut before, c);
        if !matches!(c, '@' | '/') || is_word(previous) || found.last().is_some_and(|(_, end)| start < *end) {
            continue;
        }
        let rest = &text[byte + 1..];
        let name = length(rest, |c| c.is_ascii_alphanumeric() || c == '_');
        let behind = rest[name..].chars().next().unwrap_or(' ');
        let is_name = match c {
            '@' => (2..=32).contains(&name) && !is_word(behind),
            _ => {
                (1..=64).contains(&name)
                    && !matches!(previous, '/' | '<' | '>')
                    && !is_word(behind)
                    && !matches!(behind, '/' | '<' | '>')
            }
        };
        if !is_name {
            continue;
        }
        let whole = name + length(&rest[name..], |c| c.is_ascii_alphanumeric() || "_-/@".contains(c));
        let end = start + 1 + whole;
        while taken.get(next_taken).is_some_and(|range| range.1 <= start) {
            next_taken += 1;
        }
        match taken.get(next_taken) {
            Some(range) if range.0 < start + 1 + name => {}
            Some(range) => found.push((start, end.min(range.0))),
            None => found.push((start, end)),
        }
    }
    found
}

/// Bytes, which are units as well, of the ASCII characters at the beginning of a text.
fn length(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_ping_or_act_becomes_code_and_nothing_else_does() {
        let found = |text: &str| {
            let ranges = names(text, &[]);
            let units = text.encode_utf16().collect::<Vec<_>>();
            let word = |(start, end): (usize, usize)| String::from_utf16(&units[start..end]).unwrap();
            ranges.into_iter().map(word).collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("ask @ada_l, (@bob99)!", vec!["@ada_l", "@bob99"]),
            ("npm i @types/node now", vec!["@types/node"]),
            (
                "😀 /end and /status@longshore_bot.",
                vec!["/end", "/status@longshore_bot"],
            ),
            ("a@b.org /etc/passwd 1/2 and/or @a @ü </b>", vec![]),
            ("@Override\n/model", vec!["@Override", "/model"]),
            (&format!("@{} /{}", "a".repeat(33), "b".repeat(65)), vec![]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
        assert_eq!(names("see @ada", &[(2, 6)]), [], "a link that covers part of it");
    }

    #[test]
    fn code_cuts_what_stands_round_it() {
        let entity = |style, offset, length| Entity { style, offset, length };
        let rich = settle(
            "a code b".to_owned(),
            vec![entity(Style::Code, 2, 4), entity(Style::Bold, 0, 8)],
        );
        assert_eq!(
            rich.entities,
            [
                entity(Style::Bold, 0, 2),
                entity(Style::Code, 2, 4),
                entity(Style::Bold, 6, 2)
            ]
        );
    }
}
