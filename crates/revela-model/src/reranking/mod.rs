//! Rerankers: models that read a query and a passage together and say how relevant the one is to the other.
//!
//! | form | what it is |
//! | --- | --- |
//! | [`Form::CrossEncoder`] | an encoder with a classification head: ms-marco-MiniLM, BGE's, those made of ModernBERT |
//! | [`Form::YesNo`] | a language model asked for yes or no, as Qwen3-Reranker |
//! | [`Form::Likelihood`] | any language model: how likely it finds the query after the passage |
//!
//! `docs/rerankers.md` says which files and keys decide a score.

mod causal;
mod cross_encoder;
mod head;
mod likelihood;
mod yes_no;

use std::path::Path;
use std::sync::OnceLock;

use burn::tensor::Device;
use revela_base::artifact::MANIFEST;
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::rerank::{Pair, RerankError, Reranker};
use serde_json::Value;

use crate::cpu::Matmul;
use crate::error::{ModelError, Result};
use crate::hugging_face::read_json;
use crate::model_config::{FILE, ModelConfig};
use crate::sentence_transformers::RerankerFiles;
use crate::{adapter, encoder, hub};

pub use cross_encoder::CrossEncoder;
pub use likelihood::QueryLikelihood;
pub use revela_base::rerank::Form;
pub use yes_no::{INSTRUCTION, YesNo};

/// What is chosen beside the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RerankerOptions {
    /// The form; by default what the folder is: an encoder a cross-encoder, a decoder with a LogitScore the form of yes
    /// and no, any other decoder likelihood.
    pub form: Option<Form>,
    /// Longest pair in tokens, at most the model's own limit; by default that limit, 8192 for [`Form::YesNo`] and 512 for
    /// [`Form::Likelihood`].
    pub max_length: Option<usize>,
    /// What [`Form::YesNo`] is asked; [`INSTRUCTION`] by default.
    pub instruction: Option<String>,
    /// How the processor multiplies.
    pub matmul: Matmul,
}

/// A reranker of any form.
#[derive(Debug)]
pub struct RerankingModel {
    model: Scorer,
    fingerprint: OnceLock<Checksum>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum Scorer {
    CrossEncoder(CrossEncoder),
    YesNo(YesNo),
    Likelihood(QueryLikelihood),
}

impl RerankingModel {
    /// Opens a folder in Hugging Face's layout, or a name on the hub.
    ///
    /// # Errors
    /// When a file is missing, damaged or does not fit the others, or asks for scores that are not computed here; the
    /// message names file and key.
    pub fn open(dir: &Path, options: &RerankerOptions, device: &Device) -> Result<Self> {
        let dir = hub::locate(dir)?;
        refuse_others(&dir)?;
        let form = match options.form {
            Some(form) => form,
            None => usual_form(&dir)?,
        };
        let model = match form {
            Form::CrossEncoder => Scorer::CrossEncoder(CrossEncoder::open(&dir, options, device)?),
            Form::YesNo => Scorer::YesNo(YesNo::open(&dir, options, device)?),
            Form::Likelihood => Scorer::Likelihood(QueryLikelihood::open(&dir, options, device)?),
        };
        Ok(Self { model, fingerprint: OnceLock::new() })
    }

    /// Its form.
    pub fn form(&self) -> Form {
        match self.model {
            Scorer::CrossEncoder(_) => Form::CrossEncoder,
            Scorer::YesNo(_) => Form::YesNo,
            Scorer::Likelihood(_) => Form::Likelihood,
        }
    }

    /// Tokens after which a pair is cut.
    pub fn max_length(&self) -> usize {
        match &self.model {
            Scorer::CrossEncoder(model) => model.max_length(),
            Scorer::YesNo(model) => model.max_length(),
            Scorer::Likelihood(model) => model.max_length(),
        }
    }

    fn compute_fingerprint(&self) -> Checksum {
        let start = Fingerprint::new().part("form", format!("{:?}", self.form()));
        let whole = match &self.model {
            Scorer::CrossEncoder(model) => model.describe(start),
            Scorer::YesNo(model) => model.describe(start),
            Scorer::Likelihood(model) => model.describe(start),
        };
        whole.finish()
    }

    fn try_scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>> {
        match &self.model {
            Scorer::CrossEncoder(model) => model.scores(pairs),
            Scorer::YesNo(model) => model.scores(pairs),
            Scorer::Likelihood(model) => model.scores(pairs),
        }
    }
}

impl Reranker for RerankingModel {
    fn fingerprint(&self) -> Checksum {
        *self.fingerprint.get_or_init(|| self.compute_fingerprint())
    }

    fn tokens(&self, pair: Pair<'_>) -> std::result::Result<usize, RerankError> {
        let tokens = match &self.model {
            Scorer::CrossEncoder(model) => model.tokens(pair),
            Scorer::YesNo(model) => model.tokens(pair),
            Scorer::Likelihood(model) => model.tokens(pair),
        };
        tokens.map_err(|e| RerankError(Box::new(e)))
    }

    fn scores(&self, pairs: &[Pair<'_>]) -> std::result::Result<Vec<f32>, RerankError> {
        let scores = self.try_scores(pairs).map_err(|e| RerankError(Box::new(e)))?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(place) => Err(RerankError(
                format!("the model gives {} for pair {place}; its weights are damaged", scores[place]).into(),
            )),
            None => Ok(scores),
        }
    }
}

/// config.json, checked and as it stands.
fn read_config(dir: &Path) -> Result<(ModelConfig, Value)> {
    let config = ModelConfig::read(dir)?;
    Ok((config, read_json::<Value>(&dir.join(FILE))?.unwrap_or(Value::Null)))
}

/// The form that a folder says itself.
fn usual_form(dir: &Path) -> Result<Form> {
    let (config, json) = read_config(dir)?;
    let ModelConfig::Decoder(_) = config else { return Ok(Form::CrossEncoder) };
    let of_classifier =
        |name: &Value| name.as_str().is_some_and(|name| name.ends_with("ForSequenceClassification"));
    let architectures = json.get("architectures").and_then(Value::as_array);
    if architectures.is_some_and(|names| names.iter().any(of_classifier)) {
        // Its error says that there are none such.
        return Ok(Form::CrossEncoder);
    }
    match RerankerFiles::read(dir, &json)?.logits {
        Some(_) => Ok(Form::YesNo),
        None => Ok(Form::Likelihood),
    }
}

/// Folders that are something else, by what stands in them.
fn refuse_others(dir: &Path) -> Result<()> {
    let refuse = |detail: &str| Err(ModelError::Config { path: dir.to_owned(), detail: detail.into() });
    if adapter::is_adapter(dir) {
        return refuse("it is an adapter; merge it into its base first");
    }
    let manifest = read_json::<Value>(&dir.join(MANIFEST))?.unwrap_or(Value::Null);
    match manifest.get("format").and_then(Value::as_str) {
        Some(encoder::FORMAT) => {
            refuse("it is an encoder for retrieval, which has no head that scores pairs")
        }
        _ => Ok(()),
    }
}
