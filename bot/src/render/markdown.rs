//! CommonMark to text with entities.
//!
//! Parsed by pulldown-cmark without tables and footnotes, which Telegram cannot show: their source stays readable text.
//! Raw HTML, link definitions and titles, which a Markdown renderer would swallow, are written out.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{Entity, Rich, Style, units};

/// Renders a Markdown document. The text has no white space at either end.
pub fn markdown(source: &str) -> Rich {
    let parser = Parser::new_ext(source, Options::ENABLE_STRIKETHROUGH);
    let definitions = parser
        .reference_definitions()
        .iter()
        .map(|(_, definition)| source[definition.span.clone()].trim().to_owned())
        .collect::<Vec<_>>();
    let mut page = Page::default();
    for event in parser {
        page.event(event);
    }
    for definition in definitions {
        page.gap(1);
        page.write(&definition);
    }
    page.finish()
}

#[derive(Default)]
struct Page {
    text: String,
    units: usize,
    entities: Vec<Entity>,
    open: Vec<(Style, usize)>,
    lists: Vec<Option<u64>>,
    /// Just behind a bullet: the first paragraph of the item goes on in this line.
    behind_bullet: bool,
    quotes: usize,
    titles: Vec<String>,
}

impl Page {
    fn write(&mut self, text: &str) {
        self.text.push_str(text);
        self.units += units(text);
        self.behind_bullet = false;
    }

    /// Ends the line, and with 2 leaves a blank one.
    fn gap(&mut self, newlines: usize) {
        if self.text.is_empty() || self.behind_bullet {
            return;
        }
        let has = self.text.len() - self.text.trim_end_matches('\n').len();
        for _ in has..newlines {
            self.text.push('\n');
            self.units += 1;
        }
    }

    fn block_gap(&mut self) {
        self.gap(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn begin(&mut self, style: Style) {
        self.open.push((style, self.units));
    }

    fn end(&mut self) {
        if let Some((style, offset)) = self.open.pop() {
            let written = self.text.trim_end_matches('\n');
            let length = (self.units - (self.text.len() - written.len())).saturating_sub(offset);
            if length > 0 {
                self.entities.push(Entity { style, offset, length });
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.write(&text),
            Event::Code(code) => {
                self.begin(Style::Code);
                self.write(&code);
                self.end();
            }
            Event::SoftBreak | Event::HardBreak => self.write("\n"),
            Event::Rule => {
                self.block_gap();
                self.write("———");
            }
            // Not enabled, so never seen; written out all the same if an upgrade enables one.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.write(&text),
            Event::TaskListMarker(done) => self.write(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.block_gap();
                self.begin(Style::Bold);
            }
            Tag::BlockQuote(_) => {
                self.block_gap();
                self.quotes += 1;
                // Telegram has no quotations inside quotations.
                if self.quotes == 1 {
                    self.begin(Style::Blockquote);
                }
            }
            Tag::CodeBlock(kind) => {
                self.block_gap();
                let language = match kind {
                    CodeBlockKind::Fenced(info) if !info.trim().is_empty() => Some(info.trim().to_owned()),
                    _ => None,
                };
                self.behind_bullet = false;
                self.begin(Style::Pre { language });
            }
            Tag::List(first) => {
                self.block_gap();
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.begin(Style::Italic),
            Tag::Strong => self.begin(Style::Bold),
            Tag::Strikethrough => self.begin(Style::Strikethrough),
            Tag::Link { dest_url, title, .. } | Tag::Image { dest_url, title, .. } => {
                self.titles.push(title.to_string());
                self.begin(Style::TextLink {
                    url: dest_url.to_string(),
                });
            }
            Tag::Paragraph | Tag::HtmlBlock => self.block_gap(),
            _ => self.block_gap(),
        }
    }

    fn item(&mut self) {
        self.behind_bullet = false;
        self.gap(1);
        let depth = self.lists.len().saturating_sub(1);
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => "• ".to_owned(),
        };
        self.write(&format!("{}{bullet}", "  ".repeat(depth)));
        self.behind_bullet = true;
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) | TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.end(),
            TagEnd::CodeBlock => self.close_code(),
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                if self.quotes == 0 {
                    self.end();
                }
            }
            TagEnd::Link | TagEnd::Image => self.close_link(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.behind_bullet = false;
            }
            TagEnd::Item => self.behind_bullet = false,
            _ => {}
        }
    }

