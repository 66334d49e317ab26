//! A listwise target: the retriever's distribution over the passages of a group approaches a teacher's.
//!
//! The loss of a query is the Kullback-Leibler divergence of the retriever's softmax over the scored passages from
//! the teacher's (ListNet, Cao et al. 2007; REPLUG's LSR, Shi et al., arXiv:2301.12652), to which the contrastive
//! loss of its own passage among all of the batch can be added.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData, activation};
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;

use super::contrastive::{hits, pick_loss};
use super::embedding::{EmbedOptions, Embeddings};
use super::{StepResult, scalar};
use crate::choices::QueryText;
use crate::schedule::Annealed;
use crate::targets::{Scores, Signal};

/// How much each signal counts in the teacher's logits: the inverse of a temperature, per unit of the signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TeacherWeights {
    /// Per nat per token.
    pub likelihood: f64,
    /// Per point of BM25.
    pub bm25: f64,
    /// Per unit of similarity.
    pub encoder: f64,
}

/// How teachers teach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LikelihoodConfig {
    /// Temperature of the retriever's distribution.
    pub tau: Annealed,
    /// Who counts how much.
    pub teachers: TeacherWeights,
    /// Weight of the contrastive loss of each query's own passage.
    pub hard: f64,
    /// Which texts ask: readers (query likelihood), or the chunks themselves (REPLUG).
    pub query: QueryText,
}

/// What a teacher says of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The first scored passage of the batch.
    pub first: usize,
    /// The teacher's logits for the passages from there on; NaN where there are none.
    pub scores: Vec<f32>,
}

impl TeacherWeights {
    /// The signals that count, each with its weight.
    pub fn counting(&self) -> impl Iterator<Item = (Signal, f64)> + use<> {
        let all = [
            (Signal::Likelihood, self.likelihood),
            (Signal::Bm25, self.bm25),
            (Signal::Encoder, self.encoder),
        ];
        all.into_iter().filter(|(_, weight)| *weight > 0.0)
    }

    /// The teacher's logits from what the signals say: a product of experts.
    ///
    /// # Errors
    /// A signal that counts and says nothing.
    pub fn logits(&self, signals: &BTreeMap<Signal, Scores>) -> Result<Scores, Signal> {
        let mut sum: Scores = Vec::new();
        for (signal, weight) in self.counting() {
            let scores = signals.get(&signal).ok_or(signal)?;
            sum.resize(scores.len(), Vec::new());
            for (sum, row) in sum.iter_mut().zip(scores) {
                sum.resize(row.len(), 0.0);
                sum.iter_mut().zip(row).for_each(|(sum, score)| *sum += (weight * f64::from(*score)) as f32);
            }
        }
        Ok(sum)
    }
}

/// A batch with its scores.
#[derive(Debug, Clone)]
pub struct DistilBatch {
    /// What asks.
    pub query: TokenBatch,
    /// What can be found.
    pub passage: TokenBatch,
    /// Each query's own passage.
    pub own: Vec<usize>,
    /// One per query.
    pub scored: Vec<Scored>,
}

/// How a step is computed.
#[derive(Debug, Clone, Copy)]
pub struct DistilOptions {
    /// Temperature of the retriever's distribution.
    pub tau: f64,
    /// Weight of the contrastive loss.
    pub hard: f64,
    /// The embeddings.
    pub embed: EmbedOptions,
}

/// Loss (nats per query) and gradients of one batch.
pub fn step(
    retriever: &EmbeddingModel,
    batch: &DistilBatch,
    query_text: QueryText,
    options: &DistilOptions,
) -> StepResult {
    let embeddings = Embeddings::new(retriever, [&batch.query, &batch.passage], options.embed);
    let [query, passage] = embeddings.vectors();
    let [n, m] = [query.dims()[0], passage.dims()[0]];
    let scores = query.matmul(passage.transpose()).div_scalar(options.tau);
    let target = targets(&batch.scored, m);
    let (soft, found) = divergence(scores.clone(), &target);
    let mut numbers = vec![("divergence", scalar(soft.clone())), ("teacher_entropy", target.entropy())];
    let mut loss = soft;
    // A chunk that asks for itself is no question: its own passage is left out everywhere.
    if query_text == QueryText::Reader {
        let own = pick_loss(scores.clone(), &batch.own);
        numbers.push(("loss_own", scalar(own.clone())));
        numbers.push(("accuracy", hits(&scores.inner(), &batch.own)));
        numbers.push(("teacher_accuracy", target.names(&batch.own)));
        if options.hard > 0.0 {
            loss = loss + own.mul_scalar(options.hard);
        }
    }
    numbers.push(("agreement", found / n.max(1) as f64));
    let mut grads = loss.backward();
    StepResult {
        loss: scalar(loss),
        retriever: embeddings.backward(&mut grads),
        numbers,
        ..StepResult::default()
    }
}

/// The teacher's distributions, `[queries, passages]`; zero where nothing was scored.
struct Target {
    rows: Vec<f32>,
    scored: Vec<bool>,
    passages: usize,
}

