//! `revela`: train dense retrievers from raw text, index, search, evaluate.
//!
//! This program only joins the crates: it reads flags, opens files, draws progress and prints.

mod commands;
mod progress;
mod quickstart;
mod recipe;
mod reranking;
mod teachers;
mod test_collection;
mod version;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use revela_base::causes::with_causes;
use revela_base::interrupt::{Interrupt, Interrupted};
use revela_pipeline::evaluation;

use crate::commands::Command;
use crate::progress::Terminal;

/// Train dense retrievers from raw text, index it, search it, and measure how good that is.
#[derive(Parser)]
#[command(name = "revela", version, long_version = version::long(), max_term_width = 100, after_help = EXIT_STATUS)]
struct Cli {
    /// Show no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_STATUS: &str = "Exit status: 0 when it worked, 1 when it failed (the last line says why and what to do), \
    2 for flags that make no sense, 130 after Ctrl-C. `NO_COLOR` turns colours off.";

/// What a command needs of the program.
struct Context {
    progress: Terminal,
    interrupt: Interrupt,
}

fn main() -> ExitCode {
    revela_alloc::keep_freed_memory();
    let cli = Cli::parse();
    let context = Context { progress: Terminal::new(cli.quiet), interrupt: Interrupt::new() };
    watch_for_interrupts(&context);
    revela_model::hub::watch(Arc::new(context.progress.clone()), context.interrupt.clone());
    match commands::run(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// The first Ctrl-C asks the work to stop at its next safe point, the second ends the program.
fn watch_for_interrupts(context: &Context) {
    let (interrupt, progress) = (context.interrupt.clone(), context.progress.clone());
    let handler = move || {
        if interrupt.requested() {
            std::process::exit(130);
        }
        interrupt.request();
        progress.line("stopping at the next safe point; press Ctrl-C again to stop at once");
    };
    // Without a handler Ctrl-C ends the program as usual, and every file written is still whole.
    let _ = ctrlc::set_handler(handler);
}

/// Prints an error and chooses the exit status: 130 after an interruption, 1 otherwise. (clap ends with 2 on
/// flags that make no sense.) A reader that closed the pipe wants no more, which is no error.
#[allow(clippy::print_stderr)]
fn report(error: &anyhow::Error) -> ExitCode {
    let causes = || error.chain();
    if causes().any(|e| {
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    }) {
        return ExitCode::SUCCESS;
    }
    if causes().any(|e| e.is::<Interrupted>()) {
        eprintln!("interrupted");
        return ExitCode::from(130);
    }
    eprintln!("error: {}", with_causes(error.as_ref()));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
