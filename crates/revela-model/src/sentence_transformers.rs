//! The encoding contract in the files of sentence-transformers: modules.json, pooling, prompts, length.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Contract, Scale};
use crate::embedding_model::{Dense, DenseActivation};
use crate::error::{ModelError, Result};
use crate::hugging_face::read_json;
use crate::layers::Linear;
use crate::model_config::ModelConfig;
use crate::pooling::Pooling;
use crate::tokenizer::{EOS, PAD, SETTINGS, TextTokenizer};
use crate::weights::{Precision, WEIGHTS, Weights};

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const LENGTH: &str = "sentence_bert_config.json";

/// Lengths above this in tokenizer_config.json mean that nobody set one.
const NO_LIMIT: u64 = 1 << 20;

/// What comes after the transformer, as modules.json lists it.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    pooling: Option<PathBuf>,
    dense: Vec<PathBuf>,
    normalize: bool,
    listed: bool,
}

impl Modules {
    /// Reads modules.json; a folder without one has a transformer alone.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Module {
            path: String,
            r#type: String,
        }
        let path = dir.join(MODULES);
        let Some(list) = read_json::<Vec<Module>>(&path)? else { return Ok(Self::default()) };
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        let mut modules = Self { listed: true, ..Self::default() };
        for Module { path: folder, r#type } in list {
            let inside = dir.join(&folder);
            match r#type.rsplit('.').next().unwrap_or_default() {
                "Transformer" if folder.is_empty() || folder == "." => {}
                "Transformer" => {
                    return Err(wrong(format!("the transformer lies in {folder}; open that folder instead")));
                }
                "Pooling" if modules.pooling.is_none() => modules.pooling = Some(inside),
                "Dense" => modules.dense.push(inside),
                "Normalize" => modules.normalize = true,
                "Dropout" => {}
                other => {
                    let known = "Transformer, Pooling, Dense, Normalize and Dropout";
                    return Err(wrong(format!("module {other} is not supported; {known} are")));
                }
            }
        }
        Ok(modules)
    }

    /// Whether there was a list.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// The linear layers after pooling, with their weights.
    pub(crate) fn dense(&self, precision: Precision, device: &burn::tensor::Device) -> Result<Vec<Dense>> {
        self.dense.iter().map(|dir| read_dense(dir, precision, device)).collect()
    }
}

fn read_dense(dir: &Path, precision: Precision, device: &burn::tensor::Device) -> Result<Dense> {
    #[derive(Deserialize)]
    struct Config {
        in_features: usize,
        out_features: usize,
        #[serde(default = "yes")]
        bias: bool,
        activation_function: Option<String>,
    }
    fn yes() -> bool {
        true
    }
    let path = dir.join("config.json");
    let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
    let config: Config = read_json(&path)?.ok_or_else(|| wrong("the file is missing".into()))?;
    let function = config.activation_function.as_deref().unwrap_or("Tanh");
    let activation = match function.rsplit('.').next().unwrap_or_default() {
        "Identity" => DenseActivation::Identity,
        "Tanh" => DenseActivation::Tanh,
        "ReLU" => DenseActivation::Relu,
        "GELU" => DenseActivation::Gelu,
        _ => {
            return Err(wrong(format!(
                "activation {function} is unknown; Identity, Tanh, ReLU, GELU are known"
            )));
        }
    };
    let empty = Dense::zeros([config.in_features, config.out_features], config.bias, activation, device);
    Weights::read(dir)?.fill(empty, precision, device)
}

