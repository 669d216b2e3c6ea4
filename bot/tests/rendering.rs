//! Golden cases: Markdown in `rendering/*.md`, what the chat gets of it in the `.txt` beside it. `UPDATE_GOLDEN=1` rewrites these.
//!
//! In the files `⟦3×text⟧` stands for three times the text, and `⟦U+200B⟧` for a character that cannot be seen. What is long
//! is shown with its middle left out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use longshore_bot::render::{self, MESSAGE_UNITS, Rich, Style};
use longshore_bot::store::posts::{Body, Content};
use longshore_telegram_emulator::Emulator;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rendering")
}

/// Name and Markdown of every case.
fn cases() -> Vec<(String, String)> {
    let mut cases = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, expand(&std::fs::read_to_string(path).unwrap()))
        })
        .collect::<Vec<_>>();
    cases.sort();
    cases
}

/// Puts what `⟦…⟧` stands for in its place, the innermost first.
fn expand(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(end) = text.find('⟧') {
        let start = text[..end].rfind('⟦').unwrap();
        let inner = &text[start + '⟦'.len_utf8()..end];
        let stands_for = match inner.strip_prefix("U+") {
            Some(code) => char::from_u32(u32::from_str_radix(code, 16).unwrap())
                .unwrap()
                .to_string(),
            None => {
                let (times, what) = inner.split_once('×').unwrap();
                what.repeat(times.parse().unwrap())
            }
        };
        text.replace_range(start..end + '⟧'.len_utf8(), &stands_for);
    }
    text
}

/// A message with its formatting written round what it covers.
fn show(rich: &Rich) -> String {
    let text = rich.text.encode_utf16().collect::<Vec<_>>();
    let mut marks = Vec::new();
    for (order, entity) in rich.entities.iter().enumerate() {
        let name = match &entity.style {
            Style::Bold => "b".to_owned(),
            Style::Italic => "i".to_owned(),
            Style::Strikethrough => "s".to_owned(),
            Style::Code => "code".to_owned(),
            Style::Pre { language } => format!("pre:{}", language.as_deref().unwrap_or("")),
            Style::TextLink { url } => format!("a:{}", shorten_line(url)),
            Style::Blockquote => "quote".to_owned(),
        };
        let order = order as i64;
        marks.push((entity.offset, 1, order, format!("<{name}>")));
        marks.push((entity.offset + entity.length, 0, -order, "</>".to_owned()));
    }
    marks.sort();
    let mut shown = String::new();
    let mut at = 0;
    for (offset, _, _, mark) in marks {
        shown.push_str(&String::from_utf16(&text[at..offset]).unwrap());
        shown.push_str(&mark);
        at = offset;
    }
    shown + &String::from_utf16(&text[at..]).unwrap()
}

fn show_part(part: &Content) -> String {
    match &part.file {
        None => format!("── text, {} units\n{}", part.rich.units(), shorten(&show(&part.rich))),
        Some(file) => {
            let Body::Text(text) = &file.body else {
                panic!("rendering keeps no files")
            };
            format!("── file {}, {} bytes\n{}", file.name, text.len(), shorten(text))
        }
    }
}

/// Long text without its middle, and characters that cannot be seen by their numbers.
fn shorten(text: &str) -> String {
    let lines = text.lines().map(shorten_line).collect::<Vec<_>>();
    let hidden = lines.len().saturating_sub(20);
    if hidden == 0 {
        return lines.join("\n");
    }
    let (first, last) = (lines[..14].join("\n"), lines[14 + hidden..].join("\n"));
    format!("{first}\n⟦… {hidden} lines …⟧\n{last}")
}

fn shorten_line(line: &str) -> String {
    let chars = line.chars().collect::<Vec<_>>();
    let written = |chars: &[char]| chars.iter().map(|c| written(*c)).collect::<String>();
    match chars.len().saturating_sub(200) {
        0 => written(&chars),
        hidden => format!(
            "{}⟦… {hidden} characters …⟧{}",
            written(&chars[..120]),
            written(&chars[120 + hidden..])
        ),
    }
}

fn written(c: char) -> String {
    let unseen = c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{2800}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    match unseen {
        true => format!("⟦U+{:04X}⟧", u32::from(c)),
        false => c.to_string(),
    }
}

#[test]
fn markdown_looks_in_the_chat_as_it_is_written_down_here() {
    let cases = cases();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, source) in &cases {
        let parts = Content::parts(&render::markdown(source));
        let shown = parts.iter().map(|part| show_part(part) + "\n").collect::<String>();
        let path = folder().join(format!("{name}.txt"));
        if update {
            std::fs::write(path, shown).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            wrong.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Entities as they are compared: kind, place, and what they point to.
fn listed(entities: &Value) -> Vec<Value> {
    let entities = entities.as_array().cloned().unwrap_or_default();
    let mut listed = entities
        .iter()
        .map(|entity| {
            json!([
                entity["offset"],
                entity["length"],
                entity["type"],
                entity["url"],
                entity["language"]
            ])
        })
        .collect::<Vec<_>>();
    listed.sort_by_key(Value::to_string);
    listed
}

#[tokio::test]
async fn telegram_takes_every_case_as_it_is() {
    let emulator = Emulator::local().await.unwrap();
    let people = emulator.client();
    let limits = longshore_telegram_emulator::limits::Limits {
        group: None,
        private: None,
        overall: None,
        ..Default::default()
    };
    people.set_limits(&limits).await.unwrap();
    let ada = people.user("Ada").await.unwrap().id;
    let forum = people.forum("Harbour", ada).await.unwrap();
    let mut sent = 0;
    for (name, source) in cases() {
        for part in Content::parts(&render::markdown(&source)) {
            if part.file.is_some() {
                continue;
            }
            let message = json!({"chat_id": forum, "text": part.rich.text, "entities": part.rich.entities});
            let answer = people.bot_api("4711:secret", "sendMessage", &message).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}\n{message}"));
            let taken = if answer["result"].is_null() {
                answer
            } else {
                answer["result"].clone()
            };
            assert_eq!(taken["text"].as_str(), Some(part.rich.text.as_str()), "{name}");
            assert_eq!(listed(&taken["entities"]), listed(&message["entities"]), "{name}");
            assert!(part.rich.units() <= MESSAGE_UNITS);
            sent += 1;
        }
    }
    assert!(sent >= 80, "{sent} messages");
}
