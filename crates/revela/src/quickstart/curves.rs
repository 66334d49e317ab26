//! Training curves of a run's log.

use revela_eval::chart::{Axis, Level, LineChart, Series, Svg};
use revela_train::log::{Record, StepRecord};

use super::recipe;

/// The charts of a run, each with the name of its file. `bm25` is BM25's score on the dev split.
pub(crate) fn draw(records: &[Record], bm25: f64) -> Vec<(&'static str, Svg)> {
    let losses = |title: &str, stage: &str, names: &[(&str, &str)]| LineChart {
        title: title.to_owned(),
        x: Axis::linear("minutes"),
        y: Axis::linear("loss (nats)"),
        series: names.iter().map(|(key, name)| series(records, stage, key, name)).collect(),
        levels: Vec::new(),
    };
    let both = [("loss_plain", "alone"), ("loss_inbatch", "reading the batch")];
    let weights = LineChart {
        title: "Revela: how evenly a chunk reads the others".to_owned(),
        x: Axis::linear("minutes"),
        y: Axis::linear("entropy of the weights (1: all equally, 0: one alone)"),
        series: vec![entropy(records)],
        levels: Vec::new(),
    };
    vec![
        ("lm-loss", losses("Language model: next-token loss", recipe::LM, &both).to_svg()),
        ("contrastive-loss", losses("Contrast: loss", recipe::CONTRASTIVE, &[("loss", "loss")]).to_svg()),
        ("revela-loss", losses("Revela: next-token loss", recipe::REVELA, &both).to_svg()),
        ("revela-weights", weights.to_svg()),
        ("held-out", held_out(records, bm25).to_svg()),
    ]
}

fn steps<'a>(records: &'a [Record], stage: &'a str) -> impl Iterator<Item = &'a StepRecord> {
    records.iter().filter_map(move |record| match record {
        Record::Step(step) if step.stage == stage => Some(step),
        _ => None,
    })
}

/// One number of a stage over its minutes.
fn series(records: &[Record], stage: &str, key: &str, name: &str) -> Series {
    let value = |step: &StepRecord| match key {
        "loss" => step.loss,
        _ => step.numbers.get(key).copied().flatten(),
    };
    Series::new(name, steps(records, stage).filter_map(|step| Some((step.seconds / 60.0, value(step)?))))
}

/// The entropy of the weights as a share of what equal weights have.
fn entropy(records: &[Record]) -> Series {
    let most = ((recipe::GROUP_SIZE - 1) as f64).ln();
    let mut found = series(records, recipe::REVELA, "weights_entropy", "entropy");
    found.points.iter_mut().for_each(|point| point.y /= most);
    found
}

/// The dev score over the minutes of all stages together.
fn held_out(records: &[Record], bm25: f64) -> LineChart {
    let (mut before, mut current, mut seconds) = (0.0, String::new(), 0.0);
    let mut lines: Vec<Series> = Vec::new();
    for record in records {
        match record {
            Record::Header { .. } => {}
            Record::Step(step) => {
                if step.stage != current {
                    before += seconds;
                    current.clone_from(&step.stage);
                }
                seconds = step.seconds;
            }
            Record::Evaluation(found) => {
                let at = before + seconds;
                if lines.last().is_none_or(|line| line.name != found.stage) {
                    lines.push(Series::new(&found.stage, []));
                }
                if let Some(line) = lines.last_mut() {
                    let point = Series::new("", [(at / 60.0, 100.0 * found.score)]);
                    line.points.extend(point.points);
                }
            }
        }
    }
    LineChart {
        title: "The retriever on the dev split".to_owned(),
        x: Axis::linear("minutes of training"),
        y: Axis::linear("nDCG@10 (points of 100)"),
        series: lines,
        levels: vec![Level { name: format!("BM25: {:.1}", 100.0 * bm25), value: 100.0 * bm25 }],
    }
}
