//! Where models, search and metrics meet: systems to runs, runs to numbers.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Silent};
use revela_eval::dataset::{self, Document, Selection, TestCollection, UnknownIdPolicy};
use revela_eval::metrics::{Evaluation, EvaluationOptions, Metric, evaluate};
use revela_eval::{EvalResult, Hit, Run, SelfMatches};
use revela_index::bm25::{Analyser, TextIndexWriter};
use revela_index::flat;
use revela_index::vectors::Vectors;
use revela_model::encoder::Encoder;
use revela_search::Scored;
use revela_search::fusion::{Fusion, Ranking};
use revela_train::trainer::Evaluator;

use crate::error::{PipelineError, Result};

/// Results kept per query, unless more are asked for.
const DEPTH: usize = 100;

/// Texts embedded between two looks at the interrupt flag.
const EMBED_BLOCK: usize = 1024;

/// For each query, rows of documents, best first.
pub type Rankings = Vec<Vec<Scored<u32>>>;

/// A test collection in memory, with what is measured on it.
pub struct HeldOut {
    documents: Vec<Document>,
    split: TestCollection,
    metrics: Vec<Metric>,
    depth: usize,
}

impl HeldOut {
    /// Reads one split of a collection, in any layout; unknown ids are reported, and a document with the query's
    /// own id does not count.
    pub fn open(
        dir: &Path,
        split: &str,
        metrics: Vec<Metric>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let self_matches = SelfMatches::UNKNOWN_TASK;
        let selection = Selection { split: split.to_owned(), self_matches, ..Selection::default() };
        Self::load(dir, &selection, UnknownIdPolicy::Report, metrics, progress, interrupt)
    }

    /// The same for any selection and policy.
    pub fn load(
        dir: &Path,
        selection: &Selection,
        unknown: UnknownIdPolicy,
        metrics: Vec<Metric>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let layout = dataset::open(dir, selection)?;
        let split = TestCollection::load(&*layout, &selection.split, unknown, progress, interrupt)?;
        let documents = layout.corpus()?.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { documents, split, metrics, depth: DEPTH })
    }

    /// Changes whenever a system might find something else: documents, queries and what must not count, but
    /// not the judgements.
    pub fn fingerprint(&self) -> Checksum {
        let mut fingerprint = Fingerprint::new();
        for Document { id, title, text } in &self.documents {
            fingerprint = fingerprint.part("document", id).part("title", title).part("text", text);
        }
        let exclusions = &self.split.exclusions;
        for query in &self.split.queries {
            fingerprint = fingerprint.part("query", &query.id).part("text", &query.text);
            for excluded in exclusions.listed(&query.id) {
                fingerprint = fingerprint.part("excluded", excluded);
            }
        }
        fingerprint.part("self-matches", format!("{:?}", exclusions.self_matches())).finish()
    }

    /// Keeps this many results per query.
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// How deep systems must search so that enough remains when what must not count is taken out.
    pub fn search_depth(&self) -> usize {
        let of = |query: &dataset::Query| self.split.exclusions.search_depth(&query.id, self.depth);
        self.split.queries.iter().map(of).max().unwrap_or(self.depth)
    }

    /// Queries that have a document of their own id, and how many of these documents are judged relevant.
    pub fn self_matches(&self) -> (usize, usize) {
        let ids: HashSet<&str> = self.documents.iter().map(|document| document.id.as_str()).collect();
        let own = || self.split.queries.iter().map(|query| query.id.as_str()).filter(|id| ids.contains(id));
        let is_relevant = |id: &&str| self.split.qrels.get(id).and_then(|judged| judged.get(*id)) > Some(&0);
        (own().count(), own().filter(is_relevant).count())
    }

    /// The documents.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Queries, judgements, and what must not count.
    pub fn split(&self) -> &TestCollection {
        &self.split
    }

    /// The documents' texts as they are embedded.
    fn texts(&self) -> Vec<String> {
        self.documents.iter().map(passage_text).collect()
    }

    /// Exact search with an encoder's vectors, by its own similarity.
    pub fn dense(
        &self,
        embedder: &dyn Embedder,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Rankings> {
        let texts = self.texts();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let queries: Vec<&str> = self.split.queries.iter().map(|q| q.text.as_str()).collect();
        let mut rows = embed_all(embedder, TextKind::Passage, &texts, progress, interrupt)?;
        let mut queries = embed_all(embedder, TextKind::Query, &queries, progress, interrupt)?;
        rows.make_comparable(embedder.metric());
        queries.make_comparable(embedder.metric());
        Ok(flat::search(rows.view(), queries.view(), self.search_depth(), &|_| true)?)
    }

    /// BM25.
    pub fn bm25(&self, analyser: Analyser) -> Result<Rankings> {
        let mut writer = TextIndexWriter::in_memory(analyser)?;
        for document in &self.documents {
            writer.add(&document.id, &document.title, &document.text)?;
        }
        let index = writer.finish()?;
        let depth = self.search_depth();
        let search = |query: &dataset::Query| index.search(&index.query(&query.text), depth);
        Ok(self.split.queries.iter().map(search).collect::<Result<_, _>>()?)
    }

    /// Several systems' rankings as one, each with its weight.
    pub fn fused(&self, fusion: Fusion, systems: &[(&Rankings, f32)]) -> Rankings {
        (0..self.split.queries.len())
            .map(|query| {
                let rankings: Vec<Ranking<'_, u32>> = systems
                    .iter()
                    .filter_map(|&(system, weight)| Some(Ranking { hits: system.get(query)?, weight }))
                    .collect();
                let mut hits = fusion.fuse(&rankings);
                hits.truncate(self.search_depth());
                hits
            })
            .collect()
    }

    /// Rankings as a run, without what must not count.
    pub fn run(&self, rankings: &Rankings) -> Result<Run> {
        let mut run = Run::new();
        for (query, ranking) in self.split.queries.iter().zip(rankings) {
            let hits = ranking.iter().filter_map(|hit| {
                let document = self.documents.get(hit.id as usize)?;
                Some(Hit::new(document.id.clone(), hit.score))
            });
            run.insert(&query.id, hits.collect())?;
        }
        Ok(self.counting(run))
    }

    /// What of a run counts: without exclusions, and no deeper than asked for.
    pub fn counting(&self, mut run: Run) -> Run {
        run.exclude(&self.split.exclusions);
        run.truncate(self.depth);
        run
    }

    /// Numbers of a run.
    pub fn evaluate(&self, run: &Run) -> Result<Evaluation> {
        Ok(evaluate(&self.split.qrels, run, &self.metrics, &EvaluationOptions::default())?)
    }
}

