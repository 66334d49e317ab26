//! The contract as files that sentence-transformers and transformers read.

use serde_json::{Value, json};

use revela_base::embed::Metric;

use super::modules::MODULES;
use super::{LENGTHS, PROMPTS};
use crate::contract::Contract;
use crate::embedding_model::{Dense, DenseActivation};
use crate::layers::Linear;
use crate::model_config::ModelConfig;
use crate::pooling::{Pooling, Scale};
use crate::tokenizer::{EOS, PAD, SETTINGS, TextTokenizer};
use crate::weights::WEIGHTS;

const POOLING: &str = "1_Pooling/config.json";

/// A file to be written: its name in the folder and what it holds.
type JsonFile = (String, Value);

/// The contract as the files that sentence-transformers and transformers read; weights of dense layers
/// belong into the folders that the second list names.
pub(crate) fn contract_files(
    contract: &Contract,
    dense: &[Dense],
    config: &ModelConfig,
    tokenizer: &TextTokenizer,
) -> (Vec<JsonFile>, Vec<(String, Linear)>) {
    let mut modules = vec![String::new()];
    let mut kinds = vec!["Transformer"];
    let mut files = Vec::new();
    if let ModelConfig::Static(_) = config {
        // It reads no length and needs no pooling.
        kinds = vec!["StaticEmbedding"];
    } else {
        modules.push("1_Pooling".to_owned());
        kinds.push("Pooling");
        files.push((POOLING.to_owned(), pooling_json(contract.pooling, config.hidden_size())));
        files.push((
            LENGTHS[0].to_owned(),
            json!({"max_seq_length": contract.max_length, "do_lower_case": false}),
        ));
    }
    let mut weights = Vec::new();
    let normalize = |modules: &mut Vec<String>, kinds: &mut Vec<&str>| {
        modules.push(format!("{}_Normalize", modules.len()));
        kinds.push("Normalize");
    };
    for layer in dense {
        if layer.input() == Scale::Unit {
            normalize(&mut modules, &mut kinds);
        }
        let folder = format!("{}_Dense", modules.len());
        files.push((format!("{folder}/config.json"), dense_json(layer)));
        weights.push((format!("{folder}/{WEIGHTS}"), layer.linear.clone()));
        modules.push(folder);
        kinds.push("Dense");
    }
    if contract.scale == Scale::Unit {
        normalize(&mut modules, &mut kinds);
    }
    let list = modules.iter().zip(kinds).enumerate().map(|(index, (path, kind))| {
        json!({"idx": index, "name": index.to_string(), "path": path,
               "type": format!("sentence_transformers.models.{kind}")})
    });
    files.push((MODULES.to_owned(), list.collect()));
    files.push((PROMPTS.to_owned(), prompts_json(contract)));
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
    let similarity = match contract.metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot",
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
