//! Stores that are no folder: their addresses, and what moves a collection there and back.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use revela_search::Store;

use crate::Context;

/// The option that lets a store answer without some of its shards.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Partial {
    /// Answer without shards of --store that cannot be reached, and say which.
    #[arg(long, requires = "store")]
    pub(crate) allow_partial: bool,
}

/// Bring a collection into a store; pushing again writes only what is not there, so a push that was stopped goes on.
#[derive(Args)]
pub(crate) struct Push {
    /// The collection's folder.
    pub(crate) collection: PathBuf,
    /// The store: postgresql://USER@HOST:PORT/DATABASE#TABLE, several shards joined by commas.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
}

/// Make a collection of a store
#[derive(Args)]
pub(crate) struct Pull {
    /// The folder for the collection, which must not hold one yet.
    pub(crate) collection: PathBuf,
    /// The store: postgresql://USER@HOST:PORT/DATABASE#TABLE, several shards joined by commas.
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
}

#[cfg(feature = "pgvector")]
mod built {
    use revela_index::Collection;
    use revela_store_pgvector::{Address, MissingShards, PgStore, pull, push};

    use super::{Arc, Context, Partial, Pull, Push, Result, Store};
    use crate::commands::say;

    pub(crate) fn open(url: &str, partial: Partial) -> Result<Arc<dyn Store>> {
        let missing = match partial.allow_partial {
            true => MissingShards::LeaveOut,
            false => MissingShards::Refuse,
        };
        Ok(Arc::new(PgStore::open(&Address::parse(url)?, missing)?))
    }

    pub(crate) fn push_collection(args: &Push, context: &Context) -> Result<()> {
        let (collection, address) = (Collection::open(&args.collection)?, Address::parse(&args.to)?);
        let pushed = push(&collection, &address, &context.progress, &context.interrupt)?;
        let (written, unchanged) = (pushed.written, pushed.unchanged);
        say(format_args!("{written} passages written, {unchanged} were there, in {}", address.location()))?;
        Ok(())
    }

    pub(crate) fn pull_collection(args: &Pull, context: &Context) -> Result<()> {
        let address = Address::parse(&args.from)?;
        let count = pull(&address, &args.collection, &context.progress, &context.interrupt)?;
        say(format_args!("{count} passages in {}", args.collection.display()))?;
        Ok(())
    }
}

#[cfg(not(feature = "pgvector"))]
mod built {
    use anyhow::bail;

    use super::{Arc, Context, Partial, Pull, Push, Result, Store};

    const LACKING: &str =
        "this program was built without stores in PostgreSQL; build it with --features pgvector";

    pub(crate) fn open(_: &str, _: Partial) -> Result<Arc<dyn Store>> {
        bail!(LACKING)
    }

    pub(crate) fn push_collection(_: &Push, _: &Context) -> Result<()> {
        bail!(LACKING)
    }

    pub(crate) fn pull_collection(_: &Pull, _: &Context) -> Result<()> {
        bail!(LACKING)
    }
}

pub(crate) use built::{open, pull_collection, push_collection};
