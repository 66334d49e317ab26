//! `revela search`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use revela_index::{Collection, Query, Searcher};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;

use super::say;
use crate::Context;

#[derive(Args)]
pub(crate) struct Search {
    /// The collection's folder.
    collection: PathBuf,
    /// What to search for.
    query: String,
    /// Results.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// The encoder's folder [default: `encoder` beside the collection, where there is one]
    #[arg(long)]
    encoder: Option<PathBuf>,
}

pub(crate) fn run(args: Search, _context: &Context) -> Result<()> {
    let mut searcher = Searcher::new(Collection::open(&args.collection)?);
    let beside = args.collection.with_file_name("encoder");
    let encoder = args.encoder.or_else(|| beside.is_dir().then_some(beside));
    if let Some(dir) = encoder {
        let encoder = Encoder::open(&dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
        searcher = searcher.with_embedder(Arc::new(encoder))?;
    }
    let query = Query::text(args.query).k(args.k);
    for hit in searcher.search(&query)? {
        say(format_args!("{:>3}  {:.4}  {}", hit.rank, hit.score, hit.id))?;
        say(format_args!("     {}", searcher.snippet(&query, &hit, 160).text.replace('\n', " ")))?;
    }
    Ok(())
}
