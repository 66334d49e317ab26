//! `revela rerank`: what something else found, ranked again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::compressed;
use revela_base::file::{is_standard_output, write_atomic};
use revela_base::rerank::{Pair, Reranker, order};
use revela_base::text_lines::{Line, TextLines};
use revela_eval::Run;
use revela_eval::dataset::{Selection, UnknownIdPolicy};
use revela_index::Passage;
use serde_json::Value;

use super::Voice;
use crate::Context;
use crate::evaluation::HeldOut;
use crate::reranking::{ModelArgs, Step};

/// Rank again what was found, by a model that reads query and passage together
///
/// Of a run in TREC's form (--run), whose texts stand in a collection with judgements (--data), or of hits as `revela
/// search --json` prints them (--hits). Models are cross-encoders (BERT, RoBERTa, XLM-RoBERTa, DistilBERT, ModernBERT with
/// a head of one label), Qwen3-Reranker's form, and any language model, by how likely it finds the query after the
/// passage.
#[derive(Debug, Args)]
pub(crate) struct Rerank {
    /// The model: a folder in Hugging Face's layout, or a name on the hub.
    #[arg(long)]
    model: PathBuf,
    /// A TREC run file.
    #[arg(long, required_unless_present = "hits", requires = "data")]
    run: Option<PathBuf>,
    /// The collection with the run's queries and documents.
    #[arg(long, requires = "run")]
    data: Option<PathBuf>,
    /// Its split.
    #[arg(long, default_value = "test", requires = "run")]
    split: String,
    /// Instead: JSON lines as `revela search --json` prints them; - is standard input.
    #[arg(long, conflicts_with = "run")]
    hits: Option<PathBuf>,
    /// The run, or the JSON lines, to write; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// How many of each query's are ranked again; what is deeper follows in its order.
    #[arg(long, default_value_t = 100)]
    depth: usize,
    #[command(flatten)]
    how: ModelArgs,
}

pub(crate) fn run(args: &Rerank, context: &Context) -> Result<()> {
    let voice = Voice::beside([&args.out], context)?;
    let model = args.how.open(&args.model)?;
    let count = match (&args.run, &args.data, &args.hits) {
        (Some(run), Some(data), None) => {
            let step = Step::with(model, args.depth)?;
            of_run(args, &step, run, data, context)?
        }
        (None, None, Some(hits)) => of_hits(args, &model, hits, context)?,
        _ => bail!("name --run with --data, or --hits"),
    };
    voice.say(format_args!("{count} queries in {}", args.out.display()))?;
    Ok(())
}

fn of_run(args: &Rerank, step: &Step, run: &Path, data: &Path, context: &Context) -> Result<usize> {
    let run = Run::read(run)?;
    let selection = Selection { split: args.split.clone(), ..Selection::default() };
    let (unknown, metrics) = (UnknownIdPolicy::Report, Vec::new());
    let held_out = HeldOut::load(data, &selection, unknown, metrics, &context.progress, &context.interrupt)?;
    let ranked = step.run(&run, &held_out, context)?;
    ranked.write(&args.out, "revela")?;
    Ok(ranked.len())
}

/// Line by line, so that answers come as questions do.
fn of_hits(args: &Rerank, model: &dyn Reranker, hits: &Path, context: &Context) -> Result<usize> {
    if args.depth == 0 {
        bail!("--depth is 0, which ranks nothing again; name a number");
    }
    if is_standard_output(hits) {
        let name = Path::new("standard input");
        let input = compressed::unpack(name, std::io::BufReader::new(std::io::stdin()))?;
        return write_ranked(args, model, TextLines::new(name, input), context);
    }
    write_ranked(args, model, TextLines::open(hits)?, context)
}

