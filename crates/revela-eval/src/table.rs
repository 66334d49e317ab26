//! Tables of results, for terminals and pages alike.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement};

use crate::statistics::Interval;

/// Which value of a column is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// The highest.
    Highest,
    /// The lowest.
    Lowest,
    /// None.
    NotMarked,
}

/// A column's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub(crate) name: String,
    best: Best,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, best: Best) -> Self {
        Self { name: name.into(), best }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, and how it is shown.
    Number {
        /// What is compared to find the best.
        value: f64,
        /// What is shown.
        text: String,
    },
    /// Nothing to show.
    Empty,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number, and how it is shown.
    pub fn number(value: f64, text: impl Into<String>) -> Self {
        Self::Number { value, text: text.into() }
    }

    /// A fraction in points of 100: 0.645 as "64.5".
    pub fn percent(value: f64) -> Self {
        Self::number(value, format!("{:.1}", 100.0 * value))
    }

    /// A mean with its interval in points of 100: "64.5 [62.0, 67.1]".
    pub fn interval(interval: &Interval) -> Self {
        let Interval { mean, low, high } = interval;
        let text = format!("{:.1} [{:.1}, {:.1}]", 100.0 * mean, 100.0 * low, 100.0 * high);
        Self::number(*mean, text)
    }

    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number { text, .. } => text,
            Self::Empty => "",
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Number { .. })
    }
}

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; it is filled up or cut to the number of columns.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = row.into_iter().collect();
        row.resize(self.columns.len(), Cell::Empty);
        self.rows.push(row);
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For each column, the value that is marked: none where there is nothing to choose from.
    pub(crate) fn best(&self) -> Vec<Option<f64>> {
        let best = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let values: Vec<f64> = cells.filter_map(finite).collect();
            let (low, high) =
                values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
            match column.best {
                Best::Highest if low < high => Some(high),
                Best::Lowest if low < high => Some(low),
                Best::Highest | Best::Lowest | Best::NotMarked => None,
            }
        };
        self.columns.iter().enumerate().map(best).collect()
    }

    /// The table as text, no wider than `width` characters where its words can be wrapped; the best
    /// value of a column is marked with a star. Ends without a line end.
    pub fn to_text(&self, width: u16) -> String {
        let best = self.best();
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.style_mut().row_separator = comfy_table::LineStyle::none();
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(20));
        table.set_header(self.columns.iter().enumerate().map(|(index, column)| {
            let name = comfy_table::Cell::new(printable(&column.name));
            name.set_alignment(if self.is_numeric(index) {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            })
        }));
        for row in &self.rows {
            table.add_row(row.iter().zip(&best).map(|(cell, best)| text_cell(cell, *best)));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Whether a column holds numbers; such are aligned to the right.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number))
    }
}

fn finite(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Number { value, .. } if value.is_finite() => Some(*value),
        _ => None,
    }
}

/// Whether this cell holds the column's best value.
pub(crate) fn is_best(cell: &Cell, best: Option<f64>) -> bool {
    best.is_some() && finite(cell) == best
}

fn text_cell(cell: &Cell, best: Option<f64>) -> comfy_table::Cell {
    let text = printable(cell.shown());
    match cell {
        // In front, where it does not push the digits out of line.
        Cell::Number { .. } if is_best(cell, best) => comfy_table::Cell::new(format!("* {text}")),
        Cell::Number { .. } => comfy_table::Cell::new(text),
        Cell::Text(_) | Cell::Empty => return comfy_table::Cell::new(text),
    }
    .set_alignment(CellAlignment::Right)
}

/// Without control characters: an id from a file must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::new("system", Best::NotMarked),
            Column::new("ndcg@10", Best::Highest),
            Column::new("seconds", Best::Lowest),
        ]);
        let interval = |mean| Interval { mean, low: mean - 0.02, high: mean + 0.02 };
        table.push([Cell::text("bm25"), Cell::interval(&interval(0.592)), Cell::number(3.0, "3.0")]);
        table.push([Cell::text("revela"), Cell::interval(&interval(0.645)), Cell::number(12.5, "12.5")]);
        table.push([Cell::text("untrained")]);
        table
    }

    #[test]
    fn columns_are_aligned_and_the_best_is_marked() {
        let expected = "
───────────────────────────────────────────
 system                  ndcg@10   seconds
═══════════════════════════════════════════
 bm25          59.2 [57.2, 61.2]     * 3.0
 revela      * 64.5 [62.5, 66.5]      12.5
 untrained
───────────────────────────────────────────";
        assert_eq!(table().to_text(80), expected.trim_start());
    }

    #[test]
    fn lines_are_no_wider_than_asked() {
        for width in [40, 60, 100] {
            let text = table().to_text(width);
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}\n{text}");
        }
        table().to_text(0);
    }

    #[test]
    fn nothing_is_marked_where_there_is_no_choice() {
        let mut table = Table::new([Column::new("a", Best::Highest), Column::new("b", Best::Highest)]);
        table.push([Cell::percent(0.5), Cell::number(f64::NAN, "nan")]);
        table.push([Cell::percent(0.5), Cell::number(1.0, "1")]);
        assert_eq!(table.best(), [None, None]);
        assert!(!table.to_text(80).contains('*'));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new([Column::new("a\u{1b}[2J", Best::NotMarked)]);
        table.push([Cell::text("x\u{1b}]0;title\u{7}y\r")]);
        assert!(!table.to_text(80).contains(|c: char| c.is_control() && c != '\n'));
    }
}
