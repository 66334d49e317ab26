//! A retriever that can be used: model, tokenizer and contract, read from and written to a folder.
//!
//! The folder has Hugging Face's layout (config.json, tokenizer.json, model.safetensors) with the
//! contract under the names that sentence-transformers reads (modules.json, `1_Pooling/config.json`,
//! config_sentence_transformers.json), and Revela's manifest with every file's checksum.

use std::path::Path;
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};
use revela_base::artifact::{Artifact, ArtifactWriter, IfExists, MANIFEST};
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use serde::{Deserialize, Serialize};

use crate::adapter;
use crate::contract::Contract;
use crate::cpu::Matmul;
use crate::decoder::TokenBatch;
use crate::embedding_model::{Backbone, EmbeddingModel};
use crate::error::{ModelError, Result};
use crate::hub;
use crate::kernels::Kernels;
use crate::layers::Run;
use crate::model_config::{self, ModelConfig};
use crate::names;
use crate::op::runs_on;
use crate::params::named;
use crate::pooling::Scale;
use crate::sentence_transformers::{Modules, contract_files, read_contract};
use crate::shipped;
use crate::token_batches::longest_first;
use crate::tokenizer::{self, TextTokenizer};
use crate::weights::{Precision, WEIGHTS, Weights, to_safetensors};

/// Name of the folder's format.
pub const FORMAT: &str = "revela.encoder";
/// Version that is written.
pub const VERSION: u32 = 1;

/// What the manifest says of an encoder.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    contract: Contract,
}

/// A retriever with everything that decides its vectors.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// The model, without autodiff.
    pub model: EmbeddingModel,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// How texts become vectors.
    pub contract: Contract,
    kernels: Kernels,
    fingerprint: OnceLock<Checksum>,
}

impl Encoder {
    /// Joins the parts.
    ///
    /// # Errors
    /// When the tokenizer has ids that the model lacks.
    pub fn new(model: EmbeddingModel, mut tokenizer: TextTokenizer, mut contract: Contract) -> Result<Self> {
        tokenizer.check_fits(model.backbone.config().vocab_size())?;
        contract.move_end_into(&mut tokenizer)?;
        Ok(Self { model, tokenizer, contract, kernels: Kernels::default(), fingerprint: OnceLock::new() })
    }

    /// The same encoder with products of this precision on the processor. The fingerprint stays: vectors of
    /// either can be searched with the other's.
    #[must_use]
    pub fn with_matmul(self, matmul: Matmul) -> Self {
        Self { kernels: matmul.into(), ..self }
    }

    /// Opens a folder that Revela wrote (all checksums are checked), one in Hugging Face's layout, or a PEFT
    /// adapter, whose base is where the adapter says. A name like `organisation/model` is looked up in the
    /// hub's cache ([`hub::locate`]); [`ENCODER_CODE`](shipped::ENCODER_CODE) comes with the program.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the others.
    pub fn open(dir: &Path, precision: Precision, device: &Device) -> Result<Self> {
        if shipped::is_meant(dir) {
            return Self::of_table(shipped::TOKENIZER, shipped::WEIGHTS, dir, precision, device);
        }
        let dir = hub::locate(dir)?;
        if adapter::is_adapter(&dir) {
            return adapter::open(&dir, None, precision, device);
        }
        Self::open_whole(&dir, precision, device)
    }

    /// Opens a folder that is no adapter.
    pub(crate) fn open_whole(dir: &Path, precision: Precision, device: &Device) -> Result<Self> {
        let contract = if dir.join(MANIFEST).exists() {
            let artifact: Artifact<Body> = Artifact::open(dir, FORMAT, 1..=VERSION)?;
            artifact.verify()?;
            Some(artifact.body.contract)
        } else {
            None
        };
        let modules = Modules::read(dir)?;
        let mut tokenizer = TextTokenizer::open(&modules.root(dir))?;
        let weights = || Ok::<_, ModelError>(Weights::read(&modules.root(dir))?.rename(names::without_head));
        let (config, weights) = if modules.begin_with_table() {
            let weights = weights()?;
            (ModelConfig::of_table(&weights, dir)?, weights)
        } else {
            (ModelConfig::read(dir)?, weights()?)
        };
        weights.check_room(config.least_parameters())?;
        let name_in_file = |name: &str| config.name_in_file(name);
        let backbone = weights.fill_as(Backbone::zeros(&config, device), &name_in_file, precision, device)?;
        let model =
            EmbeddingModel { backbone, dense: modules.dense(config.hidden_size(), precision, device)? };
        let contract = match contract {
            Some(contract) => contract,
            None => read_contract(dir, &modules, &config, &mut tokenizer)?,
        };
        Self::new(model, tokenizer, contract)
    }