/// What is embedded and searched of a document: its title and text.
pub fn passage_text(document: &Document) -> String {
    if document.title.is_empty() {
        document.text.clone()
    } else {
        format!("{} {}", document.title, document.text)
    }
}

/// Embeds texts in blocks.
pub fn embed_all(
    embedder: &dyn Embedder,
    kind: TextKind,
    texts: &[&str],
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Vectors> {
    let task = progress.task("embedding", "texts", Some(texts.len() as u64));
    let mut rows = Vectors::empty(embedder.dimension())?;
    for block in texts.chunks(EMBED_BLOCK) {
        interrupt.check()?;
        rows.extend("embeddings", &embedder.embed(kind, block)?)?;
        task.advance(block.len() as u64);
    }
    Ok(rows)
}

/// An embedder that embeds no text twice.
pub struct Remembering<'a> {
    inner: &'a dyn Embedder,
    rows: Mutex<HashMap<(bool, String), Vec<f32>>>,
}

impl<'a> Remembering<'a> {
    /// Remembers what this one embeds.
    pub fn new(inner: &'a dyn Embedder) -> Self {
        Self { inner, rows: Mutex::default() }
    }
}

impl Embedder for Remembering<'_> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.inner.fingerprint()
    }

    fn metric(&self) -> revela_base::embed::Metric {
        self.inner.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |text: &str| (kind == TextKind::Query, text.to_owned());
        let mut new: Vec<&str> =
            texts.iter().copied().filter(|text| !rows.contains_key(&key(text))).collect();
        new.sort_unstable();
        new.dedup();
        let vectors = self.inner.embed(kind, &new)?;
        let width = self.dimension();
        for (text, vector) in new.iter().zip(vectors.chunks_exact(width)) {
            rows.insert(key(text), vector.to_vec());
        }
        let found = texts.iter().filter_map(|text| rows.get(&key(text)));
        Ok(found.flatten().copied().collect())
    }
}

/// Scores a retriever during training: exact search, one metric.
pub struct TrainingScore {
    held_out: HeldOut,
    metric: Metric,
}

impl TrainingScore {
    /// Scores by the first metric.
    ///
    /// # Errors
    /// [`PipelineError::NoMetric`] where there is none.
    pub fn new(held_out: HeldOut) -> Result<Self> {
        let metric = held_out.metrics.first().copied().ok_or(PipelineError::NoMetric)?;
        Ok(Self { held_out, metric })
    }
}

impl TrainingScore {
    /// What a retriever finds, for comparisons query by query.
    pub fn result(
        &self,
        encoder: &Encoder,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<EvalResult> {
        let rankings = self.held_out.dense(encoder, progress, interrupt)?;
        let evaluation = self.held_out.evaluate(&self.held_out.run(&rankings)?)?;
        Ok(EvalResult::new(evaluation, Default::default()))
    }

    /// What is compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }
}

impl Evaluator for TrainingScore {
    fn metric(&self) -> String {
        self.metric.to_string()
    }

    fn score(&self, encoder: &Encoder) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
        // Not interruptible in the middle: an evaluation is short, and half of one is worth nothing.
        let rankings = self.held_out.dense(encoder, &Silent, &Interrupt::new())?;
        let evaluation = self.held_out.evaluate(&self.held_out.run(&rankings)?)?;
        let mean = evaluation.means().get(&self.metric).copied();
        Ok(mean.ok_or("the metric was not computed")?)
    }
}
