//! Characters that Telegram changes or does not show, put right before it can.
//!
//! Telegram makes a space of every control character and a tab, drops carriage returns, line and paragraph separators, characters that
//! turn the direction of text round, and three combining marks (`clean_input_string` in TDLib). What is dropped on the way
//! would move all formatting behind it, and code would lose its shape.

use std::borrow::Cow;

/// How far tabs go in code.
const TAB: usize = 4;

/// The text with nothing in it that Telegram would change but tabs. Line ends become `\n`, control characters become their pictures
/// (`␛`), and what Telegram drops is left out, as is a byte order mark in front.
pub fn clean(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches('\u{feff}');
    if !text.contains(is_changed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut before = '\n';
    for c in text.chars() {
        match c {
            '\n' if before == '\r' => {}
            '\r' | '\u{2028}' => out.push('\n'),
            '\u{2029}' => out.push_str("\n\n"),
            '\u{30a}' => ring(&mut out),
            c if is_control(c) => out.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{202a}'..='\u{202e}' | '\u{333}' | '\u{33f}' => {}
            c => out.push(c),
        }
        before = c;
    }
    Cow::Owned(out)
}

fn is_control(c: char) -> bool {
    c < ' ' && !matches!(c, '\n' | '\t' | '\r')
}

fn is_changed(c: char) -> bool {
    is_control(c) || matches!(c, '\r' | '\u{2028}'..='\u{202e}' | '\u{30a}' | '\u{333}' | '\u{33f}')
}

/// A ring above as a mark of its own would be dropped, so the letter with the ring is written.
fn ring(out: &mut String) {
    let with_ring = match out.chars().next_back() {
        Some('a') => 'å',
        Some('A') => 'Å',
        Some('u') => 'ů',
        Some('U') => 'Ů',
        Some('w') => 'ẘ',
        Some('y') => 'ẙ',
        _ => return,
    };
    out.pop();
    out.push(with_ring);
}

/// Code with spaces in place of its tabs.
pub fn expand_tabs(code: &str) -> Cow<'_, str> {
    if !code.contains('\t') {
        return Cow::Borrowed(code);
    }
    let mut out = String::with_capacity(code.len());
    let mut column = 0;
    for c in code.chars() {
        match c {
            '\t' => {
                let width = TAB - column % TAB;
                out.push_str(&" ".repeat(width));
                column += width;
            }
            '\n' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// Whether Telegram takes a text for empty (`is_empty_string` in TDLib).
pub fn is_blank(text: &str) -> bool {
    let is_empty = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2800}' | '\u{fffc}' | '\u{feff}')
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    text.chars().all(is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_telegram_would_change_is_changed_in_a_way_that_can_be_read() {
        for (text, expected) in [
            ("a\r\nb\rc\n", "a\nb\nc\n"),
            ("\u{1b}[31mred\0", "␛[31mred␀"),
            ("one\u{2028}two\u{2029}three", "one\ntwo\n\nthree"),
            ("abc\u{202e}fed", "abcfed"),
            ("a\u{30a}A\u{30a}x\u{30a}", "åÅx"),
            ("plain\ttext", "plain\ttext"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn tabs_go_to_the_next_stop() {
        assert_eq!(expand_tabs("\ta\n ab\tc\n\t\td"), "    a\n ab c\n        d");
    }

    #[test]
    fn text_of_nothing_that_shows_is_blank() {
        assert!(is_blank(" \n\u{200b}\u{a0}\u{feff}\u{2800}"));
        assert!(!is_blank("\u{200b}."));
    }
}
