//! What is done with each input. Nothing here checks answers: whatever the files say, nothing may panic.

use std::path::Path;

use revela_base::checksum::Checksum;
use revela_base::interrupt::Interrupt;
use revela_base::lines::{LinesReader, LinesWriter};
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, Effort, Entry, Filter, GraphOptions, InsertOrder, Mode, Passage,
    Predicate, Query, Searcher, Structure, VectorOptions, export,
};
use serde_json::{Value, json};

const DIM: usize = 8;
const FORMAT: &str = "revela.collection";
const MANIFEST: &str = "manifest.jsonl";
const SHARD: &str = "000000.shard";

/// The parts of a shard's header, as `shard::format` describes them.
const FIXED: usize = 192;
const ENTRY: usize = 96;
const DIGEST: usize = 64;

/// A small sound collection, whose files inputs replace.
pub struct Whole {
    dir: tempfile::TempDir,
    shard: Vec<u8>,
    settings: Value,
    entry: Value,
}

fn build(dir: &Path) {
    let graph =
        GraphOptions { m: 4, ef_construction: 8, order: InsertOrder::Serial, ..GraphOptions::default() };
    let vectors = VectorOptions { structure: Structure::Graph, graph, ..VectorOptions::default() };
    let entry = |n: usize| {
        let passage = Passage { id: format!("p{n}"), title: String::new(), text: format!("text {n}") };
        let payload = json!({"n": n, "even": n.is_multiple_of(2)}).as_object().cloned().unwrap_or_default();
        Ok::<_, std::io::Error>(Entry { passage, payload })
    };
    let builder = CollectionBuilder::new(dir).vectors(vectors);
    builder.build((0..40).map(entry), Some(&HashEmbedder::new(DIM)), &Silent, &Interrupt::new()).unwrap();
}

/// Replaces bytes: every four bytes of the input are a place (two), a value, and whether the place is counted
/// in the first 800 bytes, where headers are.
fn edit(bytes: &mut [u8], edits: &[u8]) {
    for &[low, high, value, near] in edits.as_chunks::<4>().0 {
        let place = usize::from(u16::from_le_bytes([low, high]));
        let length = if near % 2 == 0 { bytes.len().min(800) } else { bytes.len() };
        if let Some(byte) = bytes.get_mut(place % length.max(1)) {
            *byte = value;
        }
    }
}

/// Makes the header's checksum match what it covers; the checksum by which manifests know the shard.
fn reseal(shard: &mut [u8]) -> Checksum {
    let sections = shard.get(12..16).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
    let end = FIXED + ENTRY * sections.min(64) as usize;
    if end + DIGEST <= shard.len() {
        let checksum = Checksum::of(&shard[..end]).to_string();
        shard[end..end + DIGEST].copy_from_slice(checksum.as_bytes());
    }
    Checksum::of(&shard[..shard.len().min(end + DIGEST)])
}

/// Everything that can be asked of a collection.
fn use_everything(path: &Path) -> Result<(), revela_index::Error> {
    let collection = Collection::open(path)?;
    let _ = (collection.info(), collection.vector("p3"), collection.payload("p5"), collection.passage("p7"));
    let _ = collection.verify(&Silent, &Interrupt::new());
    let _ = export::vectors(&collection, &path.join("out.npy"), &Silent, &Interrupt::new());
    let searcher = Searcher::new(collection);
    let even = Predicate::Equals { field: "even".into(), value: true.into() };
    for effort in [Effort::Ef(2), Effort::Exact] {
        for filter in [Filter::All, Filter::payload(even.clone()), Filter::prefix("p1")] {
            let query = Query::vector(vec![0.5; DIM]).k(2).effort(effort).mode(Mode::Dense).filter(filter);
            let _ = searcher.search(&query);
        }
    }
    let _ = searcher.search(&Query::text("text 7"));
    Ok(())
}

impl Whole {
    /// Makes one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path());
        let (records, settings) = LinesReader::open(&dir.path().join(MANIFEST), FORMAT, 1..=1).unwrap();
        let entry = records.map(Result::unwrap).next().unwrap();
        let shard = std::fs::read(dir.path().join(SHARD)).unwrap();
        Self { dir, shard, settings, entry }
    }

    /// A shard whose bytes were changed, under a manifest that believes in it.
    pub fn shard(&self, edits: &[u8]) {
        let mut bytes = self.shard.clone();
        edit(&mut bytes, edits);
        let mut entry = self.entry.clone();
        entry["identity"] = json!(reseal(&mut bytes).to_string());
        self.use_files(&bytes, &self.settings, &entry);
    }

    /// A manifest whose texts were changed, with checksums that match.
    pub fn manifest(&self, edits: &[u8]) {
        let (first, second) = edits.split_at(edits.len() / 8 * 4);
        let changed = |value: &Value, edits: &[u8]| {
            let mut text = value.to_string().into_bytes();
            edit(&mut text, edits);
            serde_json::from_slice(&text).unwrap_or_else(|_| value.clone())
        };
        self.use_files(&self.shard, &changed(&self.settings, first), &changed(&self.entry, second));
    }

    fn use_files(&self, shard: &[u8], settings: &Value, entry: &Value) {
        std::fs::write(self.dir.path().join(SHARD), shard).unwrap();
        let path = self.dir.path().join(MANIFEST);
        let mut writer = LinesWriter::create(&path, FORMAT, 1, settings).unwrap();
        writer.push(entry).unwrap();
        writer.finish().unwrap();
        let _ = use_everything(self.dir.path());
    }
}
