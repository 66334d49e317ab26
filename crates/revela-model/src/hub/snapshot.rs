//! Whether a snapshot in the hub's cache is the whole of a model.

use std::path::Path;

use serde::Deserialize;

use crate::hugging_face::read_json;
use crate::weights;

/// One of these says what the model is.
pub(super) const CONFIGS: [&str; 2] = ["config.json", "adapter_config.json"];

/// Files that change what a model computes, and that a repository may well lack.
pub(super) const OPTIONAL: [&str; 5] = [
    MODULES,
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

const MODULES: &str = "modules.json";

/// What is there of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All that decides vectors.
    Whole,
    /// All that must be; whether there should be more is not known.
    Unsure,
    /// Something is missing, or modules.json is without anything saying that the model has none.
    Partial(String),
}

impl State {
    /// Of a snapshot's folder; `absent` is the folder in which the hub's tools note what a repository lacks.
    pub(super) fn of(snapshot: &Path, absent: &Path) -> Self {
        let there = |name: &str| snapshot.join(name).exists();
        match missing(snapshot) {
            Some(name) => return Self::Partial(format!("{name} is missing")),
            None if !there(MODULES) && !absent.join(MODULES).exists() => {
                return Self::Partial(format!(
                    "nothing says whether it has a {MODULES}, which tells how states become a vector \
                     (if it has none, name the folder itself)"
                ));
            }
            None => {}
        }
        let known = |name: &&str| there(name) || absent.join(name).exists();
        if OPTIONAL.iter().all(known) || there(MODULES) { Self::Whole } else { Self::Unsure }
    }
}

/// The first file that must be there and is not.
fn missing(snapshot: &Path) -> Option<String> {
    let absent = |name: &str| !snapshot.join(name).exists();
    let needs = |name: &str| absent(name).then(|| name.to_owned());
    let [config, adapter] = CONFIGS;
    if !absent(adapter) {
        return needs("adapter_model.safetensors").or_else(|| missing_modules(snapshot));
    }
    needs(config)
        .filter(|_| !begins_with_table(snapshot))
        .or_else(|| missing_weights(snapshot))
        // Where only the older vocabulary is, opening the folder says what to do.
        .or_else(|| needs("tokenizer.json").filter(|_| absent("vocab.txt")))
        .or_else(|| missing_modules(snapshot))
}

fn missing_weights(folder: &Path) -> Option<String> {
    if folder.join(weights::WEIGHTS).exists() {
        return None;
    }
    match weights::shards(&folder.join(weights::INDEX)) {
        Ok(shards) => shards.into_iter().find(|shard| !folder.join(shard).exists()),
        Err(_) => Some(weights::WEIGHTS.to_owned()),
    }
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

/// A list that cannot be read is reported when the folder is opened.
fn modules(snapshot: &Path) -> Option<Vec<Module>> {
    read_json::<Vec<Module>>(&snapshot.join(MODULES)).ok().flatten()
}

/// Tables of token vectors have no config.json.
fn begins_with_table(snapshot: &Path) -> bool {
    let first = |modules: Vec<Module>| Some(modules.first()?.r#type.ends_with(".StaticEmbedding"));
    modules(snapshot).and_then(first).unwrap_or(false)
}

/// The first file of a module that must be there and is not.
fn missing_modules(snapshot: &Path) -> Option<String> {
    let modules = modules(snapshot)?;
    let mut missing = modules.iter().filter_map(|Module { path, r#type }| {
        let kind = r#type.rsplit('.').next().unwrap_or_default();
        let files: &[&str] = match kind {
            "Pooling" => &["config.json"],
            "Dense" => &["config.json", weights::WEIGHTS],
            _ => &[],
        };
        let lost = files.iter().find(|file| !snapshot.join(path).join(file).exists())?;
        Some(format!("{path}/{lost}"))
    });
    missing.next()
}
