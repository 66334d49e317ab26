//! Searching all shards at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pgvector::{HalfVector, SparseVector};
use postgres::types::ToSql;
use rayon::prelude::*;
use revela_search::{Answers, Effort, Hit, Mode, Prepared, Scored};

use crate::error::PgError;
use crate::filter::Condition;
use crate::schema::WEIGHTS;
use crate::shard::Shard;
use crate::store::PgStore;

/// The most candidates that pgvector keeps in a walk.
const MOST_CANDIDATES: usize = 1000;

type Ranked = Vec<(String, f32)>;

/// What a query asks every shard.
struct Asked<'a> {
    prepared: &'a Prepared<'a>,
    vector: Option<HalfVector>,
    limit: i64,
    /// Candidates of a walk; nothing for a comparison with all.
    candidates: Option<usize>,
}

/// What a query weighs on each shard, whose dictionaries differ; nothing for a shard that did not answer.
type Weights = Vec<Option<BTreeMap<i32, f32>>>;

impl PgStore {
    pub(crate) fn answer_all(&self, queries: &[Prepared<'_>]) -> Result<Answers, PgError> {
        let answer = |(number, query)| self.answer(number, query);
        let answers: Vec<(Vec<Hit>, BTreeSet<String>)> = match queries {
            [_] => queries.iter().enumerate().map(answer).collect::<Result<_, _>>()?,
            _ => queries.par_iter().enumerate().map(answer).collect::<Result<_, PgError>>()?,
        };
        let (hits, missing): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        let missing: BTreeSet<String> = missing.into_iter().flatten().collect();
        Ok(Answers { hits, missing: missing.into_iter().collect() })
    }

    fn answer(
        &self,
        number: usize,
        prepared: &Prepared<'_>,
    ) -> Result<(Vec<Hit>, BTreeSet<String>), PgError> {
        let asked = self.asked(number, prepared)?;
        let mut missing = BTreeSet::new();
        let weights = match prepared.words() {
            Some(words) => {
                let (weights, silent) = self.weights(words)?;
                missing.extend(silent);
                weights
            }
            None => Vec::new(),
        };
        let (found, silent) = self.ask(|shard_number, shard| {
            let dense = self.dense(shard, &asked)?;
            let bm25 = match weights.get(shard_number) {
                Some(Some(weights)) => self.bm25(shard, &asked, weights)?,
                _ => Vec::new(),
            };
            Ok((dense, bm25))
        })?;
        missing.extend(silent);
        let (dense, bm25): (Vec<Ranked>, Vec<Ranked>) = found.into_iter().flatten().unzip();
        let ranked = join(prepared, dense.concat(), bm25.concat());
        let (hits, silent) = self.hits(ranked)?;
        missing.extend(silent);
        Ok((hits, missing))
    }

    fn asked<'a>(&self, number: usize, prepared: &'a Prepared<'a>) -> Result<Asked<'a>, PgError> {
        let vector = match (prepared.vector()?, &self.meta.vectors) {
            (Some(vector), Some(field)) => {
                Some(HalfVector::from_f32_slice(&field.comparable(number, vector)?))
            }
            _ => None,
        };
        let depth = prepared.depth();
        let candidates = match prepared.query().effort {
            Effort::Ef(ef) => Some(ef.max(depth).clamp(1, MOST_CANDIDATES)),
            Effort::Exact => None,
            Effort::Recall(_) if vector.is_none() => None,
            Effort::Recall(recall) => {
                let what = format!("find {recall} of the nearest: nothing was measured; use --ef or --exact");
                return Err(PgError::Unsupported(what));
            }
        };
        if let revela_search::Filter::Payload(predicate) = &prepared.query().filter {
            predicate.check()?;
        }
        Ok(Asked { prepared, vector, limit: i64::try_from(depth).unwrap_or(i64::MAX), candidates })
    }

    /// What the query's terms weigh on each shard, by the frequencies of all.
    fn weights(&self, words: &str) -> Result<(Weights, Vec<String>), PgError> {
        let counts = self.analyser.terms(words);
        let terms: Vec<&str> = counts.keys().map(String::as_str).collect();
        let table = &self.table;
        let sql = format!(
            "SELECT s.passages, t.term, t.number, t.frequency FROM {table}_stats s \
             LEFT JOIN {table}_terms t ON t.term = ANY($1)"
        );
        let (found, silent) = self.ask(|_, shard| {
            let rows = shard.with("look terms up", |client| client.query(&sql, &[&terms]))?;
            let passages: i64 = rows.first().map_or(0, |row| row.get(0));
            let known = rows.iter().filter_map(|row| {
                let (term, number, frequency): (Option<String>, Option<i32>, Option<i64>) =
                    (row.get(1), row.get(2), row.get(3));
                Some((term?, (number?, frequency?)))
            });
            Ok((passages, known.collect::<HashMap<_, _>>()))
        })?;
        let passages: i64 = found.iter().flatten().map(|(passages, _)| passages).sum();
        let frequency = |term: &str| -> i64 {
            found
                .iter()
                .flatten()
                .filter_map(|(_, known)| known.get(term))
                .map(|(_, frequency)| frequency)
                .sum()
        };
        let weight = |term: &str, count: u32| {
            let (all, with) = (passages as f64, frequency(term) as f64);
            (f64::from(count) * (1.0 + (all - with + 0.5) / (with + 0.5)).ln()) as f32
        };
        let on_shard = |(_, known): &(i64, HashMap<String, (i32, i64)>)| -> BTreeMap<i32, f32> {
            let own =
                counts.iter().filter_map(|(term, count)| Some((known.get(term)?.0, weight(term, *count))));
            own.collect()
        };
        Ok((found.iter().map(|shard| shard.as_ref().map(on_shard)).collect(), silent))
    }

    fn dense(&self, shard: &Shard, asked: &Asked<'_>) -> Result<Ranked, PgError> {
        let Some(vector) = &asked.vector else { return Ok(Vec::new()) };
        let condition = Condition::of(&asked.prepared.query().filter, 2);
        let sql = format!(
            "SELECT id, -(embedding <#> $1) FROM {} WHERE {} ORDER BY embedding <#> $1 LIMIT $2",
            self.table, condition.sql
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![vector, &asked.limit];
        parameters.extend(condition.parameters());
        let run = |settings: &str| {
            shard.with("search vectors", |client| {
                let mut transaction = client.transaction()?;
                transaction.batch_execute(settings)?;
                let rows = transaction.query(&sql, &parameters)?;
                transaction.commit()?;
                Ok(ranked(&rows))
            })
        };
        if let Some(candidates) = asked.candidates {
            // A walk goes on until the filter has let enough through.
            let found = run(&format!(
                "SET LOCAL hnsw.ef_search = {candidates}; SET LOCAL hnsw.iterative_scan = relaxed_order; \
                 SET LOCAL hnsw.max_scan_tuples = 2147483647"
            ))?;
            if i64::try_from(found.len()).is_ok_and(|found| found >= asked.limit) {
                return Ok(found);
            }
        }
        // Also where a walk came to its end, so that a filter never costs results.
        run("SET LOCAL enable_indexscan = off")
    }

    fn bm25(
        &self,
        shard: &Shard,
        asked: &Asked<'_>,
        weights: &BTreeMap<i32, f32>,
    ) -> Result<Ranked, PgError> {
        if weights.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<i32> = weights.keys().copied().collect();
        // A term's number is its position counted from 1, as in the textual form.
        let positions: BTreeMap<i32, f32> =
            weights.iter().map(|(number, weight)| (number - 1, *weight)).collect();
        let query = SparseVector::from_map(&positions, WEIGHTS);
        let condition = Condition::of(&asked.prepared.query().filter, 3);
        let sql = format!(
            "SELECT id, -(weights <#> $1) AS score FROM {} WHERE term_ids && $2 AND {} \
             ORDER BY score DESC, id LIMIT $3",
            self.table, condition.sql
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&query, &numbers, &asked.limit];
        parameters.extend(condition.parameters());
        let rows = shard.with("search texts", |client| client.query(&sql, &parameters))?;
        Ok(ranked(&rows))
    }

    fn hits(&self, ranked: Ranked) -> Result<(Vec<Hit>, Vec<String>), PgError> {
        let ids: Vec<&str> = ranked.iter().map(|(id, _)| id.as_str()).collect();
        let (mut entries, silent) = self.entries(&ids)?;
        // What was deleted between the two questions is found no more.
        let found = ranked.into_iter().filter_map(|(id, score)| Some((entries.remove(&id)?, score)));
        let hit = |(rank, (entry, score)): (usize, (revela_search::Entry, f32))| {
            let revela_search::Passage { id, title, text } = entry.passage;
            Hit { id, score, rank, title, text, payload: entry.payload }
        };
        Ok(((1..).zip(found).map(hit).collect(), silent))
    }
}

fn ranked(rows: &[postgres::Row]) -> Ranked {
    rows.iter().map(|row| (row.get(0), row.get::<_, f64>(1) as f32)).collect()
}

/// The rankings of all shards as one, best first, equal scores by id, as many as are wanted.
fn join(prepared: &Prepared<'_>, dense: Ranked, bm25: Ranked) -> Ranked {
    let ids: BTreeSet<String> = dense.iter().chain(&bm25).map(|(id, _)| id.clone()).collect();
    let places: HashMap<&str, usize> =
        ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let sorted = |ranked: &Ranked| {
        let scored = ranked
            .iter()
            .filter_map(|(id, score)| Some(Scored { score: *score, id: *places.get(id.as_str())? }));
        let mut scored: Vec<Scored<usize>> = scored.collect();
        scored.sort_unstable();
        scored.truncate(prepared.depth());
        scored
    };
    let joined = match prepared.mode() {
        Mode::Hybrid => prepared.fuse(&sorted(&dense), &sorted(&bm25)),
        Mode::Bm25 => sorted(&bm25),
        Mode::Dense | Mode::Auto => sorted(&dense),
    };
    let ids: Vec<String> = ids.into_iter().collect();
    let named = |hit: Scored<usize>| Some((ids.get(hit.id)?.clone(), hit.score));
    joined.into_iter().take(prepared.query().k).filter_map(named).collect()
}
