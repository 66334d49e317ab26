//! The encoding contract in the files of sentence-transformers: modules.json, pooling, prompts, length.

mod modules;
mod reranker;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use revela_base::embed::Metric;
use serde_json::Value;

use crate::contract::Contract;
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::hugging_face::read_json;
use crate::keys::{Keys, Role};
use crate::model_config::ModelConfig;
use crate::tokenizer::{self, SETTINGS, TextTokenizer};
use modules::check_file;

pub(crate) use modules::Modules;
pub(crate) use reranker::{RerankerFiles, Squash};
pub(crate) use written::contract_files;

use Role::{Decides, Idle, Only};

const PROMPTS: &str = "config_sentence_transformers.json";
/// Length and lower case; the first is the name that every version writes, the others are older.
const LENGTHS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Keys of config_sentence_transformers.json.
const PROMPT_KEYS: Keys = Keys(&[&[
    ("__version__", Idle),
    ("default_prompt_name", Decides),
    ("model_type", Only(&["\"SentenceTransformer\""])),
    ("prompts", Decides),
    ("requirements", Idle),
    ("similarity_fn_name", Decides),
    ("truncate_dim", Only(&[])),
]]);

/// Keys of the files of lengths.
const LENGTH_KEYS: Keys = Keys(&[&[
    ("config_args", Only(&["{}"])),
    ("config_kwargs", Only(&["{}"])),
    ("do_lower_case", Decides),
    ("max_seq_length", Decides),
    ("modality_config", Idle),
    ("model_args", Only(&["{}"])),
    ("model_kwargs", Only(&["{}"])),
    ("module_output_name", Only(&["\"token_embeddings\""])),
    ("processing_kwargs", Only(&["{}"])),
    ("processor_kwargs", Only(&["{}"])),
    ("tokenizer_args", Only(&["{}"])),
    ("transformer_task", Only(&["\"feature-extraction\""])),
    ("unpad_inputs", Idle),
]]);

/// Every file of settings, with its keys.
pub(crate) const FILES: [(&str, Keys); 5] = [
    (modules::MODULES, modules::MODULE_KEYS),
    ("1_Pooling/config.json", modules::POOLING_KEYS),
    ("2_Dense/config.json", modules::DENSE_KEYS),
    (PROMPTS, PROMPT_KEYS),
    (LENGTHS[0], LENGTH_KEYS),
];

/// Reads the contract of a folder that another tool wrote, and makes the tokenizer what the folder's settings
/// make of it. Where it says nothing of prompts, decoders get those published for Revela's (`query: ` and
/// `passage: `) and encoders none.
pub(crate) fn read_contract(
    dir: &Path,
    modules: &Modules,
    config: &ModelConfig,
    tokenizer: &mut TextTokenizer,
) -> Result<Contract> {
    let max_length = match config {
        ModelConfig::Static(_) => {
            // Texts alone, without the tokens that the tokenizer puts around them; only its own file cuts them.
            tokenizer.take_frame_off();
            own_length(&modules.root(dir))?.min(config.max_length())
        }
        ModelConfig::Decoder(_) | ModelConfig::Bert(_) | ModelConfig::ModernBert(_) => {
            tokenizer.follow_settings(config)?;
            read_length(dir, config, tokenizer, LENGTH_KEYS, "last_hidden_state")?
        }
    };
    let said = Said::read(dir)?;
    let [query_prompt, passage_prompt] = match said.prompts {
        Some(prompts) => prompts,
        None => config.usual_prompts().map(str::to_owned),
    };
    let pooling = modules.pooling()?.unwrap_or(config.usual_pooling());
    config.check_pooling(pooling).map_err(|detail| ModelError::Config { path: dir.to_owned(), detail })?;
    Ok(Contract {
        query_prompt,
        passage_prompt,
        max_length,
        append: None,
        pooling,
        scale: modules.scale(),
        metric: said.metric,
    })
}

