//! Code that is too long for a message, as files.
//!
//! What stays in the text are the first lines and a remark that names the file; the file has the whole. Tables are treated
//! alike: they are monospace text, too.

use super::{Entity, Rich, Style, units};
use crate::words;

/// Code up to this length stays in the text. It leaves a quarter of a message for the words around it, so code that stays is
/// rarely cut in two; on a phone longer code is read in a file rather than in the chat. A file is one call to Telegram,
/// every message of text that it saves was two.
const LONGEST_SHOWN: usize = 3000;
/// How much of longer code is shown.
const SHOWN: usize = 600;
/// And at most so many lines.
const SHOWN_LINES: usize = 12;

/// Code that goes out as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFile {
    /// Name by number and language.
    pub name: String,
    /// The whole code.
    pub text: String,
}

/// The text with the beginnings of long code only, and the long code.
pub fn take_out_code(rich: &Rich) -> (Rich, Vec<CodeFile>) {
    let mut files = Vec::new();
    let mut out = Rich::default();
    let mut edits = Vec::new();
    let mut rest = Cursor::new(&rich.text);
    for entity in &rich.entities {
        let Style::Pre { language } = &entity.style else {
            continue;
        };
        if entity.length <= LONGEST_SHOWN {
            continue;
        }
        out.text.push_str(rest.to(entity.offset));
        let whole = rest.to(entity.offset + entity.length);
        let name = name(files.len() + 1, language.as_deref());
        let shown = beginning(whole);
        let remark = format!("\n{}", words::rest_in_file(whole.lines().count(), &name));
        out.text.push_str(shown);
        out.text.push_str(&remark);
        edits.push(Edit {
            start: entity.offset,
            end: entity.offset + entity.length,
            shown: units(shown),
            all: units(shown) + units(&remark),
        });
        files.push(CodeFile {
            name,
            text: format!("{}\n", whole.trim_end_matches('\n')),
        });
    }
    out.text.push_str(rest.rest());
    out.entities = rich.entities.iter().map(|entity| moved(entity, &edits)).collect();
    (out, files)
}

/// A range of the old text, and how long what stands there now is, without and with the remark.
struct Edit {
    start: usize,
    end: usize,
    shown: usize,
    all: usize,
}

fn moved(entity: &Entity, edits: &[Edit]) -> Entity {
    let place = |at: usize, stays: bool| {
        let (mut moved, mut seen) = (0, 0);
        for edit in edits.iter().take_while(|edit| edit.end <= at) {
            moved += edit.start - seen;
            seen = edit.end;
            moved += if stays && edit.end == at { edit.shown } else { edit.all };
        }
        moved + at - seen
    };
    let is_code = matches!(entity.style, Style::Pre { .. });
    let offset = place(entity.offset, false);
    Entity {
        style: entity.style.clone(),
        offset,
        length: place(entity.offset + entity.length, is_code) - offset,
    }
}

/// The first lines, or if even the first is long, the beginning of it.
fn beginning(code: &str) -> &str {
    let mut used = 0;
    let mut end = 0;
    for line in code.split_inclusive('\n').take(SHOWN_LINES) {
        used += units(line);
        if used > SHOWN {
            break;
        }
        end += line.len();
    }
    match code[..end].trim_end() {
        "" => super::split::head(code.trim_start_matches('\n'), SHOWN),
        shown => shown,
    }
}

fn name(number: usize, language: Option<&str>) -> String {
    match language {
        Some(language) => format!("code-{number}.{}", extension(language)),
        None => format!("text-{number}.txt"),
    }
}

/// What files in this language are called, as far as claude writes it above code. A language that is a plain word of its own is
/// its own extension.
fn extension(language: &str) -> String {
    let language = language.to_lowercase();
    let word = language
        .split(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '#' | '-'))
        .next()
        .unwrap_or_default();
    let known = match word {
        "rust" => "rs",
        "python" | "python3" => "py",
        "javascript" | "node" => "js",
        "typescript" => "ts",
        "bash" | "shell" | "zsh" | "console" | "shell-session" => "sh",
        "yml" | "yaml" => "yaml",
        "markdown" => "md",
        "c++" => "cpp",
        "c#" | "csharp" => "cs",
        "f#" | "fsharp" => "fs",
        "golang" => "go",
        "ruby" => "rb",
        "kotlin" => "kt",
        "haskell" => "hs",
        "perl" => "pl",
        "objective-c" | "objc" => "m",
        "powershell" => "ps1",
        "terraform" => "tf",
        "protobuf" => "proto",
        "elixir" => "ex",
        "erlang" => "erl",
        "jsonc" => "json",
        "" | "text" | "plain" | "plaintext" | "output" | "log" => "txt",
        other if other.len() <= 10 && other.chars().all(|c| c.is_ascii_alphanumeric()) => other,
        _ => "txt",
    };
    known.to_owned()
}