    /// A static encoder with the usual contract, of the bytes of its two files; `name` is for messages. It is what
    /// [`open`](Self::open) gives for the folder that they were saved in.
    ///
    /// # Errors
    /// When they are damaged or do not fit each other.
    pub fn of_table(
        tokenizer: &[u8],
        weights: &[u8],
        name: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let mut tokenizer = TextTokenizer::parse(tokenizer, &name.join(tokenizer::FILE))?;
        let weights = Weights::parse(weights, &name.join(WEIGHTS))?;
        let config = ModelConfig::of_table(&weights, name)?;
        let backbone = weights.fill(Backbone::zeros(&config, device), precision, device)?;
        let contract = Contract::of_table(&mut tokenizer);
        Self::new(EmbeddingModel { backbone, dense: Vec::new() }, tokenizer, contract)
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// When it cannot be written, or exists and must not.
    pub fn save(&self, dir: &Path, precision: Precision, if_exists: IfExists) -> Result<()> {
        let encode = |parameters| {
            to_safetensors(parameters, precision)
                .map_err(|detail| ModelError::Weights { path: dir.to_owned(), detail })
        };
        let config = self.model.backbone.config();
        let mut writer = ArtifactWriter::create(dir, FORMAT, VERSION, if_exists)?;
        if !matches!(config, ModelConfig::Static(_)) {
            writer.json(model_config::FILE, &config.to_json(precision.torch_name()))?;
        }
        let tokenizer = match config {
            // No other file tells of such a model's cut.
            ModelConfig::Static(_) => self.tokenizer.to_json_cut_at(self.contract.max_length)?,
            ModelConfig::Decoder(_) | ModelConfig::Bert(_) | ModelConfig::ModernBert(_) => {
                self.tokenizer.to_json()?
            }
        };
        writer.file(tokenizer::FILE, |out| out.write_all(&tokenizer))?;
        let parameters = named(&self.model.backbone).into_iter();
        let weights = encode(parameters.map(|(name, p)| (config.name_in_file(&name), p)).collect())?;
        writer.file(WEIGHTS, |out| out.write_all(&weights))?;
        let (files, dense) = contract_files(&self.contract, &self.model.dense, &config, &self.tokenizer);
        for (name, json) in files {
            writer.json(&name, &json)?;
        }
        for (name, linear) in dense {
            let parameters = named(&linear).into_iter().map(|(n, p)| (format!("linear.{n}"), p));
            let weights = encode(parameters.collect())?;
            writer.file(&name, |out| out.write_all(&weights))?;
        }
        writer.finish(&Body { contract: self.contract.clone() })?;
        Ok(())
    }

    /// How many tokens texts have, prompts and special ones included, after cutting.
    ///
    /// # Errors
    /// When a text cannot be tokenized.
    pub fn count_tokens<S: AsRef<str> + Sync>(&self, kind: TextKind, texts: &[S]) -> Result<usize> {
        use rayon::prelude::*;
        let count = |text: &S| Ok(self.contract.encode(&self.tokenizer, kind, text.as_ref())?.len());
        texts.par_iter().map(count).sum()
    }

    /// Vectors of token sequences, row-major.
    fn embed_ids(&self, sequences: &[&[u32]]) -> Vec<f32> {
        let run = Run { kernels: self.kernels, ..Run::default() };
        let packed = runs_on(&self.model.sample());
        let batch = if packed { TokenBatch::packed(sequences) } else { TokenBatch::padded(sequences, 0) };
        let vectors: Tensor<2> = self.model.embed(&batch, self.contract.pooling, run);
        self.contract.scale.apply(vectors).into_data().convert::<f32>().try_into_vec().unwrap_or_default()
    }

    /// As [`embed`](Embedder::embed), asking between batches whether to stop, and telling how many texts are done.
    ///
    /// # Errors
    /// When a text cannot be tokenized; [`ModelError::Interrupted`].
    pub fn embed_watched(
        &self,
        kind: TextKind,
        texts: &[&str],
        interrupt: &Interrupt,
        advance: &dyn Fn(u64),
    ) -> Result<Vec<f32>> {
        use rayon::prelude::*;
        let ids: Vec<Vec<u32>> = texts
            .par_iter()
            .map(|text| self.contract.encode(&self.tokenizer, kind, text))
            .collect::<Result<_>>()?;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let width = self.dimension();
        // A text without a token keeps a row of zeros.
        let mut rows = vec![0.0; texts.len() * width];
        for batch in longest_first(&lengths) {
            interrupt.check()?;
            let sequences: Vec<&[u32]> = batch.iter().map(|&i| ids[i].as_slice()).collect();
            let vectors = self.embed_ids(&sequences);
            for (&i, vector) in batch.iter().zip(vectors.chunks_exact(width)) {
                rows[i * width..][..width].copy_from_slice(vector);
            }
            advance(batch.len() as u64);
        }
        Ok(rows)
    }

    fn compute_fingerprint(&self) -> Checksum {
        let mut fingerprint = Fingerprint::new()
            .part("config", self.model.backbone.config().to_json("").to_string())
            .part("contract", serde_json::to_string(&self.contract).unwrap_or_default())
            .part("tokenizer", self.tokenizer.to_json().unwrap_or_default());
        for (name, linear) in self.model.backbone.clone().linears() {
            if let Some(lora) = &linear.lora {
                fingerprint = fingerprint.part(&format!("{name} scale"), lora.scale().to_le_bytes());
            }
        }
        // Under the names of files, which outlive those of modules.
        let config = self.model.backbone.config();
        let backbone =
            named(&self.model.backbone).into_iter().map(|(name, p)| (config.name_in_file(&name), p));
        let dense = self.model.dense.iter().enumerate().flat_map(|(number, dense)| {
            let unit = if dense.input() == Scale::Unit { "unit." } else { "" };
            let layer = format!("dense.{number}.{unit}{:?}", dense.activation());
            named(dense).into_iter().map(move |(name, p)| (format!("{layer}.{name}"), p))
        });
        for (name, parameter) in backbone.chain(dense) {
            let data = parameter.data();
            fingerprint = fingerprint.part(&format!("{name} {:?}", data.dtype()), data.as_bytes());
        }
        fingerprint.finish()
    }
}

impl Embedder for Encoder {
    fn dimension(&self) -> usize {
        self.model.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        *self.fingerprint.get_or_init(|| self.compute_fingerprint())
    }

