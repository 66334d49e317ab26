//! Low-rank adapters as PEFT folders: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use revela_base::artifact::{ArtifactWriter, IfExists};
use revela_base::seed::Seed;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::device;
use crate::encoder::Encoder;
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::hugging_face::read_json;
use crate::keys::{Keys, Role};
use crate::lora::{Adaptable, Lora, LoraConfig, file_names};
use crate::model_config;
use crate::params::Parameter;
use crate::sentence_transformers::{Modules, read_contract};
use crate::tokenizer::{self, TextTokenizer};
use crate::weights::{Precision, Stored, Weights, to_safetensors};

use Role::{Decides, Idle, Only};

/// The file of settings.
pub(crate) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Which class PEFT wraps the base model in; it decides the names in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// A model without a head: a retriever.
    FeatureExtraction,
    /// A decoder with an output embedding: a language model.
    CausalLm,
}

impl AdapterKind {
    fn task_type(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "FEATURE_EXTRACTION",
            Self::CausalLm => "CAUSAL_LM",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "base_model.model.",
            Self::CausalLm => "base_model.model.model.",
        }
    }
}

/// Writes a model's adapters.
///
/// # Errors
/// When the folder cannot be written, or exists and must not.
pub fn save<M: Adaptable>(
    model: &M,
    config: &LoraConfig,
    kind: AdapterKind,
    base: &str,
    dir: &Path,
    if_exists: IfExists,
) -> Result<()> {
    let mut model = model.clone();
    let names = file_names(&mut model);
    let targets = targets(&mut model, &names);
    let pairs = model.linears().into_iter().zip(names).filter_map(|((_, linear), name)| {
        let lora = linear.lora.as_ref()?;
        let named = |part: &str, matrix| (format!("{}{name}.lora_{part}.weight", kind.prefix()), matrix);
        Some([("A", lora.a.val()), ("B", lora.b.val())].map(|(p, m)| named(p, Parameter::Matrix(m.inner()))))
    });
    let bytes = to_safetensors(pairs.flatten().collect(), Precision::F32)
        .map_err(|detail| ModelError::Adapter { path: dir.to_owned(), detail })?;
    let mut writer = ArtifactWriter::create(dir, "revela.adapter", 1, if_exists)?;
    writer.json(
        CONFIG,
        &json!({
            "peft_type": "LORA",
            "task_type": kind.task_type(),
            "base_model_name_or_path": base,
            "r": config.r,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "target_modules": targets,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
        }),
    )?;
    writer.file(WEIGHTS, |out| out.write_all(&bytes))?;
    writer.finish(&())?;
    Ok(())
}

/// The names of the layers that carry adapters, as short as they say which.
fn targets<M: Adaptable>(model: &mut M, names: &[String]) -> Vec<String> {
    let layers = model.linears().into_iter().zip(names).filter(|((_, linear), _)| linear.lora.is_some());
    let short = layers.filter_map(|(_, name)| {
        let (rest, last) = name.rsplit_once('.')?;
        // BERT calls four layers `dense`, one of them in a head that carries no adapter.
        let before = rest.rsplit('.').next().filter(|_| last == "dense");
        Some(before.map_or(last.to_owned(), |before| format!("{before}.{last}")))
    });
    let short: std::collections::BTreeSet<String> = short.collect();
    short.into_iter().collect()
}

/// Whether a folder holds an adapter, be its base in the same folder or elsewhere.
pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).exists()
}

/// An adapter as it was read.
#[derive(Debug)]
struct Adapter {
    dir: PathBuf,
    config: LoraConfig,
    base: Option<String>,
    weights: Weights,
}

/// Keys of adapter_config.json.
pub(crate) const KEYS: Keys = Keys(&[&[
    ("alora_invocation_tokens", Only(&[])),
    ("alpha_pattern", Only(&["{}"])),
    ("arrow_config", Only(&[])),
    ("auto_mapping", Idle),
    ("base_model_name_or_path", Decides),
    ("bias", Only(&["\"none\""])),
    ("corda_config", Only(&[])),
    ("ensure_weight_tying", NO),
    ("enable_lora", Only(&[])),
    ("eva_config", Idle),
    ("exclude_modules", Only(&["[]"])),
    ("fan_in_fan_out", NO),
    ("inference_mode", Idle),
    // The others change the base as well as the adapter.
    ("init_lora_weights", Only(&["true", "false", "\"gaussian\"", "\"eva\"", "\"orthogonal\""])),
    ("kasa_config", Only(&[])),
    ("layer_replication", Only(&[])),
    ("layers_pattern", Only(&["[]"])),
    ("layers_to_transform", Only(&["[]"])),
    ("loftq_config", Only(&["{}"])),
    ("lora_alpha", Decides),
    ("lora_bias", NO),
    ("lora_dropout", Idle),
    ("lora_ga_config", Only(&[])),
    ("megatron_config", Only(&[])),
    ("megatron_core", Idle),
    ("modules_to_save", Only(&["[]"])),
    ("monteclora_config", Only(&[])),
    ("peft_type", Only(&["\"LORA\""])),
    ("peft_version", Idle),
    ("qalora_group_size", Idle),
    ("r", Decides),
    ("rank_pattern", Only(&["{}"])),
    ("revision", Only(&["\"main\""])),
    ("target_modules", Decides),
    ("target_parameters", Only(&["[]"])),
    ("task_type", Idle),
    ("trainable_token_indices", Only(&["[]"])),
    ("use_bdlora", Only(&["false"])),
    ("use_dora", NO),
    ("use_qalora", NO),
    ("use_rslora", Decides),
    ("velora_config", Only(&[])),
]]);

