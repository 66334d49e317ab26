use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use rand::RngExt;
use revela_base::progress::{Progress, Silent, Task};
use revela_base::seed::Seed;

use super::*;
use crate::codes::Codes;
use crate::hnsw::{Company, GraphView, Links, Scorer, Walk};
use crate::recall::Recall;
use crate::topk::{Scored, TopK};
use crate::turns::{LANES, in_turns};
use crate::vectors::Vectors;

/// Points around a few centres, which are always the same, of length 1.
pub(crate) fn clusters(count: usize, dim: usize, seed: u64) -> Vectors {
    let mut centres = Seed(0).stream("centres");
    let centres: Vec<f32> = (0..20 * dim).map(|_| centres.random_range(-1.0f32..1.0)).collect();
    let mut noise = Seed(seed).stream("noise");
    let mut noise = || 0.7 * noise.random_range(-1.0f32..1.0);
    let data = (0..count * dim).map(|at| centres[(at / dim * 7 % 20) * dim + at % dim] + noise()).collect();
    let mut vectors = Vectors::new("clusters", dim, data).unwrap();
    vectors.normalise("clusters").unwrap();
    vectors
}

struct Exact<'a>(&'a Vectors, &'a [f32]);

impl Scorer for Exact<'_> {
    fn fetch(&self, _rows: impl Iterator<Item = u32>) {}

    fn scores(&mut self, rows: &[u32], out: &mut [f32]) {
        for (&row, out) in rows.iter().zip(out) {
            let row = self.0.view().get(row as usize).unwrap();
            *out = row.iter().zip(self.1).map(|(x, y)| x * y).sum();
        }
    }
}

fn best(vectors: &Vectors, query: &[f32], k: usize, keep: &dyn Fn(u32) -> bool) -> Vec<u32> {
    let mut top = TopK::new(k);
    let mut scores = vec![0.0; vectors.len()];
    let rows: Vec<u32> = (0..vectors.len() as u32).collect();
    Exact(vectors, query).scores(&rows, &mut scores);
    rows.into_iter().filter(|&row| keep(row)).for_each(|row| top.push(scores[row as usize], row));
    top.into_sorted().into_iter().map(|hit: Scored<u32>| hit.id).collect()
}

fn sequence(codes: CodesView<'_>) -> Vec<u32> {
    (0..codes.len() as u32).collect()
}

fn graph_of(vectors: &Vectors, options: GraphOptions) -> Graph {
    let codes = Codes::of(vectors.view());
    let graph = build(codes.view(), &sequence(codes.view()), options, &Silent, &Interrupt::new()).unwrap();
    graph.view().check().unwrap();
    graph
}

const SERIAL: GraphOptions =
    GraphOptions { m: 8, ef_construction: 60, order: InsertOrder::Serial, recall: Recall::USUAL };

