//! What holds for any Markdown: nothing gets lost, and Telegram takes it as it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::store::posts::{Body, Content};

/// Fails where Telegram would refuse or change a message: the rules of TDLib's `are_entities_valid`, which this is stricter than in
/// nothing but white space, and of its parser of addresses.
fn check(rich: &Rich, limit: usize) -> Result<(), String> {
    let text = rich.text.encode_utf16().collect::<Vec<_>>();
    if text.len() > limit {
        return Err(format!("{} units", text.len()));
    }
    if characters::is_blank(&rich.text) || rich.text.trim_end() != rich.text {
        return Err("blank, or with white space at its end".to_owned());
    }
    if characters::clean(&rich.text) != rich.text || rich.text.contains('\t') {
        return Err("characters that Telegram changes".to_owned());
    }
    if rich.entities.len() > 100 {
        return Err(format!("{} entities", rich.entities.len()));
    }
    let mut around: Vec<&Entity> = Vec::new();
    let mut last = (0, usize::MAX);
    for entity in &rich.entities {
        let end = entity.offset + entity.length;
        let wrong = |why: &str| Err(format!("{why}: {entity:?}"));
        let order = (entity.offset, usize::MAX - entity.length);
        if order < last && entity.offset > 0 {
            return wrong("out of order");
        }
        last = order;
        match text.get(entity.offset..end).map(String::from_utf16) {
            None => return wrong("outside of the text"),
            Some(Err(_)) => return wrong("tears a character"),
            Some(Ok(covered)) if covered.trim().is_empty() => return wrong("covers nothing"),
            Some(Ok(_)) => {}
        }
        around.retain(|outer| outer.offset + outer.length > entity.offset);
        for outer in &around {
            if end > outer.offset + outer.length {
                return wrong("overlaps another");
            }
            if !may_stand_in(&entity.style, &outer.style) {
                return Err(format!("{entity:?} in {outer:?}"));
            }
        }
        around.push(entity);
        if let Style::TextLink { url } = &entity.style
            && !link::is_clickable(url)
        {
            return wrong("no address");
        }
    }
    Ok(())
}

fn may_stand_in(inner: &Style, outer: &Style) -> bool {
    use Style::{Blockquote, Code, Pre, TextLink};
    match (inner, outer) {
        (_, Code | Pre { .. }) => false,
        (Blockquote, _) => false,
        (Code | Pre { .. }, outer) => *outer == Blockquote,
        (TextLink { .. }, TextLink { .. }) => false,
        (inner, outer) => inner != outer,
    }
}

/// Everything that people can read in the posts of an answer.
fn readable(parts: &[Content]) -> String {
    let mut all = String::new();
    for part in parts {
        all.push_str(&part.rich.written_out());
        for entity in &part.rich.entities {
            if let Style::Pre {
                language: Some(language),
            } = &entity.style
            {
                all.push_str(language);
            }
        }
        if let Some(file) = &part.file {
            let Body::Text(text) = &file.body else { continue };
            all.push_str(text);
        }
    }
    all
}

fn letters(text: &str) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        *counts.entry(c).or_default() += 1;
    }
    counts
}

fn visible(text: &str) -> String {
    text.chars()
        .filter(|c| !characters::is_blank(c.encode_utf8(&mut [0; 4])))
        .collect()
}

