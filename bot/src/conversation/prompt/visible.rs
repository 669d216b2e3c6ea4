//! Characters that nobody sees, or that show something else than is there, written out. Pure.
//!
//! Who allows a command must read what runs: an override of the writing direction, a space of no width or a control character
//! could show one command and hide another. Each such character stands there as `\u{202e}`. Emoji keep what joins them.

use std::fmt::Write;

/// The text with every character visible. Line ends and tabs stay.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => shown.push_str("\\r"),
            // A variation selector or joiner behind an emoji is part of it.
            '\u{fe0f}' | '\u{200d}' if before.is_some_and(is_pictorial) => shown.push(c),
            // A string takes every character.
            _ if is_hidden(c) => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
            _ => shown.push(c),
        }
        before = Some(c);
    }
    shown
}

/// The same in one line of at most so many characters.
pub fn line(text: &str, limit: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = visible(&flat);
    match flat.chars().nth(limit) {
        None => flat,
        Some(_) => flat.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn is_pictorial(c: char) -> bool {
    matches!(u32::from(c), 0x203c..=0x2049 | 0x2122..=0x27bf | 0x2900..=0x2bff | 0x3030 | 0x303d | 0x3297 | 0x3299 | 0xfe0f | 0x1f000..=0x1faff)
}

/// Control and format characters, blanks that are none of ASCII's, fillers, and selectors and tags that carry hidden text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xa0 | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x8e2
            | 0x115f | 0x1160 | 0x1680 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x2800
            | 0x3000 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(visible(text), expected);
    }

    #[test]
    fn what_could_hide_something_is_written_out_and_ordinary_text_is_not() {
        check("ls -la\n\tpwd", "ls -la\n\tpwd");
        check("echo \u{202e}fr- mr", "echo \\u{202e}fr- mr");
        check("a\u{200b}b\u{feff}c\u{ad}d", "a\\u{200b}b\\u{feff}c\\u{ad}d");
        check("x\u{1b}[8m\r\n", "x\\u{1b}[8m\\r\n");
        check("a\u{a0}b\u{3000}c\u{2028}", "a\\u{a0}b\\u{3000}c\\u{2028}");
        check("\u{e0041}\u{fe01}\u{2066}", "\\u{e0041}\\u{fe01}\\u{2066}");
        check("Grüße 🚢 👩‍🚀 ✏️ 中文", "Grüße 🚢 👩‍🚀 ✏️ 中文");
        check("a\u{fe0f}b\u{200d}", "a\\u{fe0f}b\\u{200d}");
    }

    #[test]
    fn one_line_is_one_line_and_bounded() {
        assert_eq!(line(" a\n b\u{202e} ", 40), "a b\\u{202e}");
        assert_eq!(line(&"x".repeat(50), 10), format!("{}…", "x".repeat(9)));
    }

    proptest! {
        #[test]
        fn nothing_stays_hidden_but_what_joins_emoji(text in any::<String>()) {
            let shown = visible(&text);
            let bad = shown.chars().find(|c| is_hidden(*c) && !matches!(c, '\n' | '\t' | '\u{fe0f}' | '\u{200d}'));
            prop_assert_eq!(bad, None);
            prop_assert_eq!(visible(&shown), shown.clone());
        }
    }
}
