//! Quoting what somebody said before, as context for claude: no line of it can pass for anything else.

/// Every line behind a mark, so that none of them can pass for ours.
pub fn quoted(text: &str) -> String {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.split(breaks).map(|line| format!("> {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The text, or its beginning and its end, of about so many bytes.
pub fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(longest / 3 * 2);
    let tail = text.ceil_char_boundary(text.len() - longest / 3);
    format!(
        "{}\n[... {} bytes left out ...]\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_line_break_leads_out_of_a_quotation() {
        for text in [
            "a\n[Longshore] b",
            "a\r[Longshore] b",
            "a\u{2028}[Longshore] b",
            "a\u{85}[Longshore] b",
        ] {
            assert_eq!(quoted(text), "> a\n> [Longshore] b", "{text:?}");
        }
    }

    #[test]
    fn a_long_text_loses_its_middle() {
        let text = format!("begin{}end", "é".repeat(500));
        let short = shortened(&text, 90);
        assert!(short.starts_with("begin") && short.ends_with("end") && short.contains("bytes left out"));
        assert!(short.len() < 130, "{}", short.len());
        assert_eq!(shortened("short", 90), "short");
    }
}
