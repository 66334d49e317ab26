//! The two models of a run, and how chunks become their token batches.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use rayon::prelude::*;
use revela_base::embed::TextKind;
use revela_base::seed::Seed;
use revela_model::causal_lm::CausalLm;
use revela_model::contract::Contract;
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;
use revela_model::encoder::Encoder;
use revela_model::kernels::Kernels;
use revela_model::language_model::LanguageModel;
use revela_model::layers::Run;
use revela_model::lora::{self, Adaptable, LoraConfig};
use revela_model::op::runs_on;
use revela_model::params::{map_named, set_trained};
use revela_model::pooling::Pooling;
use revela_model::tokenizer::TextTokenizer;
use revela_model::weights::Precision;

use crate::choices::{Frozen, QueryText, RetrieverStart};
use crate::config::{RunConfig, StageConfig};
use crate::error::{Result, TrainError};

/// The language model's side.
#[derive(Debug, Clone)]
pub struct LanguageSide {
    /// The model, with autodiff.
    pub lm: CausalLm,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
}

impl LanguageSide {
    /// Token ids of texts, at most `longest` each.
    pub fn ids<S: AsRef<str> + Sync>(&self, texts: &[S], longest: usize, end: End) -> Result<Vec<Vec<u32>>> {
        let end = match end {
            End::Token => self.tokenizer.missing_end()?,
            End::Open => None,
        };
        let ids = texts
            .par_iter()
            .map(|text| {
                let mut ids = self.tokenizer.encode(text.as_ref())?;
                ids.extend(end);
                ids.truncate(longest);
                Ok(ids)
            })
            .collect::<revela_model::Result<Vec<_>>>()?;
        Ok(ids)
    }
}

/// The retriever's side.
#[derive(Debug, Clone)]
pub struct RetrieverSide {
    /// The model, with autodiff.
    pub model: EmbeddingModel,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// How texts become its vectors.
    pub contract: Contract,
}

/// Whether a text's end is part of what the language model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is: an end token is appended where the tokenizer does not do so.
    Token,
    /// It is not.
    Open,
}

/// What is trained.
#[derive(Debug, Clone)]
pub struct Models {
    /// Where there is one.
    pub lm: Option<LanguageSide>,
    /// Where there is one.
    pub retriever: Option<RetrieverSide>,
    config: Arc<RunConfig>,
    device: Device,
}

impl Models {
    /// Opens the models that a run begins with, on a device with autodiff.
    pub fn open(config: &Arc<RunConfig>) -> Result<Self> {
        let device = config.device.open_for_training()?;
        let mut models = Self { lm: None, retriever: None, config: config.clone(), device };
        if let Some(dir) = &config.lm {
            models.lm = Some(models.open_lm(dir)?);
        }
        if let Some(dir) = &config.retriever {
            let encoder = Encoder::open(dir, config.precision, &models.device)?;
            // An adapter that it came with is part of what training begins from.
            let model = models.adapt(lora::merge(encoder.model), "retriever")?;
            let contract = models.override_contract(&model, encoder.contract)?;
            models.retriever = Some(RetrieverSide { model, tokenizer: encoder.tokenizer, contract });
        }
        Ok(models)
    }

    fn open_lm(&self, dir: &Path) -> Result<LanguageSide> {
        let LanguageModel { mut lm, tokenizer } =
            LanguageModel::open(dir, self.config.precision, &self.device)?;
        if self.config.lora.is_some() {
            lm = lm.no_grad();
            lm.model = self.adapt(lm.model, "lm")?;
        }
        Ok(LanguageSide { lm, tokenizer })
    }

    /// Attaches adapters where the run trains with them.
    fn adapt<M: Adaptable>(&self, model: M, name: &str) -> Result<M> {
        match &self.config.lora {
            Some(lora) => {
                let seed = self.config.seed.derive("lora").derive(name);
                Ok(lora::attach(model, lora, seed, &self.device)?)
            }
            None => Ok(model),
        }
    }

    fn override_contract(&self, model: &EmbeddingModel, mut contract: Contract) -> Result<Contract> {
        contract.max_length = self.config.max_length.unwrap_or(contract.max_length);
        contract.pooling = self.config.pooling.unwrap_or(contract.pooling);
        let config = model.backbone.config();
        config.check_pooling(contract.pooling).map_err(|e| TrainError::setting("pooling", e))?;
        if contract.max_length > config.max_length() {
            let longest = config.max_length();
            let reason = format!("the retriever has positions for {longest} tokens only");
            return Err(TrainError::setting("max_length", reason));
        }
        Ok(contract)
    }

