//! What Telegram recognises in typed text by itself: commands, mentions, hashtags, addresses.
//!
//! Follows the rules people meet, not every corner: an address needs a scheme or `www.`.

use super::{Entity, units};

pub fn entities(text: &str) -> Vec<Entity> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        if character.is_whitespace() {
            found.extend(
                word(&text[start..at])
                    .map(|(kind, skip, length)| Entity::new(kind, units(&text[..start + skip]), length)),
            );
            start = at + character.len_utf8();
        }
    }
    found
}

/// The kind of a word, what to skip in front of it, and its length in UTF-16 units.
fn word(word: &str) -> Option<(&'static str, usize, usize)> {
    let lower = word.to_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") || lower.starts_with("www.") {
        return Some((
            "url",
            0,
            units(word.trim_end_matches(['.', ',', ')', '!', '?', ';', ':'])),
        ));
    }
    let skip = word.find(|c: char| !matches!(c, '(' | '"' | '\''))?;
    let word = &word[skip..];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (kind, length) = match word.chars().next()? {
        '/' => {
            let mut length = 1 + name(&word[1..]);
            if let Some(at) = word[length..].strip_prefix('@').filter(|at| name(at) >= 3) {
                length += 1 + name(at);
            }
            // `/etc/passwd` is a path.
            let is_path = word[length..].starts_with('/');
            ("bot_command", if is_path || name(&word[1..]) == 0 { 0 } else { length })
        }
        '@' => ("mention", if name(&word[1..]) >= 3 { 1 + name(&word[1..]) } else { 0 }),
        '#' => {
            let tag = word[1..]
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(word.len() - 1);
            ("hashtag", if tag > 0 { 1 + tag } else { 0 })
        }
        _ => return None,
    };
    (length > 0).then(|| (kind, skip, units(&word[..length])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_is_recognised_as_in_the_app() {
        for (text, expected) in [
            ("/deep fix it", vec![("bot_command", 0, 5)]),
            ("/status@longshore_bot now", vec![("bot_command", 0, 21)]),
            ("😀 /end", vec![("bot_command", 3, 4)]),
            (
                "ask @ada_l, (@bob99) #ship_it!",
                vec![("mention", 4, 6), ("mention", 13, 6), ("hashtag", 21, 8)],
            ),
            ("see https://x.org/a?b. ok", vec![("url", 4, 17)]),
            ("/etc/passwd 1/2 a@b # @ab /", vec![]),
            ("line\n/stop", vec![("bot_command", 5, 5)]),
        ] {
            let found = entities(text);
            let short: Vec<_> = found
                .iter()
                .map(|entity| (entity.kind.as_str(), entity.offset, entity.length))
                .collect();
            assert_eq!(short, expected, "{text}");
        }
    }
}
