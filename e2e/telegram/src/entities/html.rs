//! Telegram's HTML dialect.
//!
//! A small fixed set of tags, strict nesting, four named entities; everything else is an error with a byte offset.

use super::{Entity, Formatted, link_entity, units};

const TAGS: [&str; 17] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "tg-emoji",
    "tg-time",
    "span",
    "pre",
    "code",
    "blockquote",
];

/// A tag that is not closed yet.
struct Open {
    tag: String,
    /// What its attribute says: a link, a language, an emoji id, `expandable`.
    argument: String,
    /// UTF-16 offset and byte position in the output.
    offset: usize,
    start: usize,
}

pub fn parse(source: &str) -> Result<Formatted, String> {
    let mut reader = Reader { source, at: 0 };
    let (mut out, mut offset) = (String::new(), 0);
    let (mut open, mut entities): (Vec<Open>, Vec<Entity>) = (Vec::new(), Vec::new());
    while let Some(next) = reader.peek() {
        let tag_at = reader.at;
        match next {
            '<' if reader.rest().starts_with("</") => {
                let Some(last) = open.pop() else {
                    return Err(format!("Unexpected end tag at byte offset {tag_at}"));
                };
                let name = reader.end_tag()?;
                if !name.is_empty() && name != last.tag {
                    return Err(format!(
                        "Unmatched end tag at byte offset {tag_at}, expected \"</{}>\", found \"</{name}>\"",
                        last.tag
                    ));
                }
                if offset > last.offset {
                    close(last, &out, offset, &mut entities)?;
                }
            }
            '<' => {
                let (tag, argument) = reader.start_tag()?;
                open.push(Open {
                    tag,
                    argument,
                    offset,
                    start: out.len(),
                });
            }
            _ => {
                let character = reader.character();
                offset += character.len_utf16();
                out.push(character);
            }
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(format!(
            "Can't find end tag corresponding to start tag \"{}\"",
            unclosed.tag
        ));
    }
    debug_assert_eq!(offset, units(&out));
    for entity in entities.iter_mut().filter(|entity| entity.kind == "code") {
        entity.language = None;
    }
    Ok(Formatted { text: out, entities })
}

fn close(open: Open, out: &str, end: usize, entities: &mut Vec<Entity>) -> Result<(), String> {
    let length = end - open.offset;
    let simple = |kind: &str| Some(Entity::new(kind, open.offset, length));
    let entity = match open.tag.as_str() {
        "b" | "strong" => simple("bold"),
        "i" | "em" => simple("italic"),
        "u" | "ins" => simple("underline"),
        "s" | "strike" | "del" => simple("strikethrough"),
        "tg-spoiler" | "span" => simple("spoiler"),
        "blockquote" => simple(if open.argument.is_empty() {
            "blockquote"
        } else {
            "expandable_blockquote"
        }),
        "tg-emoji" => {
            if open.argument.parse::<u64>().unwrap_or(0) == 0 {
                return Err("Invalid custom emoji identifier specified".to_owned());
            }
            Some(Entity {
                custom_emoji_id: Some(open.argument),
                ..Entity::new("custom_emoji", open.offset, length)
            })
        }
        // The date itself is not modelled, its text is kept.
        "tg-time" => None,
        "a" => link_entity(
            if open.argument.is_empty() {
                &out[open.start..]
            } else {
                &open.argument
            },
            open.offset,
            length,
        ),
        _ => {
            close_code(open, length, entities);
            return Ok(());
        }
    };
    entities.extend(entity);
    Ok(())
}

/// `<pre>` and `<code class="language-x">` around the same text are one block with a language, whichever is outside.
fn close_code(open: Open, length: usize, entities: &mut Vec<Entity>) {
    let language = (!open.argument.is_empty()).then_some(open.argument);
    if let Some(inner) = entities
        .last_mut()
        .filter(|inner| inner.offset == open.offset && inner.length == length)
    {
        if open.tag == "pre" && inner.kind == "code" && inner.language.is_some() {
            inner.kind = "pre".to_owned();
            return;
        }
        if open.tag == "code" && inner.kind == "pre" && language.is_some() {
            inner.language = language;
            return;
        }
    }
    let language = language.filter(|_| open.tag == "code");
    entities.push(Entity {
        language,
        ..Entity::new(&open.tag, open.offset, length)
    });
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    /// The next character of text, a character reference decoded.
    fn character(&mut self) -> char {
        if let Some((character, length)) = reference(self.rest()) {
            self.at += length;
            return character;
        }
        let character = self.peek().unwrap_or_default();
        self.at += character.len_utf8();
        character
    }

    fn end_tag(&mut self) -> Result<String, String> {
        let begin = self.at;
        self.at += 2;
        let name = self.skip_while(|c| !c.is_ascii_whitespace() && c != '>').to_lowercase();
        self.skip_while(|c| c.is_ascii_whitespace());
        if self.take('>') {
            Ok(name)
        } else {
            Err(format!("Unclosed end tag at byte offset {begin}"))
        }
    }

    fn start_tag(&mut self) -> Result<(String, String), String> {
        let begin = self.at;
        self.at += 1;
        let tag = self.skip_while(|c| !c.is_ascii_whitespace() && c != '>').to_lowercase();
        if self.peek().is_none() {
            return Err(format!("Unclosed start tag at byte offset {begin}"));
        }
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let unclosed = || format!("Unclosed start tag \"{tag}\" at byte offset {begin}");
        let mut argument = String::new();
        loop {
            self.skip_while(|c| c.is_ascii_whitespace());
            if self.take('>') {
                break;
            }
            let name = self.skip_while(|c| !c.is_ascii_whitespace() && !matches!(c, '=' | '>' | '/' | '"' | '\''));
            if name.is_empty() {
                return Err(format!(
                    "Empty attribute name in the tag \"{tag}\" at byte offset {begin}"
                ));
            }
            self.skip_while(|c| c.is_ascii_whitespace());
            let value = if self.take('=') {
                Some(self.attribute_value(begin)?)
            } else {
                None
            };
            if self.peek().is_none() {
                return Err(unclosed());
            }
            if let Some(meaning) = meaning(&tag, name, value.as_deref()) {
                argument = meaning;
            }
        }
        if tag == "span" && argument != "spoiler" {
            return Err(format!(
                "Tag \"span\" must have class \"tg-spoiler\" at byte offset {begin}"
            ));
        }
        Ok((tag, argument))
    }

    fn attribute_value(&mut self, tag_begin: usize) -> Result<String, String> {
        self.skip_while(|c| c.is_ascii_whitespace());
        let begin = self.at;
        let quote = if self.take('"') {
            '"'
        } else if self.take('\'') {
            '\''
        } else {
            let value = self
                .skip_while(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
                .to_lowercase();
            return match self.peek() {
                Some(c) if c.is_ascii_whitespace() || c == '>' => Ok(value),
                _ => Err(format!("Unexpected end of name token at byte offset {begin}")),
            };
        };
        let mut value = String::new();
        while let Some(next) = self.peek() {
            if next == quote {
                self.at += 1;
                return Ok(value);
            }
            value.push(self.character());
        }
        Err(format!("Unclosed start tag at byte offset {tag_begin}"))
    }
}

/// What an attribute means for its tag; none for attributes without a meaning.
fn meaning(tag: &str, name: &str, value: Option<&str>) -> Option<String> {
    match (tag, name, value) {
        ("blockquote", "expandable", _) => Some("expandable".to_owned()),
        ("a", "href", Some(value)) | ("tg-emoji", "emoji-id", Some(value)) => Some(value.to_owned()),
        ("code", "class", Some(value)) => value.strip_prefix("language-").map(str::to_owned),
        ("span", "class", Some(value)) => value.strip_prefix("tg-").map(str::to_owned),
        _ => None,
    }
}

/// A character reference at the start of the text and its length. Unknown names are plain text.
fn reference(text: &str) -> Option<(char, usize)> {
    let inner = text.strip_prefix('&')?;
    let name = &inner[..inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '#')
        .unwrap_or(inner.len())];
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')?
        }
    };
    let length = 1 + name.len();
    Some((character, length + usize::from(text[length..].starts_with(';'))))
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
    fn tags_become_entities() {
        for (source, expected) in [
            ("plain", "plain|"),
            (
                "<b>b</b><strong>b</strong> <i>i</i><em>i</em>",
                "bb ii| bold[b] bold[b] italic[i] italic[i]",
            ),
            (
                "<u>u</u><ins>u</ins><s>s</s><strike>s</strike><del>s</del>",
                "uusss| underline[u] underline[u] strikethrough[s] strikethrough[s] strikethrough[s]",
            ),
            ("<b>one <i>two</i></b>", "one two| italic[two] bold[one two]"),
            ("<B>x</B>", "x| bold[x]"),
            ("<code>a</code><pre>b</pre>", "ab| code[a] pre[b]"),
            ("<pre><code class=\"language-rust\">fn</code></pre>", "fn| pre=rust[fn]"),
            ("<code class=\"language-rust\">fn</code>", "fn| code[fn]"),
            (
                "<a href=\"https://x.org/?a=1&amp;b=2\">go</a>",
                "go| text_link=https://x.org/?a=1&b=2[go]",
            ),
            ("<a href=\"javascript:x\">go</a>", "go|"),
            (
                "<blockquote>q</blockquote><blockquote expandable>e</blockquote>",
                "qe| blockquote[q] expandable_blockquote[e]",
            ),
            (
                "<tg-spoiler>s</tg-spoiler><span class=\"tg-spoiler\">t</span>",
                "st| spoiler[s] spoiler[t]",
            ),
            ("😀<b>é😀</b>", "😀é😀| bold[é😀]"),
            ("<b></b>x", "x|"),
            (
                "&lt;b&gt; &amp;amp; &quot;&#65;&#x42;&nbsp; &unknown;",
                "<b> &amp; \"AB&nbsp; &unknown;|",
            ),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }

    #[test]
    fn broken_html_is_refused_with_its_place() {
        for (source, expected) in [
            ("a <b>x", "Can't find end tag corresponding to start tag \"b\""),
            ("a </b>", "Unexpected end tag at byte offset 2"),
            (
                "<b>x</i>",
                "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\"",
            ),
            ("é<h1>x</h1>", "Unsupported start tag \"h1\" at byte offset 2"),
            ("1 < 2", "Unsupported start tag \"\" at byte offset 2"),
            ("1 < 2 > 0", "Unsupported start tag \"\" at byte offset 2"),
            ("<b", "Unclosed start tag at byte offset 0"),
            ("<b>x</b", "Unclosed end tag at byte offset 4"),
            (
                "<span>x</span>",
                "Tag \"span\" must have class \"tg-spoiler\" at byte offset 0",
            ),
            (
                "<a href=https://x>y</a>",
                "Unexpected end of name token at byte offset 8",
            ),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }
}
