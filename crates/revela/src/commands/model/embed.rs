//! `revela model embed`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use revela_base::embed::{Embedder, TextKind};
use revela_base::file::write_atomic;
use revela_base::progress::Progress;
use revela_index::Passage;
use revela_index::vectors::{Vectors, npy};
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_text::{Documents, SourceKind};
use serde_json::json;

use super::super::Voice;
use super::super::reading::{Reading, say_left_out};
use crate::Context;

/// Which side of retrieval texts stand on.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// What a user asks.
    Query,
    /// What is searched.
    Passage,
}

/// Embed texts into a .npy file, one row per text in order.
#[derive(Args)]
pub(crate) struct Embed {
    /// The encoder's folder, an adapter's folder, or a name on the hub.
    #[arg(long)]
    encoder: PathBuf,
    /// JSON lines with `_id` or `id`, `text` and perhaps `title`; title and text are embedded as one.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Which prompt goes before each text.
    #[arg(long, value_enum)]
    kind: Kind,
    /// The .npy file to write: f32, [texts, dimension]; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Also write how long it took, as JSON; - is standard output.
    #[arg(long)]
    times: Option<PathBuf>,
    /// Where the model runs: cpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// How numbers are kept: f32 or bf16.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// How the processor multiplies: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32")]
    matmul: Matmul,
}

/// Texts embedded between two looks at the interrupt flag: enough for batches of equal length.
const BLOCK: usize = 4096;

pub(super) fn run(args: &Embed, context: &Context) -> Result<()> {
    let voice = Voice::beside([&args.out].into_iter().chain(&args.times), context)?;
    let encoder = Encoder::open(&args.encoder, args.dtype, &args.device.open()?)?.with_matmul(args.matmul);
    let texts = read(args, context)?;
    let kind = match args.kind {
        Kind::Query => TextKind::Query,
        Kind::Passage => TextKind::Passage,
    };
    let task = context.progress.task("embedding", "texts", Some(texts.len() as u64));
    let (start, mut rows) = (Instant::now(), Vec::with_capacity(texts.len() * encoder.dimension()));
    for block in texts.chunks(BLOCK) {
        context.interrupt.check()?;
        let block: Vec<&str> = block.iter().map(String::as_str).collect();
        rows.extend(encoder.embed(kind, &block)?);
        task.advance(block.len() as u64);
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(task);
    let vectors = Vectors::new("embeddings", encoder.dimension(), rows)?;
    npy::write_f32(&args.out, vectors.view())?;
    if let Some(path) = &args.times {
        let tokens = encoder.count_tokens(kind, &texts)?;
        let report = json!({
            "texts": texts.len(), "tokens": tokens, "threads": rayon::current_num_threads(), "matmul": args.matmul,
            "seconds": seconds,
            "texts_per_second": texts.len() as f64 / seconds, "tokens_per_second": tokens as f64 / seconds,
        });
        write_atomic(path, |out| writeln!(out, "{report:#}"))?;
    }
    voice.say(format_args!(
        "{} vectors of {} in {}",
        texts.len(),
        encoder.dimension(),
        args.out.display()
    ))?;
    Ok(())
}

fn read(args: &Embed, context: &Context) -> Result<Vec<String>> {
    let mut documents = Documents::open(args.reading.source(&args.input, SourceKind::of_path(&args.input)))?;
    let texts = documents.by_ref().map(|document| {
        let document = document?;
        let passage = Passage { id: document.id, title: document.title, text: document.text };
        Ok(passage.full_text().into_owned())
    });
    let texts: Vec<String> = texts.collect::<Result<_>>()?;
    say_left_out(&documents, context);
    Ok(texts)
}
