//! Choosing every node's neighbours again, and reaching every node.
//!
//! hnsw_rs keeps the nearest of the nodes that link back, which leaves clusters without ways out, and most
//! of its time goes into finding candidates. Here it only makes a first graph. Each node chooses among all
//! that it links to and all that link to it; then it is searched for in the graph that results, which is
//! quick, and chooses again among those and what the search found. Choosing takes the nearest first, and
//! skips a candidate that one already chosen is clearly nearer to: the way there leads over that one. Further
//! rounds of the same find more, because they search in the better graph.

use rayon::prelude::*;
use revela_base::interrupt::{Interrupt, Interrupted};
use revela_base::progress::{Progress, Task};

use super::build::{GraphOptions, Inserted, RowDistance};
use super::graph::{Graph, UpperNode};
use super::links::NONE;
use super::search::Walk;
use crate::codes::{Coded, CodedQuery, CodesView};
use crate::error::Error;

/// A candidate is skipped when a chosen neighbour is nearer to it than the node by this factor.
const ALPHA: f32 = 1.2;

/// One in so many slots is kept for neighbours that lie further away than those that fill the others. In a cluster
/// or a group of near copies that has more nodes than a list has slots, all are about as far from each other, so that none is skipped and no link
/// would lead out.
const FAR: usize = 6;

/// Nodes by which progress is told.
const TOLD: usize = 256;

/// Passes over all nodes that take long.
const PASSES: u64 = 1 + ROUND_PASSES;

/// Those of one round.
const ROUND_PASSES: u64 = 3;

/// Neighbours of each node of one level.
type Lists = Vec<Vec<u32>>;

/// Improves what hnsw_rs has found.
pub(super) fn refine(
    inserted: Inserted,
    distance: RowDistance<'_>,
    options: GraphOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Graph, Error> {
    let slots = options.slots() as usize;
    let levels = inserted.lists.iter().map(Vec::len).max().unwrap_or(1) - 1;
    let upper = Upper::new(&inserted, levels, distance, options.m as usize);
    let mut graph = Graph {
        slots: options.slots(),
        upper_slots: options.m,
        ef_construction: options.ef_construction,
        levels: levels as u32,
        entry: if levels == 0 { inserted.entry } else { upper.place(inserted.entry) },
        links: Vec::new(),
        upper_nodes: upper.nodes,
        upper_links: upper.links,
    };
    let mut lists = level_lists(&inserted, 0);
    let entry = inserted.entry;
    drop(inserted);
    let task = progress.task("neighbours", "vectors", Some(PASSES * lists.len() as u64));
    let pass = Pass { task: &*task, interrupt, count: lists.len() };
    interrupt.check()?;
    add_reverse(&mut lists);
    lists = pass.choose(lists, distance, slots)?;
    fill_back(&mut lists, slots);
    reach_all(&mut lists, entry, distance, slots);
    graph.links = flatten(&lists, slots);
    let ef = options.ef_construction as usize;
    round(&mut graph, lists, distance, ef, pass)?;
    Ok(graph)
}

/// Once more searches for every node, now in a better graph, and chooses its neighbours; `ef` candidates
/// each.
pub(super) fn again(
    graph: &mut Graph,
    distance: RowDistance<'_>,
    ef: usize,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let nodes = 0..graph.view().count;
    let task = progress.task("neighbours", "vectors", Some(ROUND_PASSES * u64::from(nodes.end)));
    let pass = Pass { task: &*task, interrupt, count: nodes.len() };
    let lists = nodes.map(|node| graph.view().neighbours(node).collect()).collect();
    round(graph, lists, distance, ef, pass)
}

/// Each node chooses among the neighbours it has, those that a search for it finds, and those that choose it.
fn round(
    graph: &mut Graph,
    mut lists: Lists,
    distance: RowDistance<'_>,
    ef: usize,
    pass: Pass<'_>,
) -> Result<(), Error> {
    let slots = graph.slots as usize;
    search_all(&mut lists, graph, distance.codes, ef, pass)?;
    lists = pass.choose(lists, distance, slots)?;
    add_reverse(&mut lists);
    lists = pass.choose(lists, distance, slots)?;
    fill_back(&mut lists, slots);
    let entry = graph.view().entry_node().unwrap_or_default();
    reach_all(&mut lists, entry, distance, slots);
    graph.links = flatten(&lists, slots);
    Ok(())
}

/// A pass over all nodes, which may end early.
#[derive(Clone, Copy)]
struct Pass<'a> {
    task: &'a dyn Task,
    interrupt: &'a Interrupt,
    count: usize,
}

