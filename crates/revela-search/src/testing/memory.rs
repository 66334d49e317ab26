//! A store of rows in memory: every row is looked at for every query. The plainest thing that keeps the trait's
//! promises, for tests of whatever searches.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use revela_base::embed::{Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use super::words;
use crate::{
    Answers, Count, Description, Duplicates, Entry, Failure, Filter, Hit, Mode, Prepared, Scored, Store,
    StoreError, StoreWriter, VectorField,
};

/// Passages with their vectors, where there are some. No snapshot: changes are seen at once.
pub struct RowsInMemory {
    description: Description,
    rows: RwLock<Vec<Row>>,
}

#[derive(Clone)]
struct Row {
    entry: Entry,
    vector: Vec<f32>,
}

type Ranked = Vec<Scored<usize>>;

impl RowsInMemory {
    /// A store without passages; with vectors where there is an embedder to make them.
    pub fn new(embedder: Option<&dyn Embedder>) -> Self {
        let vectors = embedder.map(|embedder| VectorField {
            dimension: embedder.dimension(),
            metric: embedder.metric(),
            encoder: Some(embedder.fingerprint()),
        });
        let (location, analyser) = ("rows in memory".to_owned(), Some("words".to_owned()));
        let description = Description { location, vectors, analyser, chunked: false };
        Self { description, rows: RwLock::default() }
    }

    fn rows(&self) -> Vec<Row> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, rows: &[Row], number: usize, query: &Prepared<'_>) -> Result<Vec<Hit>, StoreError> {
        let allowed = |row: &Row| allows(&query.query().filter, &row.entry);
        let dense = match (query.vector()?, &self.description.vectors) {
            (Some(vector), Some(field)) => {
                let vector = field.comparable(number, vector)?;
                best(rows, query.depth(), |row| allowed(row).then(|| dot(&vector, &row.vector)))
            }
            _ => Vec::new(),
        };
        let bm25 = match query.words() {
            Some(text) => {
                let bm25 = Bm25::new(rows, text);
                best(rows, query.depth(), |row| bm25.score(row).filter(|_| allowed(row)))
            }
            None => Vec::new(),
        };
        let ranked = match query.mode() {
            Mode::Hybrid => query.fuse(&dense, &bm25),
            Mode::Bm25 => bm25,
            Mode::Dense | Mode::Auto => dense,
        };
        let hit = |(rank, found): (usize, Scored<usize>)| {
            let Entry { passage, payload } = rows.get(found.id)?.entry.clone();
            let (id, title, text) = (passage.id, passage.title, passage.text);
            Some(Hit { id, score: found.score, rank, title, text, payload })
        };
        Ok((1..).zip(ranked).take(query.query().k).filter_map(hit).collect())
    }
}

/// The best rows of those that have a score.
fn best(rows: &[Row], depth: usize, score: impl Fn(&Row) -> Option<f32>) -> Ranked {
    let scored = |(id, row)| score(row).map(|score| Scored { score, id });
    let mut ranked: Ranked = rows.iter().enumerate().filter_map(scored).collect();
    ranked.sort();
    ranked.truncate(depth);
    ranked
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn allows(filter: &Filter, entry: &Entry) -> bool {
    match filter {
        Filter::All => true,
        Filter::Ids(ids) => ids.contains(&entry.passage.id),
        Filter::Prefix(prefix) => entry.passage.id.starts_with(prefix.as_str()),
        Filter::Payload(predicate) => predicate.fits(&entry.payload),
    }
}

/// BM25 with k1 = 1.2 and b = 0.75 over all rows.
struct Bm25 {
    /// The query's terms with their count times their inverse document frequency.
    terms: HashMap<String, f32>,
    average: f32,
}

impl Bm25 {
    fn new(rows: &[Row], text: &str) -> Self {
        let texts: Vec<Vec<String>> = rows.iter().map(|row| words(&row.entry.passage.full_text())).collect();
        let (count, tokens) = (rows.len() as f32, texts.iter().map(Vec::len).sum::<usize>() as f32);
        let mut terms: HashMap<String, f32> = HashMap::new();
        for term in words(text) {
            let found = texts.iter().filter(|words| words.contains(&term)).count() as f32;
            *terms.entry(term).or_default() += (1.0 + (count - found + 0.5) / (found + 0.5)).ln();
        }
        Self { terms, average: tokens / count }
    }

    /// Nothing for a row without any of the terms.
    fn score(&self, row: &Row) -> Option<f32> {
        let words = words(&row.entry.passage.full_text());
        let norm = 1.2 * (0.25 + 0.75 * words.len() as f32 / self.average);
        let mut score = None;
        for (term, weight) in &self.terms {
            let count = words.iter().filter(|word| *word == term).count() as f32;
            if count > 0.0 {
                *score.get_or_insert(0.0) += weight * 2.2 * count / (count + norm);
            }
        }
        score
    }
}

impl Store for RowsInMemory {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn count(&self) -> Result<Count, StoreError> {
        Ok(Count { passages: self.rows().len() as u64, shards: 1, ..Count::default() })
    }

    fn search(&self, queries: &[Prepared<'_>]) -> Result<Answers, StoreError> {
        let rows = self.rows();
        let answer = |(number, query)| self.answer(&rows, number, query);
        let hits = queries.iter().enumerate().map(answer).collect::<Result<_, _>>()?;
        Ok(Answers { hits, missing: Vec::new() })
    }

    fn get(&self, ids: &[&str]) -> Result<Vec<Option<Entry>>, StoreError> {
        let rows = self.rows();
        let find = |id: &&str| rows.iter().find(|row| row.entry.passage.id == *id).map(|r| r.entry.clone());
        Ok(ids.iter().map(find).collect())
    }

    fn writer(&self) -> Option<&dyn StoreWriter> {
        Some(self)
    }
}

impl StoreWriter for RowsInMemory {
    fn add(
        &self,
        entries: Vec<Entry>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        _progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), StoreError> {
        interrupt.check().map_err(|stopped| StoreError::failed(Failure::Interrupted, stopped))?;
        let mut all = self.rows();
        for entry in entries {
            let vector = match (&self.description.vectors, embedder) {
                (None, _) => Vec::new(),
                (Some(field), Some(embedder)) => {
                    self.description.check_encoder(embedder.fingerprint())?;
                    let text = entry.passage.full_text();
                    field.comparable(0, &embedder.embed(TextKind::Passage, &[text.as_ref()])?)?
                }
                (Some(_), None) => {
                    let message = "its vectors need the encoder that made them";
                    return Err(StoreError::failed(Failure::Unsupported, message));
                }
            };
            let before = all.iter().position(|row| row.entry.passage.id == entry.passage.id);
            match (before, duplicates) {
                (Some(_), Duplicates::Refuse) => {
                    let message = format!("the id {:?} is there already", entry.passage.id);
                    return Err(StoreError::failed(Failure::Conflict, message));
                }
                (Some(at), Duplicates::LastWins) => drop(all.remove(at)),
                (None, _) => {}
            }
            all.push(Row { entry, vector });
        }
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    fn delete(&self, ids: &[&str]) -> Result<u64, StoreError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let before = rows.len();
        rows.retain(|row| !ids.contains(&row.entry.passage.id.as_str()));
        Ok((before - rows.len()) as u64)
    }
}
