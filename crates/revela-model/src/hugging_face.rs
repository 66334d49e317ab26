//! The names and files of other tools: Hugging Face transformers and sentence-transformers.

use std::path::Path;

use revela_base::file::FileError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::DecoderConfig;
use crate::contract::Contract;
use crate::error::{ModelError, Result};
use crate::pooling::Pooling;
use crate::tokenizer::{EOS, PAD, TextTokenizer};
use crate::weights::Weights;

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const LENGTH: &str = "sentence_bert_config.json";
const TOKENIZER: &str = "tokenizer_config.json";

/// A decoder's tensors out of those of a language model or of a bare decoder: the prefix `model.` is
/// dropped, the output embedding and rotary buffers are left out.
pub fn decoder_weights(weights: Weights) -> Weights {
    weights.rename(|name| {
        if name == "lm_head.weight" || name.ends_with("rotary_emb.inv_freq") {
            return None;
        }
        Some(name.strip_prefix("model.").unwrap_or(name).to_owned())
    })
}

/// A language model's tensors: rotary buffers are left out, and an output embedding that is tied.
pub fn language_model_weights(weights: Weights, config: &DecoderConfig) -> Weights {
    weights.rename(|name| {
        let left_out = name.ends_with("rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight");
        (!left_out).then(|| name.to_owned())
    })
}

/// The contract as the files that sentence-transformers and transformers read.
pub fn contract_files(contract: &Contract, dimension: usize) -> Vec<(&'static str, Value)> {
    let module = |index: usize, path: &str, kind: &str| json!({"idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    vec![
        (
            MODULES,
            json!([
                module(0, "", "Transformer"),
                module(1, "1_Pooling", "Pooling"),
                module(2, "2_Normalize", "Normalize")
            ]),
        ),
        (
            POOLING,
            json!({
                "word_embedding_dimension": dimension,
                "pooling_mode_cls_token": contract.pooling == Pooling::Cls,
                "pooling_mode_mean_tokens": contract.pooling == Pooling::Mean,
                "pooling_mode_max_tokens": false,
                "pooling_mode_mean_sqrt_len_tokens": false,
                "pooling_mode_lasttoken": contract.pooling == Pooling::Eos,
                "include_prompt": true,
            }),
        ),
        (
            PROMPTS,
            json!({
                "prompts": {"query": contract.query_prompt, "passage": contract.passage_prompt},
                "default_prompt_name": null,
                "similarity_fn_name": "cosine",
            }),
        ),
        (LENGTH, json!({"max_seq_length": contract.max_length, "do_lower_case": false})),
        (
            TOKENIZER,
            json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": contract.max_length,
                "pad_token": PAD,
                "eos_token": EOS,
                "padding_side": "right",
            }),
        ),
    ]
}

/// Reads the contract of a folder that another tool wrote; what it does not say is as published for
/// Revela's decoders: prefixes `query: ` and `passage: `, the last token's state.
pub fn read_contract(dir: &Path, config: &DecoderConfig, tokenizer: &TextTokenizer) -> Result<Contract> {
    #[derive(Deserialize, Default)]
    struct Prompts {
        #[serde(default)]
        prompts: std::collections::BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Length {
        max_seq_length: Option<usize>,
    }
    let prompts: Option<Prompts> = read_json(&dir.join(PROMPTS))?;
    let length: Option<Length> = read_json(&dir.join(LENGTH))?;
    let prompt = |names: &[&str], otherwise: &str| match &prompts {
        Some(p) => names.iter().find_map(|n| p.prompts.get(*n)).cloned().unwrap_or_default(),
        None => otherwise.to_owned(),
    };
    let length = length.and_then(|l| l.max_seq_length).unwrap_or(512);
    Ok(Contract {
        query_prompt: prompt(&["query"], "query: "),
        passage_prompt: prompt(&["passage", "document"], "passage: "),
        max_length: length.min(config.max_positions),
        append: end_token(dir, tokenizer)?,
        pooling: read_pooling(dir)?,
    })
}

fn read_pooling(dir: &Path) -> Result<Pooling> {
    let path = dir.join(POOLING);
    let Some(json) = read_json::<Value>(&path)? else { return Ok(Pooling::Eos) };
    let known = [
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_lasttoken", Pooling::Eos),
    ];
    let set = |name: &str| json.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut chosen = known.iter().filter(|(name, _)| set(name)).map(|(_, pooling)| *pooling);
    match (chosen.next(), chosen.next()) {
        (Some(pooling), None) => Ok(pooling),
        _ => Err(ModelError::Config {
            path,
            detail: "exactly one of cls, mean and last-token pooling must be set".into(),
        }),
    }
}

/// The end token, where the tokenizer has one and does not append it by itself.
fn end_token(dir: &Path, tokenizer: &TextTokenizer) -> Result<Option<u32>> {
    let Some(json) = read_json::<Value>(&dir.join(TOKENIZER))? else { return Ok(None) };
    let eos = json.get("eos_token").and_then(|t| t.as_str().or_else(|| t.get("content")?.as_str()));
    let Some(id) = eos.and_then(|eos| tokenizer.id(eos)) else { return Ok(None) };
    Ok((tokenizer.encode("a")?.last() != Some(&id)).then_some(id))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes)
                .map_err(|e| ModelError::Config { path: path.to_owned(), detail: e.to_string() })?;
            Ok(Some(value))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::io("read", path)(e).into()),
    }
}
