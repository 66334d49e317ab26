//! Reports as one HTML file: no network, no scripts, light and dark as the reader's system says.
//!
//! Whatever comes from data is escaped by `maud`; the only markup taken as it is are charts, which are
//! made here ([`Svg`]).

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use revela_base::file::write_atomic;

use crate::chart::Svg;
use crate::error::EvalError;
use crate::table::{Cell, Table, is_best};

const STYLE: &str = include_str!("html.css");

/// Texts of documents and queries are cut to this many characters.
const LONGEST_TEXT: usize = 600;

/// A document that is shown beside a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Its id.
    pub id: String,
    /// Its text; long ones are cut.
    pub text: String,
}

/// A query that went badly: what was asked, what should have been found, what was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryCase {
    /// The query's id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Its scores, with what they are: a metric or a system.
    pub scores: Vec<(String, f64)>,
    /// The relevant documents, or some of them.
    pub relevant: Vec<Excerpt>,
    /// What was retrieved first; not spoken of where it is empty.
    pub retrieved: Vec<Excerpt>,
}

/// A page, built from top to bottom.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    blocks: Vec<Markup>,
}

impl Page {
    /// A page with nothing on it but its title.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// A heading for what follows.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.add(html! { h2 { (text) } })
    }

    /// A paragraph of prose.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.add(html! { p { (text) } })
    }

    /// Text that keeps its lines and spaces, such as a command or a config.
    pub fn preformatted(&mut self, text: &str) -> &mut Self {
        self.add(html! { pre { (text) } })
    }

    /// A table; the best value of a column is in bold. An empty caption is left out.
    pub fn table(&mut self, table: &Table, caption: &str) -> &mut Self {
        self.add(table_markup(table, caption))
    }

    /// A chart. An empty caption is left out.
    pub fn figure(&mut self, chart: &Svg, caption: &str) -> &mut Self {
        self.add(html! {
            figure {
                (PreEscaped(chart.as_str()))
                @if !caption.is_empty() { figcaption { (caption) } }
            }
        })
    }

    /// Queries one by one, each with its texts folded away until asked for.
    pub fn queries(&mut self, cases: &[QueryCase]) -> &mut Self {
        self.add(html! { @for case in cases { (case_markup(case)) } })
    }

    fn add(&mut self, block: Markup) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// The whole page as text.
    pub fn render(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content="revela.page 1";
                    // The page needs nothing from elsewhere, so nothing may be fetched or run.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        h1 { (self.title) }
                        @for block in &self.blocks { (block) }
                    }
                }
            }
        };
        page.into_string()
    }

    /// Writes the page; it appears under its name when it is whole.
    ///
    /// # Errors
    /// A file system error.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        Ok(write_atomic(path, |out| out.write_all(self.render().as_bytes()))?)
    }
}

fn table_markup(table: &Table, caption: &str) -> Markup {
    let best = table.best();
    let class = |index: usize| if table.is_numeric(index) { "number" } else { "words" };
    html! {
        div class="scroll" {
            table {
                @if !caption.is_empty() { caption { (caption) } }
                thead { tr {
                    @for (index, column) in table.columns.iter().enumerate() {
                        th scope="col" class=(class(index)) { (column.name) }
                    }
                } }
                tbody {
                    @for row in &table.rows {
                        tr { @for (cell, best) in row.iter().zip(&best) { (cell_markup(cell, *best)) } }
                    }
                }
            }
        }
    }
}

fn cell_markup(cell: &Cell, best: Option<f64>) -> Markup {
    html! {
        td class=(if cell.is_number() { "number" } else { "words" }) {
            @if is_best(cell, best) { strong { (cell.shown()) } } @else { (cell.shown()) }
        }
    }
}

fn case_markup(case: &QueryCase) -> Markup {
    html! {
        details {
            summary {
                span class="query" { (cut(&case.text)) }
                @for (name, score) in &case.scores { span class="score" { (name) " " (format!("{:.1}", 100.0 * score)) } }
            }
            p class="id" { "query " code { (case.id) } }
            (excerpts("Relevant", &case.relevant))
            @if !case.retrieved.is_empty() { (excerpts("Retrieved first", &case.retrieved)) }
        }
    }
}

fn excerpts(heading: &str, excerpts: &[Excerpt]) -> Markup {
    html! {
        h3 { (heading) }
        @if excerpts.is_empty() { p { "none" } }
        ol {
            @for Excerpt { id, text } in excerpts {
                li { code { (id) } pre { (cut(text)) } }
            }
        }
    }
}

/// A text that is not too long to show.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Axis, BarChart, LineChart, QueryPoint, ScatterChart, Series};
    use crate::table::{Best, Column};

    const HOSTILE: [&str; 5] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</title></style></svg><b>",
        "&lt;already&gt; & 'quoted' \"twice\"",
        "\u{0}\u{1b}[2J]]><!--",
    ];

    fn page(text: &str) -> String {
        let mut table = Table::new([Column::new(text, Best::Highest)]);
        table.push([Cell::text(text)]);
        table.push([Cell::number(1.0, text)]);
        table.push([Cell::number(2.0, text)]);
        let line = LineChart {
            title: text.into(),
            x: Axis::linear(text),
            y: Axis::log(text),
            series: vec![Series::new(text, [(1.0, 1.0), (2.0, 2.0)])],
            levels: vec![],
        };
        let bars = BarChart { groups: vec![text.into()], ..BarChart::default() };
        let scatter = ScatterChart {
            points: vec![QueryPoint { query: text.into(), x: 0.1, y: 0.2 }],
            x_name: text.into(),
            ..ScatterChart::default()
        };
        let excerpt = Excerpt { id: text.into(), text: text.into() };
        let case = QueryCase {
            id: text.into(),
            text: text.into(),
            scores: vec![(text.into(), 0.0)],
            relevant: vec![excerpt.clone()],
            retrieved: vec![excerpt],
        };
        let mut page = Page::new(text);
        page.heading(text).paragraph(text).preformatted(text).table(&table, text).queries(&[case]);
        for svg in [line.to_svg(), bars.to_svg(), scatter.to_svg()] {
            page.figure(&svg, text);
        }
        page.render()
    }

    /// The tags of a page, in order, without their attributes.
    fn tags(html: &str) -> Vec<String> {
        let name =
            |tag: &str| tag.chars().take_while(|c| c.is_ascii_alphanumeric() || "/!".contains(*c)).collect();
        html.split('<').skip(1).map(name).collect()
    }

    #[test]
    fn hostile_texts_make_no_markup() {
        let plain = page("plain");
        for text in HOSTILE {
            let hostile = page(text);
            assert_eq!(tags(&hostile), tags(&plain), "{text:?} made or broke a tag");
            // An attribute that broke out of its quotes would leave their number odd somewhere.
            for tag in hostile.split('<').skip(1).filter_map(|t| t.split('>').next()) {
                assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            }
        }
    }

    #[test]
    fn nothing_is_fetched() {
        let page = page("plain");
        for part in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
            let found = page.matches(part).count()
                - page.matches("http://www.w3.org/2000/svg").count() * usize::from(part == "http://");
            assert_eq!(found, 0, "{part}");
        }
    }

    #[test]
    fn the_best_is_bold_and_long_texts_are_cut() {
        assert_eq!(page("plain").matches("<strong>plain</strong>").count(), 1);
        assert_eq!(cut(&"ä".repeat(LONGEST_TEXT)), "ä".repeat(LONGEST_TEXT));
        assert_eq!(cut(&"ä".repeat(LONGEST_TEXT + 1)), format!("{}…", "ä".repeat(LONGEST_TEXT)));
    }
}