fn recall(graph: &Graph, vectors: &Vectors, queries: &Vectors, ef: usize, keep: Option<u32>) -> f64 {
    let mut walk = Walk::default();
    let mut hits = 0;
    for query in queries.view().iter() {
        let wanted = |row: u32| keep.is_none_or(|modulus| row.is_multiple_of(modulus));
        match keep {
            None => walk.search(graph.view(), &mut Exact(vectors, query), ef),
            Some(_) => {
                let mut scorer = Exact(vectors, query);
                assert!(walk.search_filtered(graph.view(), &mut scorer, ef, usize::MAX, &wanted));
            }
        }
        let found: Vec<u32> = walk.found().take(10).map(|(node, _)| node).collect();
        assert!(found.iter().all(|&row| wanted(row)));
        hits += best(vectors, query, 10, &wanted).iter().filter(|id| found.contains(id)).count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

#[test]
fn finds_nearly_all_and_keeps_recall_behind_a_filter() {
    let (vectors, queries) = (clusters(4000, 32, 1), clusters(100, 32, 2));
    for order in [InsertOrder::Serial, InsertOrder::Parallel] {
        let graph = graph_of(&vectors, GraphOptions { order, ..SERIAL });
        assert!(graph.levels >= 1);
        let found = recall(&graph, &vectors, &queries, 64, None);
        assert!(found > 0.97, "{order:?} {found}");
        assert!(recall(&graph, &vectors, &queries, 400, None) >= found);
        let filtered = recall(&graph, &vectors, &queries, 64, Some(9));
        assert!(filtered > 0.97, "{order:?} {filtered}");
    }
}

/// A graph as a shard holds it is walked like the one in memory.
#[test]
fn packed_lists_lead_the_same_way() {
    let (vectors, queries) = (clusters(900, 16, 1), clusters(20, 16, 2));
    let graph = graph_of(&vectors, SERIAL);
    let bytes = graph.link_bytes();
    let links = Links::new(&bytes, graph.links.len() as u64).unwrap();
    assert!(matches!(links, Links::Packed(_)));
    let packed = GraphView { links, ..graph.view() };
    packed.check().unwrap();
    for query in queries.view().iter() {
        let walked = |view| {
            let mut walk = Walk::default();
            walk.search(view, &mut Exact(&vectors, query), 30);
            walk.found().collect::<Vec<_>>()
        };
        assert_eq!(walked(packed), walked(graph.view()));
    }
}

/// Asks for an end after some units of one task.
struct EndsAfter(&'static str, u64, Interrupt);

struct Counted(Option<(u64, Interrupt)>, AtomicU64);

impl Progress for EndsAfter {
    fn task(&self, name: &str, _unit: &'static str, _total: Option<u64>) -> Box<dyn Task> {
        let limit = (name == self.0).then(|| (self.1, self.2.clone()));
        Box::new(Counted(limit, AtomicU64::new(0)))
    }
}

impl Task for Counted {
    fn advance(&self, count: u64) {
        let done = self.1.fetch_add(count, Ordering::Relaxed) + count;
        if let Some((limit, interrupt)) = &self.0
            && done >= *limit
        {
            interrupt.request();
        }
    }

    fn remark(&self, _text: &str) {}
}

/// Every long pass ends early when it is asked to, and all tell that they are done otherwise.
#[test]
fn building_ends_when_it_is_asked_to() {
    let vectors = clusters(1500, 16, 1);
    let codes = Codes::of(vectors.view());
    let built = |name, limit| {
        let progress = EndsAfter(name, limit, Interrupt::new());
        build(codes.view(), &sequence(codes.view()), SERIAL, &progress, &progress.2)
    };
    for limit in [1, 1501, 3001, 4501] {
        assert!(matches!(built("neighbours", limit), Err(Error::Interrupted(_))), "{limit}");
    }
    assert!(matches!(built("graph", 200), Err(Error::Interrupted(_))));
    assert!(built("neighbours", 6001).is_ok());
}

/// Walks that take turns find what each finds alone.
#[test]
fn company_changes_nothing() {
    let (vectors, queries) = (clusters(900, 16, 1), clusters(23, 16, 2));
    let graph = graph_of(&vectors, SERIAL);
    let found = |walk: &Walk| walk.found().collect::<Vec<_>>();
    let mut together = vec![Vec::new(); queries.len()];
    let query = |number: usize| Exact(&vectors, queries.view().get(number).unwrap());
    let begin = |(walk, number): &mut (Walk, usize), next| {
        *number = next;
        walk.begin(graph.view(), &mut query(next), 30, Company::Others);
    };
    let step = |(walk, number): &mut (Walk, usize)| {
        let more = walk.step(graph.view(), &mut query(*number));
        if !more {
            together[*number] = found(walk);
        }
        more
    };
    in_turns(&mut [(); LANES].map(|()| Default::default()), queries.len(), begin, step);
    for (number, together) in together.into_iter().enumerate() {
        let mut walk = Walk::default();
        walk.search(graph.view(), &mut query(number), 30);
        assert_eq!(together, found(&walk), "{number}");
    }
}

#[test]
fn a_serial_build_is_reproducible() {
    let vectors = clusters(1500, 20, 3);
    assert_eq!(graph_of(&vectors, SERIAL), graph_of(&vectors, SERIAL));
}

/// With room for all, a walk returns everything: every node can be reached.
#[test]
fn every_node_is_reached() {
    // Many equal points, which the choice of neighbours would separate from the rest.
    let mut data = clusters(600, 8, 4).into_data();
    data.extend((0..900).flat_map(|i| if i % 3 == 0 { [1.0; 8] } else { [0.5; 8] }));
    let vectors = Vectors::new("x", 8, data).unwrap();
    let graph = graph_of(&vectors, SERIAL);
    let mut walk = Walk::default();
    for query in vectors.view().iter().step_by(250) {
        walk.search(graph.view(), &mut Exact(&vectors, query), vectors.len());
        assert_eq!(walk.found().len(), vectors.len());
        let mut scorer = Exact(&vectors, query);
        assert!(walk.search_filtered(graph.view(), &mut scorer, 7, usize::MAX, &|row| row > 1493));
        assert_eq!(walk.found().len(), 6);
        assert!(!walk.search_filtered(graph.view(), &mut scorer, 7, 10, &|_| true));
    }
}

#[test]
fn tiny_graphs_and_bad_options() {
    for count in [1, 2, 3, 99, 101] {
        let vectors = clusters(count, 3, 5);
        let graph = graph_of(&vectors, SERIAL);
        let found = recall(&graph, &vectors, &vectors, 200, None);
        assert_eq!(found, count.min(10) as f64 / 10.0);
    }
    let codes = Codes::of(clusters(3, 3, 0).view());
    for options in [
        GraphOptions { m: 3, ..SERIAL },
        GraphOptions { m: 65, ef_construction: 100, ..SERIAL },
        GraphOptions { ef_construction: 7, ..SERIAL },
    ] {
        let built = build(codes.view(), &sequence(codes.view()), options, &Silent, &Interrupt::new());
        assert!(matches!(built, Err(Error::Option { .. })));
    }
    let interrupt = Interrupt::new();
    interrupt.request();
    assert!(matches!(
        build(codes.view(), &sequence(codes.view()), SERIAL, &Silent, &interrupt),
        Err(Error::Interrupted(_))
    ));
    let none = Codes::of(Vectors::empty(3).unwrap().view());
    assert!(build(none.view(), &[], SERIAL, &Silent, &Interrupt::new()).is_err());
}

proptest! {
    /// Whatever stands in the arrays, a walk ends and returns existing nodes.
    #[test]
    fn damaged_graphs_do_no_harm(
        edits in proptest::collection::vec((0u8..4, any::<prop::sample::Index>(), any::<u32>()), 1..30),
        small in any::<bool>(),
        entry in proptest::option::of(any::<u32>()),
        levels in 0u32..20,
    ) {
        static GRAPH: std::sync::LazyLock<(Vectors, Graph)> = std::sync::LazyLock::new(|| {
            let vectors = clusters(300, 4, 6);
            let graph = graph_of(&vectors, SERIAL);
            (vectors, graph)
        });
        let (vectors, mut graph) = GRAPH.clone();
        for (which, place, value) in edits {
            let value = if small { value % 310 } else { value };
            match which {
                0 | 1 => *place.get_mut(&mut graph.links) = value,
                2 => *place.get_mut(&mut graph.upper_links) = value,
                _ => place.get_mut(&mut graph.upper_nodes).first_list = value,
            }
        }
        graph.levels = levels;
        graph.entry = entry.unwrap_or(graph.entry);
        let mut walk = Walk::default();
        let query = vectors.view().get(7).unwrap();
        walk.search(graph.view(), &mut Exact(&vectors, query), 20);
        prop_assert!(walk.found().all(|(node, _)| node < 300));
        walk.search_filtered(graph.view(), &mut Exact(&vectors, query), 20, 500, &|row| row % 2 == 0);
        prop_assert!(walk.found().all(|(node, _)| node < 300 && node % 2 == 0));
        let _ = graph.view().check();
    }
}
