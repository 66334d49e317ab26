//! `revela eval`: systems on a collection with judgements, and one against another.

mod average;
mod cache;
mod compare;
mod endpoint;
mod measure;
mod page;
mod rerank;
mod system;
mod task;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use revela_eval::SelfMatches;
use revela_eval::metrics::Metric;
use revela_index::bm25::Analyser;
use revela_model::cpu::Matmul;
use revela_search::Mode;

pub(crate) use cache::users_folder;

use super::data::parse_analyser;
use super::index::parse_named;
use super::modes;
use crate::Context;
use crate::reranking::RerankArgs;

/// Width of tables in characters.
const WIDTH: u16 = 160;

/// What can be measured: which rankings answer.
const MODES: [Mode; 3] = [Mode::Dense, Mode::Bm25, Mode::Hybrid];

/// Measure a retriever, BM25, both, or a run file on a collection with judgements; compare results
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Eval {
    #[command(subcommand)]
    command: Option<EvalCommand>,
    #[command(flatten)]
    measure: Box<Measure>,
}

#[derive(Subcommand)]
enum EvalCommand {
    /// Say whether one result is better than another, by paired tests over the queries.
    Compare(compare::Compare),
    /// A benchmark's figure from the results of its tasks, beside published ones.
    Average(average::Average),
}

#[derive(Args)]
struct Measure {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    rerank: RerankArgs,
    /// Metrics.
    #[arg(long, value_delimiter = ',', default_value = "ndcg@10,recall@100,mrr@10,map")]
    metrics: Vec<Metric>,
    /// Fail where anything does not fit: unknown ids in judgements or in a run, counts that the task's entry
    /// in the catalogue states otherwise. Without it they are counted and reported.
    #[arg(long)]
    strict: bool,
    /// Show published figures of the task beside the measured one.
    #[arg(long, requires = "task")]
    published: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// A collection with judgements: a folder in BEIR's layout, in one of the Hugging Face hub's or of BRIGHT,
    /// a data set's folder in the hub's cache, or the name (org/name) of one that is there.
    #[arg(long, required = true)]
    data: Option<PathBuf>,
    /// Its split; for BRIGHT a domain such as biology or biology-long [default: the task's, or test]
    #[arg(long)]
    split: Option<String>,
    /// The subset of a data set that holds several, such as a programming language.
    #[arg(long)]
    subset: Option<String>,
    /// The task of the catalogue that this is (`revela data tasks`): its split, its rules and its counts.
    #[arg(long)]
    task: Option<String>,
    /// The part of a task that is measured in parts, such as a forum or a programming language.
    #[arg(long, requires = "task")]
    part: Option<String>,
    /// Whether a document counts whose id is the query's: keep or drop [default: the task's rule; drop without a
    /// task, as in BEIR's evaluation]
    #[arg(long, value_parser = parse_named::<SelfMatches>)]
    self_matches: Option<SelfMatches>,
}

#[derive(Args)]
#[command(next_help_heading = "System")]
struct SystemArgs {
    /// An encoder's folder, for dense and hybrid.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// How the processor multiplies while it embeds: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32", requires = "encoder")]
    matmul: Matmul,
    /// The base address of a server that speaks OpenAI's embeddings, such as http://127.0.0.1:8080/v1.
    #[arg(long, conflicts_with = "encoder", requires = "model")]
    endpoint: Option<String>,
    /// The model's name at the endpoint.
    #[arg(long, requires = "endpoint")]
    model: Option<String>,
    /// The environment variable that holds the endpoint's key.
    #[arg(long, default_value = "OPENAI_API_KEY", requires = "endpoint")]
    key_variable: String,
    /// What is put before each query that is embedded; {task} stands for the instruction that the catalogue has
    /// for --task [default: as the encoder says; nothing for an endpoint]
    #[arg(long)]
    query_prefix: Option<String>,
    /// What is put before each passage that is embedded [default: as the encoder says; nothing for an endpoint]
    #[arg(long)]
    passage_prefix: Option<String>,
    /// Search this collection instead of building one of the data.
    #[arg(long)]
    collection: Option<PathBuf>,
    /// Search this store: postgresql://USER@HOST:PORT/DATABASE#TABLE, several shards joined by commas.
    #[arg(long, value_name = "URL", conflicts_with = "collection")]
    store: Option<String>,
    /// Which system is measured: vectors of the encoder or the endpoint, words, or both by reciprocal rank fusion.
    #[arg(long, value_parser = modes(&MODES), default_value = "dense")]
    mode: Mode,
    /// Compare with every vector, instead of building a graph (HNSW) and walking through it.
    #[arg(long)]
    exact: bool,
    /// Candidates that a walk through the graph keeps; never fewer than --depth.
    #[arg(long, default_value_t = 64, conflicts_with = "exact")]
    ef: usize,
    /// Results per query.
    #[arg(long, default_value_t = 1000)]
    depth: usize,
    /// How BM25 splits texts into terms: code or prose.
    #[arg(long, value_parser = parse_analyser, default_value = "prose")]
    analyser: Analyser,
    /// Measure this TREC run file instead of a system.
    #[arg(long, conflicts_with_all = ["encoder", "endpoint", "collection", "store", "mode", "exact", "ef", "run"])]
    run_file: Option<PathBuf>,
}

#[derive(Args)]
#[command(next_help_heading = "Output")]
struct OutputArgs {
    /// Write the result with every query's values; - is standard output, here and below.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write what was found as a TREC run file.
    #[arg(long)]
    run: Option<PathBuf>,
    /// Write a page with charts and the worst queries.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the result in the layout of MTEB's files; the task's name there is the catalogue's or the data's.
    #[arg(long)]
    mteb_json: Option<PathBuf>,
}

#[derive(Args)]
#[command(next_help_heading = "Cache")]
struct CacheArgs {
    /// Where what systems found is kept, with the indexes built for it, under fingerprints of the program, the
    /// encoder, the data and the settings [default: revela/eval in the user's cache folder]
    #[arg(long, env = "REVELA_CACHE")]
    cache: Option<PathBuf>,
    /// Keep nothing, and use nothing that was kept.
    #[arg(long)]
    no_cache: bool,
}

pub(crate) fn run(args: Eval, context: &Context) -> Result<()> {
    match args.command {
        Some(EvalCommand::Compare(command)) => compare::run(&command, context),
        Some(EvalCommand::Average(command)) => average::run(&command),
        None => measure::run(&args.measure, context),
    }
}