/// Reads the contract of a folder that another tool wrote. Where it says nothing of prompts, decoders get
/// those published for Revela's (`query: ` and `passage: `) and encoders none.
pub(crate) fn read_contract(
    dir: &Path,
    modules: &Modules,
    config: &ModelConfig,
    tokenizer: &mut TextTokenizer,
) -> Result<Contract> {
    let lower: Option<Value> = read_json(&dir.join(LENGTH))?;
    let length = |name: &str| lower.as_ref().and_then(|json| json.get(name));
    if length("do_lower_case").and_then(Value::as_bool) == Some(true) {
        tokenizer.lower_case()?;
    }
    let stated = length("max_seq_length").and_then(Value::as_u64).map(|n| n as usize);
    let max_length = stated.or(tokenizer.cut_at()).or_else(|| limit(tokenizer)).unwrap_or(512);
    let [query_prompt, passage_prompt] = read_prompts(dir, config)?;
    let pooling = match &modules.pooling {
        Some(folder) => read_pooling(&folder.join("config.json"))?,
        None => config.usual_pooling(),
    };
    config.check_pooling(pooling).map_err(|detail| ModelError::Config { path: dir.to_owned(), detail })?;
    let scale = if modules.listed && !modules.normalize { Scale::Raw } else { Scale::Unit };
    Ok(Contract {
        query_prompt,
        passage_prompt,
        max_length: max_length.min(config.max_length()),
        append: end_token(config, tokenizer)?,
        pooling,
        scale,
    })
}

fn limit(tokenizer: &TextTokenizer) -> Option<usize> {
    let limit = tokenizer.companion(SETTINGS)?.get("model_max_length")?.as_u64()?;
    (limit < NO_LIMIT).then_some(limit as usize)
}

fn read_prompts(dir: &Path, config: &ModelConfig) -> Result<[String; 2]> {
    #[derive(Deserialize, Default)]
    struct Prompts {
        #[serde(default)]
        prompts: BTreeMap<String, Option<String>>,
    }
    let Some(Prompts { prompts }) = read_json(&dir.join(PROMPTS))? else {
        return Ok(match config {
            ModelConfig::Decoder(_) => ["query: ".into(), "passage: ".into()],
            ModelConfig::Bert(_) | ModelConfig::ModernBert(_) => [String::new(), String::new()],
        });
    };
    // sentence-transformers writes an empty prompt named `document` beside others.
    let prompt = |names: &[&str]| {
        let found = names.iter().filter_map(|name| prompts.get(*name)?.clone()).find(|text| !text.is_empty());
        found.unwrap_or_default()
    };
    Ok([prompt(&["query"]), prompt(&["document", "passage", "corpus"])])
}

fn read_pooling(path: &Path) -> Result<Pooling> {
    let wrong = |detail: &str| ModelError::Config { path: path.to_owned(), detail: detail.into() };
    let json: Value = read_json(path)?.ok_or_else(|| wrong("the file is missing"))?;
    if json.get("include_prompt").and_then(Value::as_bool) == Some(false) {
        return Err(wrong("include_prompt is false; leaving prompts out of the pooling is not supported"));
    }
    let known = [("cls", Pooling::Cls), ("mean", Pooling::Mean), ("lasttoken", Pooling::Eos)];
    let named = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, pooling)| *pooling);
    let refused =
        || wrong("its pooling is not supported; exactly one of cls, mean and lasttoken must be set");
    if let Some(mode) = json.get("pooling_mode") {
        return mode.as_str().and_then(named).ok_or_else(refused);
    }
    let fields = json.as_object().into_iter().flatten();
    let mut modes = fields.filter(|(_, set)| **set == Value::Bool(true)).filter_map(|(field, _)| {
        let mode = field.strip_prefix("pooling_mode_")?;
        Some(mode.trim_end_matches("_token").trim_end_matches("_tokens"))
    });
    match (modes.next(), modes.next()) {
        (Some(mode), None) => named(mode).ok_or_else(refused),
        _ => Err(refused()),
    }
}

/// The end token of a decoder, where its tokenizer has one and does not append it by itself.
fn end_token(config: &ModelConfig, tokenizer: &TextTokenizer) -> Result<Option<u32>> {
    if !matches!(config, ModelConfig::Decoder(_)) {
        return Ok(None);
    }
    let Some(settings) = tokenizer.companion(SETTINGS) else { return Ok(None) };
    let eos = settings.get("eos_token").and_then(|t| t.as_str().or_else(|| t.get("content")?.as_str()));
    let Some(id) = eos.and_then(|eos| tokenizer.id(eos)) else { return Ok(None) };
    Ok((tokenizer.encode("a")?.last() != Some(&id)).then_some(id))
}

/// A file to be written: its name in the folder and what it holds.
type JsonFile = (String, Value);

