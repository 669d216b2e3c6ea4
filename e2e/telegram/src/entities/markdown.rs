//! Telegram's MarkdownV2.
//!
//! Eighteen characters are reserved everywhere; one that neither starts nor ends something must be escaped. Quotations run
//! to the end of their last line that starts with `>`.

use super::{Entity, Formatted, link_entity, units};

const RESERVED: &str = "_*[]()~`>#+-=|{}.!\n";

/// An entity that is not closed yet.
struct Open {
    kind: &'static str,
    language: Option<String>,
    offset: usize,
    /// Byte positions in the source and in the output.
    source_at: usize,
    start: usize,
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    out: String,
    open: Vec<Open>,
    entities: Vec<Entity>,
    /// Whether a `>` here would start or continue a quotation.
    line_start: bool,
    quoting: bool,
}

pub fn parse(source: &str) -> Result<Formatted, String> {
    let (out, open, entities) = (String::new(), Vec::new(), Vec::new());
    let mut parser = Parser {
        source,
        at: 0,
        out,
        open,
        entities,
        line_start: true,
        quoting: false,
    };
    while let Some(next) = parser.peek() {
        parser.step(next)?;
    }
    if parser.quoting {
        let expandable = parser
            .open
            .last()
            .is_some_and(|open| open.kind == "spoiler" && open.source_at + 2 == source.len());
        parser.end_quotation(expandable);
    }
    match parser.open.last() {
        Some(open) => Err(open.unfinished()),
        None => {
            parser
                .entities
                .sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
            Ok(Formatted {
                text: parser.out,
                entities: parser.entities,
            })
        }
    }
}

