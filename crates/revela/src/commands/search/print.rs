//! Showing hits: for people with colours and snippets, for programs as JSON.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use revela_search::{Hit, Query, Retriever};
use serde_json::json;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On terminals, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is shown of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The piece that matches.
    Snippets,
    /// The whole text.
    Full,
    /// A JSON object per query.
    Json,
}

/// Bytes of a snippet, about two lines.
const SNIPPET: usize = 160;

const RANK: Style = Style::new().dimmed();
const ID: Style = AnsiColor::Cyan.on_default();
const TITLE: Style = Style::new().bold();
const MATCH: Style = AnsiColor::Yellow.on_default().bold();

/// Writes to standard output; escape codes are dropped where they are not wanted.
pub(super) struct Printer {
    out: AutoStream<io::Stdout>,
    form: Form,
}

impl Printer {
    pub(super) fn new(form: Form, colour: Colour) -> Self {
        let choice = match colour {
            Colour::Auto => AutoStream::choice(&io::stdout()),
            Colour::Always => ColorChoice::AlwaysAnsi,
            Colour::Never => ColorChoice::Never,
        };
        Self { out: AutoStream::new(io::stdout(), choice), form }
    }

    pub(super) fn hits(&mut self, retriever: &Retriever, query: &Query, hits: &[Hit]) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let line = json!({"query": query.words(), "hits": hits});
                writeln!(self.out, "{line}")?;
            }
            Form::Snippets | Form::Full => {
                if hits.is_empty() {
                    writeln!(self.out, "nothing found")?;
                }
                for hit in hits {
                    self.hit(retriever, query, hit)?;
                }
            }
        }
        self.out.flush()
    }

    /// A line that could not be asked: an object in its place for programs; said to people beside the answers.
    pub(super) fn failed(&mut self, line: u64, error: &str) -> io::Result<()> {
        match self.form {
            Form::Json => writeln!(self.out, "{}", json!({"line": line, "error": error}))?,
            Form::Snippets | Form::Full => {}
        }
        self.out.flush()?;
        writeln!(io::stderr(), "{}", plain(error))
    }

    fn hit(&mut self, retriever: &Retriever, query: &Query, hit: &Hit) -> io::Result<()> {
        let (rank, score) = (format!("{:>3}", hit.rank), format!("{:.4}", hit.score));
        write!(self.out, "{RANK}{rank}  {score}{RANK:#}  {ID}{}{ID:#}", hit.id)?;
        if !hit.title.is_empty() {
            write!(self.out, "  {TITLE}{}{TITLE:#}", plain(&hit.title))?;
        }
        writeln!(self.out)?;
        if self.form == Form::Full {
            return self.text(&hit.text);
        }
        let snippet = retriever.snippet(query, hit, SNIPPET);
        write!(self.out, "     ")?;
        let mut at = 0;
        for range in &snippet.highlights {
            let before = snippet.text.get(at..range.start).unwrap_or_default();
            let found = snippet.text.get(range.clone()).unwrap_or_default();
            write!(self.out, "{}{MATCH}{}{MATCH:#}", plain(before), plain(found))?;
            at = range.end;
        }
        writeln!(self.out, "{}", plain(snippet.text.get(at..).unwrap_or_default()))
    }

    /// A whole text, indented.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
            writeln!(self.out, "     {line}")?;
        }
        Ok(())
    }

    /// A remark of the program's own.
    pub(super) fn remark(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{RANK}{text}{RANK:#}")?;
        self.out.flush()
    }
}

/// A text on one line, without what could drive the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc\rd"), "a [31mb c d");
    }
}
