//! Qwen3-Reranker's form (Zhang et al. 2025, arXiv:2506.05176): a language model is asked whether the passage meets the
//! query, and the score is how much more likely "yes" is than "no".

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;
use revela_base::checksum::Fingerprint;
use revela_base::rerank::Pair;

use super::causal::Causal;
use super::{RerankerOptions, read_config};
use crate::error::{ModelError, Result};
use crate::kernels::Kernels;
use crate::layers::Run;
use crate::pooling::Pooling;
use crate::sentence_transformers::{RerankerFiles, Squash};
use crate::token_batches::longest_first;

/// What is asked where nothing else is said, as published.
pub const INSTRUCTION: &str = "Given a web search query, retrieve relevant passages that answer the query";

const SYSTEM: &str = "Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
                      Note that the answer can only be \"yes\" or \"no\".";

/// Longest prompt with both texts, as published.
const LONGEST: usize = 8192;

/// A language model that answers yes or no.
#[derive(Debug, Clone)]
pub struct YesNo {
    causal: Causal,
    /// Before and after what is asked.
    around: [Vec<u32>; 2],
    instruction: String,
    /// The tokens of the answers.
    answers: [u32; 2],
    squash: Squash,
    max_length: usize,
}

impl YesNo {
    pub(super) fn open(dir: &Path, options: &RerankerOptions, device: &Device) -> Result<Self> {
        let (config, json) = read_config(dir)?;
        let files = RerankerFiles::read(dir, &json)?;
        let causal = Causal::open(dir, Kernels::from(options.matmul), device)?;
        let mut tokenizer = causal.tokenizer().clone();
        let stated = files.follow(dir, &config, &mut tokenizer)?.min(LONGEST);
        let refuse = |detail: String| ModelError::Config { path: dir.to_owned(), detail };
        let answer = |word: &str| {
            let id = causal.tokenizer().id(word);
            id.ok_or_else(|| {
                refuse(format!("the tokenizer has no token {word:?}; is it a reranker of this form?"))
            })
        };
        let answers = [answer("yes")?, answer("no")?];
        check_template(dir, &files, answers).map_err(refuse)?;
        let before = format!("<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n");
        let after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
        let around = [causal.tokenizer().encode_bare(&before)?, causal.tokenizer().encode_bare(after)?];
        let max_length = options.max_length.map_or(stated, |asked| asked.min(stated));
        let prompt: usize = around.iter().map(Vec::len).sum();
        if max_length <= prompt {
            return Err(refuse(format!("the prompt has {prompt} tokens; at most {max_length} are allowed")));
        }
        let instruction = options.instruction.clone().unwrap_or_else(|| INSTRUCTION.to_owned());
        let squash = files.squash.unwrap_or(Squash::Sigmoid);
        Ok(Self { causal, around, instruction, answers, squash, max_length })
    }

    fn encode(&self, (query, passage): Pair<'_>) -> Result<Vec<u32>> {
        let [before, after] = &self.around;
        let asked = format!("<Instruct>: {}\n<Query>: {query}\n<Document>: {passage}", self.instruction);
        let mut asked = self.causal.tokenizer().encode_bare(&asked)?;
        asked.truncate(self.max_length - before.len() - after.len());
        Ok([before.as_slice(), &asked, after].concat())
    }

    pub(super) fn tokens(&self, pair: Pair<'_>) -> Result<usize> {
        Ok(self.encode(pair)?.len())
    }

    pub(super) fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>> {
        let ids: Vec<Vec<u32>> = pairs.par_iter().map(|pair| self.encode(*pair)).collect::<Result<_>>()?;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let mut scores = vec![0.0; pairs.len()];
        for batch in longest_first(&lengths) {
            let rows: Vec<&[u32]> = batch.iter().map(|&i| ids[i].as_slice()).collect();
            for (&place, odds) in batch.iter().zip(self.log_odds(&rows)) {
                scores[place] = self.squash.apply(odds);
            }
        }
        Ok(scores)
    }

    /// How much larger the logit of yes is than that of no after each sequence.
    fn log_odds(&self, sequences: &[&[u32]]) -> Vec<f32> {
        let (batch, hidden, run) = self.causal.forward(sequences);
        let last = Pooling::Eos.pool(hidden, &batch.packing, run);
        let table = self.causal.lm().output_embedding();
        let answers = self.answers.map(u32::cast_signed);
        let answers = Tensor::<1, Int>::from_data(TensorData::from(answers), &table.device().inner());
        let answers = table.select(0, answers).cast(burn::tensor::DType::F32);
        let logits: Vec<f32> = Run::default()
            .kernels
            .linear(last, answers)
            .into_data()
            .convert::<f32>()
            .try_into_vec()
            .unwrap_or_default();
        logits.as_chunks::<2>().0.iter().map(|[yes, no]| yes - no).collect()
    }

    pub(super) fn describe(&self, fingerprint: Fingerprint) -> Fingerprint {
        let rules = (&self.instruction, self.answers, self.squash, self.max_length);
        self.causal.describe(fingerprint).part("rules", format!("{rules:?}"))
    }

    pub(super) fn max_length(&self) -> usize {
        self.max_length
    }
}

/// A folder of sentence-transformers' has a prompt of its own in its chat template; only the published one is put here.
fn check_template(dir: &Path, files: &RerankerFiles, answers: [u32; 2]) -> std::result::Result<(), String> {
    let Some(logits) = files.logits else { return Ok(()) };
    if logits != answers.map(u64::from) {
        return Err(format!("its LogitScore compares the tokens {logits:?}; only yes and no are supported"));
    }
    if files.prompt.as_deref().is_some_and(|prompt| prompt != INSTRUCTION) {
        return Err("its default prompt is another than the published one; name it as the instruction, and take it out \
                    of config_sentence_transformers.json"
            .into());
    }
    let template = std::fs::read_to_string(dir.join("chat_template.jinja")).unwrap_or_default();
    let published =
        ["Judge whether the Document meets", "<Instruct>: ", "<Query>: ", "<Document>: ", "<think>"];
    match published.iter().find(|part| !template.contains(**part)) {
        Some(part) => {
            Err(format!("its chat_template.jinja has no {part:?}; only Qwen3-Reranker's is supported"))
        }
        None => Ok(()),
    }
}
