//! Killed at any moment, a collection is as before the change or as after it.
//!
//! The test starts itself again as a child that makes one change, and kills it after a random time.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_base::seed::Seed;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Duplicates, GraphOptions, InsertOrder, Passage,
    Structure, VectorOptions,
};

/// Names the change and the folder for the child.
const CHANGE: &str = "REVELA_TEST_CHANGE";
const FOLDER: &str = "REVELA_TEST_FOLDER";

const DIM: usize = 16;

fn passages(from: u32, to: u32) -> Vec<Result<Passage, std::io::Error>> {
    let passage = |id| Passage { id: format!("p{id}"), title: String::new(), text: format!("text {id}") };
    (from..to).map(|id| Ok(passage(id))).collect()
}

fn build(path: &Path) {
    let graph =
        GraphOptions { m: 4, ef_construction: 10, order: InsertOrder::Parallel, ..GraphOptions::default() };
    let options = VectorOptions { structure: Structure::Graph, graph, ..VectorOptions::default() };
    let builder = CollectionBuilder::new(path).shard_rows(150).vectors(options);
    builder.build(passages(0, 400), Some(&HashEmbedder::new(DIM)), &Silent, &Interrupt::new()).unwrap();
}

fn change(name: &str, path: &Path) {
    let never = Interrupt::new();
    if name == "build" {
        return build(path);
    }
    let mut writer = CollectionWriter::open(path).unwrap();
    match name {
        "add" => {
            let embedder = HashEmbedder::new(DIM);
            writer.add(passages(300, 700), Some(&embedder), Duplicates::LastWins, &Silent, &never).unwrap();
        }
        "delete" => {
            writer.delete((0..200).map(|id| format!("p{id}"))).unwrap();
        }
        _ => {
            writer.compact(&Silent, &never).unwrap();
        }
    }
}

/// The child's part; without the variables it is an empty test.
#[test]
fn child() {
    if let (Ok(name), Ok(folder)) = (std::env::var(CHANGE), std::env::var(FOLDER)) {
        change(&name, Path::new(&folder));
    }
}

fn start(name: &str, path: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact"])
        .env(CHANGE, name)
        .env(FOLDER, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many changes there were, and the ids that can be found, after everything was checked; nothing
/// where there is no collection.
fn state(path: &Path) -> Option<(u64, BTreeSet<String>)> {
    if !path.join("manifest.jsonl").exists() {
        return None;
    }
    let collection = Collection::open(path).unwrap();
    collection.verify(&Silent, &Interrupt::new()).unwrap();
    let all = (0..700).map(|id| format!("p{id}")).filter(|id| collection.contains(id).unwrap());
    let all: BTreeSet<String> = all.collect();
    assert_eq!(all.len() as u64, collection.len());
    Some((collection.generation(), all))
}

/// A fresh folder in the state before a change.
fn before(root: &Path, name: &str, round: usize) -> PathBuf {
    let path = root.join(format!("{name}{round}"));
    if name != "build" {
        build(&path);
    }
    if name == "compact" {
        let mut writer = CollectionWriter::open(&path).unwrap();
        writer.delete((0..300).step_by(3).map(|id| format!("p{id}"))).unwrap();
    }
    path
}

#[test]
fn killed_at_random_moments() {
    let root = tempfile::tempdir().unwrap();
    let mut random = Seed(7).stream("kill");
    for name in ["build", "add", "delete", "compact"] {
        let path = before(root.path(), name, 0);
        let (old, begun) = (state(&path), Instant::now());
        assert!(start(name, &path).wait().unwrap().success(), "{name}");
        let (new, whole) = (state(&path), begun.elapsed());
        assert!(old != new, "{name}");
        let mut killed = 0;
        for round in 1..=25 {
            let path = before(root.path(), name, round);
            let mut child = start(name, &path);
            std::thread::sleep(Duration::from_secs_f64(random.random_range(0.0..whole.as_secs_f64())));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
            let found = state(&path);
            assert!(found == old || found == new, "{name} {round}");
            // The change can be made again, whatever was left behind.
            if found == old {
                change(name, &path);
                assert!(state(&path) == new, "{name} {round}");
            }
            std::fs::remove_dir_all(&path).unwrap();
        }
        assert!(killed > 0, "no {name} was killed in time");
    }
}