const NO: Role = Only(&["false"]);

/// The fields of adapter_config.json that decide what the adapter computes.
#[derive(Deserialize)]
struct Raw {
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: Option<f64>,
    target_modules: Option<Value>,
    #[serde(default)]
    use_rslora: Option<bool>,
}

impl Raw {
    fn lora(&self) -> LoraConfig {
        let targets = match &self.target_modules {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            other => other.as_ref().and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
        };
        // Rank-stabilised adapters (arXiv:2312.03732) are scaled by alpha / sqrt(r).
        let stable = self.use_rslora == Some(true);
        let alpha = if stable { self.lora_alpha * (self.r as f64).sqrt() } else { self.lora_alpha };
        LoraConfig { r: self.r, alpha, dropout: self.lora_dropout.unwrap_or(0.0), targets }
    }
}

impl Adapter {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        let json: Value = read_json(&path)?.ok_or_else(|| wrong("the file is missing".into()))?;
        let unfit = |detail| wrong(format!("{detail}; merge the adapter with PEFT"));
        Fields(&json).check(Some(KEYS)).map_err(unfit)?;
        let raw = Raw::deserialize(&json).map_err(|e| wrong(e.to_string()))?;
        let config = raw.lora();
        config.check().map_err(wrong)?;
        let weights = Weights::read_file(&dir.join(WEIGHTS))?;
        Ok(Self { dir: dir.to_owned(), config, base: raw.base_model_name_or_path, weights })
    }

    fn wrong(&self, detail: String) -> ModelError {
        ModelError::Adapter { path: self.dir.clone(), detail }
    }

    /// Where the base is: beside the adapter, or else a path, one relative to the adapter, or a name in the
    /// hub's cache.
    fn find_base(&self) -> Result<PathBuf> {
        if self.dir.join(model_config::FILE).exists() {
            return Ok(self.dir.clone());
        }
        let Some(base) = &self.base else {
            return Err(self.wrong("it does not say which base it belongs to; name the base".into()));
        };
        let beside = self.dir.join(base);
        if beside.join(model_config::FILE).exists() {
            return Ok(beside);
        }
        crate::hub::resolve(base)
    }

    /// Puts the adapter on the layers it was trained on.
    fn attach<M: Adaptable>(mut self, mut model: M, device: &Device) -> Result<M> {
        self.weights = self.weights.rename(|name| {
            let name = name.strip_prefix("base_model.model.").unwrap_or(name);
            Some(name.strip_prefix("model.").unwrap_or(name).replace(".default.weight", ".weight"))
        });
        let names = file_names(&mut model);
        let (mut misfit, mut half) = (None, None);
        let mut bare = Vec::new();
        for ((here, linear), name) in model.linears().into_iter().zip(names) {
            let mut part = |part: &str| self.weights.take(&format!("{name}.lora_{part}.weight"));
            let (a, b) = match (part("A"), part("B")) {
                (Some(a), Some(b)) => (a, b),
                (None, None) => {
                    bare.push(name);
                    continue;
                }
                (a, _) => {
                    let [there, gone] = if a.is_some() { ["A", "B"] } else { ["B", "A"] };
                    half = Some(format!("{name}.lora_{there} is there without lora_{gone}"));
                    break;
                }
            };
            let [inputs, outputs] = linear.width();
            let r = self.config.r;
            if a.shape != [r, inputs] || b.shape != [outputs, r] {
                misfit = Some(format!(
                    "{name} has {outputs} x {inputs} weights in the base, but the adapter's parts are {:?} and {:?}",
                    b.shape, a.shape
                ));
                break;
            }
            let matrix = |stored: Stored, shape| device::tensor(stored.data, shape, Precision::F32, device);
            let parts = [matrix(a, [r, inputs]), matrix(b, [outputs, r])];
            linear.lora = Some(Lora::new(parts, &self.config, Seed(0).derive(&here)));
        }
        if let Some(detail) = half {
            return Err(self.wrong(format!("half of it is missing: {detail}")));
        }
        if let Some(detail) = misfit {
            return Err(self.wrong(format!("it belongs to another base: {detail}")));
        }
        match self.weights.names().next() {
            Some(left) => {
                Err(self.wrong(format!("it belongs to another base: the base has no layer for {left}")))
            }
            None => match bare.iter().find(|name| self.config.covers(name)) {
                Some(name) => Err(self.wrong(format!(
                    "half of it is missing: target_modules names {name}, for which there are no numbers"
                ))),
                None => Ok(model),
            },
        }
    }
}

