//! What follows the transformer: modules.json, and the folders of its modules.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::Value;

use crate::embedding_model::{Dense, DenseActivation};
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::hugging_face::read_json;
use crate::keys::{Keys, Role};
use crate::pooling::{Pooling, Scale};
use crate::weights::{Precision, Weights};

use Role::{Decides, Idle, Only};

/// The file that lists modules.
pub(super) const MODULES: &str = "modules.json";

/// The name of the sentence's vector among what modules hand on.
const SENTENCE: Role = Only(&["\"sentence_embedding\""]);

/// Keys of an entry of modules.json.
pub(super) const MODULE_KEYS: Keys = Keys(&[&[
    ("idx", Idle),
    ("kwargs", Only(&["[]"])),
    ("name", Idle),
    ("path", Decides),
    ("type", Decides),
]]);

/// Keys of a pooling's config.json.
pub(super) const POOLING_KEYS: Keys = Keys(&[&[
    ("embedding_dimension", Idle),
    ("include_prompt", Only(&["true"])),
    ("pooling_mode", Decides),
    ("pooling_mode_cls_token", Decides),
    ("pooling_mode_lasttoken", Decides),
    ("pooling_mode_max_tokens", Decides),
    ("pooling_mode_mean_sqrt_len_tokens", Decides),
    ("pooling_mode_mean_tokens", Decides),
    ("pooling_mode_weightedmean_tokens", Decides),
    ("word_embedding_dimension", Idle),
]]);

/// Keys of a dense layer's config.json.
pub(super) const DENSE_KEYS: Keys = Keys(&[&[
    ("activation_function", Decides),
    ("bias", Decides),
    ("in_features", Decides),
    ("module_input_name", SENTENCE),
    ("module_output_name", SENTENCE),
    ("out_features", Decides),
    ("use_residual", Only(&["false"])),
]]);

/// Keys of a normalisation's config.json, which newer versions write.
pub(super) const NORMALIZE_KEYS: Keys =
    Keys(&[&[("module_input_name", SENTENCE), ("module_output_name", SENTENCE)]]);

/// What comes after the transformer, as modules.json lists it.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    first: First,
    pooling: Option<PathBuf>,
    /// Folders of dense layers, each with how long its inputs are made before.
    dense: Vec<(PathBuf, Scale)>,
    /// How long the vectors that come out are made.
    scale: Scale,
    listed: bool,
}

/// What turns a text into states.
#[derive(Debug, Default)]
enum First {
    /// A transformer, in the folder itself.
    #[default]
    Transformer,
    /// A table of token vectors, in this folder; the mean of a text's is taken with it.
    Table(PathBuf),
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

impl Modules {
    /// Reads modules.json; a folder without one has a transformer alone.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MODULES);
        let Some(list) = read_json::<Vec<Value>>(&path)? else { return Ok(Self::default()) };
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        let mut modules = Self { listed: true, scale: Scale::Raw, ..Self::default() };
        for (number, entry) in list.iter().enumerate() {
            Fields(entry).check(Some(MODULE_KEYS)).map_err(wrong)?;
            let module = Module::deserialize(entry).map_err(|e| wrong(e.to_string()))?;
            modules.add(number, &module, dir).map_err(wrong)?;
            if kind(&module.r#type) == Some("Normalize") {
                check_file(&dir.join(&module.path).join("config.json"), NORMALIZE_KEYS)?;
            }
        }
        if !modules.is_pooled() {
            return Err(wrong("it lists no Pooling, so that a text would have no vector".into()));
        }
        Ok(modules)
    }

    /// Takes up the next module; they run in their order.
    fn add(&mut self, number: usize, module: &Module, dir: &Path) -> std::result::Result<(), String> {
        let Module { path: folder, r#type } = module;
        let kind = kind(r#type).ok_or_else(|| {
            format!("module {type} is code of its own, which is not run; {KNOWN} are known")
        })?;
        if Path::new(folder).is_absolute() || folder.split(['/', '\\']).any(|part| part == "..") {
            return Err(format!("the path {folder:?} leads out of the folder"));
        }
        let inside = dir.join(folder);
        match (kind, number) {
            ("Transformer", 0) if folder.is_empty() || folder == "." => Ok(()),
            ("Transformer", 0) => Err(format!(
                "the transformer lies in {folder}; save the model again with sentence-transformers 3 or later, \
                 which puts it beside modules.json"
            )),
            ("Transformer", _) => Err(format!("module {number} is a second transformer")),
            ("StaticEmbedding", 0) => {
                self.first = First::Table(inside);
                Ok(())
            }
            (_, 0) => Err(format!(
                "the first module is {kind}; only a Transformer or a StaticEmbedding is supported there"
            )),
            ("Pooling", _) if self.begin_with_table() => {
                Err("a Pooling after a StaticEmbedding, which has pooled already".into())
            }
            ("Pooling", _) if self.pooling.is_none() => {
                self.pooling = Some(inside);
                Ok(())
            }
            ("Pooling", _) => Err(format!("module {number} is a second pooling")),
            ("Dropout", _) => Ok(()),
            ("Dense" | "Normalize", _) if !self.is_pooled() => {
                Err(format!("{kind} comes before the pooling, which is not supported"))
            }
            ("Dense", _) => {
                self.dense.push((inside, std::mem::replace(&mut self.scale, Scale::Raw)));
                Ok(())
            }
            ("Normalize", _) => {
                self.scale = Scale::Unit;
                Ok(())
            }
            (other, _) => Err(format!("module {other} is not supported; {KNOWN} are")),
        }
    }

    fn is_pooled(&self) -> bool {
        self.pooling.is_some() || self.begin_with_table()
    }

