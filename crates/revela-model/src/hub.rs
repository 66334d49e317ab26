//! Finding models by their names on Hugging Face's hub. The only place where the `hf-hub` crate enters.
//!
//! A model that the cache has is taken from there without asking the network.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo};

use crate::error::{ModelError, Result};

/// One of these says what the model is.
const CONFIGS: [&str; 2] = ["config.json", "adapter_config.json"];
/// One of these says where its numbers are.
const WEIGHTS: [&str; 3] = ["model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"];
/// Folders of a model's repository with other forms of the same weights.
const OTHER_FORMS: [&str; 5] = ["onnx/", "openvino/", "original/", "coreml/", "gguf/"];

/// Where a model lies: a folder as it is; a name like `organisation/model` in the hub's cache, downloaded
/// first if it is not there. `HF_HOME` moves the cache, `HF_HUB_OFFLINE=1` forbids the network.
///
/// # Errors
/// When there is neither such a folder nor such a model, or the network is needed and fails.
pub fn locate(path: &Path) -> Result<Cow<'_, Path>> {
    match path.to_str() {
        Some(name) if !path.exists() && is_name(name) => resolve(name).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(path)),
    }
}

/// Where a model of this name, or the folder of this path, lies.
pub(crate) fn resolve(name: &str) -> Result<PathBuf> {
    let folder = Path::new(name);
    if folder.join(CONFIGS[0]).exists() {
        return Ok(folder.to_owned());
    }
    let failed = |detail: String| ModelError::Hub { name: name.to_owned(), detail };
    if !is_name(name) {
        return Err(failed(
            "there is no such folder, and it is no name of the form organisation/model".into(),
        ));
    }
    let cache = Cache::from_env();
    if let Some(found) = cached(&cache, name) {
        return Ok(found);
    }
    if std::env::var_os("HF_HUB_OFFLINE").is_some_and(|value| value != "0") {
        let place = cache.path().display().to_string();
        return Err(failed(format!(
            "it is not in the cache at {place}, and HF_HUB_OFFLINE forbids to fetch it"
        )));
    }
    download(cache, name).map_err(|e| {
        failed(format!("it is no folder and not in the cache, and the hub cannot be asked for it: {e}"))
    })
}

fn is_name(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split_once('/').is_some_and(|(organisation, model)| word(organisation) && word(model))
}

/// The folder of a whole model in the cache.
fn cached(cache: &Cache, name: &str) -> Option<PathBuf> {
    let repo = cache.repo(Repo::model(name.to_owned()));
    let first = |names: &[&str]| names.iter().find_map(|file| repo.get(file));
    first(&WEIGHTS)?;
    Some(first(&CONFIGS)?.parent()?.to_owned())
}

fn download(cache: Cache, name: &str) -> std::result::Result<PathBuf, ApiError> {
    let progress = std::io::stderr().is_terminal();
    let api = ApiBuilder::from_cache(cache).with_progress(progress).build()?;
    let repo = api.model(name.to_owned());
    let mut place = PathBuf::new();
    for file in repo.info()?.siblings.into_iter().map(|file| file.rfilename).filter(|file| is_wanted(file)) {
        let path = repo.get(&file)?;
        if CONFIGS.contains(&file.as_str()) {
            place = path.parent().unwrap_or(Path::new("")).to_owned();
        }
    }
    Ok(place)
}

/// Whether a file of a repository decides what the model computes.
fn is_wanted(file: &str) -> bool {
    let other = OTHER_FORMS.iter().any(|folder| file.starts_with(folder));
    !other && (file.ends_with(".json") || file.ends_with(".safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_paths() {
        for name in ["sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-m3"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["model", "./model", "/a/b", "a/b/c", "a/", "../b", "a b/c"] {
            assert!(!is_name(path), "{path}");
        }
        assert!(
            is_wanted("1_Pooling/config.json") && !is_wanted("onnx/model.json") && !is_wanted("README.md")
        );
    }

    #[test]
    fn a_whole_model_is_found_in_the_cache_and_half_a_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("models--tiny--model");
        let snapshot = model.join("snapshots/abc");
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(model.join("refs/main"), "abc").unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        let find = || cached(&Cache::new(root.path().to_owned()), "tiny/model");
        assert_eq!(find(), None);
        std::fs::write(snapshot.join("model.safetensors"), "").unwrap();
        assert_eq!(find(), Some(snapshot));
    }

    #[test]
    fn paths_that_are_no_names_are_refused_without_asking_the_network() {
        let error = resolve("no/such/folder").unwrap_err().to_string();
        assert!(error.contains("no/such/folder") && error.contains("organisation/model"), "{error}");
        assert_eq!(locate(Path::new("relative")).unwrap(), Path::new("relative"));
    }
}
