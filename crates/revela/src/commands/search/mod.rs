//! `revela search`.

mod print;
mod session;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::compressed;
use revela_base::text_lines::{Line, TextLines};
use revela_index::{Collection, Searcher};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_search::{Effort, Filter, Hit, Mode, Query, Recall, Retriever, Store};
use revela_sync::{Settings, folder_of};

use super::modes;
use super::narrow::Narrow;
use super::place;
use super::store::{self, Partial};
use crate::Context;
use crate::reranking::{RerankArgs, Step};
use print::{Colour, Form, Printer};

/// Search a collection: once, for every line of standard input, or in a session.
///
/// With a query, it is answered. Without one, a terminal gets a session (`:help` there tells what it understands),
/// and anything else is read line by line, each line a query.
#[derive(Args)]
pub(crate) struct Search {
    /// The collection's folder, or a folder that `revela sync` keeps; inside of such a one it can be left out. With
    /// --store, what to search for.
    collection: Option<PathBuf>,
    /// What to search for [default: a session, or the lines of standard input]
    #[arg(conflicts_with = "store")]
    query: Option<String>,
    /// Search this store instead of a folder: postgresql://USER@HOST:PORT/DATABASE#TABLE, several shards joined by
    /// commas.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    partial: Partial,
    /// The encoder's folder or hub name [default: `encoder` beside the collection, or what sync made its vectors with]
    #[arg(long)]
    encoder: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
}

/// How to search.
#[derive(Args, Clone)]
struct Options {
    /// Results.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Which rankings answer: auto is whatever the collection and the encoder allow, hybrid where both do.
    #[arg(long, value_parser = modes(&Mode::ALL), default_value = "auto")]
    mode: Mode,
    /// Candidates that a walk through a graph keeps; more find more and take longer.
    #[arg(long, default_value_t = 64)]
    ef: usize,
    /// Instead: find this share of the nearest, such as 0.95, as hard as each shard's own measurement says.
    #[arg(long, conflicts_with = "ef")]
    recall: Option<Recall>,
    /// Compare with all vectors.
    #[arg(long, conflicts_with_all = ["ef", "recall"])]
    exact: bool,
    #[command(flatten)]
    narrow: Narrow,
    #[command(flatten)]
    rerank: RerankArgs,
}

/// The options, understood.
struct Asking {
    options: Options,
    filter: Filter,
    rerank: Option<Step>,
}

/// How to show what was found.
#[derive(Args)]
struct Output {
    /// Print a JSON object per query: its text, and hits with rank, id, score, title, text; of a line that
    /// cannot be asked its number and the error.
    #[arg(long)]
    json: bool,
    /// Print whole texts instead of the piece that matches.
    #[arg(long, conflicts_with = "json")]
    full: bool,
    /// Colours: auto is for terminals, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value = "auto")]
    color: Colour,
}

impl Asking {
    fn query(&self, text: &str) -> Query {
        let options = &self.options;
        let effort = Effort::chosen(options.exact, options.recall, options.ef);
        let k = self.rerank.as_ref().map_or(options.k, |step| step.candidates(options.k));
        Query::text(text).k(k).mode(options.mode).effort(effort).filter(self.filter.clone())
    }
}

pub(crate) fn run(args: Search, context: &Context) -> Result<()> {
    let (filter, rerank) = (args.options.narrow.filter()?, Step::open(&args.options.rerank)?);
    let asking = Asking { options: args.options, filter, rerank };
    let (retriever, folder, query) = match &args.store {
        Some(url) => {
            let store = store::open(url, args.partial)?;
            let words = args.collection.map(|words| words.to_string_lossy().into_owned());
            (with_encoder(store, args.encoder.as_deref())?, None, words)
        }
        None => {
            let (collection, query) = meant(args.collection, args.query)?;
            let (retriever, folder) = open(&collection, args.encoder.as_deref())?;
            (retriever, folder, query)
        }
    };
    let form = match (args.output.json, args.output.full) {
        (true, _) => Form::Json,
        (false, true) => Form::Full,
        (false, false) => Form::Snippets,
    };
    let mut printer = Printer::new(form, args.output.color, folder);
    match query {
        Some(text) => answer(&retriever, &asking, &text, &mut printer),
        None if std::io::stdin().is_terminal() => session::run(&retriever, asking, &mut printer, context),
        None => answer_lines(&retriever, &asking, &mut printer, context),
    }
}

