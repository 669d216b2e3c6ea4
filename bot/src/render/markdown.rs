//! CommonMark to text with entities.
//!
//! Parsed by pulldown-cmark, with tables, task lists and footnotes. What a Markdown renderer would swallow is written out: raw
//! HTML, definitions and titles of links, targets of which Telegram makes no link. Tables and code go into monospace blocks.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::characters::{clean, expand_tabs, is_blank};
use super::page::Page;
use super::table::Table;
use super::{Rich, Style, link};

/// Renders a Markdown document. The text has no white space at its end, and at its beginning only that of code.
pub fn markdown(source: &str) -> Rich {
    let source = clean(source);
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_FOOTNOTES;
    let mut writer = Writer::default();
    let mut seen = 0;
    for (event, range) in Parser::new_ext(&source, options).into_offset_iter() {
        let (gap, next) = match &event {
            Event::Start(
                Tag::List(_) | Tag::Item | Tag::BlockQuote(_) | Tag::Table(_) | Tag::TableHead | Tag::TableRow,
            ) => (range.start, range.start),
            Event::Start(Tag::FootnoteDefinition(_)) => {
                let mark = source[range.clone()].find("]:").map_or(0, |at| at + 2);
                (range.start, range.start + mark)
            }
            Event::End(_) => (range.end, range.end),
            _ => (range.start, range.end),
        };
        let skipped = source.get(seen..gap).unwrap_or_default();
        writer.skipped(skipped);
        writer.end_table();
        seen = seen.max(next);
        writer.event(event);
    }
    writer.skipped(&source[seen..]);
    writer.end_table();
    writer.page.finish()
}

#[derive(Default)]
struct Writer {
    page: Page,
    lists: Vec<Option<u64>>,
    links: Vec<Link>,
    code: Option<Code>,
    table: Option<Table>,
}

/// A link or picture whose text is being written.
struct Link {
    url: String,
    title: String,
    /// Where its text begins.
    start: usize,
    /// Whether Telegram will make it a link.
    clickable: bool,
}

/// A block of code that is being read.
struct Code {
    info: String,
    text: String,
}

impl Writer {
    fn write(&mut self, text: &str) {
        match (&mut self.code, &mut self.table) {
            (Some(code), _) => code.text.push_str(text),
            (None, Some(table)) => table.write(text),
            (None, None) => self.page.write(text),
        }
    }

    /// Tables are monospace throughout, and Telegram allows nothing inside that.
    fn begin(&mut self, style: Style) {
        if self.table.is_none() {
            self.page.begin(style);
        }
    }

    fn end(&mut self) {
        if self.table.is_none() {
            self.page.end();
        }
    }

    /// What is written so far, or of a table, of its cell.
    fn written(&self) -> &str {
        self.table.as_ref().map_or(self.page.text(), Table::written)
    }

    /// The parser says nothing of definitions of links, nor of cells for which the head of a table has no column. They stand where
    /// it has skipped something that is more than marks.
    fn skipped(&mut self, source: &str) {
        let mut source = source;
        if let Some(table) = &mut self.table {
            let (row, behind) = source.split_once('\n').unwrap_or((source, ""));
            let row = row.trim_matches(|c: char| c.is_whitespace() || matches!(c, '|' | '>'));
            for cell in row
                .split('|')
                .filter(|_| !row.trim_matches(['-', ':', '|', ' ']).is_empty())
            {
                table.cell();
                table.write(cell.trim());
            }
            source = behind;
        }
        if let Some(start) = source.find('[').filter(|_| source.contains("]:")) {
            for line in source[start..].lines() {
                self.page.gap(1);
                self.page.write(line.trim_matches(['>', ' ', '\t']));
            }
        }
    }

    /// Writes a table that is over. Not before the next thing begins, as cells may have been skipped at its end.
    fn end_table(&mut self) {
        if let Some(table) = self.table.take_if(|table| table.is_over) {
            self.page.block(&table.lay_out(), Style::Pre { language: None });
        }
    }

