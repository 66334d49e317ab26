//! What a graph with the usual options finds of what exact search finds.
#![allow(clippy::unwrap_used)]

use rand::RngExt;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_base::seed::Seed;
use revela_index::vectors::{RowReader, Vectors, npy};
use revela_index::{
    Coding, Collection, CollectionBuilder, CollectionWriter, Effort, GraphOptions, InsertOrder, Recall,
    RowSearcher, Structure, VectorOptions, search_rows,
};

const DIM: usize = 128;

/// Vectors around many centres that lie around fewer, with so much noise that a short walk misses some.
fn clusters(count: usize, seed: u64) -> Vectors {
    let mut centres = Seed(0).stream("centres");
    let mut centre =
        |spread: f32| -> Vec<f32> { (0..DIM).map(|_| spread * centres.random_range(-1.0f32..1.0)).collect() };
    let (topics, themes): (Vec<_>, Vec<_>) =
        ((0..12).map(|_| centre(1.0)).collect(), (0..200).map(|_| centre(0.8)).collect());
    let mut noise = Seed(seed).stream("noise");
    let mut data = Vec::with_capacity(count * DIM);
    for _ in 0..count {
        let theme = noise.random_range(0..themes.len());
        let (theme, topic) = (&themes[theme], &topics[theme % topics.len()]);
        data.extend(theme.iter().zip(topic).map(|(a, b)| a + b + 2.0 * noise.random_range(-1.0f32..1.0)));
    }
    let mut vectors = Vectors::new("clusters", DIM, data).unwrap();
    vectors.normalise("clusters").unwrap();
    vectors
}

fn collection(dir: &std::path::Path, coding: Coding) -> Collection {
    let graph = GraphOptions { order: InsertOrder::Serial, ..GraphOptions::default() };
    let options = VectorOptions { coding, structure: Structure::Graph, graph, ..VectorOptions::default() };
    let builder = CollectionBuilder::new(&dir.join(format!("{coding:?}"))).vectors(options);
    let mut rows = RowReader::open(&dir.join("rows.npy")).unwrap();
    builder.build_from_vectors(&mut rows, None, &Silent, &Interrupt::new()).unwrap()
}

#[test]
fn recall_at_ten_is_high_and_codes_cost_nearly_none() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, queries) = (clusters(8000, 1), clusters(300, 2));
    npy::write_f32(&dir.path().join("rows.npy"), rows.view()).unwrap();
    let mut recalls = Vec::new();
    for coding in [Coding::None, Coding::Int8] {
        let collection = collection(dir.path(), coding);
        let truth = search_rows(&collection, &queries, 10, Effort::Exact).unwrap();
        let recall = |ef| {
            let found = search_rows(&collection, &queries, 10, Effort::Ef(ef)).unwrap();
            let hits = found.iter().zip(truth.iter());
            let hits = hits.map(|(found, truth)| found.iter().filter(|row| truth.contains(row)).count());
            hits.sum::<usize>() as f64 / 3000.0
        };
        let (few, usual) = (recall(10), recall(64));
        // Where a handful of candidates would do, the rest of the test would show nothing.
        assert!(few < 0.95 && usual >= 0.95, "{coding:?}: {few} {usual}");
        recalls.push(usual);
    }
    assert!(recalls[1] >= recalls[0] - 0.005, "{recalls:?}");
}

/// Scores of the 10 nearest, which equal rows share.
fn scores(collection: &Collection, queries: &Vectors, effort: Effort) -> Vec<Vec<f32>> {
    let mut searcher = RowSearcher::new(collection);
    let answer = |query: &[f32]| {
        let hits = searcher.search(query, 10, effort).unwrap();
        hits.iter().map(|hit| hit.score).collect()
    };
    queries.view().iter().map(answer).collect()
}

