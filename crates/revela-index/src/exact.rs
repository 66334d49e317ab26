//! Exact search in one shard: all rows, or given ones.

use crate::codes::{CodedQuery, CodesView};
use crate::row_order::RowOrderView;
use crate::topk::{Scored, TopK};
use crate::vectors::StoredRows;

/// Rows whose codes are compared before the results are looked at.
const SCANNED: usize = 256;

/// Rows that are compared in full at a time.
const COMPARED: usize = 16;

/// The same once the best are known and each may be the last.
const SETTLED: usize = 4;

/// Candidates that may gather before those that are out are removed.
const CANDIDATES: usize = 1 << 12;

/// Memory of searches, used again by the next one.
#[derive(Debug)]
pub(crate) struct ExactScratch {
    raw: Vec<i32>,
    rows: Vec<u32>,
    scores: Vec<f32>,
    /// The best of what the scores are at least.
    least: TopK<u32>,
    /// Rows that may be among the best, with what their scores are at most.
    candidates: Vec<Scored<u32>>,
}

impl Default for ExactScratch {
    fn default() -> Self {
        Self {
            raw: Vec::new(),
            rows: Vec::new(),
            scores: Vec::new(),
            least: TopK::new(0),
            candidates: Vec::new(),
        }
    }
}

/// Compares given rows with the query, in full.
pub(crate) fn compare(
    rows: StoredRows<'_>,
    query: &[f32],
    mut given: impl Iterator<Item = u32>,
    scratch: &mut ExactScratch,
    top: &mut TopK<u32>,
) {
    loop {
        scratch.rows.clear();
        scratch.rows.extend(given.by_ref().take(COMPARED));
        if scratch.rows.is_empty() {
            return;
        }
        scratch.rows.iter().for_each(|&row| rows.fetch(row));
        scratch.scores.resize(scratch.rows.len(), 0.0);
        rows.scores(query, &scratch.rows, &mut scratch.scores);
        for (&row, &score) in scratch.rows.iter().zip(&scratch.scores) {
            top.push(score, row);
        }
    }
}

/// Compares the codes of all rows with the query, and in full those that may be among the best. The result
/// is what comparing all in full gives.
pub(crate) fn scan(
    rows: StoredRows<'_>,
    (codes, order): (CodesView<'_>, RowOrderView<'_>),
    (query, coded): (&[f32], &CodedQuery),
    keep: &dyn Fn(u32) -> bool,
    scratch: &mut ExactScratch,
    top: &mut TopK<u32>,
) {
    let k = top.k();
    scratch.least.reset(k);
    scratch.candidates.clear();
    let limit = CANDIDATES.max(k.saturating_mul(4));
    for first in (0..codes.len()).step_by(SCANNED) {
        scratch.raw.resize(SCANNED.min(codes.len() - first), 0);
        let (least, candidates) = (&mut scratch.least, &mut scratch.candidates);
        let mut threshold = least.threshold();
        codes.scan(coded, first, &mut scratch.raw, |place, score, bound| {
            let (row, most) = (order.row(place), score + bound);
            // Equal scores are decided by the row, so equal is not out.
            if most >= threshold && keep(row) {
                candidates.push(Scored { score: most, id: row });
                least.push(score - bound, row);
                threshold = least.threshold();
            }
        });
        if candidates.len() >= limit {
            candidates.retain(|candidate| candidate.score >= threshold);
        }
    }
    let threshold = scratch.least.threshold();
    scratch.candidates.retain(|candidate| candidate.score >= threshold);
    scratch.candidates.sort_unstable();
    scratch.candidates.iter().take(k.min(COMPARED)).for_each(|candidate| rows.fetch(candidate.id));
    settle(rows, query, scratch, top);
}

/// Compares candidates in full; each comes with what its score is at most, as far as is known. The best should
/// have been fetched.
pub(crate) fn decide(
    rows: StoredRows<'_>,
    query: &[f32],
    candidates: impl Iterator<Item = Scored<u32>>,
    scratch: &mut ExactScratch,
    top: &mut TopK<u32>,
) {
    scratch.candidates.clear();
    scratch.candidates.extend(candidates);
    scratch.candidates.sort_unstable();
    settle(rows, query, scratch, top);
}