    fn block_gap(&mut self) {
        self.page.gap(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.write(&text),
            Event::Code(code) => {
                // Telegram has no code inside links.
                let plain = self.links.iter().any(|link| link.clickable);
                if !plain {
                    self.begin(Style::Code);
                }
                self.write(&code);
                if !plain {
                    self.end();
                }
            }
            Event::SoftBreak | Event::HardBreak => self.write("\n"),
            Event::Rule => {
                self.block_gap();
                self.write("———");
            }
            // Not enabled, so never seen; written out all the same if an upgrade enables them.
            Event::InlineMath(text) | Event::DisplayMath(text) => self.write(&text),
            Event::FootnoteReference(name) => self.write(&format!("[{name}]")),
            Event::TaskListMarker(done) => self.page.tick(if done { "☑ " } else { "☐ " }),
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
                self.page.quote();
            }
            Tag::CodeBlock(kind) => {
                self.block_gap();
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.trim().to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                let text = String::new();
                self.code = Some(Code { info, text });
            }
            Tag::List(first) => {
                self.block_gap();
                self.lists.push(first);
                self.page.indent();
            }
            Tag::Item => {
                let bullet = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                };
                self.page.item(&bullet);
            }
            Tag::FootnoteDefinition(name) => {
                self.block_gap();
                self.page.label(&format!("[{name}] "));
            }
            Tag::Table(alignments) => {
                self.block_gap();
                self.table = Some(Table::new(alignments));
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.row();
                }
            }
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.cell();
                }
            }
            Tag::Emphasis => self.begin(Style::Italic),
            Tag::Strong => self.begin(Style::Bold),
            Tag::Strikethrough => self.begin(Style::Strikethrough),
            Tag::Link { dest_url, title, .. } | Tag::Image { dest_url, title, .. } => {
                self.start_link(dest_url.to_string(), title.to_string());
            }
            _ => self.block_gap(),
        }
    }

    /// Telegram has no links inside links and none inside tables.
    fn start_link(&mut self, url: String, title: String) {
        let inside = self.links.iter().any(|link| link.clickable);
        let clickable = !inside && self.table.is_none() && link::is_clickable(&url);
        if clickable {
            self.begin(Style::TextLink { url: url.clone() });
        }
        self.links.push(Link {
            url,
            title,
            start: self.written().len(),
            clickable,
        });
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) | TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.end(),
            TagEnd::CodeBlock => self.close_code(),
            TagEnd::BlockQuote(_) => self.page.end_quote(),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.page.dedent();
            }
            TagEnd::Item | TagEnd::FootnoteDefinition => self.page.end_item(),
            TagEnd::Table => {
                if let Some(table) = &mut self.table {
                    table.is_over = true;
                }
            }
            _ => {}
        }
    }

    /// The first word above code is its language if it can be one; anything else that stands there is written out.
    fn close_code(&mut self) {
        let Some(Code { info, text }) = self.code.take() else {
            return;
        };
        let word = info
            .find(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{'))
            .unwrap_or(info.len());
        let (language, more) = info.split_at(word);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "+#._-".contains(c);
        let is_language = language.len() <= 30 && language.chars().all(is_name);
        let (language, more) = if is_language {
            (language, more)
        } else {
            ("", info.as_str())
        };
        let text = expand_tabs(text.trim_end_matches('\n'));
        // Nothing would bear the language of empty code.
        let more = if text.trim().is_empty() {
            info.as_str()
        } else {
            more.trim_start_matches([',', ':', ' ']).trim_end()
        };
        if !more.is_empty() {
            self.page.write(more);
            self.page.gap(1);
        }
        let language = (!language.is_empty()).then(|| language.to_owned());
        self.page.block(&text, Style::Pre { language });
    }

    fn close_link(&mut self) {
        let Some(link) = self.links.pop() else { return };
        let text = self.written().get(link.start..).unwrap_or_default().trim();
        let shows_url = link.clickable || text == link.url || link.url.strip_prefix("mailto:") == Some(text);
        if is_blank(text) {
            self.write(&link.url);
        } else if !shows_url && !link.url.is_empty() {
            self.write(&format!(" ({})", link.url));
        }
        if link.clickable {
            self.end();
        }
        if !link.title.is_empty() {
            self.write(&format!(" “{}”", link.title));
        }
    }
}
