//! Query likelihood: how likely a language model finds the query when it has read the passage (Ponte and Croft 1998;
//! with neural models: UPR, Sachan et al. 2022, arXiv:2204.07496). Any language model can do it.

use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;
use revela_base::checksum::Fingerprint;
use revela_base::rerank::Pair;

use super::causal::Causal;
use super::{RerankerOptions, read_config};
use crate::error::{ModelError, Result};
use crate::kernels::Kernels;
use crate::token_batches::longest_first;

/// Before the passage, between it and the query, before the query. The query's tokens must not depend on the passage's
/// end, so that the scores of passages can be compared.
const TEMPLATE: [&str; 3] = ["Passage: ", "\nQuery:", " "];

/// Longest sequence where nothing is said: passages of a few hundred words whole.
const LONGEST: usize = 512;

/// A language model that scores passages by the likelihood of the query.
#[derive(Debug, Clone)]
pub struct QueryLikelihood {
    causal: Causal,
    between: Vec<u32>,
    max_length: usize,
}

/// Ids of a pair, and how many of the last are the query's.
struct Encoded {
    ids: Vec<u32>,
    asked: usize,
}

impl QueryLikelihood {
    pub(super) fn open(dir: &Path, options: &RerankerOptions, device: &Device) -> Result<Self> {
        let (config, _) = read_config(dir)?;
        let causal = Causal::open(dir, Kernels::from(options.matmul), device)?;
        let between = causal.tokenizer().encode_bare(TEMPLATE[1])?;
        let max_length = options.max_length.unwrap_or(LONGEST).min(config.max_length());
        let least = between.len() + 4;
        if max_length < least {
            let detail =
                format!("{max_length} tokens are too few for a passage and a query; {least} are needed");
            return Err(ModelError::Config { path: dir.to_owned(), detail });
        }
        Ok(Self { causal, between, max_length })
    }

    /// The query is cut to half of the length, and the passage to what is left.
    fn encode(&self, (query, passage): Pair<'_>) -> Result<Encoded> {
        let [before, _, lead] = TEMPLATE;
        let (tokenizer, query) = (self.causal.tokenizer(), query.trim());
        let room = self.max_length - self.between.len();
        let mut asked = match query {
            "" => Vec::new(),
            query => tokenizer.encode_bare(&format!("{lead}{query}"))?,
        };
        asked.truncate(room / 2);
        let mut ids = tokenizer.encode(&format!("{before}{passage}"))?;
        ids.truncate(ids.len() - tokenizer.closing().len());
        ids.truncate(room - asked.len());
        ids.extend(self.between.iter().chain(&asked));
        Ok(Encoded { ids, asked: asked.len() })
    }

    pub(super) fn tokens(&self, pair: Pair<'_>) -> Result<usize> {
        Ok(self.encode(pair)?.ids.len())
    }

    /// Mean log-likelihood per token of the query (nats); 0 for every passage of an empty query.
    pub(super) fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>> {
        let encoded: Vec<Encoded> = pairs.par_iter().map(|pair| self.encode(*pair)).collect::<Result<_>>()?;
        let lengths: Vec<usize> =
            encoded.iter().map(|pair| if pair.asked == 0 { 0 } else { pair.ids.len() }).collect();
        let mut scores = vec![0.0; pairs.len()];
        for places in longest_first(&lengths) {
            let rows: Vec<&[u32]> = places.iter().map(|&i| encoded[i].ids.as_slice()).collect();
            let asked: Vec<usize> = places.iter().map(|&i| encoded[i].asked).collect();
            let (batch, hidden, run) = self.causal.forward(&rows);
            let likelihoods = self.causal.lm().ending_likelihoods(hidden, &batch, &asked, run);
            for (place, likelihood) in places.into_iter().zip(likelihoods) {
                scores[place] = likelihood;
            }
        }
        Ok(scores)
    }

    pub(super) fn describe(&self, fingerprint: Fingerprint) -> Fingerprint {
        self.causal.describe(fingerprint).part("rules", format!("{TEMPLATE:?} {}", self.max_length))
    }

    pub(super) fn max_length(&self) -> usize {
        self.max_length
    }
}
