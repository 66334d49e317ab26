//! `--rerank`: what a system found, ranked again before it is measured.

use anyhow::Result;
use revela_eval::Run;

use super::Measure;
use super::cache::{self, Cache};
use super::system::Settings;
use crate::Context;
use crate::evaluation::HeldOut;
use crate::reranking::Step;

/// The run that is measured, and the settings that decided it; kept as runs of systems are.
pub(super) fn apply(
    args: &Measure,
    (run, mut settings): (Run, Settings),
    held_out: &HeldOut,
    context: &Context,
) -> Result<(Run, Settings)> {
    let Some(step) = Step::open(&args.rerank)? else { return Ok((run, settings)) };
    settings.insert("rerank".into(), step.settings()?);
    let key = cache::program()?
        .part("data", held_out.fingerprint().to_string())
        .part("depth", args.system.depth.to_le_bytes())
        .part("settings", serde_json::to_string(&settings)?)
        .finish();
    let cache = Cache::open(&args.cache, &context.progress);
    if let Some(run) = cache.as_ref().and_then(|cache| cache.find(key)) {
        context.progress.line("this was reranked before; the ranking is taken from the cache");
        return Ok((run, settings));
    }
    let run = step.run(&run, held_out, context)?;
    if let Some(cache) = cache {
        cache.keep(key, &run);
    }
    Ok((run, settings))
}