impl Pass<'_> {
    /// Whether a node is still to be done.
    fn reaches(&self, node: usize) -> bool {
        if node.is_multiple_of(TOLD) {
            self.task.advance(TOLD.min(self.count - node) as u64);
        }
        !self.interrupt.requested()
    }

    fn choose(self, lists: Lists, distance: RowDistance<'_>, slots: usize) -> Result<Lists, Interrupted> {
        let chosen = choose_all(lists, distance, slots, |node| self.reaches(node));
        self.interrupt.check().map(|()| chosen)
    }
}

/// Adds to each node's list what a search for the node finds, and what its descent meets: nodes of the upper levels lie
/// ever further apart, so that whatever the size of a cluster is, some of them are of the clusters beside it.
fn search_all(
    lists: &mut Lists,
    graph: &Graph,
    codes: CodesView<'_>,
    ef: usize,
    pass: Pass<'_>,
) -> Result<(), Interrupted> {
    let search = |(walk, query, raw): &mut (Walk, CodedQuery, Vec<i32>),
                  (node, list): (usize, &mut Vec<u32>)| {
        if !pass.reaches(node) {
            return;
        }
        query.fill_from(&codes, node as u32);
        walk.search(graph.view(), &mut Coded { codes: &codes, query, raw }, ef);
        list.extend(walk.found().map(|(found, _)| found));
        list.extend(walk.met());
        list.sort_unstable();
        list.dedup();
        list.retain(|&found| found as usize != node);
    };
    let memory = || (Walk::remembering(), CodedQuery::default(), Vec::new());
    lists.par_iter_mut().enumerate().for_each_init(memory, search);
    pass.interrupt.check()
}

/// The lists of one level; empty for nodes that are not on it. Links to nodes that are not are left out.
fn level_lists(inserted: &Inserted, level: usize) -> Lists {
    let on_level = |node: u32| inserted.lists.get(node as usize).is_some_and(|levels| levels.len() > level);
    let list = |levels: &Vec<Vec<u32>>| -> Vec<u32> {
        levels.get(level).iter().copied().flatten().copied().filter(|&to| on_level(to)).collect()
    };
    inserted.lists.iter().map(list).collect()
}

/// Lets every link lead both ways.
fn add_reverse(lists: &mut Lists) {
    let mut reverse: Lists = vec![Vec::new(); lists.len()];
    for (from, list) in (0u32..).zip(&*lists) {
        list.iter().for_each(|&to| reverse[to as usize].push(from));
    }
    lists.par_iter_mut().zip(reverse).enumerate().for_each(|(node, (list, more))| {
        list.extend(more);
        list.sort_unstable();
        list.dedup();
        list.retain(|&to| to as usize != node);
    });
}

/// What each node keeps of its candidates; nothing for those that `reaches` does not want done.
fn choose_all(
    candidates: Lists,
    distance: RowDistance<'_>,
    slots: usize,
    reaches: impl Fn(usize) -> bool + Sync,
) -> Lists {
    let choose = |(node, candidates): (usize, Vec<u32>)| match reaches(node) {
        true => choose(node as u32, &candidates, distance, slots),
        false => Vec::new(),
    };
    candidates.into_par_iter().enumerate().map(choose).collect()
}

/// The neighbours that a node keeps, nearest first.
fn choose(node: u32, candidates: &[u32], distance: RowDistance<'_>, slots: usize) -> Vec<u32> {
    candidates.iter().for_each(|&to| distance.codes.fetch(to));
    let rank = |&to: &u32| (distance.between(node, to), to);
    let mut ranked: Vec<(f32, u32)> = candidates.iter().map(rank).collect();
    ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<u32> = Vec::with_capacity(slots);
    let apart = |chosen: &[u32], alpha: f32, (away, candidate): (f32, u32)| {
        chosen.iter().all(|&other| alpha * distance.between(candidate, other) > away)
    };
    let mut ranked = ranked.into_iter();
    while chosen.len() < slots - slots / FAR
        && let Some(candidate) = ranked.next()
    {
        if apart(&chosen, ALPHA, candidate) {
            chosen.push(candidate.1);
        }
    }
    while chosen.len() < slots
        && let Some(candidate) = ranked.next()
    {
        if apart(&chosen, 1.0, candidate) {
            chosen.push(candidate.1);
        }
    }
    chosen
}

