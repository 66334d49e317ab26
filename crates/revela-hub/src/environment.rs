//! What the hub's own tools read from the environment.

use std::path::{Path, PathBuf};

/// The hub's address where nothing else is said.
const ENDPOINT: &str = "https://huggingface.co";

/// Address, cache and token, and whether the network may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `HF_ENDPOINT`, without a slash at the end.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or else in the user's cache folder.
    pub cache: PathBuf,
    /// `HF_TOKEN`, or what the file of `HF_TOKEN_PATH` or `token` in `HF_HOME` holds.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE` (or transformers' `TRANSFORMERS_OFFLINE`): only the cache may be used.
    pub offline: bool,
}

impl Environment {
    /// Of this process.
    pub fn read() -> Self {
        Self::of(&|name| std::env::var(name).ok())
    }

    /// Of these variables. Empty ones count as not set.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| get(name).map(|value| at_home(&value, get("HOME")));
        let users = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        let home = path("HF_HOME")
            .unwrap_or_else(|| users().unwrap_or_else(|| PathBuf::from(".cache")).join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let yes = |name: &str| {
            get(name).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()))
        };
        let stored = || {
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
            let kept = (!yes("HF_HUB_DISABLE_IMPLICIT_TOKEN")).then(|| std::fs::read_to_string(file).ok());
            kept.flatten()
        };
        let token = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN")).or_else(stored);
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: yes("HF_HUB_OFFLINE") || yes("TRANSFORMERS_OFFLINE"),
        }
    }

    /// Where the cache keeps a model, `organisation/model`.
    pub fn model_folder(&self, name: &str) -> PathBuf {
        self.cache.join(format!("models--{}", name.replace('/', "--")))
    }

    /// The snapshot that the cache holds of a model: its commit and its folder.
    pub fn snapshot(&self, name: &str) -> Option<(String, PathBuf)> {
        let folder = self.model_folder(name);
        let commit = std::fs::read_to_string(main_ref(&folder)).ok()?.trim().to_owned();
        let snapshot = folder.join("snapshots").join(&commit);
        (!commit.is_empty() && snapshot.is_dir()).then_some((commit, snapshot))
    }
}

/// A path whose `~` at the beginning, which no shell has replaced in a file of settings, is the user's folder.
fn at_home(path: &str, home: Option<String>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => PathBuf::from(home),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            Path::new(&home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

/// The file that names the commit of the main branch.
pub(crate) fn main_ref(folder: &Path) -> PathBuf {
    folder.join("refs").join("main")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Environment::of(&find)
    }

    #[test]
    fn the_environment_is_read_as_the_hubs_own_tools_do() {
        let plain = of(&[("HOME", "/h")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((plain.token, plain.offline), (None, false));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
        assert_eq!(of(&[("HOME", "/h"), ("HF_HOME", "/f")]).cache, Path::new("/f/hub"));
        assert_eq!(of(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]).cache, Path::new("/c"));
        for (said, meant) in [("~/c", "/h/c"), ("~", "/h"), ("~other/c", "~other/c"), ("/a/~", "/a/~")] {
            assert_eq!(of(&[("HOME", "/h"), ("HF_HUB_CACHE", said)]).cache, Path::new(meant));
        }
        assert_eq!(of(&[("HF_ENDPOINT", "http://mirror/")]).endpoint, "http://mirror");
        assert_eq!(of(&[("HF_ENDPOINT", "")]).endpoint, "https://huggingface.co");
        assert_eq!(of(&[("HF_TOKEN", " hf_x\n")]).token.as_deref(), Some("hf_x"));
        for (value, offline) in [("1", true), ("true", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(of(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert!(of(&[("TRANSFORMERS_OFFLINE", "YES")]).offline);
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_y\n").unwrap();
        let home = home.path().to_str().unwrap();
        assert_eq!(of(&[("HF_HOME", home)]).token.as_deref(), Some("hf_y"));
        assert_eq!(of(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
    }
}