/// Walks through a text by UTF-16 offsets.
struct Cursor<'a> {
    text: &'a str,
    bytes: usize,
    units: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: 0,
            units: 0,
        }
    }

    /// What stands between here and there.
    fn to(&mut self, offset: usize) -> &'a str {
        let start = self.bytes;
        for c in self.text[start..].chars() {
            if self.units >= offset {
                break;
            }
            self.units += c.len_utf16();
            self.bytes += c.len_utf8();
        }
        &self.text[start..self.bytes]
    }

    fn rest(&self) -> &'a str {
        &self.text[self.bytes..]
    }
}

#[cfg(test)]
mod tests {
    use super::super::markdown;
    use super::*;

    #[test]
    fn long_code_becomes_a_file_and_its_first_lines_stay() {
        let code = (0..400).map(|n| format!("let x{n} = 😀;\n")).collect::<String>();
        let source = format!("before 😀\n\n```rust\n{code}```\n\n**after** and `x`\n\n```py\n{code}```\n\nend");
        let (shown, files) = take_out_code(&markdown(&source));
        let names = files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["code-1.rs", "code-2.py"]);
        assert!(files.iter().all(|file| file.text == code));
        let text = shown.text.encode_utf16().collect::<Vec<_>>();
        let covered = |entity: &Entity| {
            let range = &text[entity.offset..entity.offset + entity.length];
            (entity.style.clone(), String::from_utf16(range).unwrap())
        };
        let first = code.lines().take(SHOWN_LINES).collect::<Vec<_>>().join("\n");
        let pre = |language: &str| Style::Pre {
            language: Some(language.to_owned()),
        };
        assert_eq!(
            shown.entities.iter().map(covered).collect::<Vec<_>>(),
            [
                (pre("rust"), first.clone()),
                (Style::Bold, "after".to_owned()),
                (Style::Code, "x".to_owned()),
                (pre("py"), first),
            ]
        );
        assert!(shown.text.starts_with("before 😀\n\nlet x0"));
        assert!(
            shown
                .text
                .contains("\n[… 400 lines in all; the whole is in the file code-1.rs]\n\nafter")
        );
        assert!(shown.text.ends_with("code-2.py]\n\nend"));
    }

    #[test]
    fn one_endless_line_is_shown_up_to_a_length() {
        let (shown, files) = take_out_code(&markdown(&format!("```\n{}\n```", "x".repeat(100_000))));
        assert_eq!((files[0].name.as_str(), files[0].text.len()), ("text-1.txt", 100_001));
        assert_eq!(shown.entities[0].length, SHOWN);
        assert!(shown.text.ends_with("[… goes on; the whole is in the file text-1.txt]"));
    }

    #[test]
    fn code_that_fits_stays() {
        let rich = markdown(&format!("a\n\n```\n{}\n```", "x".repeat(LONGEST_SHOWN)));
        assert_eq!(take_out_code(&rich), (rich, Vec::new()));
    }

    #[test]
    fn a_quotation_goes_on_behind_the_remark_in_it() {
        let (shown, _) = take_out_code(&markdown(&format!(
            "> ```\n> {}\n> ```\n>\n> end\n\nout",
            "x".repeat(4000)
        )));
        let quote = shown
            .entities
            .iter()
            .find(|entity| entity.style == Style::Blockquote)
            .unwrap();
        assert_eq!(quote.offset + quote.length, units(&shown.text) - units("\n\nout"));
    }

    #[test]
    fn names_of_files_follow_the_language() {
        for (language, expected) in [
            ("rust", "rs"),
            ("Rust,ignore", "rs"),
            ("toml", "toml"),
            ("C++", "cpp"),
            ("../../etc/passwd", "txt"),
            ("{.python .numberLines}", "txt"),
            ("日本", "txt"),
        ] {
            assert_eq!(extension(language), expected, "{language}");
        }
    }
}
