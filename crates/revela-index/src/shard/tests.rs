use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;

use super::*;
use crate::codes::{Coded, CodedQuery};
use crate::exact::{self, ExactScratch};
use crate::hnsw::{GraphOptions, InsertOrder, Walk};
use crate::metric::Metric;
use crate::options::{Coding, Structure, VectorOptions};
use crate::payload::PayloadColumn;
use crate::topk::TopK;
use crate::vectors::{Dtype, Vectors};

struct Written {
    dir: tempfile::TempDir,
    vectors: Vectors,
    identity: Checksum,
}

impl Written {
    fn path(&self) -> PathBuf {
        self.dir.path().join("x.shard")
    }
}

fn options(kind: Kind) -> VectorOptions {
    let graph =
        GraphOptions { m: 4, ef_construction: 8, order: InsertOrder::Serial, ..GraphOptions::default() };
    let (dtype, coding, structure) = match kind {
        Kind::Plain => (Dtype::F32, Coding::None, Structure::Flat),
        Kind::Half => (Dtype::F16, Coding::None, Structure::Flat),
        Kind::Coded => (Dtype::F32, Coding::Int8, Structure::Flat),
        Kind::Graph => (Dtype::F16, Coding::Int8, Structure::Graph),
        Kind::FullGraph => (Dtype::F32, Coding::None, Structure::Graph),
    };
    VectorOptions { dtype, coding, structure, graph }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Half,
    Coded,
    Graph,
    FullGraph,
}

impl Kind {
    fn has_graph(self) -> bool {
        matches!(self, Self::Graph | Self::FullGraph)
    }
}

/// Graphs have vectors long enough for signs, or for their beginnings to be looked at first.
fn dim_of(kind: Kind, dim: usize) -> usize {
    match kind {
        Kind::Plain | Kind::Half | Kind::Coded => dim,
        Kind::Graph => dim + 64,
        Kind::FullGraph => dim + 192,
    }
}

const KINDS: [Kind; 5] = [Kind::Plain, Kind::Half, Kind::Coded, Kind::Graph, Kind::FullGraph];

fn write(ids: &[String], dim: usize, kind: Kind) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let mut data: Vec<f32> = (0..ids.len() * dim).map(|i| (i as f32).sin()).collect();
    let options = options(kind);
    let metric = if kind == Kind::FullGraph { Metric::Cosine } else { Metric::Dot };
    crate::metric::prepare(metric, crate::metric::Zeros::Refused, "x", 0, dim, &mut data).unwrap();
    options.dtype.round("x", 0, dim, &mut data).unwrap();
    let vectors = Vectors::new("x", dim, data).unwrap();
    let encoder = Some(Checksum::of(b"encoder"));
    let prepared = options.prepare(vectors.view(), metric, &Silent, &Interrupt::new()).unwrap();
    let mut payloads = PayloadColumn::default();
    for row in 0..ids.len() {
        let payload = serde_json::json!({"row": row, "odd": row % 2 == 1});
        payloads.push(payload.as_object().filter(|_| !row.is_multiple_of(3))).unwrap();
    }
    let payloads = Some(&payloads).filter(|_| kind != Kind::Plain);
    let input = ShardInput { metric, vectors: Some(prepared), ids, payloads, seed: 9, encoder };
    let identity = input.write(&dir.path().join("x.shard")).unwrap();
    Written { dir, vectors, identity }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("id-{}", i * 7919 % 1009)).collect()
}

/// Uses everything that a shard offers; only errors may come of it.
fn use_everything(path: &Path) -> Result<(), crate::Error> {
    let shard = Shard::open(path)?;
    for row in 0..shard.len().min(64) {
        let id = shard.id(row)?.to_owned();
        shard.find(&id)?;
        shard.payload(row)?;
    }
    shard.find("absent")?;
    search_everything(&shard);
    shard.verify()?;
    Ok(())
}

fn search_everything(shard: &Shard) {
    let Some(rows) = shard.rows() else { return };
    let query = vec![0.5; rows.dim()];
    let mut coded = CodedQuery::default();
    coded.fill(&query);
    let (mut scratch, mut top, mut walk) = (ExactScratch::default(), TopK::new(3), Walk::default());
    exact::compare(rows, &query, 0..shard.len().min(100), &mut scratch, &mut top);
    let unit = vec![1.0 / (rows.dim() as f32).sqrt(); rows.dim()];
    if let Some(head) = shard.heads().and_then(|heads| heads.query(&unit)) {
        let mut places: Vec<u32> = (0..shard.len().min(100)).collect();
        head.sift(&mut places, 0.1, |place| shard.order().row(place), |_| ());
        assert!(places.iter().all(|&place| place < shard.len()));
    }
    if let Some(codes) = shard.codes() {
        exact::scan(rows, (codes, shard.order()), (&query, &coded), &|_| true, &mut scratch, &mut top);
        if let Some(graph) = shard.graph() {
            let mut scorer = Coded { codes: &codes, query: &coded, raw: &mut Vec::new() };
            walk.search(graph, &mut scorer, 5);
            walk.search_filtered(graph, &mut scorer, 5, 50, &|row| row % 2 == 0);
        }
    }
    assert!(top.into_sorted().iter().all(|hit| hit.id < shard.len()));
}

#[test]
fn round_trip() {
    KINDS.into_iter().for_each(round_trips);
}

