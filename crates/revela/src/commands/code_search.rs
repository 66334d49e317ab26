//! `revela data code-search`: a test collection from source code.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_text::{CodeSearchBuilder, CodeSearchConfig, Documents, SourceKind};

use super::reading::{Reading, say_left_out};
use super::say;
use crate::Context;
use crate::test_collection;

/// Makes a code-search test collection in BEIR's layout: the first sentence of a function's doc comment is a
/// query, the function without its doc comment the only relevant document.
#[derive(Args)]
pub(crate) struct CodeSearchArgs {
    /// A folder of source code, or JSON lines with code as text.
    #[arg(long)]
    input: PathBuf,
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
    /// The split's name.
    #[arg(long, default_value = "test")]
    split: String,
    /// Queries at most.
    #[arg(long, default_value_t = CodeSearchConfig::default().queries)]
    queries: usize,
    /// Functions at most.
    #[arg(long, default_value_t = CodeSearchConfig::default().functions)]
    functions: usize,
    /// Seed of the choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    reading: Reading,
}

pub(crate) fn run(args: &CodeSearchArgs, context: &Context) -> Result<()> {
    let kind = match SourceKind::of_path(&args.input) {
        SourceKind::TextAndCode => SourceKind::Code,
        kind => kind,
    };
    let source = args.reading.source(&args.input, kind);
    let config =
        CodeSearchConfig { queries: args.queries, functions: args.functions, ..CodeSearchConfig::default() };
    let mut builder = CodeSearchBuilder::new(config, Seed(args.seed))?;
    let task = context.progress.task("functions", "documents", None);
    let mut documents = Documents::open(source)?;
    for document in documents.by_ref() {
        context.interrupt.check()?;
        builder.push(&document?);
        task.advance(1);
    }
    drop(task);
    say_left_out(&documents, context);
    let passages = test_collection::of_code(builder.finish()?);
    let name = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let what = "first sentence of a function's doc comment -> the function without it";
    let info = test_collection::write(&args.out, &args.split, &name, what, &passages)?;
    say(format_args!(
        "{} queries over {} functions in {}",
        info.queries,
        info.documents,
        args.out.display()
    ))?;
    Ok(())
}
