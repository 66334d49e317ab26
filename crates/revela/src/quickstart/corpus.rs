//! The corpus of the quickstart: the sources of the crates this program was built from, or any folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_text::{BadInput, Document, Documents, SourceConfig, SourceKind, TextError};

use crate::Context;
use crate::commands::reading::say_left_out;

/// The lock file of the build: names and versions of the crates whose sources cargo has fetched.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// A corpus of a folder is cut into at least this many parts, if it has so many files.
const PARTS: usize = 10;

/// Where documents come from, and which part of the corpus each belongs to. A part (a crate, a folder) is
/// either trained on or held out as a whole.
#[derive(Debug)]
pub(crate) struct Corpus {
    roots: Vec<Root>,
    parts: BTreeSet<String>,
    /// Components of a document's path that name its part.
    depth: usize,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// Put before the ids of its documents.
    prefix: String,
    kind: SourceKind,
}

/// How much of a corpus is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Bytes of one part; the rest of it is left out, so that no part outweighs all others.
    pub(crate) of_part: usize,
    /// Bytes of all.
    pub(crate) in_all: usize,
}

impl Corpus {
    /// The sources of the crates in the lock file of the build that are in cargo's folder.
    pub(crate) fn of_crates() -> Result<Self> {
        let folders = crate_folders(&registries()?, LOCK)?;
        if folders.len() < PARTS {
            bail!(
                "only {} of the crates this program is built from are in cargo's folder; run `cargo fetch`, or \
                 name another corpus with --corpus DIR",
                folders.len()
            );
        }
        let parts = folders.keys().cloned().collect();
        let roots = folders.into_iter().map(|(name, path)| {
            let prefix = format!("{name}/");
            Root { path, prefix, kind: SourceKind::Code }
        });
        Ok(Self { roots: roots.collect(), parts, depth: 1 })
    }

    /// A folder of code or text, or a file of JSON lines.
    pub(crate) fn of_path(path: &Path, context: &Context) -> Result<Self> {
        let root = Root { path: path.to_owned(), prefix: String::new(), kind: SourceKind::of_path(path) };
        let mut ids = Vec::new();
        let task = context.progress.task("looking at the corpus", "documents", None);
        let mut documents = Documents::open(root.source())?;
        for document in documents.by_ref() {
            context.interrupt.check()?;
            ids.push(document?.id);
            task.advance(1);
        }
        drop(task);
        say_left_out(&documents, context);
        let (depth, parts) = cut_into_parts(&ids);
        if parts.len() < 2 {
            bail!("{} holds one document only: nothing could be held out", path.display());
        }
        Ok(Self { roots: vec![root], parts, depth })
    }

