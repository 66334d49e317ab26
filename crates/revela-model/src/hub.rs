//! Finding models by their names: in the hub's cache, or on the hub itself.
//!
//! A model that the cache has as a whole is taken from there without asking the network. Other tools fill the
//! cache with those files only that they need, and downloads break off; what is missing is fetched, and where
//! that cannot be, the model is refused rather than taken for another.

mod snapshot;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use revela_base::file::{FileError, create_dir, write_atomic};
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Silent};
use revela_hub::{Environment, Hub, HubError, Listing, RemoteFile, Repository, Watch};

use crate::error::{ModelError, Result};
use snapshot::{CONFIGS, State};

/// Folders of a model's repository with other forms of the same weights.
const OTHER_FORMS: [&str; 5] = ["onnx/", "openvino/", "original/", "coreml/", "gguf/"];

/// Added to the name of a file that is under way.
const PARTIAL: &str = ".incomplete";

/// Who sees downloads, and may stop them.
static WATCHER: OnceLock<(Arc<dyn Progress>, Interrupt)> = OnceLock::new();

/// Shows downloads of models to a program, and lets it stop them. Only the first call counts.
pub fn watch(progress: Arc<dyn Progress>, interrupt: Interrupt) {
    // Whoever came first goes on watching.
    let _ = WATCHER.set((progress, interrupt));
}

/// Where a model lies: a folder as it is; a name like `organisation/model` in the hub's cache, downloaded
/// first if it is not there. The environment counts as for the hub's own tools ([`Environment`]).
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
    if !is_name(name) {
        let detail = "there is no such folder, and it is no name of the form organisation/model".into();
        return Err(ModelError::Hub { name: name.to_owned(), detail });
    }
    find(name, &Environment::read())
}

fn is_name(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split_once('/').is_some_and(|(organisation, model)| word(organisation) && word(model))
}

/// The folder of a model in the cache, after fetching what is missing there.
fn find(name: &str, environment: &Environment) -> Result<PathBuf> {
    let failed = |detail: String| ModelError::Hub { name: name.to_owned(), detail };
    let cached = environment.snapshot(name);
    let state = cached.as_ref().map(|(commit, folder)| {
        State::of(folder, &environment.model_folder(name).join(".no_exist").join(commit))
    });
    let (lacks, usable) = match (&cached, state) {
        (Some((_, folder)), Some(State::Whole)) => return Ok(folder.clone()),
        (Some((_, folder)), Some(State::Unsure)) => (String::new(), Some(folder.clone())),
        (Some((_, folder)), Some(State::Partial(what))) => {
            (format!("the cache holds only a part of it, in {}: {what}", folder.display()), None)
        }
        _ => (format!("it is not in the cache at {}", environment.cache.display()), None),
    };
    if environment.offline {
        return usable.ok_or_else(|| failed(format!("{lacks}, and HF_HUB_OFFLINE forbids to fetch it")));
    }
    match download(name, environment) {
        Ok(folder) => Ok(folder),
        Err(HubError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(error) => usable.ok_or_else(|| failed(format!("{lacks}, and it cannot be fetched: {error}"))),
    }
}

fn download(name: &str, environment: &Environment) -> std::result::Result<PathBuf, HubError> {
    let hub = Hub::new(environment);
    let Listing { commit, files } = hub.newest(name)?;
    let folder = environment.model_folder(name);
    let snapshot = folder.join("snapshots").join(&commit);
    let wanted: Vec<&RemoteFile> = files.iter().filter(|file| is_wanted(&file.path, &files)).collect();
    let missing: Vec<&&RemoteFile> =
        wanted.iter().filter(|file| !is_there(&snapshot.join(&file.path), file.size)).collect();
    let silent = || (Arc::new(Silent) as Arc<dyn Progress>, Interrupt::new());
    let (progress, interrupt) = WATCHER.get().cloned().unwrap_or_else(silent);
    let total = missing.iter().map(|file| file.size).sum::<Option<u64>>();
    let task = progress.task(&format!("fetching {name}"), "bytes", total);
    for file in missing {
        let target = snapshot.join(&file.path);
        let partial = with_end(&target, PARTIAL);
        let watch = Watch { progress: &*task, interrupt: &interrupt };
        hub.fetch(Repository::Model(name), &commit, file, &partial, watch)?;
        // In a cache that other tools fill, what stands there may be a link to what it lacks.
        if target.symlink_metadata().is_ok() {
            std::fs::remove_file(&target).map_err(FileError::io("remove", &target))?;
        }
        std::fs::rename(&partial, &target).map_err(FileError::io("rename", &target))?;
    }
    // As the hub's own tools do, so that the network need not be asked again for what is not there.
    let absent = folder.join(".no_exist").join(&commit);
    for name in snapshot::OPTIONAL.into_iter().filter(|name| !files.iter().any(|file| file.path == *name)) {
        create_dir(&absent)?;
        write_atomic(&absent.join(name), |_| Ok(()))?;
    }
    // Last, so that nobody finds half of it.
    let main = folder.join("refs").join("main");
    create_dir(&folder.join("refs"))?;
    write_atomic(&main, |out| out.write_all(commit.as_bytes()))?;
    Ok(snapshot)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}{end}"))
}