    /// The adapters' settings, where the run trains with them.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.config.lora.as_ref()
    }

    /// The device with its autodiff context.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How numbers are kept.
    pub fn precision(&self) -> Precision {
        self.config.precision
    }

    /// Kernels and dropout of a training step.
    pub fn run(&self, dropout: Seed) -> Run {
        Run { kernels: self.kernels(), ..Run::training(dropout.0) }
    }

    /// Makes the retriever a copy of the language model's decoder, if the stage wants that.
    pub fn begin(&mut self, stage: &StageConfig) -> Result<()> {
        if stage.retriever_start == RetrieverStart::Keep {
            return Ok(());
        }
        let side = self.lm.as_ref().ok_or_else(|| TrainError::setting("lm", "a copy of it is asked for"))?;
        let plain = lora::merge(side.lm.model.clone()).valid();
        // Parameters of their own: a clone would share its leaves with the language model.
        let copy = map_named(plain, &mut |_, parameter| parameter.lift(&self.device));
        let copy = set_trained(copy, |_| true);
        let contract = Contract::of_decoder(&side.tokenizer, self.config.lm_max_length, Pooling::Eos)?;
        let tokenizer = side.tokenizer.clone();
        let model = self.adapt(EmbeddingModel::from(copy), "retriever")?;
        let contract = self.override_contract(&model, contract)?;
        self.retriever = Some(RetrieverSide { model, tokenizer, contract });
        Ok(())
    }

    /// Lets gradients flow into what a stage trains, and into nothing else.
    pub fn set_trained(&mut self, stage: &StageConfig) {
        let adapters = self.config.lora.is_some();
        let wanted = move |on: bool| move |name: &str| on && (!adapters || name.contains(".lora."));
        let lm = stage.trains_lm();
        let retriever = stage.objective.uses_retriever() && stage.frozen != Frozen::Retriever;
        if let Some(side) = self.lm.take() {
            self.lm = Some(LanguageSide { lm: set_trained(side.lm, wanted(lm)), ..side });
        }
        if let Some(side) = self.retriever.take() {
            let model = set_trained(side.model, wanted(retriever));
            self.retriever = Some(RetrieverSide { model, ..side });
        }
    }

    /// The language model's side.
    ///
    /// # Errors
    /// When the run has none; the configuration was checked, so that is a damaged checkpoint.
    pub fn lm(&self) -> Result<&LanguageSide> {
        self.lm.as_ref().ok_or_else(|| TrainError::setting("lm", "the run has no language model"))
    }

    /// The retriever's side.
    ///
    /// # Errors
    /// As for [`lm`](Self::lm).
    pub fn retriever(&self) -> Result<&RetrieverSide> {
        self.retriever.as_ref().ok_or_else(|| TrainError::setting("retriever", "the run has no retriever"))
    }

    /// Chunks for the language model.
    pub fn lm_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<TokenBatch> {
        self.lm_batch_with(texts, End::Token)
    }

    /// Texts for the language model, with or without an end.
    pub fn lm_batch_with<S: AsRef<str> + Sync>(&self, texts: &[S], end: End) -> Result<TokenBatch> {
        Ok(self.batch(&self.lm()?.ids(texts, self.config.lm_max_length, end)?))
    }

    /// Texts for the retriever.
    pub fn retriever_batch<S: AsRef<str> + Sync>(&self, kind: TextKind, texts: &[S]) -> Result<TokenBatch> {
        let side = self.retriever()?;
        let encode = |text: &S| side.contract.encode(&side.tokenizer, kind, text.as_ref());
        let ids = texts.par_iter().map(encode).collect::<revela_model::Result<Vec<_>>>()?;
        Ok(self.batch(&ids))
    }

    /// Chunks as the retriever's queries.
    pub fn query_batch<S: AsRef<str> + Sync>(&self, query: QueryText, texts: &[S]) -> Result<TokenBatch> {
        if query != QueryText::FirstHalf {
            return self.retriever_batch(TextKind::Query, texts);
        }
        let side = self.retriever()?;
        let encode = |text: &S| side.contract.encode_first_half(&side.tokenizer, text.as_ref());
        let ids = texts.par_iter().map(encode).collect::<revela_model::Result<Vec<_>>>()?;
        Ok(self.batch(&ids))
    }

    fn batch(&self, ids: &[Vec<u32>]) -> TokenBatch {
        batch(ids, self.config.precision, &self.device)
    }

    /// Longest text in the language model's tokens.
    pub fn lm_max_length(&self) -> usize {
        self.config.lm_max_length
    }

    /// Kernels of all models.
    pub fn kernels(&self) -> Kernels {
        self.config.matmul.into()
    }

    /// The retriever as it is now, for use: without autodiff, adapters merged.
    pub fn encoder(&self) -> Result<Encoder> {
        let side = self.retriever()?;
        let model = lora::merge(side.model.valid());
        Ok(Encoder::new(model, side.tokenizer.clone(), side.contract.clone())?)
    }

    /// The language model as it is now, for use.
    pub fn language_model(&self) -> Result<LanguageModel> {
        let side = self.lm()?;
        let mut lm = side.lm.valid();
        lm.model = lora::merge(lm.model);
        Ok(LanguageModel::new(lm, side.tokenizer.clone())?)
    }
}

/// Packed where kernels take packed batches, padded elsewhere.
pub(crate) fn batch(ids: &[Vec<u32>], precision: Precision, device: &Device) -> TokenBatch {
    let packed = precision == Precision::F32
        && runs_on(&burn::tensor::Tensor::<1>::zeros([1], &device.clone().inner()));
    if packed { TokenBatch::packed(ids) } else { TokenBatch::padded(ids, 0) }
}
