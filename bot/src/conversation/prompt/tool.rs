//! What a tool wants to do, so that people can judge it. Pure.
//!
//! Commands, changes and texts stand as code; every field that a tool's look does not know follows as a line of its own, so that
//! nothing of an input is ever left out. What hides in a text is written out ([`visible`]).

use std::time::Duration;

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::visible::{line, visible};
use crate::render::{self, Entity, Rich, Style};

/// Texts that are larger together are shown one after the other, since comparing them could take long.
const DIFF_BYTES: usize = 64 << 10;
/// Longest that a comparison may take; then it says less exactly what has changed.
const DIFF_TIME: Duration = Duration::from_millis(200);
/// Lines that stay as they are, round a change.
const CONTEXT: usize = 3;

/// The whole input of a tool, however long.
pub fn wanted(tool: &str, input: &Value) -> Rich {
    // The same input looks the same, whatever order its fields came in.
    let mut input = input.clone();
    input.sort_all_objects();
    let Some(fields) = input.as_object() else {
        return match &input {
            Value::Null => Rich::default(),
            other => code(Some("json"), &pretty(other)),
        };
    };
    let mut look = Look {
        fields,
        known: Vec::new(),
        rich: Rich::default(),
    };
    match tool {
        "Bash" => look.bash(),
        "Edit" => look.edit(),
        "MultiEdit" => look.multi_edit(),
        "Write" => look.write(),
        "NotebookEdit" => look.notebook(),
        "WebFetch" => look.say("url").then_say("prompt"),
        "WebSearch" => look.say("query"),
        "Read" => look.path("file_path"),
        "Glob" | "Grep" => look.pattern(),
        "Task" | "Agent" => look.say("description").then_say("prompt"),
        other => match mcp(other) {
            Some((server, name)) => look.mcp(server, name),
            None => return code(Some("json"), &pretty(&input)),
        },
    };
    look.rest()
}

/// Server and tool of an MCP tool's name.
pub fn mcp(tool: &str) -> Option<(&str, &str)> {
    tool.strip_prefix("mcp__")?.split_once("__")
}

struct Look<'a> {
    fields: &'a Map<String, Value>,
    known: Vec<&'static str>,
    rich: Rich,
}

impl<'a> Look<'a> {
    /// A field that is a text, which is shown by whoever asks for it.
    fn text(&mut self, key: &'static str) -> Option<&'a str> {
        let text = self.fields.get(key)?.as_str()?;
        self.known.push(key);
        Some(text)
    }

    fn add(&mut self, rich: Rich) {
        self.rich = std::mem::take(&mut self.rich).paragraph(rich);
    }

    /// A text as it is.
    fn say(&mut self, key: &'static str) -> &mut Self {
        if let Some(text) = self.text(key).filter(|text| !text.is_empty()) {
            self.add(Rich::plain(visible(text)));
        }
        self
    }

    fn then_say(&mut self, key: &'static str) -> &mut Self {
        self.say(key)
    }

    fn path(&mut self, key: &'static str) -> &mut Self {
        if let Some(path) = self.text(key) {
            self.add(styled(Style::Code, visible(path)));
        }
        self
    }

    fn bash(&mut self) -> &mut Self {
        self.say("description");
        if let Some(command) = self.text("command") {
            self.add(code(Some("bash"), command));
        }
        let mut how = Vec::new();
        if let Some(timeout) = self.fields.get("timeout").and_then(Value::as_u64) {
            self.known.push("timeout");
            how.push(format!("for at most {} s", timeout.div_ceil(1000)));
        }
        if let Some(background) = self.fields.get("run_in_background").and_then(Value::as_bool) {
            self.known.push("run_in_background");
            how.extend(background.then(|| "in the background".to_owned()));
        }
        if !how.is_empty() {
            self.add(Rich::plain(format!("It runs {}.", how.join(", "))));
        }
        self
    }

    fn edit(&mut self) -> &mut Self {
        self.path("file_path");
        let changes = (self.fields.get("old_string"), self.fields.get("new_string"));
        if let (Some(Value::String(old)), Some(Value::String(new))) = changes {
            self.known.extend(["old_string", "new_string"]);
            self.add(diff(old, new));
        }
        if let Some(all) = self.fields.get("replace_all").and_then(Value::as_bool) {
            self.known.push("replace_all");
            if all {
                self.add(Rich::plain("Wherever it stands in the file."));
            }
        }
        self
    }

    fn multi_edit(&mut self) -> &mut Self {
        self.path("file_path");
        let edits = self.fields.get("edits").and_then(Value::as_array);
        if let Some(edits) = edits.filter(|edits| edits.iter().all(Value::is_object)) {
            self.known.push("edits");
            for edit in edits {
                let rest = wanted("Edit", edit);
                self.add(rest);
            }
        }
        self
    }

    fn write(&mut self) -> &mut Self {
        let path = self.fields.get("file_path").and_then(Value::as_str).unwrap_or_default();
        self.path("file_path");
        if let Some(content) = self.text("content") {
            let (lines, bytes) = (content.lines().count(), content.len());
            self.add(Rich::plain(format!("{}, {}:", count(lines, "line"), size(bytes))));
            self.add(code(language(path), content));
        }
        self
    }

    fn notebook(&mut self) -> &mut Self {
        self.path("notebook_path");
        let markdown = self.fields.get("cell_type").is_some_and(|kind| kind == "markdown");
        if let Some(source) = self.text("new_source").filter(|source| !source.is_empty()) {
            self.add(code(Some(if markdown { "markdown" } else { "python" }), source));
        }
        self
    }

    fn pattern(&mut self) -> &mut Self {
        if let Some(pattern) = self.text("pattern") {
            self.add(code(None, pattern));
        }
        self.path("path")
    }

    fn mcp(&mut self, server: &str, name: &str) -> &mut Self {
        let (name, server) = (line(name, 100), line(server, 100));
        let line = format!("Tool {name} of the MCP server {server}.");
        self.add(Rich::plain(line));
        self
    }

    /// What is there, and every field that was not shown yet.
    fn rest(mut self) -> Rich {
        let others = self
            .fields
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.as_str()));
        let lines: Vec<String> = others.map(|(key, value)| field(key, value)).collect();
        if !lines.is_empty() {
            self.add(code(Some("yaml"), &lines.join("\n")));
        }
        self.rich
    }
}