impl Open {
    fn unfinished(&self) -> String {
        let kind = match self.kind {
            "bold" => "Bold",
            "italic" => "Italic",
            "underline" => "Underline",
            "strikethrough" => "Strikethrough",
            "spoiler" => "Spoiler",
            "code" => "Code",
            "pre" if self.language.is_some() => "PreCode",
            "pre" => "Pre",
            "blockquote" => "BlockQuote",
            "custom_emoji" => "CustomEmoji",
            _ => "TextUrl",
        };
        format!("Can't find end of {kind} entity at byte offset {}", self.source_at)
    }
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self, next: char) -> Result<(), String> {
        // An escape counts for any ASCII character.
        if next == '\\'
            && let Some(escaped) = self.rest()[1..].chars().next().filter(char::is_ascii)
        {
            self.at += 1;
            self.put(escaped);
            return Ok(());
        }
        let inside = self.open.last().map(|open| open.kind);
        let is_code = matches!(inside, Some("code" | "pre"));
        if !RESERVED.contains(next) || (is_code && next != '`') {
            self.put(next);
            return Ok(());
        }
        if let Some(length) = self.ends(inside) {
            return self.close(length);
        }
        // In a block of code a single backquote is text.
        if inside == Some("pre") {
            self.put(next);
            return Ok(());
        }
        self.begin(next)
    }

    /// Writes a character as it is.
    fn put(&mut self, character: char) {
        self.out.push(character);
        self.at += character.len_utf8();
        self.line_start = character == '\n';
    }

    /// The length of the mark here if it ends the innermost entity.
    fn ends(&self, inside: Option<&str>) -> Option<usize> {
        let rest = self.rest();
        let mark = match inside? {
            "bold" => "*",
            "italic" if !rest.starts_with("__") => "_",
            "underline" => "__",
            "strikethrough" => "~",
            "spoiler" => "||",
            "code" => "`",
            "pre" => "```",
            "text_link" | "custom_emoji" => "]",
            _ => return None,
        };
        rest.starts_with(mark).then_some(mark.len())
    }

    fn close(&mut self, mark: usize) -> Result<(), String> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        self.at += mark;
        self.line_start = false;
        let length = units(&self.out) - open.offset;
        let mut entity = Some(Entity {
            language: open.language,
            ..Entity::new(open.kind, open.offset, length)
        });
        if open.kind == "text_link" {
            let url = self.url()?.unwrap_or_else(|| self.out[open.start..].to_owned());
            entity = link_entity(&url, open.offset, length);
        }
        if open.kind == "custom_emoji" {
            let url = self
                .url()?
                .ok_or("The entity must contain a tg://emoji or tg://time URL")?;
            let id = url
                .strip_prefix("tg://emoji?id=")
                .filter(|id| id.parse::<u64>().is_ok());
            let id = id.ok_or("Invalid tg://emoji or tg://time URL specified")?.to_owned();
            entity = Some(Entity {
                custom_emoji_id: Some(id),
                ..Entity::new(open.kind, open.offset, length)
            });
        }
        self.entities.extend(entity.filter(|entity| entity.length > 0));
        Ok(())
    }

    /// `(url)` behind a link text.
    fn url(&mut self) -> Result<Option<String>, String> {
        let Some(rest) = self.rest().strip_prefix('(') else {
            return Ok(None);
        };
        let begin = self.at + 1;
        let (mut url, mut escaped) = (String::new(), false);
        for (index, character) in rest.char_indices() {
            match character {
                '\\' if !escaped => escaped = true,
                ')' if !escaped => {
                    self.at = begin + index + 1;
                    return Ok(Some(url));
                }
                _ => {
                    escaped = false;
                    url.push(character);
                }
            }
        }
        Err(format!("Can't find end of a URL at byte offset {begin}"))
    }

    fn begin(&mut self, next: char) -> Result<(), String> {
        let rest = self.rest();
        let reserved = || {
            Err(format!(
                "Character '{next}' is reserved and must be escaped with the preceding '\\'"
            ))
        };
        let (kind, mark) = match next {
            '\n' => return self.new_line(),
            '>' if self.line_start && !self.quoting => {
                self.quoting = true;
                ("blockquote", 1)
            }
            '>' if self.line_start => {
                self.at += 1;
                self.line_start = false;
                return Ok(());
            }
            '_' if rest.starts_with("__") => ("underline", 2),
            '_' => ("italic", 1),
            '*' if rest.starts_with("**>") && self.line_start => {
                // An empty bold entity separates two quotations.
                self.at += 2;
                return Ok(());
            }
            '*' => ("bold", 1),
            '~' => ("strikethrough", 1),
            '|' if rest.starts_with("||") => ("spoiler", 2),
            '[' => ("text_link", 1),
            '!' if rest.starts_with("![") => ("custom_emoji", 2),
            '`' if rest.starts_with("```") => return self.begin_pre(),
            '`' => ("code", 1),
            _ => return reserved(),
        };
        self.push(kind, None, mark);
        self.line_start = false;
        Ok(())
    }

    fn push(&mut self, kind: &'static str, language: Option<String>, mark: usize) {
        let open = Open {
            kind,
            language,
            offset: units(&self.out),
            source_at: self.at,
            start: self.out.len(),
        };
        self.open.push(open);
        self.at += mark;
    }

    /// Three backquotes, then a language up to white space, then one line break that is not part of the text.
    fn begin_pre(&mut self) -> Result<(), String> {
        let rest = self.rest()[3..].to_owned();
        let word = &rest[..rest
            .find(|c: char| c.is_ascii_whitespace() || c == '`')
            .unwrap_or(rest.len())];
        let is_language = !word.is_empty() && rest[word.len()..].starts_with(|c: char| c.is_ascii_whitespace());
        let language = is_language.then(|| word.to_owned());
        let mut skip = 3 + language.as_ref().map_or(0, String::len);
        if self.rest()[skip..].starts_with('\n') {
            skip += 1;
        }
        self.push("pre", language, skip);
        Ok(())
    }

    /// A line break ends a quotation unless the next line goes on with `>`.
    fn new_line(&mut self) -> Result<(), String> {
        let goes_on = self.rest()[1..].starts_with('>');
        if self.quoting && !goes_on {
            let expandable = self
                .open
                .last()
                .is_some_and(|open| open.kind == "spoiler" && open.source_at + 2 == self.at);
            self.out.push('\n');
            self.end_quotation(expandable);
            if self.quoting {
                return Err(self.open.last().map(Open::unfinished).unwrap_or_default());
            }
        } else {
            self.out.push('\n');
        }
        self.at += 1;
        self.line_start = true;
        Ok(())
    }

    /// Closes the quotation if nothing else is open in it. `||` at its very end made it expandable.
    fn end_quotation(&mut self, expandable: bool) {
        if expandable {
            self.open.pop();
        }
        if let Some(open) = self.open.pop_if(|open| open.kind == "blockquote") {
            self.quoting = false;
            let kind = if expandable {
                "expandable_blockquote"
            } else {
                "blockquote"
            };
            let length = units(&self.out) - open.offset;
            self.entities
                .extend((length > 0).then(|| Entity::new(kind, open.offset, length)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        match parse(source) {
            Ok(read) => {
                let entities = read.entities.iter().map(|entity| {
                    let extra = entity
                        .url
                        .as_ref()
                        .or(entity.language.as_ref())
                        .map(|x| format!("={x}"))
                        .unwrap_or_default();
                    format!(" {}{extra}[{}]", entity.kind, read.covered(entity))
                });
                read.text.clone() + "|" + &entities.collect::<String>()
            }
            Err(error) => error,
        }
    }

    #[test]
    fn marks_become_entities() {
        for (source, expected) in [
            ("plain", "plain|"),
            (
                "*b* _i_ __u__ ~s~ ||p||",
                "b i u s p| bold[b] italic[i] underline[u] strikethrough[s] spoiler[p]",
            ),
            ("*a _b_*", "a b| bold[a b] italic[b]"),
            ("`x_y*z.` ```\nplain\n```", "x_y*z. plain\n| code[x_y*z.] pre[plain\n]"),
            ("```rust\nlet a = `b`;```", "let a = `b`;| pre=rust[let a = `b`;]"),
            ("[go](https://x.org/a\\)b)", "go| text_link=https://x.org/a)b[go]"),
            ("a\\.b\\!", "a.b!|"),
            (">one\n>two\nthree", "one\ntwo\nthree| blockquote[one\ntwo\n]"),
            (">one||", "one| expandable_blockquote[one]"),
            ("😀 *é*", "😀 é| bold[é]"),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }

    #[test]
    fn unescaped_and_unclosed_marks_are_refused() {
        for (source, expected) in [
            (
                "a.b",
                "Character '.' is reserved and must be escaped with the preceding '\\'",
            ),
            (
                "1 > 0",
                "Character '>' is reserved and must be escaped with the preceding '\\'",
            ),
            (
                "a|b",
                "Character '|' is reserved and must be escaped with the preceding '\\'",
            ),
            ("é *b", "Can't find end of Bold entity at byte offset 3"),
            ("`x", "Can't find end of Code entity at byte offset 0"),
            ("```rust\nx", "Can't find end of PreCode entity at byte offset 0"),
            ("[a](b", "Can't find end of a URL at byte offset 4"),
            (">*one\ntwo", "Can't find end of Bold entity at byte offset 1"),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }
}
