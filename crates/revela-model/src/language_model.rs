//! A language model as a folder: weights, configuration and tokenizer in Hugging Face's layout.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use revela_base::artifact::{Artifact, ArtifactWriter, IfExists, MANIFEST};

use crate::causal_lm::CausalLm;
use crate::config::DecoderConfig;
use crate::error::{ModelError, Result};
use crate::kernels::Reach;
use crate::model_config::ModelConfig;
use crate::params::named;
use crate::tokenizer::{self, TextTokenizer};
use crate::weights::{Precision, WEIGHTS, Weights, to_safetensors};
use crate::{adapter, hub, hugging_face};

/// Name of the folder's format.
pub const FORMAT: &str = "revela.language-model";
/// Version that is written.
pub const VERSION: u32 = 1;

/// A language model with its tokenizer.
#[derive(Debug, Clone)]
pub struct LanguageModel {
    /// The model.
    pub lm: CausalLm,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
}

impl LanguageModel {
    /// Joins the parts.
    ///
    /// # Errors
    /// When the tokenizer has ids that the model lacks.
    pub fn new(lm: CausalLm, tokenizer: TextTokenizer) -> Result<Self> {
        tokenizer.check_fits(lm.model.config().vocab_size)?;
        Ok(Self { lm, tokenizer })
    }

    /// Opens a folder that Revela wrote (all checksums are checked), or one in Hugging Face's layout.
    pub fn open(dir: &Path, precision: Precision, device: &Device) -> Result<Self> {
        let dir = &hub::locate(dir)?;
        if dir.join(MANIFEST).exists() {
            Artifact::<()>::open(dir, FORMAT, 1..=VERSION)?.verify()?;
        }
        if adapter::is_adapter(dir) {
            let detail = "a language model is opened without adapters; merge this one first".into();
            return Err(ModelError::Adapter { path: dir.to_path_buf(), detail });
        }
        let config = Arc::new(DecoderConfig::read(dir)?);
        if config.reach != Reach::Causal {
            let detail = "is_causal is false: it is an encoder, which cannot predict the next token".into();
            return Err(ModelError::Config { path: dir.join("config.json"), detail });
        }
        let tokenizer = TextTokenizer::open(dir)?;
        let weights = hugging_face::language_model_weights(Weights::read(dir)?, &config);
        weights.check_room(ModelConfig::Decoder(Arc::clone(&config)).least_parameters())?;
        Self::new(weights.fill(CausalLm::zeros(config, device), precision, device)?, tokenizer)
    }

    /// Writes the folder.
    pub fn save(&self, dir: &Path, precision: Precision, if_exists: IfExists) -> Result<()> {
        let mut writer = ArtifactWriter::create(dir, FORMAT, VERSION, if_exists)?;
        writer.json("config.json", &self.lm.model.config().to_json(precision.torch_name()))?;
        let tokenizer = self.tokenizer.to_json()?;
        writer.file(tokenizer::FILE, |out| out.write_all(&tokenizer))?;
        let weights = to_safetensors(named(&self.lm), precision)
            .map_err(|detail| ModelError::Weights { path: dir.to_owned(), detail })?;
        writer.file(WEIGHTS, |out| out.write_all(&weights))?;
        writer.finish(&())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::draw;
    use crate::testing::{tiny_config, tiny_encoder};
    use revela_base::seed::Seed;

    #[test]
    fn round_trip_tied_and_untied() {
        let root = tempfile::tempdir().unwrap();
        let device = Device::flex();
        let tokenizer = tiny_encoder().tokenizer;
        for tied in [false, true] {
            let config = DecoderConfig { tied, vocab_size: tokenizer.vocabulary(), ..tiny_config() };
            let lm = draw(CausalLm::zeros(Arc::new(config), &device), Seed(1), &device);
            let model = LanguageModel::new(lm, tokenizer.clone()).unwrap();
            let dir = root.path().join(tied.to_string());
            model.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
            let again = LanguageModel::open(&dir, Precision::F32, &device).unwrap();
            let bytes = |m: &LanguageModel| to_safetensors(named(&m.lm), Precision::F32).unwrap();
            assert_eq!(bytes(&again), bytes(&model));
        }
    }

    #[test]
    fn a_tokenizer_that_does_not_fit_is_refused() {
        let lm = CausalLm::zeros(Arc::new(tiny_config()), &Device::flex());
        let error = LanguageModel::new(lm, tiny_encoder().tokenizer).unwrap_err();
        assert!(error.to_string().contains("97 embeddings"), "{error}");
    }
}
