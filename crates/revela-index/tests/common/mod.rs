//! Real test collections, where they are at hand.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use revela_index::Passage;
use serde_json::Value;

/// A collection in BEIR layout.
pub(crate) struct Beir {
    pub(crate) passages: Vec<Passage>,
    /// Queries with judgements: text and the grade of each judged passage.
    pub(crate) queries: Vec<(String, HashMap<String, u32>)>,
}

/// The folder of real collections beside the checkout, or a message and nothing.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(name);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: {} is not at hand", dir.display());
    None
}

fn lines(path: PathBuf) -> impl Iterator<Item = Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().into_iter()
}

fn string(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Reads one, or gives nothing where it is not at hand.
pub(crate) fn load(name: &str, split: &str) -> Option<Beir> {
    let dir = data(name)?;
    let passages = lines(dir.join("corpus.jsonl"))
        .map(|line| Passage {
            id: string(&line, "_id"),
            title: string(&line, "title"),
            text: string(&line, "text"),
        })
        .collect();
    let mut judged: BTreeMap<String, HashMap<String, u32>> = BTreeMap::new();
    let qrels = std::fs::read_to_string(dir.join(format!("qrels/{split}.tsv"))).unwrap();
    for line in qrels.lines().skip(1) {
        let mut columns = line.split('\t');
        let (query, id, grade) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        judged.entry(query.to_owned()).or_default().insert(id.to_owned(), grade.trim().parse().unwrap());
    }
    let queries = lines(dir.join("queries.jsonl"))
        .filter_map(|line| Some((string(&line, "text"), judged.remove(&string(&line, "_id"))?)))
        .collect();
    Some(Beir { passages, queries })
}

/// nDCG@10 of one ranked list of ids.
pub(crate) fn ndcg10<'a>(ranked: impl IntoIterator<Item = &'a str>, judged: &HashMap<String, u32>) -> f64 {
    let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
    let gained: f64 = ranked
        .into_iter()
        .take(10)
        .enumerate()
        .map(|(rank, id)| f64::from(*judged.get(id).unwrap_or(&0)) * discount(rank))
        .sum();
    let mut grades: Vec<u32> = judged.values().copied().collect();
    grades.sort_unstable_by(|a, b| b.cmp(a));
    let ideal: f64 = grades.iter().take(10).enumerate().map(|(r, &g)| f64::from(g) * discount(r)).sum();
    if ideal == 0.0 { 0.0 } else { gained / ideal }
}