/// Pieces of Markdown in any order. Digits may be lost: the numbers of a list are counted anew, and labels of targets are not shown
/// where the target is.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "a",
        "bc ",
        "d e f ",
        "\n",
        "\n\n",
        "  ",
        "\t",
        "# ",
        "## ",
        "- ",
        "* ",
        "q. ",
        "- [ ] ",
        "> ",
        ">> ",
        "    ",
        "```",
        "```rust\n",
        "~~~",
        "`",
        "``",
        "*",
        "**",
        "_",
        "__",
        "~~",
        "[",
        "]",
        "(",
        ")",
        "](https://g.hi/jk)",
        "](lm.n)",
        "![",
        "<b>",
        "</b>",
        "<!-- o -->",
        "|",
        "|---|---|\n",
        "| p | q |\n",
        "\n|---|:-:|\n",
        "---\n",
        "===\n",
        "\\",
        "😀",
        "👨\u{200d}👩\u{200d}👧",
        "e\u{301}",
        "日本",
        "שלום",
        "\u{202e}",
        "\u{200b}",
        "\0",
        "\u{1b}[",
        "\r\n",
        "@name ",
        "/end ",
        "https://r.st ",
        "<https://u.vw>",
        "[^y]",
        "[^y]: z",
        "[1]: http://a.b\n",
        "[1]",
        ":",
        "!",
        "$",
        "#tag",
        "\u{2028}",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_fit_are_valid_and_rejoin_to_the_whole(source in pieces(), limit in 30usize..400) {
        let whole = markdown(&source);
        let parts = split(&whole, limit);
        for part in &parts {
            prop_assert_eq!(check(part, limit), Ok(()), "{:?} became {:?}", source, part);
        }
        let joined = parts.iter().map(|part| part.text.as_str()).collect::<String>();
        prop_assert_eq!(visible(&joined), visible(&whole.text));
    }

    #[test]
    fn no_letter_of_an_answer_is_dropped(source in pieces(), times in 1usize..60) {
        let source = source.repeat(times);
        let parts = Content::parts(&markdown(&source));
        for part in parts.iter().filter(|part| part.file.is_none()) {
            prop_assert_eq!(check(&part.rich, MESSAGE_UNITS), Ok(()), "{:?}", part);
        }
        let has = letters(&readable(&parts));
        for (letter, count) in letters(&source) {
            prop_assert!(
                has.get(&letter).copied().unwrap_or(0) >= count,
                "{letter:?} of {source:?} is missing in {parts:?}"
            );
        }
    }

    #[test]
    fn a_preview_of_any_beginning_is_valid(source in pieces(), cut in 0usize..400, limit in 20usize..200) {
        let beginning = source.chars().take(cut).collect::<String>();
        let shown = tail(&markdown(&beginning), limit);
        if !shown.text.is_empty() {
            let shown = split(&shown, limit);
            prop_assert!(shown.len() <= 2);
            for part in &shown {
                prop_assert_eq!(check(part, limit), Ok(()), "{:?} became {:?}", beginning, part);
            }
        }
    }

    #[test]
    fn the_bare_text_has_the_targets_of_links(source in pieces()) {
        let rich = markdown(&source);
        let has = letters(&rich.written_out());
        for entity in &rich.entities {
            if let Style::TextLink { url } = &entity.style {
                prop_assert!(rich.written_out().contains(url.as_str()));
            }
        }
        for (letter, count) in letters(&rich.text) {
            prop_assert!(has[&letter] >= count);
        }
    }
}

/// Time of a rendering with its splitting.
fn timed(source: &str) -> (Vec<Content>, Duration) {
    let start = Instant::now();
    let parts = Content::parts(&markdown(source));
    (parts, start.elapsed())
}

#[test]
fn hostile_nesting_neither_overflows_the_stack_nor_takes_long_nor_blows_up() {
    let code = "```\n".repeat(1000);
    for source in [
        "> ".repeat(1000) + "deep",
        "- ".repeat(1000) + "deep",
        "> - ".repeat(1000) + "deep",
        "[".repeat(1000) + "deep" + &"](https://x.y)".repeat(1000),
        "![".repeat(1000) + "deep" + &"](u)".repeat(1000),
        "*".repeat(1000) + "deep" + &"*".repeat(1000),
        "*a **b ".repeat(1000) + "deep" + &"** *".repeat(1000),
        "`".repeat(1000) + "deep",
        code + "deep",
        "<div>\n".repeat(1000) + "deep",
        (0..1000)
            .map(|n| format!("{}- x\n", "  ".repeat(n)))
            .collect::<String>()
            + "deep",
        "|".repeat(1000) + "\n" + &"|-".repeat(1000) + "|\n" + &"|deep\n".repeat(1000),
    ] {
        let (parts, took) = timed(&source);
        let all = readable(&parts);
        let start = source.chars().take(20).collect::<String>();
        assert!(all.contains("deep"), "{start}");
        assert!(all.len() < 20 * source.len() + 100_000, "{start}: {} bytes", all.len());
        // Unoptimised and beside other tests; optimised it is milliseconds.
        assert!(took < Duration::from_secs(10), "{start} took {took:?}");
        for part in parts.iter().filter(|part| part.file.is_none()) {
            assert_eq!(check(&part.rich, MESSAGE_UNITS), Ok(()), "{start}");
        }
    }
}

#[test]
fn an_answer_of_200_kb_is_rendered_and_cut_in_little_time() {
    let section = "## Section\n\nSome **bold** and *italic* words with `code` and [a link](https://example.org/a), twice.\n\n\
        - one\n  1. nested `x`\n  2. nested 😀\n- two\n\n```rust\nfn main() {\n    println!(\"{}\", 1);\n}\n```\n\n| a | b |\n|---|--:|\n| one | 2 |\n\n> quoted\n\n";
    let source = section.repeat(200 * 1024 / section.len() + 1);
    let (parts, took) = timed(&source);
    let (_, half) = timed(&source[..source.len() / 2]);
    println!(
        "{} KB became {} posts in {took:?} (half of it: {half:?})",
        source.len() / 1024,
        parts.len()
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    for part in &parts {
        assert_eq!(check(&part.rich, MESSAGE_UNITS), Ok(()));
    }
}