/// Opens a base and puts an adapter on it. Without `base`, it is where the adapter says.
///
/// The adapter's folder may hold a tokenizer and sentence-transformers' files, which then count.
///
/// # Errors
/// When the adapter is damaged, asks for something not supported, or belongs to another base.
pub fn open(dir: &Path, base: Option<&Path>, precision: Precision, device: &Device) -> Result<Encoder> {
    let adapter = Adapter::read(dir)?;
    let base = match base {
        Some(base) => base.to_owned(),
        None => adapter.find_base()?,
    };
    let Encoder { mut model, mut tokenizer, mut contract, .. } =
        Encoder::open_whole(&base, precision, device)?;
    if base != dir {
        let config = model.backbone.config();
        if dir.join(tokenizer::FILE).exists() {
            tokenizer = TextTokenizer::open(dir)?;
            tokenizer.follow_settings(&config)?;
        }
        let modules = Modules::read(dir)?;
        if modules.is_listed() {
            contract = read_contract(dir, &modules, &config, &mut tokenizer)?;
            model.dense = modules.dense(config.hidden_size(), precision, device)?;
        }
    }
    Encoder::new(adapter.attach(model, device)?, tokenizer, contract)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::{ALL_LINEAR, attach, merge};
    use crate::testing::tiny_encoder;
    use revela_base::embed::{Embedder, TextKind};

    /// A base, its adapter with a B that is not zero, and the encoder with it.
    fn folders(root: &Path) -> Encoder {
        let device = Device::flex();
        let encoder = tiny_encoder();
        encoder.save(&root.join("base"), Precision::F32, IfExists::Refuse).unwrap();
        let config = LoraConfig { r: 4, alpha: 8.0, dropout: 0.0, targets: vec![ALL_LINEAR.into()] };
        let mut model = attach(encoder.model.clone(), &config, Seed(2), &device).unwrap();
        for (_, linear) in model.linears() {
            let lora = linear.lora.as_mut().unwrap();
            lora.b = lora.b.clone().map(|b| b.ones_like().mul_scalar(0.05));
        }
        let kind = AdapterKind::FeatureExtraction;
        save(&model, &config, kind, "../base", &root.join("adapter"), IfExists::Refuse).unwrap();
        Encoder::new(model, encoder.tokenizer.clone(), encoder.contract.clone()).unwrap()
    }

    #[test]
    fn an_adapter_is_found_with_its_base_and_merging_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let trained = folders(root.path());
        let dir = root.path().join("adapter");
        let weights = Weights::read_file(&dir.join(WEIGHTS)).unwrap();
        assert_eq!(weights.names().count(), 2 * 7 * 2);
        let name = "base_model.model.layers.1.mlp.down_proj.lora_A.weight";
        assert_eq!(weights.get(name).unwrap().shape, [4, 72]);
        let vectors = |e: &Encoder| e.embed(TextKind::Query, &["fn a", "text that is longer"]).unwrap();
        let read = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(vectors(&read), vectors(&trained));
        assert_ne!(vectors(&read), vectors(&tiny_encoder()));
        let merged = Encoder::new(merge(read.model.clone()), read.tokenizer.clone(), read.contract.clone());
        for (a, b) in vectors(&merged.unwrap()).iter().zip(vectors(&read)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn adapters_for_other_bases_and_other_methods_are_refused() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path());
        let dir = root.path().join("adapter");
        let open = || Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap_err().to_string();
        let path = dir.join(CONFIG);
        let good: Value = read_json(&path).unwrap().unwrap();
        let write = |change: fn(&mut Value)| {
            let mut json = good.clone();
            change(&mut json);
            std::fs::write(&path, json.to_string()).unwrap();
        };
        write(|j| j["r"] = 2.into());
        assert!(open().contains("another base"));
        write(|j| j["use_dora"] = true.into());
        assert!(open().contains("use_dora"));
        write(|j| j["peft_type"] = "IA3".into());
        assert!(open().contains("peft_type is \"IA3\""));
        write(|j| j["base_model_name_or_path"] = "../elsewhere".into());
        assert!(open().contains("elsewhere"));
    }
}
