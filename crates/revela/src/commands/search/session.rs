//! A session: queries and a few commands, line by line.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::Result;
use revela_search::{Hit, Mode, Retriever};

use super::print::Printer;
use super::{Asking, find};
use crate::Context;

const HELP: &str = "a line is a query; :mode auto|dense|bm25|hybrid, :k N, :open N shows a hit's whole text, \
                    :help, :quit";

/// What a line asks for.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Nothing,
    Query(&'a str),
    Mode(Mode),
    K(usize),
    Open(usize),
    Help,
    Quit,
    Wrong(String),
}

fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    let Some(command) = line.strip_prefix(':') else {
        return if line.is_empty() { Line::Nothing } else { Line::Query(line) };
    };
    let (name, value) = command.split_once(' ').unwrap_or((command, ""));
    let number = || value.trim().parse::<usize>().ok().filter(|n| *n > 0);
    match (name, number()) {
        ("help" | "h", _) => Line::Help,
        ("quit" | "q", _) => Line::Quit,
        ("k", Some(k)) => Line::K(k),
        ("open" | "o", Some(rank)) => Line::Open(rank),
        ("mode" | "m", _) => match value.trim().to_lowercase().parse() {
            Ok(mode) => Line::Mode(mode),
            Err(_) => Line::Wrong(format!("no mode {value:?}; {HELP}")),
        },
        _ => Line::Wrong(HELP.to_owned()),
    }
}

/// Answers until the end of input, `:quit` or Ctrl-C.
pub(super) fn run(
    retriever: &Retriever,
    mut asking: Asking,
    printer: &mut Printer,
    context: &Context,
) -> Result<()> {
    let passages = retriever.store().count()?.passages;
    printer.remark(&format!("{passages} passages; {HELP}"))?;
    let mut found: Vec<Hit> = Vec::new();
    let mut line = Vec::new();
    loop {
        context.interrupt.check()?;
        write!(std::io::stdout(), "> ")?;
        std::io::stdout().flush()?;
        line.clear();
        if std::io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            writeln!(std::io::stdout())?;
            return Ok(());
        }
        match parse(&String::from_utf8_lossy(&line)) {
            Line::Nothing => {}
            Line::Query(text) => found = answer(retriever, &asking, text, printer)?,
            Line::Mode(mode) => asking.options.mode = mode,
            Line::K(k) => asking.options.k = k,
            Line::Open(rank) => match found.get(rank - 1) {
                Some(hit) => printer.text(&hit.text)?,
                None => printer.remark(&format!("there is no hit {rank}"))?,
            },
            Line::Help => printer.remark(HELP)?,
            Line::Quit => return Ok(()),
            Line::Wrong(remark) => printer.remark(&remark)?,
        }
    }
}

/// One answer; what cannot be asked is said and does not end the session.
fn answer(retriever: &Retriever, asking: &Asking, text: &str, printer: &mut Printer) -> Result<Vec<Hit>> {
    let start = Instant::now();
    match find(retriever, asking, text) {
        Ok((query, hits)) => {
            let elapsed = start.elapsed().as_secs_f64() * 1e3;
            printer.hits(retriever, &query, &hits)?;
            printer.remark(&format!("{elapsed:.1} ms"))?;
            Ok(hits)
        }
        Err(error) => {
            printer.remark(&format!("error: {error:#}"))?;
            Ok(Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_queries_or_commands() {
        assert_eq!(parse("  open a file \n"), Line::Query("open a file"));
        assert_eq!(parse("\n"), Line::Nothing);
        assert_eq!(parse(":mode BM25"), Line::Mode(Mode::Bm25));
        assert_eq!(parse(":k 3"), Line::K(3));
        assert_eq!(parse(":open 2"), Line::Open(2));
        assert_eq!(parse(":q"), Line::Quit);
        assert_eq!(parse(":help"), Line::Help);
        for wrong in [":k", ":k 0", ":open x", ":mode loud", ":what"] {
            assert!(matches!(parse(wrong), Line::Wrong(_)), "{wrong}");
        }
    }
}
