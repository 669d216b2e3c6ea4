//! What Telegram makes of a text with an explicit list of entities that it does not refuse.
//!
//! Follows `fix_formatted_text` of TDLib, which the Bot API server is built on: what stands in each other's way is dropped or cut
//! without a word, and so are characters that are not allowed. Entities that are split only for order's sake are left whole,
//! as they look the same.

use super::Entity;

/// The text without what is not allowed in it, and what is left of the entities.
pub fn fixed(text: &str, mut entities: Vec<Entity>) -> (String, Vec<Entity>) {
    entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
    cleaned(text, untangled(entities))
}

/// What is wrong with a target (`LinkManager::check_link`, `parse_url`). Only web addresses are modelled.
pub fn problem(url: &str) -> Option<&'static str> {
    if url.starts_with("tg:") || url.starts_with("ton:") || url.starts_with("tonsite:") {
        return None;
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (scheme, rest) = if scheme.contains(['/', '?', '#', '@', '[', ']', ':']) {
        ("http", url)
    } else {
        (scheme, rest)
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Some("Unsupported URL protocol");
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (userinfo_host, port) = match authority.rfind([':', ']', '@']) {
        Some(at) if at > 0 && authority[at..].starts_with(':') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Some("Wrong port number specified in the URL");
    }
    let host = userinfo_host.rsplit_once('@').map_or(userinfo_host, |(_, host)| host);
    if host.is_empty() {
        return Some("URL host is empty");
    }
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_!$,~*'();&+=%".contains(c) || !c.is_ascii();
    if !is_ipv6 && !host.chars().all(allowed) {
        return Some("Disallowed character in URL host");
    }
    (!is_ipv6 && !host.contains('.')).then_some("Wrong HTTP URL")
}

fn is_splittable(kind: &str) -> bool {
    matches!(kind, "bold" | "italic" | "underline" | "strikethrough" | "spoiler")
}

fn is_quote(kind: &str) -> bool {
    matches!(kind, "blockquote" | "expandable_blockquote")
}

/// `fix_entities`: neither links, code and the like nor quotations overlap their own kind, quotations contain the others whole, and
/// bold and the like leaves out code.
fn untangled(entities: Vec<Entity>) -> Vec<Entity> {
    let (splittable, others): (Vec<_>, Vec<_>) = entities.into_iter().partition(|entity| is_splittable(&entity.kind));
    let (quotes, continuous): (Vec<_>, Vec<_>) = others.into_iter().partition(|entity| is_quote(&entity.kind));
    let quotes = apart(quotes);
    let crosses = |entity: &Entity, quote: &Entity| {
        let overlap = entity.offset < quote.end() && quote.offset < entity.end();
        overlap && !(quote.offset <= entity.offset && entity.end() <= quote.end())
    };
    let mut kept = apart(continuous);
    kept.retain(|entity| !quotes.iter().any(|quote| crosses(entity, quote)));
    let code: Vec<(usize, usize)> = kept
        .iter()
        .filter(|entity| matches!(entity.kind.as_str(), "code" | "pre"))
        .map(|entity| (entity.offset, entity.end()))
        .collect();
    for entity in splittable {
        let mut from = entity.offset;
        let inside = code
            .iter()
            .filter(|range| range.0 < entity.end() && range.1 > entity.offset);
        for (start, stop) in inside.copied().chain([(entity.end(), entity.end())]) {
            if from < start {
                let (offset, length) = (from, start - from);
                kept.push(Entity {
                    offset,
                    length,
                    ..entity.clone()
                });
            }
            from = stop;
        }
    }
    kept.extend(quotes);
    kept.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
    kept
}

/// `remove_intersecting_entities`.
fn apart(entities: Vec<Entity>) -> Vec<Entity> {
    let mut end = 0;
    let mut kept = Vec::new();
    for entity in entities {
        if entity.offset >= end {
            end = entity.end();
            kept.push(entity);
        }
    }
    kept
}

/// `clean_input_string_with_entities`: control characters become spaces, some characters go, and entities move with the text.
fn cleaned(text: &str, mut entities: Vec<Entity>) -> (String, Vec<Entity>) {
    let is_dropped = |c: char| matches!(c, '\r' | '\u{2028}'..='\u{202e}' | '\u{333}' | '\u{33f}' | '\u{30a}');
    let mut at = 0;
    let mut dropped = Vec::new();
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_dropped(c) => dropped.push(at),
            c if c < ' ' && c != '\n' => clean.push(' '),
            c => clean.push(c),
        }
        at += c.len_utf16();
    }
    for entity in &mut entities {
        let before = |offset: usize| offset - dropped.partition_point(|at| *at < offset);
        let (start, end) = (before(entity.offset), before(entity.end()));
        (entity.offset, entity.length) = (start, end - start);
    }
    entities.retain(|entity| entity.length > 0);
    (clean, entities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_each_others_way_is_dropped_or_cut_without_a_word() {
        for (list, expected) in [
            (
                vec![("bold", 0, 8), ("code", 2, 3)],
                vec![("bold", 0, 2), ("code", 2, 3), ("bold", 5, 3)],
            ),
            (vec![("code", 0, 4), ("pre", 2, 4)], vec![("code", 0, 4)]),
            (
                vec![("blockquote", 0, 4), ("blockquote", 1, 2)],
                vec![("blockquote", 0, 4)],
            ),
            (vec![("blockquote", 0, 4), ("code", 2, 4)], vec![("blockquote", 0, 4)]),
            (
                vec![("blockquote", 0, 6), ("pre", 2, 4)],
                vec![("blockquote", 0, 6), ("pre", 2, 4)],
            ),
        ] {
            let entities = |list: &[(&str, usize, usize)]| {
                let entities = list
                    .iter()
                    .map(|(kind, offset, length)| Entity::new(kind, *offset, *length));
                entities.collect::<Vec<_>>()
            };
            assert_eq!(fixed("abcdefgh", entities(&list)).1, entities(&expected), "{list:?}");
        }
    }

    #[test]
    fn addresses_that_are_none_have_a_problem() {
        for (url, expected) in [
            ("http://localhost:3000/", Some("Wrong HTTP URL")),
            ("javascript:alert(1)", Some("Wrong port number specified in the URL")),
            ("src/main.rs", Some("Wrong HTTP URL")),
            ("ftp://example.org", Some("Unsupported URL protocol")),
            (
                "https://example.org:99999/",
                Some("Wrong port number specified in the URL"),
            ),
            ("https://exa mple.org/", Some("Disallowed character in URL host")),
            ("https://example.org/a?b#c", None),
            ("example.org", None),
        ] {
            assert_eq!(problem(url), expected, "{url}");
        }
    }

    #[test]
    fn characters_that_are_not_allowed_go_and_entities_move() {
        let (text, entities) = fixed("a\r\u{202e}b\tc\u{1}", vec![Entity::new("bold", 3, 3)]);
        assert_eq!(text, "ab c ");
        assert_eq!(entities, [Entity::new("bold", 1, 3)]);
    }
}