    /// Whether texts are looked up in a table of token vectors.
    pub(crate) fn begin_with_table(&self) -> bool {
        matches!(self.first, First::Table(_))
    }

    /// Where the tokenizer and the weights of the first module lie; `dir` is the model's folder.
    pub(crate) fn root(&self, dir: &Path) -> PathBuf {
        match &self.first {
            First::Transformer => dir.to_owned(),
            First::Table(inside) => inside.clone(),
        }
    }

    /// Whether there was a list.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// How long the vectors that come out are made.
    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// The pooling, where one is listed.
    pub(super) fn pooling(&self) -> Result<Option<Pooling>> {
        self.pooling.as_ref().map(|folder| read_pooling(&folder.join("config.json"))).transpose()
    }

    /// The linear layers after pooling, with their weights; `width` features come out of the pooling.
    pub(crate) fn dense(&self, width: usize, precision: Precision, device: &Device) -> Result<Vec<Dense>> {
        let mut width = width;
        let mut layers = Vec::new();
        for (dir, input) in &self.dense {
            let layer = read_dense(dir, width, precision, device)?;
            [_, width] = layer.width();
            layers.push(layer.with_input(*input));
        }
        Ok(layers)
    }
}

const KNOWN: &str = "Transformer, StaticEmbedding, Pooling, Dense, Normalize and Dropout";

/// The name of a class of sentence-transformers, without its module, which moved between versions.
pub(super) fn kind(class: &str) -> Option<&str> {
    class.strip_prefix("sentence_transformers.")?.rsplit('.').next()
}

/// Checks the keys of a file that need not be there.
pub(super) fn check_file(path: &Path, keys: Keys) -> Result<Option<Value>> {
    let Some(json) = read_json::<Value>(path)? else { return Ok(None) };
    let wrong = |detail: String| ModelError::Config { path: path.to_owned(), detail };
    Fields(&json).check(Some(keys)).map_err(wrong)?;
    Ok(Some(json))
}

fn read_dense(dir: &Path, width: usize, precision: Precision, device: &Device) -> Result<Dense> {
    let path = dir.join("config.json");
    let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
    let json = check_file(&path, DENSE_KEYS)?.ok_or_else(|| wrong("the file is missing".into()))?;
    let fields = Fields(&json);
    let size = |name| fields.size(name).map_err(wrong);
    let (inputs, outputs) = (size("in_features")?, size("out_features")?);
    if inputs != width {
        return Err(wrong(format!(
            "in_features is {inputs}, but {width} features come out of what is before"
        )));
    }
    let bias = fields.flag_or("bias", true).map_err(wrong)?;
    let activation = activation(&json).map_err(wrong)?;
    let weights = Weights::read(dir)?;
    weights.check_room(inputs as u128 * outputs as u128)?;
    weights.fill(Dense::zeros([inputs, outputs], bias, activation, device), precision, device)
}

/// As sentence-transformers has it, tanh where nothing is said.
fn activation(json: &Value) -> std::result::Result<DenseActivation, String> {
    let Some(function) = json.get("activation_function").filter(|name| !name.is_null()) else {
        return Ok(DenseActivation::Tanh);
    };
    let name = function.as_str().unwrap_or_default();
    match name.strip_prefix("torch.").and_then(|name| name.rsplit('.').next()).unwrap_or_default() {
        "Identity" => Ok(DenseActivation::Identity),
        "Tanh" => Ok(DenseActivation::Tanh),
        "ReLU" => Ok(DenseActivation::Relu),
        "GELU" => Ok(DenseActivation::Gelu),
        _ => {
            Err(format!("activation_function is {function}; torch's Identity, Tanh, ReLU and GELU are known"))
        }
    }
}

fn read_pooling(path: &Path) -> Result<Pooling> {
    let wrong = |detail: String| ModelError::Config { path: path.to_owned(), detail };
    let json = check_file(path, POOLING_KEYS)?.ok_or_else(|| wrong("the file is missing".into()))?;
    let modes = pooling_modes(&json).map_err(wrong)?;
    let known = [("cls", Pooling::Cls), ("mean", Pooling::Mean), ("lasttoken", Pooling::Eos)];
    let named = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, pooling)| *pooling);
    let pooling = match &modes[..] {
        [one] => named(one),
        _ => None,
    };
    pooling.ok_or_else(|| {
        let modes = modes.join(" with ");
        wrong(format!(
            "its pooling, {modes}, is not supported; exactly one of cls, mean and lasttoken must be set"
        ))
    })
}

/// The names that are set, under the newer key or the older ones; mean where nothing is said.
fn pooling_modes(json: &Value) -> std::result::Result<Vec<String>, String> {
    let text = |mode: &Value| {
        mode.as_str().map(str::to_owned).ok_or_else(|| format!("pooling_mode is {mode}, which is no name"))
    };
    match json.get("pooling_mode").filter(|mode| !mode.is_null()) {
        Some(Value::Array(list)) => return list.iter().map(text).collect(),
        Some(mode) => return Ok(vec![text(mode)?]),
        None => {}
    }
    let mut modes = Vec::new();
    for (field, set) in json.as_object().into_iter().flatten() {
        let Some(mode) = field.strip_prefix("pooling_mode_") else { continue };
        match set {
            Value::Bool(true) => {
                modes.push(mode.trim_end_matches("_token").trim_end_matches("_tokens").to_owned());
            }
            Value::Bool(false) | Value::Null => {}
            other => return Err(format!("{field} is {other}; true and false are known")),
        }
    }
    if modes.is_empty() {
        modes.push("mean".into());
    }
    Ok(modes)
}