/// Answers every line of standard input, which may be packed. A line that cannot be asked is said, and the rest
/// is answered.
fn answer_lines(
    retriever: &Retriever,
    asking: &Asking,
    printer: &mut Printer,
    context: &Context,
) -> Result<()> {
    let name = Path::new("standard input");
    let input = compressed::unpack(name, std::io::BufReader::new(std::io::stdin()))?;
    let mut lines = TextLines::new(name, input);
    let mut bad = 0u64;
    loop {
        context.interrupt.check()?;
        let problem = match lines.read()? {
            None => break,
            Some(Line::Text(text)) if text.trim().is_empty() => continue,
            Some(Line::Text(text)) => match find(retriever, asking, text.trim()) {
                Ok((query, hits)) => {
                    printer.hits(retriever, &query, &hits)?;
                    continue;
                }
                Err(error) => format!("{error:#}"),
            },
            Some(Line::Bad(_, detail)) => detail,
        };
        bad += 1;
        printer.failed(lines.number(), &lines.error(problem).to_string())?;
    }
    if bad > 0 {
        bail!("{bad} lines of standard input could not be asked; the others are answered");
    }
    Ok(())
}

fn answer(retriever: &Retriever, asking: &Asking, text: &str, printer: &mut Printer) -> Result<()> {
    let (query, hits) = find(retriever, asking, text)?;
    printer.hits(retriever, &query, &hits)?;
    Ok(())
}

fn find(retriever: &Retriever, asking: &Asking, text: &str) -> Result<(Query, Vec<Hit>)> {
    let query = asking.query(text);
    let mut answers = retriever.search_batch(std::slice::from_ref(&query))?;
    say_missing(&answers.missing)?;
    let hits = answers.hits.pop().unwrap_or_default();
    let hits = match &asking.rerank {
        Some(step) => step.hits(query.words().unwrap_or_default(), hits, asking.options.k)?,
        None => hits,
    };
    Ok((query, hits))
}

/// The collection and the query that are meant: a word alone is a query where it is no collection and sync keeps the
/// folder at hand.
fn meant(first: Option<PathBuf>, query: Option<String>) -> Result<(PathBuf, Option<String>)> {
    let Some(first) = first else {
        let nearest = place::nearest();
        let nearest =
            nearest.context("name a collection; `revela sync .` makes one of the folder at hand")?;
        return Ok((nearest, None));
    };
    if let Some(collection) = place::collection_at(&first) {
        return Ok((collection, query));
    }
    let words = first.to_str().map(str::to_owned);
    match (place::nearest(), query, words) {
        (Some(nearest), None, Some(words)) => Ok((nearest, Some(words))),
        (_, query, _) => Ok((first, query)),
    }
}

/// Says beside the answers which parts of a store they are without.
fn say_missing(missing: &[String]) -> Result<()> {
    for shard in missing {
        writeln!(std::io::stderr(), "without the shard {shard}, which cannot be reached")?;
    }
    Ok(())
}

/// A folder with the encoder that is named, or the one beside the collection, or the one that sync made it with, and
/// the folder that sync keeps in it.
fn open(collection: &Path, encoder: Option<&Path>) -> Result<(Retriever, Option<PathBuf>)> {
    let searcher = Searcher::new(Collection::open(collection)?);
    let has_vectors = searcher.collection().vectors().is_some();
    let beside = Some(collection.with_file_name("encoder")).filter(|dir| has_vectors && dir.is_dir());
    let kept = || Settings::of(searcher.collection())?.encoder.map(PathBuf::from);
    let encoder = encoder.map(Path::to_owned).or(beside).or_else(kept);
    let folder = folder_of(searcher.collection());
    Ok((with_encoder(Arc::new(searcher), encoder.as_deref())?, folder))
}

fn with_encoder(store: Arc<dyn Store>, encoder: Option<&Path>) -> Result<Retriever> {
    let retriever = Retriever::new(store);
    let Some(dir) = encoder else { return Ok(retriever) };
    let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
    Ok(retriever.with_embedder(Arc::new(encoder))?)
}
