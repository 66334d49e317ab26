//! `revela model info`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use revela_base::embed::Embedder;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::hub;
use revela_model::params::count;
use revela_model::weights::{Precision, stored_dtype};
use serde_json::{Value, json};

use super::super::say;

/// Say what was understood of an encoder: family, sizes, pooling, prompts, length, fingerprint.
#[derive(Args)]
pub(crate) struct Info {
    /// The encoder's folder, an adapter's folder, or a name on the hub.
    encoder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Info) -> Result<()> {
    let encoder = Encoder::open(&args.encoder, Precision::F32, &DeviceChoice::Cpu.open()?)?;
    let facts = facts(&encoder, &hub::locate(&args.encoder)?)?;
    if args.json {
        say(serde_json::to_string_pretty(&facts)?)?;
        return Ok(());
    }
    for (name, value) in facts.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
        say(format_args!("{name:<18}{text}"))?;
    }
    Ok(())
}

fn facts(encoder: &Encoder, dir: &Path) -> Result<Value> {
    let (model, contract) = (&encoder.model, &encoder.contract);
    let config = model.backbone.config();
    Ok(json!({
        "family": config.family(),
        "layers": config.layers(),
        "hidden_size": config.hidden_size(),
        "vocabulary": config.vocab_size(),
        "tokens": encoder.tokenizer.vocabulary(),
        "parameters": count(model),
        "pooling": contract.pooling,
        "dense": model.dense.iter().map(|dense| dense.width()).collect::<Vec<_>>(),
        "vectors": contract.scale,
        "metric": contract.metric,
        "dimension": encoder.dimension(),
        "query_prompt": contract.query_prompt,
        "passage_prompt": contract.passage_prompt,
        "max_length": contract.max_length,
        "positions": config.max_length(),
        "dtype": stored_dtype(dir)?,
        "fingerprint": encoder.fingerprint(),
    }))
}