/// Whether a file is there as a whole. A link to nothing is not.
fn is_there(path: &Path, size: Option<u64>) -> bool {
    path.metadata().is_ok_and(|data| size.is_none_or(|size| data.len() == size))
}

/// Whether a file of a repository decides what the model computes.
fn is_wanted(file: &str, all: &[RemoteFile]) -> bool {
    let other = OTHER_FORMS.iter().any(|folder| file.starts_with(folder));
    // Published in one piece and in shards, weights are needed once.
    let single = all.iter().any(|file| file.path == "model.safetensors");
    let shard = file.starts_with("model-") && file.ends_with(".safetensors");
    !other && (file.ends_with(".json") || file.ends_with(".safetensors")) && !(single && shard)
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
        let wanted = |file| is_wanted(file, &[]);
        assert!(wanted("1_Pooling/config.json") && !wanted("onnx/model.json") && !wanted("README.md"));
        let whole = [RemoteFile::named("model.safetensors")];
        assert!(wanted("model-00001-of-00002.safetensors"));
        assert!(!is_wanted("model-00001-of-00002.safetensors", &whole));
    }

    #[test]
    fn paths_that_are_no_names_are_refused_without_asking_the_network() {
        let error = resolve("no/such/folder").unwrap_err().to_string();
        assert!(error.contains("no/such/folder") && error.contains("organisation/model"), "{error}");
        assert_eq!(locate(Path::new("relative")).unwrap(), Path::new("relative"));
    }

    /// A cache with these files of a model's snapshot, and an environment that may not ask the network.
    fn cache(root: &Path, files: &[(&str, &str)]) -> Environment {
        let environment = Environment {
            endpoint: "http://127.0.0.1:9".into(),
            cache: root.to_owned(),
            token: None,
            offline: true,
        };
        let model = environment.model_folder("tiny/model");
        for (name, text) in files.iter().copied().chain([("../../refs/main", "abc")]) {
            let path = model.join("snapshots/abc").join(name);
            create_dir(&model.join("snapshots/abc")).unwrap();
            create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        environment
    }

    const PLAIN: [(&str, &str); 3] =
        [("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "")];

    #[test]
    fn a_whole_model_is_found_in_the_cache_and_half_a_one_is_not() {
        let modules =
            r#"[{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}]"#;
        let pooling = ("1_Pooling/config.json", "{}");
        let listed = ("modules.json", modules);
        let index = ("model.safetensors.index.json", r#"{"weight_map": {"a": "model-1.safetensors"}}"#);
        let none = ("../../.no_exist/abc/modules.json", "");
        let whole: [&[(&str, &str)]; 4] = [
            &[&PLAIN[..], &[listed, pooling]].concat(),
            &[&PLAIN[..], &[none]].concat(),
            &[&PLAIN[..2], &[index, ("model-1.safetensors", ""), none]].concat(),
            &[("adapter_config.json", "{}"), ("adapter_model.safetensors", ""), none],
        ];
        for files in whole {
            let root = tempfile::tempdir().unwrap();
            let found = find("tiny/model", &cache(root.path(), files)).unwrap();
            assert!(found.ends_with("snapshots/abc"), "{files:?}");
        }
        let halves: [(&[(&str, &str)], &str); 6] = [
            (&PLAIN, "modules.json"),
            (&PLAIN[..2], "model.safetensors"),
            (&[PLAIN[0], PLAIN[2], none], "tokenizer.json"),
            (&[&PLAIN[..], &[listed]].concat(), "1_Pooling/config.json"),
            (&[&PLAIN[..2], &[index, none]].concat(), "model-1.safetensors"),
            (&[("adapter_config.json", "{}"), none], "adapter_model.safetensors"),
        ];
        for (files, part) in halves {
            let root = tempfile::tempdir().unwrap();
            let mut environment = cache(root.path(), files);
            let error = find("tiny/model", &environment).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("HF_HUB_OFFLINE"), "{files:?}: {error}");
            environment.offline = false;
            let error = find("tiny/model", &environment).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("http://127.0.0.1:9/"), "{files:?}: {error}");
        }
        let root = tempfile::tempdir().unwrap();
        let error = find("other/model", &cache(root.path(), &[])).unwrap_err().to_string();
        assert!(error.contains("not in the cache"), "{error}");
    }
}
