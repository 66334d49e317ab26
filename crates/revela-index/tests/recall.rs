//! What a graph with the usual options finds of what exact search finds.
#![allow(clippy::unwrap_used)]

use rand::RngExt;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_base::seed::Seed;
use revela_index::vectors::{RowReader, Vectors, npy};
use revela_index::{
    Coding, Collection, CollectionBuilder, Effort, GraphOptions, InsertOrder, Structure, VectorOptions,
    search_rows,
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