    /// An empty code block has no text that could bear its language, so the language is written out.
    fn close_code(&mut self) {
        if let Some((
            Style::Pre {
                language: Some(language),
            },
            offset,
        )) = self.open.last().cloned()
        {
            let newlines = self.text.len() - self.text.trim_end_matches('\n').len();
            if self.units <= offset + newlines {
                self.write(&language);
            }
        }
        self.end();
    }

    /// Telegram makes links of web addresses only; another target is written behind the text.
    fn close_link(&mut self) {
        let title = self.titles.pop().unwrap_or_default();
        let Some((Style::TextLink { url }, offset)) = self.open.last().cloned() else {
            return;
        };
        let clickable = ["http://", "https://", "mailto:", "tg://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        let empty = self.units == offset;
        if clickable && !empty {
            self.end();
        } else {
            self.open.pop();
            match (empty, url.is_empty()) {
                (_, true) => {}
                (true, false) => self.write(&url),
                (false, false) => self.write(&format!(" ({url})")),
            }
        }
        if !title.is_empty() {
            self.write(&format!(" “{title}”"));
        }
    }

    fn finish(mut self) -> Rich {
        while !self.open.is_empty() {
            self.end();
        }
        let lead = self.text.len() - self.text.trim_start().len();
        let lead_units = units(&self.text[..lead]);
        let text = self.text.trim().to_owned();
        let total = units(&text);
        let mut entities = self
            .entities
            .into_iter()
            .filter_map(|mut entity| {
                let end = (entity.offset + entity.length).saturating_sub(lead_units).min(total);
                entity.offset = entity.offset.saturating_sub(lead_units);
                entity.length = end.saturating_sub(entity.offset);
                (entity.length > 0).then_some(entity)
            })
            .collect::<Vec<_>>();
        entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
        Rich { text, entities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with every entity written round its range.
    fn show(source: &str) -> String {
        let rich = markdown(source);
        let text = rich.text.encode_utf16().collect::<Vec<_>>();
        let mut marks = Vec::new();
        for (order, entity) in rich.entities.iter().enumerate() {
            let name = match &entity.style {
                Style::Bold => "b".to_owned(),
                Style::Italic => "i".to_owned(),
                Style::Strikethrough => "s".to_owned(),
                Style::Code => "code".to_owned(),
                Style::Pre { language } => format!("pre:{}", language.as_deref().unwrap_or("")),
                Style::TextLink { url } => format!("a:{url}"),
                Style::Blockquote => "quote".to_owned(),
            };
            marks.push((entity.offset, 1, order as i64, format!("<{name}>")));
            marks.push((entity.offset + entity.length, 0, -(order as i64), "</>".to_owned()));
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

    #[test]
    fn an_answer_as_claude_writes_them() {
        insta::assert_snapshot!(show(
            "# Result\n\nIt **works** now, *mostly*; see `main.rs` and [the log](https://x.y/z).\n\n1. first\n2. second\n   - nested **b**\n   - more\n\n```rust\nfn main() {}\n```\n\n> quoted\n> text\n\nEnd 😀 **fat**"
        ), @"
        <b>Result</>

        It <b>works</> now, <i>mostly</>; see <code>main.rs</> and <a:https://x.y/z>the log</>.

        1. first
        2. second
          • nested <b>b</>
          • more

        <pre:rust>fn main() {}</>

        <quote>quoted
        text</>

        End 😀 <b>fat</>
        ");
    }

    #[test]
    fn what_telegram_cannot_format_is_written_out() {
        insta::assert_snapshot!(show(
            "<b>raw</b> <!-- note -->\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[file](src/main.rs) ![pic](https://x.y/p.png \"t\") [ref]\n\n[ref]: https://r.example \"title\"\n\n- [ ] todo\n\n***"
        ), @r#"
        <b>raw</b> <!-- note -->

        | a | b |
        |---|---|
        | 1 | 2 |

        file (src/main.rs) <a:https://x.y/p.png>pic</> “t” <a:https://r.example>ref</> “title”

        • [ ] todo

        ———
        [ref]: https://r.example "title"
        "#);
    }

    #[test]
    fn white_space_alone_renders_to_nothing() {
        assert_eq!(markdown(" \n\n "), Rich::default());
    }
}
