//! Results in the layout of MTEB's result files, so that its own tools read them.

use std::num::NonZeroUsize;
use std::path::Path;

use revela_base::file::{FileError, write_atomic};
use serde_json::{Map, Value, json};

use crate::error::EvalError;
use crate::metrics::{Evaluation, Metric};

/// The depths at which MTEB looks.
const DEPTHS: [usize; 7] = [1, 3, 5, 10, 20, 100, 1000];

/// What such a file says besides the scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtebTask {
    /// MTEB's name of the task.
    pub name: String,
    /// The revision of the data set; MTEB means a commit on the Hugging Face hub.
    pub revision: String,
    /// The subset, `default` where there are none.
    pub subset: String,
    /// Languages as MTEB writes them, such as `eng-Latn`.
    pub languages: Vec<String>,
    /// The score by which MTEB ranks on this task.
    pub main: Metric,
}

/// The metrics that such a file holds.
pub fn metrics() -> Vec<Metric> {
    let depths = || DEPTHS.iter().filter_map(|&depth| NonZeroUsize::new(depth));
    let families: [fn(NonZeroUsize) -> Metric; 6] = [
        |k| Metric::Ndcg(Some(k)),
        |k| Metric::Map(Some(k)),
        Metric::Recall,
        Metric::Precision,
        |k| Metric::Mrr(Some(k)),
        Metric::Success,
    ];
    families.iter().flat_map(|family| depths().map(family)).collect()
}

/// MTEB's name of a metric.
fn score_name(metric: Metric) -> String {
    metric.to_string().replace("success", "hit_rate").replace('@', "_at_")
}

/// Writes the means of an evaluation of [`metrics`]. `mteb_version` is left empty: MTEB did not measure this.
///
/// # Errors
/// The main metric was not evaluated, or a file system error.
pub fn write(
    path: &Path,
    task: &MtebTask,
    split: &str,
    evaluation: &Evaluation,
    seconds: f64,
) -> Result<(), EvalError> {
    let means = evaluation.means();
    let main = means.get(&task.main).ok_or_else(|| EvalError::MissingMetric {
        system: task.name.clone(),
        metric: task.main,
        available: means.keys().map(Metric::to_string).collect(),
    })?;
    let mut scores: Map<String, Value> =
        means.iter().map(|(&metric, &mean)| (score_name(metric), mean.into())).collect();
    scores.insert("main_score".into(), (*main).into());
    scores.insert("hf_subset".into(), task.subset.as_str().into());
    scores.insert("languages".into(), task.languages.clone().into());
    let file = json!({
        "dataset_revision": task.revision,
        "task_name": task.name,
        "mteb_version": null,
        "scores": { split: [scores] },
        "evaluation_time": seconds,
        "kg_co2_emissions": null,
    });
    let mut text = serde_json::to_vec_pretty(&file).map_err(|e| FileError::io("encode", path)(e.into()))?;
    text.push(b'\n');
    Ok(write_atomic(path, |out| out.write_all(&text))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{EvaluationOptions, evaluate};
    use crate::{Hit, Qrels, Run};

    fn task() -> MtebTask {
        MtebTask {
            name: "SciFact".into(),
            revision: "0228".into(),
            subset: "default".into(),
            languages: vec!["eng-Latn".into()],
            main: Metric::NDCG_10,
        }
    }

    #[test]
    fn the_file_has_mtebs_names() {
        let (mut qrels, mut run) = (Qrels::new(), Run::new());
        qrels.insert("q", "d", 1).unwrap();
        run.insert("q", vec![Hit::new("e", 2.0), Hit::new("d", 1.0)]).unwrap();
        let found = evaluate(&qrels, &run, &metrics(), &EvaluationOptions::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SciFact.json");
        write(&path, &task(), "test", &found, 1.5).unwrap();
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let scores = &json["scores"]["test"][0];
        assert_eq!((&scores["mrr_at_3"], &scores["recall_at_1"]), (&0.5.into(), &0.0.into()));
        assert_eq!((&scores["hit_rate_at_3"], &scores["precision_at_1000"]), (&1.0.into(), &0.001.into()));
        assert_eq!(scores["main_score"], scores["ndcg_at_10"]);
        assert_eq!((&json["task_name"], &json["mteb_version"]), (&"SciFact".into(), &Value::Null));
        let main = MtebTask { main: Metric::RPrecision, ..task() };
        assert!(matches!(write(&path, &main, "test", &found, 1.0), Err(EvalError::MissingMetric { .. })));
    }
}