fn field(key: &str, value: &Value) -> String {
    let key = key.replace(['\n', '\t'], " ");
    match value {
        Value::String(text) if text.contains('\n') => {
            let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
            format!("{key}:\n{}", lines.join("\n"))
        }
        Value::String(text) => format!("{key}: {text}"),
        other => format!("{key}: {other}"),
    }
}

/// The lines that go and come, as `diff` writes them.
fn diff(old: &str, new: &str) -> Rich {
    if old.len() + new.len() > DIFF_BYTES {
        let all = old.lines().map(|line| format!("-{line}"));
        let all = all.chain(new.lines().map(|line| format!("+{line}")));
        return code(Some("diff"), &all.collect::<Vec<_>>().join("\n"));
    }
    let compared = TextDiff::configure().timeout(DIFF_TIME).diff_lines(old, new);
    let mut lines = Vec::new();
    for (at, group) in compared.grouped_ops(CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push("@@".to_owned());
        }
        for change in group.iter().flat_map(|op| compared.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value();
            lines.push(format!("{sign}{}", line.strip_suffix('\n').unwrap_or(line)));
        }
    }
    if lines.is_empty() {
        return Rich::plain("(nothing changes)");
    }
    let ends = (
        old.is_empty() || old.ends_with('\n'),
        new.is_empty() || new.ends_with('\n'),
    );
    let shown = code(Some("diff"), &lines.join("\n"));
    match ends {
        (true, false) => shown.paragraph(Rich::plain("The line end behind it goes.")),
        (false, true) => shown.paragraph(Rich::plain("A line end comes behind it.")),
        _ => shown,
    }
}

/// A block of code in which everything can be seen.
fn code(language: Option<&str>, text: &str) -> Rich {
    if text.trim().is_empty() {
        return Rich::plain(if text.is_empty() { "(empty)" } else { "(blank)" });
    }
    let language = language.map(str::to_owned);
    styled(Style::Pre { language }, visible(text.trim_end_matches('\n')))
}

fn styled(style: Style, text: String) -> Rich {
    let length = render::units(&text);
    let entities = vec![Entity {
        style,
        offset: 0,
        length,
    }];
    Rich { text, entities }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// `1 line`, `2 lines`, `1,234 lines`.
pub fn count(number: usize, what: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let plural = if number == 1 { "" } else { "s" };
    format!("{grouped} {what}{plural}")
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => count(bytes, "byte"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Language of a file for highlighting, by its name.
fn language(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
    Some(match extension.to_ascii_lowercase().as_str() {
        "rs" => "rust",
        "py" => "python",
        "js" | "mjs" | "cjs" | "jsx" => "javascript",
        "ts" | "tsx" => "typescript",
        "go" => "go",
        "c" | "h" => "c",
        "cc" | "cpp" | "hpp" => "cpp",
        "java" => "java",
        "kt" => "kotlin",
        "rb" => "ruby",
        "php" => "php",
        "sh" | "bash" | "zsh" => "bash",
        "json" => "json",
        "yaml" | "yml" => "yaml",
        "toml" => "toml",
        "md" => "markdown",
        "html" | "htm" => "html",
        "css" => "css",
        "sql" => "sql",
        "xml" | "svg" => "xml",
        "diff" | "patch" => "diff",
        "dockerfile" => "dockerfile",
        "makefile" | "mk" => "makefile",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "tool_tests.rs"]
mod tests;
