//! The order in which the rows of a shard with a graph lie in memory.
//!
//! A walk compares rows that are near to each other. Where such rows are stored side by side, it finds more
//! of what it needs in caches and in what the memory has open, and so does the building of the graph. The
//! rows are halved by where they lie along a line between two means, each half again, and so on; what is
//! left side by side is near. Codes, signs and graphs count in this order: their nodes are *places*. Full
//! vectors, ids, payloads and texts keep the order in which the rows came.

use std::collections::HashMap;

use rayon::prelude::*;
use revela_base::interrupt::{Interrupt, Interrupted};
use revela_base::progress::{Progress, Task};

use crate::codes::{CodedQuery, CodesView};

/// Rows that stay as they are.
const TOGETHER: usize = 8;

/// Rows that the means are taken of.
const SAMPLE: usize = 64;

/// Times that the means are improved.
const ROUNDS: usize = 4;

/// Rows that are fetched at a time.
const FETCHED: usize = 32;

/// Rows that are worth a thread of their own.
const WORTH_THREADS: usize = 4096;

/// The row at each place, for all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowOrder(Vec<u32>);

/// A borrowed order. Nothing in it is trusted: a place may lead to a row that does not exist.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowOrderView<'a>(Option<&'a [u32]>);

impl RowOrder {
    /// Brings near rows together. The codes are in the order of the rows.
    pub(crate) fn local(
        codes: CodesView<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let task = progress.task("order", "vectors", Some(codes.len() as u64));
        let mut rows: Vec<u32> = (0..codes.len() as u32).collect();
        arrange(codes, &mut rows, &*task, interrupt);
        interrupt.check().map(|()| Self(rows))
    }

    pub(crate) fn places(&self) -> &[u32] {
        &self.0
    }

    /// The place of each row.
    pub(crate) fn inverse(&self) -> Vec<u32> {
        let mut places = vec![0; self.0.len()];
        (0u32..).zip(&self.0).for_each(|(place, &row)| places[row as usize] = place);
        places
    }

    /// Some places, which are named by their numbers among themselves, in the order of their rows.
    pub(crate) fn ranks(&self, places: &[u32]) -> Vec<u32> {
        let mut ranks: Vec<u32> = (0..places.len() as u32).collect();
        ranks.sort_unstable_by_key(|&rank| self.0[places[rank as usize] as usize]);
        ranks
    }

    /// Pieces of `stride` items, one per row, put in this order.
    pub(crate) fn apply<T: Copy>(&self, items: &[T], stride: usize) -> Vec<T> {
        picked(items, stride, &self.0)
    }

    /// The same order, but that rows follow the row that is named for each, in the order of rows. Those that
    /// name themselves stay.
    pub(crate) fn with_followers(&self, leaders: &[u32]) -> Self {
        let mut followers = HashMap::<u32, Vec<u32>>::new();
        for (row, &leader) in (0u32..).zip(leaders).filter(|&(row, &leader)| row != leader) {
            followers.entry(leader).or_default().push(row);
        }
        let leading = self.0.iter().filter(|&&row| leaders[row as usize] == row);
        let with_its =
            |&row: &u32| std::iter::once(row).chain(followers.get(&row).into_iter().flatten().copied());
        Self(leading.flat_map(with_its).collect())
    }
}

/// Pieces of `stride` items each, in the order in which they are named.
pub(crate) fn picked<T: Copy>(items: &[T], stride: usize, pieces: &[u32]) -> Vec<T> {
    let piece = |&at: &u32| &items[at as usize * stride..(at as usize + 1) * stride];
    pieces.iter().flat_map(piece).copied().collect()
}

impl<'a> RowOrderView<'a> {
    /// Borrows an order.
    pub(crate) fn new(rows: &'a [u32]) -> Self {
        Self(Some(rows))
    }

    /// The row at a place; without an order they are the same.
    #[inline]
    pub(crate) fn row(self, place: u32) -> u32 {
        match self.0 {
            Some(rows) => rows.get(place as usize).copied().unwrap_or(u32::MAX),
            None => place,
        }
    }