fn targets(scored: &[Scored], passages: usize) -> Target {
    let mut target = Target {
        rows: vec![0.0; scored.len() * passages],
        scored: vec![false; scored.len() * passages],
        passages,
    };
    for (i, row) in scored.iter().enumerate() {
        let known = || row.scores.iter().enumerate().filter(|(_, score)| score.is_finite());
        let top = known().map(|(_, score)| *score).fold(f32::NEG_INFINITY, f32::max);
        let weight = |score: f32| f64::from(score - top).exp();
        let sum: f64 = known().map(|(_, score)| weight(*score)).sum();
        for (j, score) in known() {
            let at = i * passages + row.first + j;
            target.rows[at] = (weight(*score) / sum) as f32;
            target.scored[at] = true;
        }
    }
    target
}

impl Target {
    fn queries(&self) -> usize {
        self.rows.len() / self.passages.max(1)
    }

    /// Mean over the queries, in nats.
    fn entropy(&self) -> f64 {
        let terms = self.rows.iter().filter(|p| **p > 0.0).map(|p| f64::from(-p * p.ln()));
        terms.sum::<f64>() / self.queries().max(1) as f64
    }

    fn best(&self) -> impl Iterator<Item = usize> + '_ {
        let best = |row: &[f32]| {
            let pick = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
            (0..row.len()).fold(0, pick)
        };
        self.rows.chunks(self.passages.max(1)).map(best)
    }

    /// Share of the queries whose own passage the teacher puts first.
    fn names(&self, own: &[usize]) -> f64 {
        let named = self.best().zip(own).filter(|(best, own)| best == *own).count();
        named as f64 / own.len().max(1) as f64
    }
}

/// Mean divergence of the retriever's distribution over what was scored from the target, and for how many queries
/// both put the same passage first.
fn divergence(scores: Tensor<2>, target: &Target) -> (Tensor<1>, f64) {
    let [n, m] = scores.dims();
    let device = scores.device();
    let constant = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [n, m]), &device);
    let hidden: Vec<f32> = target.scored.iter().map(|s| if *s { 0.0 } else { -1e30 }).collect();
    let known = scores + constant(hidden);
    let picked = known.clone().inner().argmax(1).into_data().convert::<i64>();
    let picked = picked.as_slice::<i64>().unwrap_or_default().iter();
    let same = picked.zip(target.best()).filter(|(a, b)| **a == *b as i64).count();
    let own: f64 = -target.entropy();
    // What is not scored has a target of zero; its logarithm must stay finite.
    let log = activation::log_softmax(known, 1).clamp_min(-1e6);
    let cross = (log * constant(target.rows.clone())).sum().mul_scalar(-1.0 / n.max(1) as f64);
    (cross.add_scalar(own), same as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn scored(first: usize, scores: &[f32]) -> Scored {
        Scored { first, scores: scores.to_vec() }
    }

    #[test]
    fn targets_are_a_softmax_over_what_was_scored() {
        let target = targets(&[scored(1, &[-2.0, f32::NAN, -4.0]), scored(0, &[-3.0, -3.0])], 4);
        let e = (-2.0_f32).exp();
        let want = [0.0, 1.0 / (1.0 + e), 0.0, e / (1.0 + e), 0.5, 0.5, 0.0, 0.0];
        assert!(target.rows.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", target.rows);
        assert_eq!(target.names(&[1, 3]), 0.5);
    }

    #[test]
    fn logits_add_what_the_signals_say() {
        let weights = TeacherWeights { likelihood: 10.0, bm25: 0.5, encoder: 0.0 };
        let likelihood = vec![vec![-1.0, f32::NAN]];
        let mut signals = BTreeMap::from([(Signal::Likelihood, likelihood)]);
        assert_eq!(weights.logits(&signals), Err(Signal::Bm25));
        signals.insert(Signal::Bm25, vec![vec![4.0, 8.0]]);
        let logits = weights.logits(&signals).unwrap();
        assert!(logits[0][0] == -8.0 && logits[0][1].is_nan());
    }

    #[test]
    fn no_divergence_from_oneself_and_none_from_what_was_not_scored() {
        let device = Device::flex();
        let target = targets(&[scored(0, &[-1.0, -2.0])], 3);
        let same = Tensor::<2>::from_floats([[4.0, 3.0, 9.0]], &device);
        let (loss, found) = divergence(same, &target);
        assert!(scalar(loss).abs() < 1e-6);
        assert_eq!(found, 1.0);
        let other = Tensor::<2>::from_floats([[3.0, 4.0, 0.0]], &device);
        let (loss, found) = divergence(other, &target);
        let p: [f64; 2] = [0.731_058_6, 0.268_941_4];
        let want = p[0] * (p[0] / p[1]).ln() + p[1] * (p[1] / p[0]).ln();
        assert!((scalar(loss) - want).abs() < 1e-5);
        assert_eq!(found, 0.0);
    }
}
