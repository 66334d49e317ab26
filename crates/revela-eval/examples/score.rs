//! Scores a TREC run file against a folder in BEIR layout:
//! `cargo run -p revela-eval --example score -- DATA SPLIT RUN RESULT.json`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_eval::dataset::{BeirFolder, TestCollection, UnknownIdPolicy};
use revela_eval::metrics::{EvaluationOptions, Metric, evaluate};
use revela_eval::{EvalResult, Run};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, split, run, json] = &arguments[..] else { return Err("DATA SPLIT RUN RESULT.json".into()) };
    let folder = BeirFolder::open(Path::new(data))?;
    let test = TestCollection::load(&folder, split, UnknownIdPolicy::Refuse, &Silent, &Interrupt::new())?;
    let metrics = ["ndcg@10", "recall@100", "mrr@10", "map", "success@5", "precision@10", "r_precision"];
    let metrics = metrics.iter().map(|name| name.parse()).collect::<Result<Vec<Metric>, _>>()?;
    let mut run = Run::read(Path::new(run))?;
    run.exclude(&test.exclusions);
    let found = evaluate(&test.qrels, &run, &metrics, &EvaluationOptions::default())?;
    let settings = BTreeMap::from([("split".to_owned(), split.as_str().into())]);
    EvalResult::new(found, settings).write(Path::new(json))?;
    Ok(())
}
