//! One file per command.

mod code_search;
pub(crate) mod data;
mod doctor;
mod eval;
mod here;
pub(crate) mod index;
pub(crate) mod model;
mod narrow;
mod place;
pub(crate) mod reading;
mod rerank;
mod search;
mod serve;
mod shell;
mod store;
mod sync;
pub(crate) mod teach;
mod train;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory as _, Subcommand};
use revela_base::file::{check_writable, is_standard_output};
use revela_search::Mode;

use crate::Context;
use crate::progress::Terminal;
use crate::quickstart::Quickstart;

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Quickstart(Quickstart),
    /// Prepare raw text: cut it into chunks, group chunks for training.
    #[command(subcommand)]
    Data(data::Data),
    /// Make and look at models.
    #[command(subcommand)]
    Model(model::Model),
    Train(Box<train::Train>),
    Teach(Box<teach::Teach>),
    /// Make, change, measure and look at collections.
    #[command(subcommand)]
    Index(index::Index),
    Sync(sync::Sync),
    Search(Box<search::Search>),
    Rerank(Box<rerank::Rerank>),
    Serve(Box<serve::Serve>),
    Eval(eval::Eval),
    Doctor(doctor::Doctor),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Does what a command says; without one, says what could be done.
pub(crate) fn run(command: Option<Command>, context: &Context) -> Result<()> {
    let Some(command) = command else { return here::run(context) };
    match command {
        Command::Quickstart(command) => crate::quickstart::run(&command, context),
        Command::Data(command) => data::run(command, context),
        Command::Model(command) => model::run(command, context),
        Command::Train(command) => train::run(*command, context),
        Command::Teach(command) => teach::run(&command, context),
        Command::Index(command) => index::run(command, context),
        Command::Sync(command) => sync::run(&command, context),
        Command::Search(command) => search::run(*command, context),
        Command::Rerank(command) => rerank::run(&command, context),
        Command::Serve(command) => serve::run(&command, context),
        Command::Eval(command) => eval::run(command, context),
        Command::Doctor(command) => doctor::run(&command, context),
        Command::Completions(command) => shell::completions(&command, crate::Cli::command()),
        Command::Man(command) => {
            shell::man(&command, crate::Cli::command().long_version(None::<&'static str>))
        }
    }
}

/// Reads one of these modes by its name.
fn modes(modes: &[Mode]) -> impl TypedValueParser<Value = Mode> + use<> {
    let value = |mode: &Mode| {
        PossibleValue::new(mode.name()).help(match mode {
            Mode::Auto => {
                "Whatever the collection and the encoder allow: hybrid, else the one that is possible"
            }
            Mode::Dense => "Similarity of vectors",
            Mode::Bm25 => "BM25 of texts",
            Mode::Hybrid => "Both, fused",
        })
    };
    let values: Vec<PossibleValue> = modes.iter().map(value).collect();
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Mode>())
}

/// Where remarks go: to standard output, or beside it when that is where a result goes.
#[derive(Clone, Copy)]
pub(crate) struct Voice<'a>(Option<&'a Terminal>);

impl<'a> Voice<'a> {
    /// For a command that writes these files, each of which must be possible to write.
    pub(crate) fn beside<'p>(
        files: impl IntoIterator<Item = &'p PathBuf>,
        context: &'a Context,
    ) -> Result<Self> {
        let mut taken = None;
        for file in files {
            check_writable(file)?;
            if is_standard_output(file) && taken.replace(&context.progress).is_some() {
                bail!("standard output can take one file only; give the others names");
            }
        }
        Ok(Self(taken))
    }

    pub(crate) fn say(self, line: impl std::fmt::Display) -> std::io::Result<()> {
        match self.0 {
            Some(progress) => {
                progress.line(&line.to_string());
                Ok(())
            }
            None => say(line),
        }
    }
}

/// Writes a line to standard output; a closed pipe becomes an error that ends the program quietly.
pub(crate) fn say(line: impl std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}")
}
