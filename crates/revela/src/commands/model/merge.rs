//! `revela model merge`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use revela_base::artifact::IfExists;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::lora;
use revela_model::weights::Precision;
use revela_model::{adapter, hub};

use super::super::say;

/// Add an adapter into the weights of its base: an encoder that stands alone.
#[derive(Args)]
pub(crate) struct Merge {
    /// The adapter's folder, in PEFT's layout, or its name on the hub.
    #[arg(long)]
    adapter: PathBuf,
    /// The base's folder or name [default: where the adapter says]
    #[arg(long)]
    base: Option<PathBuf>,
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
    /// How weights are written: f32 or bf16.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

pub(super) fn run(args: &Merge) -> Result<()> {
    let dir = hub::locate(&args.adapter)?;
    if !adapter::is_adapter(&dir) {
        bail!("{} is no adapter: it has no adapter_config.json", dir.display());
    }
    let base = args.base.as_deref().map(hub::locate).transpose()?;
    let device = DeviceChoice::Cpu.open()?;
    let Encoder { model, tokenizer, contract, .. } =
        adapter::open(&dir, base.as_deref(), Precision::F32, &device)?;
    let merged = Encoder::new(lora::merge(model), tokenizer, contract)?;
    merged.save(&args.out, args.dtype, IfExists::Refuse)?;
    say(format_args!("merged into {}", args.out.display()))?;
    Ok(())
}
