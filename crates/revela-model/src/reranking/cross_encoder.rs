//! Encoders that read query and passage as one sequence and give a score (Nogueira and Cho 2019, arXiv:1901.04085).

use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;
use revela_base::checksum::Fingerprint;
use revela_base::rerank::Pair;

use super::head::{ClassificationHead, is_of_head, name_in_file};
use super::{RerankerOptions, read_config};
use crate::decoder::TokenBatch;
use crate::embedding_model::Backbone;
use crate::error::{ModelError, Result};
use crate::kernels::Kernels;
use crate::layers::Run;
use crate::model_config::{FILE, ModelConfig};
use crate::names;
use crate::op::runs_on;
use crate::params::named;
use crate::sentence_transformers::{RerankerFiles, Squash};
use crate::token_batches::longest_first;
use crate::tokenizer::{PairTokens, TextTokenizer};
use crate::weights::{Precision, Weights};

/// An encoder with a classification head of one label.
#[derive(Debug, Clone)]
pub struct CrossEncoder {
    backbone: Backbone,
    head: ClassificationHead,
    tokenizer: TextTokenizer,
    squash: Squash,
    max_length: usize,
    types: Types,
    kernels: Kernels,
}

/// Whether the model is told which text a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Types {
    Told,
    NotTold,
}

impl CrossEncoder {
    pub(super) fn open(dir: &Path, options: &RerankerOptions, device: &Device) -> Result<Self> {
        let (config, json) = read_config(dir)?;
        let wrong = |detail: String| ModelError::Config { path: dir.join(FILE), detail };
        let head = ClassificationHead::zeros(&config, &json, device).map_err(wrong)?;
        let files = RerankerFiles::read(dir, &json)?;
        if let Some(prompt) = &files.prompt {
            let detail = format!("the prompt {prompt:?} is put before texts, which is not supported");
            return Err(ModelError::Config { path: dir.to_owned(), detail });
        }
        let mut tokenizer = TextTokenizer::open(dir)?;
        let stated = files.follow(dir, &config, &mut tokenizer)?;
        tokenizer.check_fits(config.vocab_size())?;
        let weights = Weights::read(dir)?;
        weights.check_room(config.least_parameters())?;
        let [of_head, others] = weights.split(|name| is_of_head(&config, name));
        let of_head = of_head.rename(|name| Some(names::without_model(name).to_owned()));
        let head_name = |name: &str| name_in_file(&config, name);
        let name = |name: &str| config.name_in_file(name);
        let encoder = Self {
            head: of_head.fill_as(head, &head_name, Precision::F32, device)?,
            backbone: others.rename(names::without_head).fill_as(
                Backbone::zeros(&config, device),
                &name,
                Precision::F32,
                device,
            )?,
            types: types(&config, &tokenizer)?,
            tokenizer,
            squash: files.squash.unwrap_or(Squash::Sigmoid),
            max_length: options.max_length.map_or(stated, |asked| asked.min(stated)),
            kernels: options.matmul.into(),
        };
        encoder.check(dir, &config)?;
        Ok(encoder)
    }

    /// Refuses a length in which nothing fits, and types that the model has no vectors for.
    fn check(&self, dir: &Path, config: &ModelConfig) -> Result<()> {
        let refuse = |detail: String| Err(ModelError::Config { path: dir.to_owned(), detail });
        let least = self.tokenizer.added_to_pairs() + 2;
        if self.max_length < least {
            return refuse(format!(
                "a pair may have {} tokens only; with special ones it needs {least}",
                self.max_length
            ));
        }
        let largest = self.encode(("a", "a"))?.types.into_iter().max().unwrap_or(0) as usize;
        match config {
            ModelConfig::Bert(bert) if self.types == Types::Told && largest >= bert.token_types => {
                refuse(format!(
                    "the tokenizer gives tokens of type {largest}, but type_vocab_size is {}",
                    bert.token_types
                ))
            }
            _ => Ok(()),
        }
    }

    fn encode(&self, (query, passage): Pair<'_>) -> Result<PairTokens> {
        self.tokenizer.encode_pair(query, passage, self.max_length)
    }

    pub(super) fn tokens(&self, pair: Pair<'_>) -> Result<usize> {
        Ok(self.encode(pair)?.ids.len())
    }

    pub(super) fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>> {
        let tokens: Vec<PairTokens> =
            pairs.par_iter().map(|pair| self.encode(*pair)).collect::<Result<_>>()?;
        let lengths: Vec<usize> = tokens.iter().map(|pair| pair.ids.len()).collect();
        let mut scores = vec![0.0; pairs.len()];
        for batch in longest_first(&lengths) {
            let pairs: Vec<&PairTokens> = batch.iter().map(|&i| &tokens[i]).collect();
            for (&place, logit) in batch.iter().zip(self.logits(&pairs)) {
                scores[place] = self.squash.apply(logit);
            }
        }
        Ok(scores)
    }

    fn logits(&self, pairs: &[&PairTokens]) -> Vec<f32> {
        let run = Run { kernels: self.kernels, ..Run::default() };
        let lay = |rows: &[&[u32]]| match runs_on(&self.backbone.sample()) {
            true => TokenBatch::packed(rows),
            false => TokenBatch::padded(rows, 0),
        };
        let batch = lay(&pairs.iter().map(|pair| pair.ids.as_slice()).collect::<Vec<_>>());
        let types = match self.types {
            Types::Told => Some(lay(&pairs.iter().map(|pair| pair.types.as_slice()).collect::<Vec<_>>()).ids),
            Types::NotTold => None,
        };
        let hidden = self.backbone.forward_typed(&batch, types.as_deref(), run);
        self.head.forward(hidden, &batch, run).into_data().convert::<f32>().try_into_vec().unwrap_or_default()
    }

    pub(super) fn describe(&self, fingerprint: Fingerprint) -> Fingerprint {
        let fingerprint = fingerprint
            .part("config", self.backbone.config().to_json("").to_string())
            .part(
                "rules",
                format!("{:?} {} {:?} {:?}", self.squash, self.max_length, self.types, self.head.rules()),
            )
            .part("tokenizer", self.tokenizer.to_json().unwrap_or_default());
        let parameters = named(&self.backbone).into_iter().chain(named(&self.head));
        parameters.fold(fingerprint, |all, (name, p)| {
            let data = p.data();
            all.part(&format!("{name} {:?}", data.dtype()), data.as_bytes())
        })
    }

    pub(super) fn max_length(&self) -> usize {
        self.max_length
    }
}

fn types(config: &ModelConfig, tokenizer: &TextTokenizer) -> Result<Types> {
    let told = match config {
        ModelConfig::Bert(bert) if bert.token_types > 1 => tokenizer.hands_on_types()?,
        // One type for all, or none.
        ModelConfig::Bert(_)
        | ModelConfig::ModernBert(_)
        | ModelConfig::Decoder(_)
        | ModelConfig::Static(_) => false,
    };
    Ok(if told { Types::Told } else { Types::NotTold })
}