/// Compares the gathered candidates in full, which are sorted, until the rest cannot matter. As many as are
/// wanted should have been fetched.
fn settle(rows: StoredRows<'_>, query: &[f32], scratch: &mut ExactScratch, top: &mut TopK<u32>) {
    let mut rest = scratch.candidates.as_slice();
    // Before there are as many as are wanted, none can be left out.
    let mut count = top.k().min(COMPARED);
    while let Some(best) = rest.first()
        && best.score >= top.threshold()
    {
        let (block, later) = rest.split_at(count.min(rest.len()));
        scratch.rows.clear();
        scratch.rows.extend(block.iter().map(|candidate| candidate.id));
        scratch.scores.resize(block.len(), 0.0);
        rows.scores(query, &scratch.rows, &mut scratch.scores);
        let scored = scratch.rows.iter().zip(&scratch.scores);
        // A damaged order may lead to rows that do not exist.
        for (&row, &score) in scored.filter(|&(_, &score)| score > f32::NEG_INFINITY) {
            top.push(score, row);
        }
        (rest, count) = (later, SETTLED);
        let next = rest.iter().take(count).filter(|next| next.score >= top.threshold());
        next.for_each(|next| rows.fetch(next.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::row_order::RowOrder;
    use crate::vectors::{Dtype, Vectors};
    use proptest::prelude::*;
    use revela_base::interrupt::Interrupt;
    use revela_base::progress::Silent;

    fn both(
        stored: StoredRows<'_>,
        codes: &Codes,
        query: &[f32],
        k: usize,
        modulus: u32,
    ) -> [Vec<Scored<u32>>; 2] {
        let mut coded = CodedQuery::default();
        coded.fill(query);
        let keep = |row: u32| row.is_multiple_of(modulus);
        let (mut scratch, mut plain, mut fast) = (ExactScratch::default(), TopK::new(k), TopK::new(k));
        let given = (0..stored.len() as u32).filter(|&row| keep(row));
        compare(stored, query, given, &mut scratch, &mut plain);
        let order = RowOrder::local(codes.view(), &Silent, &Interrupt::new()).unwrap();
        let (arranged, order) = (codes.arranged(&order), RowOrderView::new(order.places()));
        let codes = (arranged.view(), order);
        scan(stored, codes, (query, &coded), &keep, &mut scratch, &mut fast);
        [plain.into_sorted(), fast.into_sorted()]
    }

    proptest! {
        /// Scanning codes finds what comparing everything finds, to the last bit, ties included.
        #[test]
        fn a_scan_of_codes_is_exact(
            dim in 1usize..70,
            data in proptest::collection::vec(prop_oneof![-1f32..1.0, Just(0.5), Just(-0.0)], 70..6000),
            k in 1usize..40,
            modulus in 1u32..4,
            dtype in prop_oneof![Just(Dtype::F32), Just(Dtype::F16)],
        ) {
            let mut data = data;
            data.truncate(data.len() / dim * dim);
            dtype.round("x", 0, dim, &mut data).unwrap();
            let rows = Vectors::new("x", dim, data).unwrap();
            let codes = Codes::of(rows.view());
            let bytes = dtype.bytes(rows.view().data());
            let bits: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
            let stored = match dtype {
                Dtype::F16 => StoredRows::F16 { dim, data: &bits },
                _ => StoredRows::F32(rows.view()),
            };
            for query in rows.view().iter().take(5) {
                let [plain, fast] = both(stored, &codes, query, k, modulus);
                prop_assert_eq!(plain, fast);
            }
        }
    }

    #[test]
    fn many_rows_and_many_wanted() {
        let data = (0..9000 * 4).map(|i| ((i * 7919 % 1013) as f32).sin()).collect();
        let rows = Vectors::new("x", 4, data).unwrap();
        let codes = Codes::of(rows.view());
        for k in [1, 100, 9000, usize::MAX] {
            let stored = StoredRows::F32(rows.view());
            let [plain, fast] = both(stored, &codes, rows.view().get(5).unwrap(), k, 1);
            assert_eq!(plain, fast);
            assert_eq!(fast.len(), k.min(9000));
        }
    }
}
