//! Tables as aligned monospace text.
//!
//! Columns are as wide as what stands in them looks, so Chinese letters and emoji count twice. A table that is wider than a screen has
//! its long cells in several lines; words are torn only when they are wider than a screen themselves. Nothing is cut off.

use pulldown_cmark::Alignment;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Up to this width nothing is put in several lines. A phone that is held upright shows about forty columns, a desktop more.
const SCREEN: usize = 48;
/// No column is made narrower than this, words permitting.
const NARROWEST: usize = 12;
/// What stands between two columns, and what below it.
const BETWEEN: &str = " | ";
const CROSS: &str = "-+-";

/// A table that is being read.
pub struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
    /// Whether its end was read.
    pub is_over: bool,
}

impl Table {
    /// A table with columns aligned like this.
    pub fn new(alignments: Vec<Alignment>) -> Self {
        Self {
            alignments,
            rows: Vec::new(),
            is_over: false,
        }
    }

    /// The next row begins. The first is the head.
    pub fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// The next cell of the row begins.
    pub fn cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    /// Writes into the cell.
    pub fn write(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
        }
    }

    /// What stands in the cell.
    pub fn written(&self) -> &str {
        self.rows.last().and_then(|row| row.last()).map_or("", String::as_str)
    }

    /// The table as lines.
    pub fn lay_out(&self) -> String {
        let widths = self.widths();
        let mut lines = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            let is_head = number == 0;
            if is_head && row.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            self.lay_out_row(row, &widths, &mut lines);
            if is_head {
                let dashes = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>();
                lines.push(dashes.join(CROSS));
            }
        }
        lines.join("\n")
    }

    fn lay_out_row(&self, row: &[String], widths: &[usize], lines: &mut Vec<String>) {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| wrap(cell, *width))
            .collect::<Vec<_>>();
        for at in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let pieces = cells.iter().enumerate().map(|(column, cell)| {
                let alignment = self.alignments.get(column).copied().unwrap_or(Alignment::None);
                pad(cell.get(at).map_or("", String::as_str), widths[column], alignment)
            });
            let line = pieces.collect::<Vec<_>>().join(BETWEEN);
            lines.push(line.trim_end().to_owned());
        }
    }

    /// The widest columns give way until the table fits a screen, as far as their words let them.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut natural = vec![0; columns];
        let mut words = vec![0; columns];
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let word = cell.split(' ').map(UnicodeWidthStr::width).max().unwrap_or(0);
                natural[column] = natural[column].max(cell.trim().width());
                words[column] = words[column].max(word.min(SCREEN));
            }
        }
        let at_most = |widest: usize| {
            let columns = natural.iter().zip(&words);
            columns
                .map(|(natural, word)| (*natural).min(widest.max(*word)))
                .collect::<Vec<_>>()
        };
        let fits = |widths: &[usize]| widths.iter().map(|width| width + BETWEEN.len()).sum::<usize>() <= SCREEN;
        if fits(&natural) {
            return natural;
        }
        let widest = (NARROWEST..SCREEN).rev().find(|widest| fits(&at_most(*widest)));
        at_most(widest.unwrap_or(NARROWEST))
    }
}

/// The words of a cell in lines of this width.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in cell.split(' ').filter(|word| !word.is_empty()) {
        let wide = word.width();
        if used > 0 && used + 1 + wide > width {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            append(&mut lines, " ");
            used += 1;
        }
        if wide <= width {
            append(&mut lines, word);
            used += wide;
            continue;
        }
        for grapheme in word.graphemes(true) {
            let wide = grapheme.width();
            if used > 0 && used + wide > width {
                lines.push(String::new());
                used = 0;
            }
            append(&mut lines, grapheme);
            used += wide;
        }
    }
    lines
}

fn append(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

fn pad(cell: &str, width: usize, alignment: Alignment) -> String {
    let room = width.saturating_sub(cell.width());
    let before = match alignment {
        Alignment::Right => room,
        Alignment::Center => room / 2,
        Alignment::Left | Alignment::None => 0,
    };
    format!("{}{cell}{}", " ".repeat(before), " ".repeat(room - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(alignments: &[Alignment], rows: &[&[&str]]) -> String {
        let mut table = Table::new(alignments.to_vec());
        for row in rows {
            table.row();
            for cell in *row {
                table.cell();
                table.write(cell);
            }
        }
        table.lay_out()
    }

    #[test]
    fn columns_are_aligned_as_they_look() {
        use Alignment::{Center, None, Right};
        insta::assert_snapshot!(
            table(&[None, Right, Center], &[&["ship", "cargo", "state"], &["日本丸", "7", "😀"], &["Ada", "1200", "in"]]),
            @r"
        ship   | cargo | state
        -------+-------+------
        日本丸 |     7 |  😀
        Ada    |  1200 |  in
        "
        );
    }

    #[test]
    fn long_cells_of_a_wide_table_go_on_in_the_next_line() {
        insta::assert_snapshot!(
            table(
                &[Alignment::None, Alignment::None],
                &[&["option", "what it does"], &["--all", "Shows everything that there is, also what is hidden from most people"]]
            ),
            @r"
        option | what it does
        -------+-------------------------------------
        --all  | Shows everything that there is, also
               | what is hidden from most people
        "
        );
        let endless = "x".repeat(200);
        let lines = table(&[Alignment::None], &[&["a"], &[&endless]]);
        assert!(lines.lines().all(|line| line.len() <= SCREEN), "{lines}");
        assert_eq!(lines.matches('x').count(), 200);
    }
}