    fn metric(&self) -> Metric {
        self.contract.metric
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> std::result::Result<Vec<f32>, EmbedError> {
        self.embed_watched(kind, texts, &Interrupt::new(), &|_| {}).map_err(|e| EmbedError(Box::new(e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tiny_encoder;

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn a_row_of_a_batch_is_the_text_alone_and_order_is_kept() {
        let encoder = tiny_encoder();
        let texts =
            ["fn a() {}", "", "a much longer text, so that batches are sorted by length", "fn a() {}"];
        let together = encoder.embed(TextKind::Passage, &texts).unwrap();
        let width = encoder.dimension();
        for (text, row) in texts.iter().zip(together.chunks(width)) {
            let alone = encoder.embed(TextKind::Passage, &[text]).unwrap();
            assert!(close(row, &alone), "{text:?}");
            assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(together[..width], together[3 * width..], "same text, same bytes");
        let query = encoder.embed(TextKind::Query, &["fn a() {}"]).unwrap();
        assert!(!close(&query, &together[..width]), "the prefix counts");
        assert!(encoder.embed(TextKind::Query, &[]).unwrap().is_empty());
    }

    #[test]
    fn rounded_products_give_nearly_the_same_vectors() {
        let exact = tiny_encoder();
        let rounded = exact.clone().with_matmul(Matmul::Bf16);
        let texts = ["fn a() {}", "a longer text with some words"];
        let vectors = [&exact, &rounded].map(|e| e.embed(TextKind::Passage, &texts).unwrap());
        let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum::<f32>() / 2.0;
        assert!(cosine > 0.9999, "{cosine}");
        assert_eq!(vectors[0] != vectors[1], revela_bf16::native());
        assert_eq!(exact.fingerprint(), rounded.fingerprint());
    }

    #[test]
    fn save_and_open_keep_vectors_and_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("encoder");
        let encoder = tiny_encoder();
        encoder.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
        let again = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(again.fingerprint(), encoder.fingerprint());
        assert_eq!(again.contract, encoder.contract);
        let vectors = |e: &Encoder| e.embed(TextKind::Query, &["x y z"]).unwrap();
        assert_eq!(vectors(&again), vectors(&encoder));
        std::fs::remove_file(dir.join(MANIFEST)).unwrap();
        let foreign = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(foreign.contract, encoder.contract, "the contract is in the other tools' files too");
    }

    #[test]
    fn damage_is_refused_and_changes_change_the_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("encoder");
        let mut encoder = tiny_encoder();
        encoder.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
        let before = encoder.fingerprint();
        encoder.contract.max_length += 1;
        assert_ne!(Encoder { fingerprint: OnceLock::new(), ..encoder }.fingerprint(), before);
        let path = dir.join("1_Pooling/config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("true", "TRUE")).unwrap();
        let error = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
