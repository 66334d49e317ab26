//! What sentence-transformers' files say of a CrossEncoder.

use std::path::Path;

use serde_json::Value;

use super::modules::{MODULE_KEYS, MODULES, check_file, kind};
use super::{PROMPTS, read_length};
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::hugging_face::read_json;
use crate::keys::{Keys, Role};
use crate::model_config::ModelConfig;
use crate::tokenizer::TextTokenizer;

use Role::{Decides, Idle, Only};

/// Keys of config_sentence_transformers.json beside a CrossEncoder.
const RERANKER_KEYS: Keys = Keys(&[&[
    ("__version__", Idle),
    ("activation_fn", Decides),
    ("default_prompt_name", Decides),
    ("keep_in_fp32_modules", Idle),
    ("model_type", Only(&["\"CrossEncoder\""])),
    // None is put before texts unless it is the default.
    ("prompts", Decides),
    ("requirements", Idle),
]]);

/// Keys of the files of lengths beside a CrossEncoder.
const LENGTH_KEYS: Keys = Keys(&[&[
    ("config_args", Only(&["{}"])),
    ("config_kwargs", Only(&["{}"])),
    ("do_lower_case", Decides),
    ("max_seq_length", Decides),
    ("modality_config", Idle),
    ("model_args", Only(&["{}"])),
    ("model_kwargs", Only(&["{}"])),
    ("module_output_name", Only(&["\"scores\"", "\"causal_logits\""])),
    ("processing_kwargs", Only(&["{}"])),
    ("processor_kwargs", Only(&["{}"])),
    ("tokenizer_args", Only(&["{}"])),
    ("transformer_task", Only(&["\"sequence-classification\"", "\"text-generation\""])),
    ("unpad_inputs", Idle),
]]);

/// Keys of the file of a LogitScore.
const LOGIT_KEYS: Keys = Keys(&[&[
    ("false_token_id", Decides),
    ("module_input_name", Only(&["\"causal_logits\""])),
    ("true_token_id", Decides),
]]);

/// Keys of what CrossEncoder wrote into config.json before version 6.
const IN_CONFIG: Keys = Keys(&[&[("activation_fn", Decides), ("version", Idle)]]);

/// What becomes of a model's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Squash {
    /// Nothing.
    Identity,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
}

impl Squash {
    /// Applies it.
    pub(crate) fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    fn parse(name: &Value) -> std::result::Result<Self, String> {
        let class = name.as_str().and_then(|name| name.strip_prefix("torch."));
        match class.and_then(|class| class.rsplit('.').next()) {
            Some("Identity") => Ok(Self::Identity),
            Some("Sigmoid") => Ok(Self::Sigmoid),
            _ => Err(format!("the activation is {name}; torch's Sigmoid and Identity are known")),
        }
    }
}

/// What the files beside a reranker's model say.
#[derive(Debug, Default)]
pub(crate) struct RerankerFiles {
    /// What becomes of scores, where it is said.
    pub(crate) squash: Option<Squash>,
    /// The tokens of a relevant and an irrelevant passage, where the score is of their logits.
    pub(crate) logits: Option<[u64; 2]>,
    /// What is put before texts.
    pub(crate) prompt: Option<String>,
    listed: bool,
}

impl RerankerFiles {
    /// Reads them. `config` is the JSON of config.json.
    ///
    /// # Errors
    /// The first file and key that would give other scores and is not supported.
    pub(crate) fn read(dir: &Path, config: &Value) -> Result<Self> {
        let mut files = Self::default();
        files.read_modules(dir)?;
        // Without a list of modules the other files are not looked at, by sentence-transformers neither.
        if files.listed {
            files.read_settings(dir)?;
        }
        if files.squash.is_none() {
            let path = dir.join(crate::model_config::FILE);
            files.squash = in_config(config).map_err(|detail| ModelError::Config { path, detail })?;
        }
        Ok(files)
    }

    fn read_modules(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(MODULES);
        let Some(list) = read_json::<Vec<Value>>(&path)? else { return Ok(()) };
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        self.listed = true;
        for (number, entry) in list.iter().enumerate() {
            Fields(entry).check(Some(MODULE_KEYS)).map_err(wrong)?;
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            match (kind(text("type")), number, text("path")) {
                (Some("Transformer"), 0, "" | ".") => {}
                (Some("LogitScore"), 1, folder) if is_inside(folder) => {
                    self.logits = Some(read_logits(&dir.join(folder).join("config.json"))?);
                }
                _ => {
                    return Err(wrong(format!(
                        "module {number} is {} in {:?}; a reranker is a Transformer beside this file, with or without \
                         a LogitScore after it",
                        text("type"),
                        text("path")
                    )));
                }
            }
        }
        Ok(())
    }

    fn read_settings(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(PROMPTS);
        let Some(json) = check_file(&path, RERANKER_KEYS)? else { return Ok(()) };
        let wrong = |detail: String| ModelError::Config { path: path.clone(), detail };
        if let Some(name) = given(&json, "activation_fn") {
            self.squash = Some(Squash::parse(name).map_err(wrong)?);
        }
        if let Some(name) = given(&json, "default_prompt_name") {
            let prompt =
                name.as_str().and_then(|name| json.get("prompts")?.get(name)).and_then(Value::as_str);
            let prompt = prompt.ok_or_else(|| {
                wrong(format!("default_prompt_name is {name}, which none of the prompts is"))
            })?;
            self.prompt = Some(prompt.to_owned()).filter(|prompt| !prompt.is_empty());
        }
        Ok(())
    }

    /// Makes the tokenizer what the folder's settings make of it. Returns the longest sequence in tokens.
    pub(crate) fn follow(
        &self,
        dir: &Path,
        config: &ModelConfig,
        tokenizer: &mut TextTokenizer,
    ) -> Result<usize> {
        tokenizer.follow_settings(config)?;
        if self.listed {
            return read_length(dir, config, tokenizer, LENGTH_KEYS, "logits");
        }
        let stated = tokenizer.limit(&dir.join(crate::tokenizer::SETTINGS))?;
        Ok(stated.unwrap_or(usize::MAX).min(config.max_length()))
    }
}

fn given<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json.get(key).filter(|value| !value.is_null())
}

fn is_inside(folder: &str) -> bool {
    !folder.is_empty()
        && !Path::new(folder).is_absolute()
        && !folder.split(['/', '\\']).any(|part| part == "..")
}

/// The activation by the keys of config.json, newer and older.
fn in_config(config: &Value) -> std::result::Result<Option<Squash>, String> {
    if let Some(object) = given(config, "sentence_transformers") {
        let fields = object.as_object().ok_or("sentence_transformers is no object")?;
        IN_CONFIG.check(fields).map_err(|e| format!("sentence_transformers: {e}"))?;
        if let Some(name) = given(object, "activation_fn") {
            return Squash::parse(name).map(Some);
        }
    }
    given(config, "sbert_ce_default_activation_function").map(Squash::parse).transpose()
}

fn read_logits(path: &Path) -> Result<[u64; 2]> {
    let wrong = |detail: String| ModelError::Config { path: path.to_owned(), detail };
    let json = check_file(path, LOGIT_KEYS)?.ok_or_else(|| wrong("the file is missing".into()))?;
    let id = |key: &str| {
        let id = json.get(key).and_then(Value::as_u64);
        id.ok_or_else(|| {
            wrong(format!("{key} is missing or no token; the logits of two tokens are compared"))
        })
    };
    Ok([id("true_token_id")?, id("false_token_id")?])
}