/// The contract as the files that sentence-transformers and transformers read; weights of dense layers
/// belong into the folders that the second list names.
pub(crate) fn contract_files(
    contract: &Contract,
    dense: &[Dense],
    hidden_size: usize,
    tokenizer: &TextTokenizer,
) -> (Vec<JsonFile>, Vec<(String, Linear)>) {
    let mut modules = vec![String::new(), "1_Pooling".to_owned()];
    let mut kinds = vec!["Transformer", "Pooling"];
    let mut files = vec![(POOLING.to_owned(), pooling_json(contract.pooling, hidden_size))];
    let mut weights = Vec::new();
    for layer in dense {
        let folder = format!("{}_Dense", modules.len());
        files.push((format!("{folder}/config.json"), dense_json(layer)));
        weights.push((format!("{folder}/{WEIGHTS}"), layer.linear.clone()));
        modules.push(folder);
        kinds.push("Dense");
    }
    if contract.scale == Scale::Unit {
        modules.push(format!("{}_Normalize", modules.len()));
        kinds.push("Normalize");
    }
    let list = modules.iter().zip(kinds).enumerate().map(|(index, (path, kind))| {
        json!({"idx": index, "name": index.to_string(), "path": path,
               "type": format!("sentence_transformers.models.{kind}")})
    });
    files.push((MODULES.to_owned(), list.collect()));
    files.push((PROMPTS.to_owned(), prompts_json(contract)));
    files.push((LENGTH.to_owned(), json!({"max_seq_length": contract.max_length, "do_lower_case": false})));
    files.extend(tokenizer_files(contract, tokenizer));
    (files, weights)
}

fn pooling_json(pooling: Pooling, width: usize) -> Value {
    json!({
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": pooling == Pooling::Cls,
        "pooling_mode_mean_tokens": pooling == Pooling::Mean,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
        "pooling_mode_lasttoken": pooling == Pooling::Eos,
        "include_prompt": true,
    })
}

fn dense_json(dense: &Dense) -> Value {
    let [inputs, outputs] = dense.width();
    let function = match dense.activation() {
        DenseActivation::Identity => "torch.nn.modules.linear.Identity",
        DenseActivation::Tanh => "torch.nn.modules.activation.Tanh",
        DenseActivation::Relu => "torch.nn.modules.activation.ReLU",
        DenseActivation::Gelu => "torch.nn.modules.activation.GELU",
    };
    json!({"in_features": inputs, "out_features": outputs, "bias": dense.linear.bias.is_some(),
           "activation_function": function})
}

fn prompts_json(contract: &Contract) -> Value {
    let similarity = match contract.scale {
        Scale::Unit => "cosine",
        Scale::Raw => "dot",
    };
    // Newer versions ask for a prompt named `document` first.
    json!({
        "prompts": {
            "query": contract.query_prompt,
            "document": contract.passage_prompt,
            "passage": contract.passage_prompt,
        },
        "default_prompt_name": null,
        "similarity_fn_name": similarity,
    })
}

/// The tokenizer's settings as they came, or as transformers needs them for one that was trained here.
fn tokenizer_files(contract: &Contract, tokenizer: &TextTokenizer) -> Vec<JsonFile> {
    let mut files: Vec<JsonFile> =
        tokenizer.companions().map(|(name, json)| (name.to_owned(), json.clone())).collect();
    match files.iter_mut().find(|(name, _)| name == SETTINGS) {
        Some((_, settings)) => {
            settings["model_max_length"] = contract.max_length.into();
            // Decoders often have no padding token, and sentence-transformers cannot batch without one.
            // Padding is masked, so any token will do.
            if settings.get("pad_token").is_none_or(Value::is_null) {
                let token =
                    ["eos_token", "unk_token", "bos_token"].iter().find_map(|name| settings.get(*name));
                settings["pad_token"] = token.cloned().unwrap_or(Value::Null);
            }
        }
        None => files.push((
            SETTINGS.to_owned(),
            json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": contract.max_length,
                "pad_token": PAD,
                "eos_token": EOS,
                "padding_side": "right",
            }),
        )),
    }
    files
}
