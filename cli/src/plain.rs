//! Text as it may go to a terminal.
//!
//! What an agent says, and what the operator copied from it, is untrusted: an escape sequence could rewrite the screen or type into
//! the shell. Control characters are dropped, and so are the marks that turn the direction of text round.

/// The text without control characters but line breaks and tabs.
pub fn plain(text: &str) -> String {
    text.chars().filter(|character| is_harmless(*character)).collect()
}

/// The text in one line, at most `limit` characters long.
pub fn one_line(text: &str, limit: usize) -> String {
    let words = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= limit {
        return words;
    }
    let kept: String = words.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Every line of the text behind `margin`.
pub fn indent(text: &str, margin: &str) -> String {
    let lines = text
        .trim_end()
        .lines()
        .map(|line| format!("{margin}{line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn is_harmless(character: char) -> bool {
    match character {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        other => !other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{7}\u{9b}31mc\n\td\u{202e}e"), "a[2Jb31mc\n\tde");
        assert_eq!(one_line("two\nlines  and more", 12), "two lines a…");
        assert_eq!(indent("a\n\nb\n", "  "), "  a\n\n  b");
    }
}