/// The share of the hits that are as similar as the last of the true ones.
fn share(found: &[Vec<f32>], truth: &[Vec<f32>]) -> f64 {
    let hits =
        |(found, truth): (&Vec<f32>, &Vec<f32>)| found.iter().filter(|&&score| score >= truth[9]).count();
    found.iter().zip(truth).map(hits).sum::<usize>() as f64 / (10 * truth.len()) as f64
}

/// Among groups of equal rows, each larger than what a walk keeps, the nearest group is found all the same, by few
/// candidates, and what was deleted of it is not.
#[test]
fn groups_of_equal_rows_are_no_traps() {
    let dir = tempfile::tempdir().unwrap();
    let (kinds, queries) = (clusters(300, 1), clusters(60, 2));
    let data: Vec<f32> =
        (0..12_000).flat_map(|at| kinds.view().get(at * 7919 % 300).unwrap().to_vec()).collect();
    let rows = Vectors::new("rows", DIM, data).unwrap();
    npy::write_f32(&dir.path().join("rows.npy"), rows.view()).unwrap();
    for coding in [Coding::None, Coding::Int8] {
        let collection = collection(dir.path(), coding);
        collection.verify(&Silent, &Interrupt::new()).unwrap();
        let truth = scores(&collection, &queries, Effort::Exact);
        let found = share(&scores(&collection, &queries, Effort::Ef(30)), &truth);
        assert!(found > 0.98, "{coding:?} {found}");
        let path = collection.path().to_owned();
        drop(collection);
        let deleted: Vec<String> =
            (0..12_000).filter(|row| row % 3 > 0).map(|row: u32| row.to_string()).collect();
        CollectionWriter::open(&path).unwrap().delete(&deleted).unwrap();
        let collection = Collection::open(&path).unwrap();
        let truth = scores(&collection, &queries, Effort::Exact);
        let found = share(&scores(&collection, &queries, Effort::Ef(30)), &truth);
        assert!(found > 0.98, "{coding:?} {found}");
        let found = search_rows(&collection, &queries, 10, Effort::Ef(30)).unwrap();
        assert!(found.iter().flatten().all(|row| row % 3 == 0));
    }
}

/// A build says what its graph finds; searches that ask for a recall have it; deletions make it stale until it is measured
/// anew, with rows or with queries.
#[test]
fn recall_that_is_asked_for_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, queries) = (clusters(8000, 1), clusters(300, 2));
    npy::write_f32(&dir.path().join("rows.npy"), rows.view()).unwrap();
    let built = collection(dir.path(), Coding::Int8);
    let curve = built.shards()[0].recall.clone().unwrap();
    assert_eq!((curve.rows, curve.queries), (8000, 256));
    assert!(curve.of(10).count() > 2 && curve.of(100).is_sorted_by_key(|point| point.ef));
    let truth = scores(&built, &queries, Effort::Exact);
    let wanted = |recall: f64| Effort::Recall(Recall::try_from(recall).unwrap());
    for recall in [0.8, 0.95, 0.99] {
        let found = share(&scores(&built, &queries, wanted(recall)), &truth);
        assert!(found >= recall - 0.015, "{recall}: {found}");
    }
    assert!(share(&scores(&built, &queries, wanted(0.5)), &truth) < 0.999);
    assert_eq!(scores(&built, &queries, wanted(1.0)), truth);
    let path = built.path().to_owned();
    drop(built);
    let mut writer = CollectionWriter::open(&path).unwrap();
    writer.delete((0..2000).map(|row| row.to_string())).unwrap();
    assert!(Collection::open(&path).unwrap().shards()[0].recall_is_stale());
    for given in [None, Some(&queries)] {
        assert_eq!(writer.measure(given, &Silent, &Interrupt::new()).unwrap(), 1);
        let shard = Collection::open(&path).unwrap().shards().remove(0);
        assert!(!shard.recall_is_stale() && shard.recall.unwrap().queries == given.map_or(256, |_| 300));
    }
    let short = Vectors::new("short", 3, vec![1.0; 3]).unwrap();
    assert!(writer.measure(Some(&short), &Silent, &Interrupt::new()).is_err());
}
