//! Tokens per second and peak memory of one training step; prints one JSON line, as the PyTorch peer does.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use clap::{Parser, ValueEnum};
use revela_base::seed::Seed;
use revela_model::causal_lm::CausalLm;
use revela_model::config::{AttentionBias, DecoderConfig, Family, RopeScaling};
use revela_model::cpu::Matmul;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::device::DeviceChoice;
use revela_model::embedding_model::EmbeddingModel;
use revela_model::init::draw;
use revela_model::kernels::{AttentionShape, Reach};
use revela_model::layers::Run;
use revela_model::params::count;
use revela_model::pooling::Pooling;
use revela_train::choices::ReadingKind;
use revela_train::inbatch::reading::{Reading, ValueNorm};
use revela_train::objective::Activations;
use revela_train::objective::embedding::EmbedOptions;
use revela_train::objective::language::{LanguageOptions, LossTerms, PlainLoss};
use revela_train::objective::revela::{Pairing, RevelaBatch, RevelaOptions, step};
use revela_train::optim::{AdamW, AdamWConfig};

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    Tiny,
    #[value(name = "135m")]
    M135,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Queries {
    Same,
    Other,
}

#[derive(Parser)]
struct Args {
    /// Sizes of both models.
    #[arg(long, default_value = "tiny")]
    preset: Preset,
    /// Chunks per batch.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Tokens per chunk.
    #[arg(long, default_value_t = 160)]
    len: usize,
    /// Counted steps, after two that are not.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Compute the batch in pieces of this many chunks instead of keeping its activations.
    #[arg(long)]
    recompute: Option<usize>,
    /// Whether the retriever's queries are the chunks themselves, as in the peer's bench, or other tokens of the
    /// same number, as where queries have a prompt. The same ones are embedded once.
    #[arg(long, default_value = "same")]
    queries: Queries,
    /// How chunks read each other.
    #[arg(long, value_enum, default_value = "published")]
    reading: ReadingKind,
    /// Train the retriever alone.
    #[arg(long)]
    frozen: bool,
    /// How the processor multiplies the matrices of linear layers: f32 or bf16.
    #[arg(long, default_value = "f32")]
    matmul: Matmul,
}

fn config(preset: Preset) -> DecoderConfig {
    let (vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads) = match preset {
        Preset::Tiny => (8192, 384, 1024, 6, 6, 6),
        Preset::M135 => (49_152, 576, 1536, 30, 9, 3),
    };
    DecoderConfig {
        family: Family::Llama,
        vocab_size,
        hidden_size,
        intermediate_size,
        layers,
        attention: AttentionShape { heads, kv_heads, dim: hidden_size / heads },
        max_positions: 2048,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        bias: AttentionBias::None,
        reach: Reach::Causal,
    }
}

fn main() -> revela_model::Result<()> {
    revela_alloc::keep_freed_memory();
    let args = Args::parse();
    let config = Arc::new(config(args.preset));
    let device = DeviceChoice::Cpu.open_for_training()?;
    let mut lm = draw(CausalLm::zeros(config.clone(), &device), Seed(0), &device);
    if args.frozen {
        lm = lm.no_grad();
    }
    let retriever = draw(Decoder::zeros(config.clone(), &device), Seed(1), &device);
    let mut retriever = EmbeddingModel::from(retriever);
    let mut optimizers = [AdamW::new(AdamWConfig::default()), AdamW::new(AdamWConfig::default())];
    let mut state = 1_u64;
    let mut token = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % config.vocab_size as u64) as u32
    };
    let mut texts = || {
        let texts: Vec<Vec<u32>> =
            (0..args.batch).map(|_| (0..args.len).map(|_| token()).collect()).collect();
        TokenBatch::packed(&texts)
    };
    let chunks = texts();
    let query = if args.queries == Queries::Same { chunks.clone() } else { texts() };
    let batch = RevelaBatch { readers: chunks.clone(), read: chunks.clone(), passage: chunks, query };
    let activations = args.recompute.map_or(Activations::Keep, |chunks| Activations::Recompute { chunks });
    let run = Run { kernels: args.matmul.into(), ..Run::training(0) };
    let options = RevelaOptions {
        tau: 0.05,
        hard: 0.0,
        embed: EmbedOptions { pooling: Pooling::Eos, activations, run },
        language: LanguageOptions {
            terms: LossTerms::InBatch,
            plain: PlainLoss::Compute,
            read: match args.reading {
                ReadingKind::Joint => Reading::Joint.into(),
                ReadingKind::Published => Reading::Published(ValueNorm::Mean).into(),
            },
            activations,
            run,
        },
    };
    let mut times = Vec::new();
    let mut loss = 0.0;
    for round in 0..args.steps + 2 {
        let start = Instant::now();
        let (result, _) = step(&lm, &retriever, &batch, &Pairing::Same, &options);
        let forward_backward = start.elapsed().as_secs_f64();
        loss = result.loss;
        lm = optimizers[0].step(lm, result.lm, 1e-4, 1.0);
        retriever = optimizers[1].step(retriever, result.retriever, 1e-4, 1.0);
        if round >= 2 {
            times.push(start.elapsed().as_secs_f64());
        }
        if std::env::var_os("REVELA_BENCH_DETAIL").is_some() {
            println!(
                "step {round}: {:.2} s, of which AdamW {:.3}",
                start.elapsed().as_secs_f64(),
                start.elapsed().as_secs_f64() - forward_backward
            );
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let line = serde_json::json!({
        "system": "revela", "batch": args.batch, "len": args.len,
        "params_lm": count(&lm), "step_s_median": median, "step_s_min": times[0],
        "lm_tokens_per_s": (args.batch * args.len) as f64 / median,
        "peak_bytes": revela_train::log::peak_memory(), "loss": loss, "recompute": args.recompute, "matmul": args.matmul, "reading": args.reading, "frozen": args.frozen, "same_queries": args.queries == Queries::Same,
        "params_retriever": retriever.num_params(),
    });
    println!("{line}");
    Ok(())
}