    /// The names of all parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(String::as_str)
    }

    /// Whether each part is a folder at the corpus's top.
    pub(crate) fn parts_are_folders(&self) -> bool {
        self.depth == 1 && self.parts.len() >= PARTS
    }

    /// Shows every document of the wanted parts, in an order that `seed` fixes, until the amount is reached of
    /// the bytes that `show` says it took.
    pub(crate) fn visit(
        &self,
        wanted: &BTreeSet<String>,
        amount: Amount,
        seed: Seed,
        context: &Context,
        mut show: impl FnMut(Document) -> Result<usize>,
    ) -> Result<()> {
        let mut read: BTreeMap<String, usize> = BTreeMap::new();
        let mut all = 0;
        for root in shuffled(&self.roots, seed) {
            let whole_root = self.parts.contains(root.prefix.trim_end_matches('/'));
            if whole_root && !wanted.contains(root.prefix.trim_end_matches('/')) {
                continue;
            }
            for document in root.documents()? {
                context.interrupt.check()?;
                let document = match document {
                    // A crate may hold nothing but a manifest.
                    Err(TextError::NoDocuments { .. }) if whole_root => break,
                    document => document?,
                };
                let part = part_of(&document.id, self.depth);
                if !wanted.contains(part) {
                    continue;
                }
                let of_part = read.entry(part.to_owned()).or_default();
                if *of_part >= amount.of_part {
                    if whole_root {
                        break;
                    }
                    continue;
                }
                let taken = show(document)?;
                *of_part += taken;
                all += taken;
                if all >= amount.in_all {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Root {
    fn source(&self) -> SourceConfig {
        SourceConfig { bad_input: BadInput::Skip, ..SourceConfig::new(&self.path, self.kind) }
    }

    /// Its documents, with the prefix; what cannot be read is left out.
    fn documents(&self) -> Result<impl Iterator<Item = Result<Document, TextError>>> {
        let documents = Documents::open(self.source())?;
        Ok(documents.map(|document| {
            let mut document = document?;
            document.id.insert_str(0, &self.prefix);
            Ok(document)
        }))
    }
}

/// Roots in an order that depends on the seed and their names alone.
fn shuffled(roots: &[Root], seed: Seed) -> Vec<&Root> {
    let mut order: Vec<_> = roots.iter().map(|root| (seed.derive(&root.prefix).0, root)).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.prefix.cmp(&b.1.prefix)));
    order.into_iter().map(|(_, root)| root).collect()
}

/// The first components of a document's path.
fn part_of(id: &str, depth: usize) -> &str {
    match id.match_indices('/').nth(depth - 1) {
        Some((end, _)) => id.get(..end).unwrap_or(id),
        None => id,
    }
}

/// The smallest depth that gives enough parts; single files where folders never do.
fn cut_into_parts(ids: &[String]) -> (usize, BTreeSet<String>) {
    let deepest = ids.iter().map(|id| id.matches('/').count()).max().unwrap_or(0) + 1;
    let at = |depth| ids.iter().map(|id| part_of(id, depth).to_owned()).collect::<BTreeSet<_>>();
    let mut found = (1, at(1));
    while found.1.len() < PARTS && found.0 < deepest {
        found = (found.0 + 1, at(found.0 + 1));
    }
    found
}

/// Cargo's folders of unpacked crates, one per registry.
fn registries() -> Result<Vec<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.context("neither CARGO_HOME nor a home folder is known")?.join("registry").join("src");
    let Ok(entries) = std::fs::read_dir(&sources) else { return Ok(Vec::new()) };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    Ok(folders)
}

/// The packages of a lock file that one of the registries' folders holds.
fn crate_folders(registries: &[PathBuf], lock: &str) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(serde::Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(lock).context("the lock file of the build is damaged")?;
    let names = lock.package.iter().map(|package| format!("{}-{}", package.name, package.version));
    let found = names.filter_map(|name| {
        let folder = registries.iter().map(|registry| registry.join(&name)).find(|path| path.is_dir())?;
        Some((name, folder))
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_highest_folders_that_are_enough() {
        let ids = |n: usize, prefix: &str| (0..n).map(|i| format!("{prefix}/{i}/x.rs")).collect::<Vec<_>>();
        let (depth, parts) = cut_into_parts(&ids(12, "src"));
        assert_eq!((depth, parts.len()), (2, 12));
        assert!(parts.contains("src/3"));
        let (depth, parts) = cut_into_parts(&["a.txt".to_owned(), "b.txt".to_owned()]);
        assert_eq!((depth, parts.len()), (1, 2));
        assert_eq!(cut_into_parts(&[]).1.len(), 0);
    }

    #[test]
    fn crates_of_the_lock_file_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("index");
        std::fs::create_dir_all(registry.join("serde-1.0.0")).unwrap();
        std::fs::create_dir_all(registry.join("other-1.0.0")).unwrap();
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n[[package]]\nname = \"gone\"\nversion = \"2.0.0\"\n";
        let found = crate_folders(&[dir.path().join("missing"), registry], lock).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["serde-1.0.0"]);
        assert!(crate_folders(&[], "rubbish").is_err());
        assert!(toml::from_str::<toml::Table>(LOCK).unwrap()["package"].as_array().unwrap().len() > 100);
    }
}