fn round_trips(kind: Kind) {
    let ids = names(700);
    let dim = dim_of(kind, 5);
    let written = write(&ids, dim, kind);
    let shard = Shard::open(&written.path()).unwrap();
    assert_eq!((shard.len(), shard.header().dim as usize, shard.header().seed), (700, dim, 9));
    assert_eq!(shard.header().encoder, Some(Checksum::of(b"encoder")));
    for (row, vector) in written.vectors.view().iter().enumerate() {
        assert_eq!(shard.rows().unwrap().get(row as u32).unwrap(), vector, "{kind:?}");
    }
    assert_eq!(shard.codes().is_some(), matches!(kind, Kind::Coded | Kind::Graph));
    assert_eq!(shard.graph().is_some(), kind.has_graph());
    assert_eq!(shard.heads().is_some(), kind == Kind::FullGraph);
    let moved = (0..700).any(|place| shard.order().row(place) != place);
    assert_eq!(moved, kind.has_graph());
    assert_eq!(shard.identity(), written.identity);
    for (row, id) in ids.iter().enumerate() {
        assert_eq!(shard.id(row as u32).unwrap(), id);
        assert_eq!(shard.find(id).unwrap(), Some(row as u32));
        let payload = shard.payload(row as u32).unwrap();
        assert_eq!(payload.get("row").is_some(), kind != Kind::Plain && !row.is_multiple_of(3));
        assert!(payload.get("row").is_none_or(|found| found == row));
    }
    assert!(shard.id(700).is_err() && shard.id(u32::MAX).is_err());
    assert_eq!(shard.find("id").unwrap(), None);
    assert_eq!(shard.find("").unwrap(), None);
    assert_eq!(shard.find("zz").unwrap(), None);
    shard.verify().unwrap();
}

#[test]
fn rows_without_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let ids = names(3);
    let input = ShardInput {
        metric: Metric::Cosine,
        vectors: None,
        ids: &ids,
        payloads: None,
        seed: 0,
        encoder: None,
    };
    input.write(&path).unwrap();
    let shard = Shard::open(&path).unwrap();
    assert!(shard.rows().is_none() && shard.header().encoder.is_none());
    assert_eq!(shard.find(&ids[1]).unwrap(), Some(1));
    shard.verify().unwrap();
}

#[test]
fn the_last_of_equal_ids_is_found() {
    let ids = ["b", "a", "b", "", "b", "c"].map(str::to_owned);
    let shard = write(&ids, 2, Kind::Plain);
    let shard = Shard::open(&shard.path()).unwrap();
    assert_eq!(shard.find("b").unwrap(), Some(4));
    assert_eq!(shard.find("").unwrap(), Some(3));
}

#[test]
fn impossible_inputs_are_refused() {
    let vectors = Vectors::new("x", 2, vec![1.0; 4]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let prepare =
        |vectors| options(Kind::Plain).prepare(vectors, Metric::Dot, &Silent, &Interrupt::new()).ok();
    let vectors = prepare(vectors.view());
    let mut input =
        ShardInput { metric: Metric::Dot, vectors, ids: &[], payloads: None, seed: 0, encoder: None };
    assert!(input.write(&path).unwrap_err().to_string().contains("0 ids for 2 rows"));
    let none = Vectors::empty(2).unwrap();
    input.vectors = prepare(none.view());
    assert!(input.write(&path).unwrap_err().to_string().contains("1 to"));
    assert!(!path.exists());
}

/// A bit of every byte flipped, and every cut: never accepted, never a panic.
#[test]
fn every_flip_and_every_cut_is_noticed() {
    [Kind::Half, Kind::Graph].into_iter().for_each(flip_and_cut);
}

fn flip_and_cut(kind: Kind) {
    let written = write(&names(12), dim_of(kind, 3), kind);
    let path = written.path();
    let whole = fs::read(&path).unwrap();
    use_everything(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(use_everything(&path).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        assert!(use_everything(&path).is_err(), "byte {at}");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(use_everything(&path).is_err(), "a byte too many");
}

#[test]
fn other_files_and_versions_are_named() {
    let written = write(&names(2), 2, Kind::Plain);
    let path = written.path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, &bytes).unwrap();
    let error = Shard::open(&path).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
    fs::write(&path, b"something else that is long enough to be a shard".repeat(9)).unwrap();
    let error = Shard::open(&path).unwrap_err().to_string();
    assert!(error.contains("is not a revela.shard file"), "{error}");
}

proptest! {
    /// Several bytes replaced at once, and the checksum of the header made right again, as someone who
    /// means harm would do: errors or results, no panic.
    #[test]
    fn forged_files_do_no_harm(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
        cut in prop_oneof![4 => Just(0usize), 1 => 0usize..64],
        kind in proptest::sample::select(KINDS.to_vec()),
    ) {
        static WHOLE: LazyLock<[Vec<u8>; 5]> =
            LazyLock::new(|| KINDS.map(|kind| fs::read(write(&names(40), dim_of(kind, 3), kind).path()).unwrap()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut bytes = WHOLE[kind as usize].clone();
        for (at, value, in_header) in edits {
            let at = at.index(if in_header { 200 } else { bytes.len() });
            bytes[at] = value;
        }
        super::format::reseal(&mut bytes);
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        fs::write(&path, &bytes).unwrap();
        if let Ok(shard) = Shard::open(&path) {
            search_everything(&shard);
        }
        let _ = use_everything(&path);
    }
}
