//! `revela model new`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use revela_base::artifact::IfExists;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_model::causal_lm::CausalLm;
use revela_model::config::{AttentionBias, DecoderConfig, Family, RopeScaling};
use revela_model::contract::Contract;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::init::draw;
use revela_model::kernels::{AttentionShape, Reach};
use revela_model::language_model::LanguageModel;
use revela_model::params::count;
use revela_model::static_embedding::{StaticConfig, StaticEmbedding};
use revela_model::tokenizer::{Cut, TextTokenizer};
use revela_model::weights::Precision;
use revela_text::ChunkReader;

use super::super::say;
use crate::Context;

/// What is made.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    /// A language model (Llama).
    Llama,
    /// A static encoder: a vector per token, of which a text's mean is taken. It learns fastest from nothing.
    Static,
}

/// How the tokenizer cuts text before byte-level BPE.
#[derive(Clone, Copy, ValueEnum)]
enum CutName {
    /// Words and parts of identifiers, lower case, without white space.
    Words,
    /// Words with the space before them; nothing is lost.
    Text,
}

#[derive(Args)]
pub(crate) struct New {
    /// The chunk file that the tokenizer is trained on.
    #[arg(long)]
    chunks: PathBuf,
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
    /// What is made; of a static encoder only --vocabulary, --cut and --hidden count.
    #[arg(long, value_enum, default_value = "llama")]
    family: FamilyName,
    /// Tokens.
    #[arg(long, default_value_t = 8192)]
    vocabulary: usize,
    /// How text is cut before byte-level BPE.
    #[arg(long, value_enum, default_value = "words")]
    cut: CutName,
    /// Features of a row of hidden state.
    #[arg(long, default_value_t = 256)]
    hidden: usize,
    /// Layers.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Attention heads.
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// Key-value heads [default: heads]
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Features inside the feed-forward layers [default: 8/3 of hidden, in steps of 32]
    #[arg(long)]
    intermediate: Option<usize>,
    /// Longest sequence.
    #[arg(long, default_value_t = 512)]
    max_positions: usize,
    /// Seed of the weights.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

pub(super) fn run(args: &New, context: &Context) -> Result<()> {
    let cut = match args.cut {
        CutName::Words => Cut::Words,
        CutName::Text => Cut::Text,
    };
    let tokenizer = train_tokenizer(&args.chunks, args.vocabulary, cut, context)?;
    if args.family == FamilyName::Static {
        let encoder = fresh_static(tokenizer, args.hidden, Seed(args.seed))?;
        encoder.save(&args.out, Precision::F32, IfExists::Refuse)?;
        say(format_args!("{} parameters in {}", count(&encoder.model), args.out.display()))?;
        return Ok(());
    }
    let shape = Shape {
        hidden: args.hidden,
        layers: args.layers,
        heads: args.heads,
        kv_heads: args.kv_heads.unwrap_or(args.heads),
        intermediate: args.intermediate,
        max_positions: args.max_positions,
    };
    let model = fresh(tokenizer, &shape, Seed(args.seed))?;
    model.save(&args.out, Precision::F32, IfExists::Refuse)?;
    say(format_args!("{} parameters in {}", count(&model.lm), args.out.display()))?;
    Ok(())
}

/// Sizes of a model that is made from nothing.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) intermediate: Option<usize>,
    pub(crate) max_positions: usize,
}

/// A language model with freshly drawn weights and tied embeddings.
pub(crate) fn fresh(tokenizer: TextTokenizer, shape: &Shape, seed: Seed) -> Result<LanguageModel> {
    let config = DecoderConfig {
        family: Family::Llama,
        vocab_size: tokenizer.vocabulary(),
        hidden_size: shape.hidden,
        intermediate_size: shape.intermediate.unwrap_or((shape.hidden * 8 / 3).next_multiple_of(32)),
        layers: shape.layers,
        attention: AttentionShape {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            dim: shape.hidden / shape.heads.max(1),
        },
        max_positions: shape.max_positions,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        bias: AttentionBias::None,
        reach: Reach::Causal,
    };
    config.check().map_err(anyhow::Error::msg).context("these sizes make no model")?;
    let device = DeviceChoice::Cpu.open()?;
    let lm = draw(CausalLm::zeros(Arc::new(config), &device), seed.derive("weights"), &device);
    Ok(LanguageModel::new(lm, tokenizer)?)
}

/// A static encoder with freshly drawn vectors.
pub(crate) fn fresh_static(mut tokenizer: TextTokenizer, dimension: usize, seed: Seed) -> Result<Encoder> {
    if dimension == 0 {
        bail!("a static encoder needs vectors of at least one number; choose another --hidden");
    }
    let config = StaticConfig { vocab_size: tokenizer.vocabulary(), hidden_size: dimension };
    let device = DeviceChoice::Cpu.open()?;
    let table =
        draw(StaticEmbedding::zeros(Arc::new(config), &device), seed.derive("static weights"), &device);
    let contract = Contract::of_table(&mut tokenizer);
    Ok(Encoder::new(table.into(), tokenizer, contract)?)
}

/// Characters of text that a tokenizer is trained on: more changes few merges.
const TOKENIZER_CHARACTERS: usize = 24 << 20;

/// Trains a tokenizer on chunks spread evenly over the file.
pub(crate) fn train_tokenizer(
    chunks: &Path,
    vocabulary: usize,
    cut: Cut,
    context: &Context,
) -> Result<TextTokenizer> {
    let bytes = std::fs::metadata(chunks).map(|m| m.len()).unwrap_or(0) as usize;
    let every = (bytes / TOKENIZER_CHARACTERS).max(1);
    let mut texts = Vec::new();
    let task = context.progress.task("tokenizer", "chunks", None);
    for (number, chunk) in ChunkReader::open(chunks)?.enumerate() {
        context.interrupt.check()?;
        let chunk = chunk?;
        if number % every == 0 {
            texts.push(chunk.text);
        }
        task.advance(1);
    }
    Ok(TextTokenizer::train(texts.into_iter(), vocabulary, cut)?)
}
