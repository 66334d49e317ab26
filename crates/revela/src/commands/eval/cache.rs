//! What systems found, kept under a fingerprint of everything that decides it.
//!
//! The fingerprint covers the program's own bytes, so a change of the program finds nothing of before. Kept
//! runs are checked by their checksum when they are read; a damaged one counts as absent.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::file::{check_writable, create_dir};
use revela_base::lines::{LinesReader, LinesWriter};
use revela_eval::{Hit, Run};
use serde::{Deserialize, Serialize};

use super::CacheArgs;
use crate::progress::Terminal;

const FORMAT: &str = "revela.cached-run";
const VERSION: u32 = 1;

/// A folder of runs and indexes. Where it cannot be written, nothing is kept; no run fails for it.
pub(super) struct Cache {
    dir: PathBuf,
    progress: Terminal,
}

/// One query's ranking. Scores in double precision, in which every single one is exact.
#[derive(Serialize, Deserialize)]
struct Ranking {
    query: String,
    hits: Vec<(String, f64)>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    key: Checksum,
}

impl Cache {
    /// The folder that the flags name, or the user's; nothing where none is wanted or known.
    pub(super) fn open(args: &CacheArgs, progress: &Terminal) -> Option<Self> {
        if args.no_cache {
            return None;
        }
        let dir = args.cache.clone().or_else(users_folder)?;
        Some(Self { dir, progress: progress.clone() })
    }

    /// Says why something is not kept.
    fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        let advice = "--cache names another folder, --no-cache keeps nothing";
        self.progress.line(&format!("warning: {what} is not kept: {error}; {advice}"));
    }

    fn run_path(&self, key: Checksum) -> PathBuf {
        self.dir.join("runs").join(format!("{key}.jsonl"))
    }

    /// Where the index with this key is or will be; nothing where it is not and cannot be.
    pub(super) fn index_path(&self, key: Checksum) -> Option<PathBuf> {
        let folder = self.dir.join("indexes");
        let path = folder.join(key.to_string());
        if path.exists() {
            return Some(path);
        }
        match create_dir(&folder).and_then(|()| check_writable(&path)) {
            Ok(()) => Some(path),
            Err(error) => {
                self.warn("the index", &error);
                None
            }
        }
    }

    /// The run with this key, if it is there and whole.
    pub(super) fn find(&self, key: Checksum) -> Option<Run> {
        read(&self.run_path(key), key).ok()
    }

    /// Keeps a run, if it can be kept.
    pub(super) fn keep(&self, key: Checksum, run: &Run) {
        if let Err(error) = self.write(key, run) {
            self.warn("what was found", &error);
        }
    }

    fn write(&self, key: Checksum, run: &Run) -> Result<()> {
        let path = self.run_path(key);
        create_dir(path.parent().unwrap_or(&self.dir))?;
        let mut out = LinesWriter::create(&path, FORMAT, VERSION, &Meta { key })?;
        for (query, hits) in run.iter() {
            let hits = hits.iter().map(|hit| (hit.document.clone(), f64::from(hit.score)));
            out.push(&Ranking { query: query.to_owned(), hits: hits.collect() })?;
        }
        out.finish()?;
        Ok(())
    }
}

fn read(path: &Path, key: Checksum) -> Result<Run> {
    let (lines, meta) = LinesReader::<Ranking>::open::<Meta>(path, FORMAT, VERSION..=VERSION)?;
    anyhow::ensure!(meta.key == key, "{} is of another key", path.display());
    let mut run = Run::new();
    for line in lines {
        let Ranking { query, hits } = line?;
        let hits = hits.into_iter().map(|(document, score)| Hit::new(document, score as f32));
        run.insert(&query, hits.collect())?;
    }
    Ok(run)
}

/// `revela/eval` in the user's cache folder.
pub(crate) fn users_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(base.join("revela").join("eval"))
}

/// The start of every key: the bytes of this program.
pub(super) fn program() -> Result<Fingerprint> {
    let path = std::env::current_exe().context("cannot find the program's own file")?;
    Ok(Fingerprint::new().part("program", Checksum::of_file(&path)?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_bit_for_bit_and_damaged_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { dir: dir.path().to_owned(), progress: Terminal::new(true) };
        let (key, other) = (Checksum::of(b"a"), Checksum::of(b"b"));
        let mut run = Run::new();
        run.insert("q 1", vec![Hit::new("d", 0.1), Hit::new("e", 1e-30), Hit::new("f", -7.5)]).unwrap();
        run.insert("q2", vec![]).unwrap();
        assert!(cache.find(key).is_none());
        cache.keep(key, &run);
        assert_eq!(cache.find(key).unwrap(), run);
        assert!(cache.find(other).is_none());
        std::fs::copy(cache.run_path(key), cache.run_path(other)).unwrap();
        assert!(cache.find(other).is_none(), "a file under another key's name");
        let text = std::fs::read_to_string(cache.run_path(key)).unwrap();
        std::fs::write(cache.run_path(key), text.replace("-7.5", "-7.6")).unwrap();
        assert!(cache.find(key).is_none());
        cache.keep(key, &run);
        assert_eq!(cache.find(key).unwrap(), run);
    }

    #[test]
    fn a_folder_that_cannot_be_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let cache = Cache { dir: dir.path().join("file/cache"), progress: Terminal::new(true) };
        let key = Checksum::of(b"a");
        cache.keep(key, &Run::new());
        assert!(cache.find(key).is_none() && cache.index_path(key).is_none());
    }
}