/// Where there is room, links back.
fn fill_back(lists: &mut Lists, slots: usize) {
    for from in 0..lists.len() {
        for at in 0..lists[from].len() {
            let to = lists[from][at] as usize;
            if lists[to].len() < slots && !lists[to].contains(&(from as u32)) {
                lists[to].push(from as u32);
            }
        }
    }
}

/// Links nodes that no walk from the entry point reaches from the nearest node that has room.
fn reach_all(lists: &mut Lists, entry: u32, distance: RowDistance<'_>, slots: usize) {
    let mut reached = vec![false; lists.len()];
    walk_from(lists, entry, &mut reached);
    // Anywhere with room, for a node all of whose neighbours are unreached or full.
    let mut anywhere = 0;
    for node in 0..lists.len() as u32 {
        if reached[node as usize] {
            continue;
        }
        let has_room = |&&from: &&u32| reached[from as usize] && lists[from as usize].len() < slots;
        let near = lists[node as usize].iter().filter(has_room);
        let nearest =
            near.min_by(|&&a, &&b| distance.between(node, a).total_cmp(&distance.between(node, b))).copied();
        let from = nearest.or_else(|| {
            (anywhere..lists.len()).find(|&from| reached[from] && lists[from].len() < slots).map(|from| {
                anywhere = from;
                from as u32
            })
        });
        if let Some(from) = from {
            lists[from as usize].push(node);
            walk_from(lists, node, &mut reached);
        }
    }
}

fn walk_from(lists: &Lists, start: u32, reached: &mut [bool]) {
    let mut open = vec![start];
    reached[start as usize] = true;
    while let Some(node) = open.pop() {
        for &to in &lists[node as usize] {
            if !std::mem::replace(&mut reached[to as usize], true) {
                open.push(to);
            }
        }
    }
}

/// Lists of equal length, unused slots filled up.
fn flatten(lists: &Lists, slots: usize) -> Vec<u32> {
    let mut links = vec![NONE; lists.len() * slots];
    for (list, links) in lists.iter().zip(links.chunks_exact_mut(slots)) {
        links.iter_mut().zip(list).for_each(|(link, &to)| *link = to);
    }
    links
}

/// The levels above the lowest.
struct Upper {
    nodes: Vec<UpperNode>,
    links: Vec<u32>,
}

impl Upper {
    fn new(inserted: &Inserted, levels: usize, distance: RowDistance<'_>, slots: usize) -> Self {
        let mut upper = Self { nodes: Vec::new(), links: Vec::new() };
        let mut lists = 0u32;
        for (node, of_node) in (0u32..).zip(&inserted.lists).filter(|(_, of_node)| of_node.len() > 1) {
            upper.nodes.push(UpperNode { node, first_list: lists });
            lists += of_node.len() as u32 - 1;
        }
        upper.links = vec![NONE; lists as usize * slots];
        for level in 1..=levels {
            let mut candidates = level_lists(inserted, level);
            add_reverse(&mut candidates);
            let mut chosen = choose_all(candidates, distance, slots, |_| true);
            fill_back(&mut chosen, slots);
            upper.put(level, &chosen, slots);
        }
        upper
    }

    /// Where a node is among the upper ones.
    fn place(&self, node: u32) -> u32 {
        self.nodes.binary_search_by_key(&node, |upper| upper.node).map_or(NONE, |place| place as u32)
    }

    fn put(&mut self, level: usize, chosen: &Lists, slots: usize) {
        for upper in &self.nodes {
            let list = &chosen[upper.node as usize];
            let start = (upper.first_list as usize + level - 1) * slots;
            for (at, &to) in list.iter().enumerate() {
                self.links[start + at] = self.place(to);
            }
        }
    }
}