/// Longest sequence in tokens, as sentence-transformers finds it, but never more than there are positions. Files of
/// lengths have these keys, and let texts through the model for this output of its.
fn read_length(
    dir: &Path,
    config: &ModelConfig,
    tokenizer: &mut TextTokenizer,
    keys: Keys,
    output: &str,
) -> Result<usize> {
    let mut stated = None;
    for name in LENGTHS {
        let path = dir.join(name);
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        let Some(json) = check_file(&path, keys)? else { continue };
        // An empty file says nothing, and the next name is tried.
        if json.as_object().is_none_or(serde_json::Map::is_empty) {
            continue;
        }
        let fields = Fields(&json);
        if fields.flag("do_lower_case").map_err(wrong)? {
            tokenizer.lower_case()?;
        }
        let length = fields.length_or("max_seq_length", usize::MAX).map_err(wrong)?;
        // Of what other modalities do, texts see nothing.
        let plain = Some(plain_text(output));
        if json.get("modality_config").is_some_and(|m| !m.is_null() && m.get("text") != plain.as_ref()) {
            return Err(wrong(
                "modality_config does not take texts as they are, which is not supported".into(),
            ));
        }
        stated = (length < usize::MAX).then_some(length);
        break;
    }
    let length = match stated {
        Some(length) => length,
        None => tokenizer.limit(&dir.join(SETTINGS))?.unwrap_or(usize::MAX),
    };
    Ok(length.min(config.max_length()))
}

/// Where tokenizer.json itself cuts texts.
fn own_length(dir: &Path) -> Result<usize> {
    let json = read_json::<Value>(&dir.join(tokenizer::FILE))?.unwrap_or(Value::Null);
    let cut = json.get("truncation").and_then(|t| t.get("max_length")).and_then(Value::as_u64);
    Ok(cut.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX))
}

/// How sentence-transformers 6 writes that texts go through the model as ever.
fn plain_text(output: &str) -> Value {
    serde_json::json!({"method": "forward", "method_output_name": output})
}

/// What config_sentence_transformers.json says.
#[derive(Default)]
struct Said {
    /// For queries and for passages; nothing where there is no file.
    prompts: Option<[String; 2]>,
    metric: Metric,
}

impl Said {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(PROMPTS);
        let Some(json) = check_file(&path, PROMPT_KEYS)? else { return Ok(Self::default()) };
        let parse = || Ok(Self { prompts: Some(prompts(&json)?), metric: metric(&json)? });
        parse().map_err(|detail| ModelError::Config { path: path.clone(), detail })
    }
}

fn metric(json: &Value) -> std::result::Result<Metric, String> {
    match json.get("similarity_fn_name").filter(|name| !name.is_null()) {
        None => Ok(Metric::Cosine),
        Some(name) if name == "cosine" => Ok(Metric::Cosine),
        Some(name) if name == "dot" => Ok(Metric::Dot),
        Some(other) => Err(format!(
            "similarity_fn_name is {other}, by which nothing here can rank; cosine and dot are supported"
        )),
    }
}

/// The prompts of queries and of passages. A kind that the file names no prompt for gets the default one, which
/// sentence-transformers puts before every text of which nothing is said.
fn prompts(json: &Value) -> std::result::Result<[String; 2], String> {
    let named: BTreeMap<String, Option<String>> = match json.get("prompts").filter(|v| !v.is_null()) {
        Some(prompts) => serde_json::from_value(prompts.clone()).map_err(|e| format!("prompts: {e}"))?,
        None => BTreeMap::new(),
    };
    let default = match json.get("default_prompt_name").filter(|v| !v.is_null()) {
        None => None,
        Some(name) => {
            let name =
                name.as_str().ok_or_else(|| format!("default_prompt_name is {name}, which is no name"))?;
            let known = || named.keys().cloned().collect::<Vec<_>>().join(", ");
            let prompt = named
                .get(name)
                .ok_or_else(|| format!("default_prompt_name is {name}, but the prompts are {}", known()))?;
            Some((name, prompt.clone().unwrap_or_default()))
        }
    };
    let prompt = |mine: &[&str], others: &[&str]| {
        let found: Vec<&Option<String>> = mine.iter().filter_map(|name| named.get(*name)).collect();
        if found.is_empty() {
            // What is made for the other kind is not for this one, even as the default.
            let (_, text) = default.as_ref().filter(|(name, _)| !others.contains(name))?;
            return Some(text.clone());
        }
        // Beside others, sentence-transformers writes an empty prompt named `document`.
        found.into_iter().flatten().find(|text| !text.is_empty()).cloned()
    };
    const QUERY: &[&str] = &["query"];
    const PASSAGE: &[&str] = &["document", "passage", "corpus"];
    Ok([prompt(QUERY, PASSAGE).unwrap_or_default(), prompt(PASSAGE, QUERY).unwrap_or_default()])
}
