//! A page that is being written: its text, and what of it is formatted how.
//!
//! Knows of lines, of what stands in front of them in lists and quotations, and of which formatting Telegram lets stand
//! inside which. Knows nothing of Markdown.

use super::characters::is_blank;
use super::{Entity, Rich, Style, settle, units};

/// Lists and quotations that are nested deeper look like this deep. Otherwise the margin of hostile text could be much
/// longer than the text.
const DEEPEST: usize = 8;

/// Text with formatting that grows at its end.
#[derive(Default)]
pub struct Page {
    text: String,
    units: usize,
    entities: Vec<Entity>,
    /// Formatting that is not closed; none for one that stands inside the same.
    open: Vec<Option<(Style, usize)>>,
    /// Lists that are open, and for every quotation that is, how many of them are outside of it.
    lists: usize,
    quotes: Vec<usize>,
    quote: usize,
    /// Just behind a bullet: the first paragraph of the item goes on in this line.
    behind_bullet: bool,
}

impl Page {
    /// What is written so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.units += units(text);
    }

    fn at_line_start(&self) -> bool {
        self.text.is_empty() || self.text.ends_with('\n')
    }

    /// What stands in front of a line with so many lists round it. Telegram shows the outermost quotation by itself.
    fn margin(&mut self, lists: usize) {
        if !self.at_line_start() {
            return;
        }
        let quotes = self.quotes.len().saturating_sub(1).min(DEEPEST);
        let lists = (lists - self.quotes.last().copied().unwrap_or(0).min(lists)).min(DEEPEST);
        self.push(&format!("{}{}", "> ".repeat(quotes), "  ".repeat(lists)));
    }

    /// Writes text, which may have several lines.
    pub fn write(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 && !self.text.is_empty() {
                self.push("\n");
            }
            // Telegram strips what stands in front of a message.
            let line = if self.text.is_empty() { line.trim_start() } else { line };
            if !line.is_empty() {
                self.margin(self.lists);
                // Telegram makes a space of a tab anyway.
                self.push(&line.replace('\t', " "));
                self.behind_bullet = false;
            }
        }
    }

    /// Ends the line, and with 2 leaves a blank one.
    pub fn gap(&mut self, newlines: usize) {
        if self.text.is_empty() || self.behind_bullet {
            return;
        }
        let has = self.text.len() - self.text.trim_end_matches('\n').len();
        for _ in has..newlines {
            self.push("\n");
        }
    }

    /// Formatting of what is written from here to the matching [`Page::end`].
    pub fn begin(&mut self, style: Style) {
        self.margin(self.lists);
        let same = self.open.iter().flatten().any(|(open, _)| *open == style);
        self.open.push((!same).then_some((style, self.units)));
    }

    /// Ends the innermost formatting.
    pub fn end(&mut self) {
        if let Some((style, offset)) = self.open.pop().flatten() {
            self.entity(style, offset);
        }
    }

    fn entity(&mut self, style: Style, offset: usize) {
        let newlines = self.text.len() - self.text.trim_end_matches('\n').len();
        let length = (self.units - newlines).saturating_sub(offset);
        if length > 0 {
            self.entities.push(Entity { style, offset, length });
        }
    }

    /// A block in lines of its own, without a margin.
    pub fn block(&mut self, text: &str, style: Style) {
        if is_blank(text) {
            return;
        }
        self.own_line();
        let offset = self.units;
        self.push(text);
        self.entity(style, offset);
    }

    /// Leaves the line in which only a bullet stands.
    fn own_line(&mut self) {
        if self.behind_bullet {
            self.behind_bullet = false;
            self.push("\n");
        }
    }

    /// A list begins.
    pub fn indent(&mut self) {
        self.lists += 1;
    }

    /// A list ends.
    pub fn dedent(&mut self) {
        self.lists = self.lists.saturating_sub(1);
        self.behind_bullet = false;
    }

    /// An item of the innermost list begins.
    pub fn item(&mut self, bullet: &str) {
        self.behind_bullet = false;
        self.gap(1);
        self.margin(self.lists.saturating_sub(1));
        self.push(bullet);
        self.behind_bullet = true;
    }

    /// A box takes the place of the bullet that was just written; a number stays.
    pub fn tick(&mut self, mark: &str) {
        if self.behind_bullet && self.text.ends_with("• ") {
            self.text.truncate(self.text.len() - "• ".len());
            self.units -= units("• ");
        }
        self.push(mark);
    }

    /// Something that stands in front of a paragraph.
    pub fn label(&mut self, label: &str) {
        self.write(label);
        self.behind_bullet = true;
    }

    /// An item or a labelled paragraph ends.
    pub fn end_item(&mut self) {
        self.behind_bullet = false;
    }

    /// A quotation begins.
    pub fn quote(&mut self) {
        self.own_line();
        if self.quotes.is_empty() {
            self.quote = self.units;
        }
        self.quotes.push(self.lists);
    }

    /// The innermost quotation ends. Telegram has none inside others, so only the outermost becomes one.
    pub fn end_quote(&mut self) {
        self.quotes.pop();
        if self.quotes.is_empty() {
            self.entity(Style::Blockquote, self.quote);
        }
    }

    /// The page without white space at its ends, and with formatting that Telegram takes as it is.
    pub fn finish(mut self) -> Rich {
        while !self.open.is_empty() {
            self.end();
        }
        if is_blank(&self.text) {
            return Rich::default();
        }
        self.text.truncate(self.text.trim_end().len());
        settle::settle(self.text, self.entities)
    }
}