    /// Whether each of `count` rows has one place. An error says what is wrong.
    pub(crate) fn check(self, count: u32) -> Result<(), String> {
        let Some(rows) = self.0 else { return Ok(()) };
        let mut seen = vec![false; count as usize];
        let once = |&row: &u32| seen.get_mut(row as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        match rows.len() == count as usize && rows.iter().all(once) {
            true => Ok(()),
            false => Err("its row order leaves rows out".to_owned()),
        }
    }
}

/// Puts rows in order. Every step is decided by scores and then by row numbers, so that the result does not
/// depend on threads.
fn arrange(codes: CodesView<'_>, rows: &mut [u32], task: &dyn Task, interrupt: &Interrupt) {
    if rows.len() <= TOGETHER {
        return task.advance(rows.len() as u64);
    }
    if rows.len() >= WORTH_THREADS && interrupt.requested() {
        return;
    }
    let mut query = CodedQuery::default();
    query.fill(&direction(codes, rows));
    let score = |rows: &[u32]| along(codes, &query, rows);
    let mut scored: Vec<(f32, u32)> = match rows.len() < WORTH_THREADS {
        true => score(rows),
        false => rows.par_chunks(WORTH_THREADS).flat_map_iter(score).collect(),
    };
    scored.sort_unstable_by(by_score);
    rows.iter_mut().zip(scored).for_each(|(row, (_, sorted))| *row = sorted);
    let (low, high) = rows.split_at_mut(rows.len() / 2);
    match low.len() < WORTH_THREADS {
        true => [low, high].into_iter().for_each(|half| arrange(codes, half, task, interrupt)),
        false => {
            rayon::join(|| arrange(codes, low, task, interrupt), || arrange(codes, high, task, interrupt));
        }
    }
}

fn by_score(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Where rows lie along a direction.
fn along(codes: CodesView<'_>, direction: &CodedQuery, rows: &[u32]) -> Vec<(f32, u32)> {
    let (mut raw, mut scores) = (Vec::new(), vec![0.0; rows.len()]);
    let mut later = rows.chunks(FETCHED);
    later.next().into_iter().flatten().for_each(|&row| codes.fetch(row));
    for (rows, scores) in rows.chunks(FETCHED).zip(scores.chunks_mut(FETCHED)) {
        later.next().into_iter().flatten().for_each(|&row| codes.fetch(row));
        codes.scores(direction, rows, &mut raw, scores);
    }
    scores.into_iter().zip(rows.iter().copied()).collect()
}

/// From the mean of one half of a sample to the mean of the other.
fn direction(codes: CodesView<'_>, rows: &[u32]) -> Vec<f32> {
    let count = rows.len().min(SAMPLE);
    let mut sample: Vec<(f32, u32)> = (0..count).map(|at| (0.0, rows[at * rows.len() / count])).collect();
    let mut query = CodedQuery::default();
    // The first halves: what is nearer to one of the rows, and what is further.
    query.fill_from(&codes, sample[0].1);
    let mut direction = vec![0.0; codes.stride()];
    for _ in 0..ROUNDS {
        let rows: Vec<u32> = sample.iter().map(|&(_, row)| row).collect();
        sample = along(codes, &query, &rows);
        sample.sort_unstable_by(by_score);
        let (low, high) = sample.split_at(count / 2);
        direction.fill(0.0);
        high.iter().for_each(|&(_, row)| codes.add(row, 1.0 / high.len() as f32, &mut direction));
        low.iter().for_each(|&(_, row)| codes.add(row, -1.0 / low.len() as f32, &mut direction));
        query.fill(&direction);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::hnsw::clusters;
    use crate::vectors::Vectors;
    use proptest::prelude::*;
    use revela_base::progress::Silent;

    fn order_of(vectors: &Vectors) -> RowOrder {
        let codes = Codes::of(vectors.view());
        RowOrder::local(codes.view(), &Silent, &Interrupt::new()).unwrap()
    }

    proptest! {
        /// Whatever the rows are, all of them are kept, and the inverse leads back.
        #[test]
        fn an_order_keeps_all_rows(
            dim in 1usize..20,
            data in proptest::collection::vec(prop_oneof![-1f32..1.0, Just(0.5)], 20..2000),
        ) {
            let whole = data.len() / dim * dim;
            let vectors = Vectors::new("x", dim, data[..whole].to_vec()).unwrap();
            let order = order_of(&vectors);
            let view = RowOrderView::new(order.places());
            prop_assert_eq!(view.check(vectors.len() as u32), Ok(()));
            prop_assert!(view.check(vectors.len() as u32 + 1).is_err());
            for (row, &place) in (0u32..).zip(&order.inverse()) {
                prop_assert_eq!(view.row(place), row);
            }
            let moved = order.apply(vectors.view().data(), dim);
            for (moved, &row) in moved.chunks(dim).zip(order.places()) {
                prop_assert_eq!(Some(moved), vectors.view().get(row as usize));
            }
        }
    }

    #[test]
    fn near_rows_come_together_and_always_alike() {
        let vectors = clusters(9000, 16, 1);
        let order = order_of(&vectors);
        assert_eq!(order, order_of(&vectors));
        let rows = vectors.view();
        let similarity = |pairs: &[[usize; 2]]| {
            let dot = |&[a, b]: &[usize; 2]| -> f32 {
                let (a, b) = (rows.get(a).unwrap(), rows.get(b).unwrap());
                a.iter().zip(b).map(|(x, y)| x * y).sum()
            };
            pairs.iter().map(dot).sum::<f32>() / pairs.len() as f32
        };
        let places = order.places();
        let sides: Vec<[usize; 2]> = places.windows(2).map(|p| [p[0] as usize, p[1] as usize]).collect();
        let before: Vec<[usize; 2]> = (1..9000).map(|row| [row - 1, row]).collect();
        assert!(similarity(&sides) > similarity(&before) + 0.3, "{}", similarity(&sides));
    }

    #[test]
    fn damaged_orders_are_told_and_do_no_harm() {
        assert_eq!(RowOrderView::default().row(7), 7);
        assert_eq!(RowOrderView::default().check(3), Ok(()));
        let twice = RowOrderView::new(&[0, 2, 2]);
        assert!(twice.check(3).is_err());
        assert_eq!(twice.row(3), u32::MAX);
        assert!(RowOrderView::new(&[0, 1, 3]).check(3).is_err());
        let interrupt = Interrupt::new();
        interrupt.request();
        let codes = Codes::of(clusters(10, 3, 0).view());
        assert!(RowOrder::local(codes.view(), &Silent, &interrupt).is_err());
    }
}
