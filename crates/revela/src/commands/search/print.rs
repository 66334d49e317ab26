//! Showing hits: for people with colours and snippets, for programs as JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    /// The folder that sync keeps, where the collection is of one.
    folder: Option<PathBuf>,
}

impl Printer {
    pub(super) fn new(form: Form, colour: Colour, folder: Option<PathBuf>) -> Self {
        let choice = match colour {
            Colour::Auto => AutoStream::choice(&io::stdout()),
            Colour::Always => ColorChoice::AlwaysAnsi,
            Colour::Never => ColorChoice::Never,
        };
        Self { out: AutoStream::new(io::stdout(), choice), form, folder }
    }

    pub(super) fn hits(&mut self, retriever: &Retriever, query: &Query, hits: &[Hit]) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let mut line = json!({"query": query.words(), "hits": hits});
                if let Some(folder) = &self.folder {
                    line["folder"] = json!(folder.display().to_string());
                }
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
        let place = plain(&self.place(hit));
        write!(self.out, "{RANK}{rank}  {score}{RANK:#}  {ID}{place}{ID:#}")?;
        let name = ["symbol", "heading"].iter().find_map(|key| hit.payload.get(*key)?.as_str());
        let name = name.filter(|_| self.folder.is_some()).unwrap_or(&hit.title);
        if !name.is_empty() {
            write!(self.out, "  {TITLE}{}{TITLE:#}", plain(name))?;
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

    /// Where a hit is: `path:line` of a file that sync keeps, from where the user is, or else its id.
    fn place(&self, hit: &Hit) -> String {
        let path = self.folder.as_ref().zip(hit.payload.get("path").and_then(|path| path.as_str()));
        let Some((folder, path)) = path else { return hit.id.clone() };
        let path = from_here(folder.join(path), std::env::current_dir().ok().as_deref());
        match hit.payload.get("start_line").and_then(serde_json::Value::as_u64) {
            Some(line) => format!("{}:{line}", path.display()),
            None => path.display().to_string(),
        }
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

/// A path as it is said in this folder: below it from there on, elsewhere as a whole.
fn from_here(path: PathBuf, here: Option<&Path>) -> PathBuf {
    let Some(here) = here else { return path };
    path.strip_prefix(here).map(Path::to_owned).unwrap_or(path)
}

/// A text on one line, without what could drive the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_are_said_from_here_and_others_as_a_whole() {
        let said = |here| from_here(PathBuf::from("/a/b/c.rs"), here).display().to_string();
        assert_eq!(said(Some(Path::new("/a"))), "b/c.rs");
        assert_eq!(said(Some(Path::new("/a/x"))), "/a/b/c.rs");
        assert_eq!(said(None), "/a/b/c.rs");
    }

    #[test]
    fn texts_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc\rd"), "a [31mb c d");
    }
}