fn write_ranked(
    args: &Rerank,
    model: &dyn Reranker,
    mut lines: TextLines,
    context: &Context,
) -> Result<usize> {
    let mut ranked = Vec::new();
    loop {
        context.interrupt.check()?;
        match lines.read()? {
            None => break,
            Some(Line::Text(text)) if text.trim().is_empty() => {}
            Some(Line::Text(text)) => {
                let line = one_line(model, text, args.depth);
                ranked.push(line.map_err(|e| lines.error(format!("{e:#}")))?);
            }
            Some(Line::Bad(_, detail)) => return Err(lines.error(detail).into()),
        }
    }
    write_atomic(&args.out, |out| ranked.iter().try_for_each(|line| writeln!(out, "{line}")))?;
    Ok(ranked.len())
}

/// One query with its hits in their new order; what else stands in the line stays.
fn one_line(model: &dyn Reranker, text: &str, depth: usize) -> Result<Value> {
    let mut line: Value = serde_json::from_str(text).context("it is no JSON")?;
    // A query that could not be asked has no hits and stays as it is.
    if line.get("error").is_some() {
        return Ok(line);
    }
    let query = line.get("query").and_then(Value::as_str).context("it has no query")?.to_owned();
    let hits = line.get_mut("hits").and_then(Value::as_array_mut).context("it has no list of hits")?;
    let rest = hits.split_off(hits.len().min(depth));
    let texts: Vec<String> = hits.iter().map(full_text).collect::<Result<_>>()?;
    let pairs: Vec<Pair<'_>> = texts.iter().map(|text| (query.as_str(), text.as_str())).collect();
    let scores = model.scores(&pairs)?;
    let mut ranked = Vec::with_capacity(hits.len());
    for place in order(&scores) {
        if let (Some(hit), Some(score)) = (hits.get(place), scores.get(place)) {
            let mut hit = hit.clone();
            hit["score"] = (*score).into();
            ranked.push(hit);
        }
    }
    ranked.extend(rest);
    (1..).zip(&mut ranked).for_each(|(rank, hit): (u64, _)| hit["rank"] = rank.into());
    *hits = ranked;
    Ok(line)
}

fn full_text(hit: &Value) -> Result<String> {
    let field = |name: &str| hit.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !hit.is_object() {
        bail!("a hit is {hit}, which is no object");
    }
    let passage = Passage { id: String::new(), title: field("title"), text: field("text") };
    Ok(passage.full_text().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use revela_base::checksum::Checksum;
    use revela_base::rerank::RerankError;

    struct Longest;

    impl Reranker for Longest {
        fn fingerprint(&self) -> Checksum {
            Checksum::of(b"longest")
        }

        fn tokens(&self, _pair: Pair<'_>) -> Result<usize, RerankError> {
            Ok(1)
        }

        fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>, RerankError> {
            Ok(pairs.iter().map(|(_, passage)| passage.len() as f32).collect())
        }
    }

    #[test]
    fn a_line_keeps_all_but_order_scores_and_ranks() {
        let line = r#"{"query":"q","hits":[{"id":"a","text":"x","score":9,"rank":1},
            {"id":"b","title":"t","text":"xyz","more":7,"rank":2},{"id":"c","text":"longest of all","rank":3}],"k":3}"#;
        let ranked = one_line(&Longest, line, 2).unwrap();
        let ids: Vec<&str> =
            ranked["hits"].as_array().unwrap().iter().map(|h| h["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["b", "a", "c"], "only two are ranked again");
        assert_eq!((&ranked["hits"][0]["score"], &ranked["hits"][0]["more"]), (&5.0.into(), &7.into()));
        assert_eq!((&ranked["hits"][2]["rank"], &ranked["k"]), (&3.into(), &3.into()));
    }

    #[test]
    fn lines_that_are_no_answers_are_refused_and_failed_ones_pass() {
        for wrong in ["7", "{}", r#"{"query":"q"}"#, r#"{"query":"q","hits":[7]}"#, "{"] {
            assert!(one_line(&Longest, wrong, 2).is_err(), "{wrong}");
        }
        assert_eq!(one_line(&Longest, r#"{"line":3,"error":"no"}"#, 2).unwrap()["line"], 3);
        assert_eq!(
            one_line(&Longest, r#"{"query":"","hits":[]}"#, 2).unwrap()["hits"],
            serde_json::json!([])
        );
    }
}
