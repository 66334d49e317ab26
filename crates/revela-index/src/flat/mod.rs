//! Exact search: every query against every row.
//!
//! Two ways that find the same to the last bit: comparing in full, and, where the processor
//! multiplies bf16 numbers, comparing what is rounded first.

mod best;
mod rounded;

use rayon::prelude::*;

use crate::distance::tile;
use crate::error::Error;
use crate::topk::Scored;
use crate::vectors::Rows;
use best::Best;

/// Queries that one thread takes at a time; they stay in the second-level cache while rows pass by.
const QUERY_BLOCK: usize = 128;

/// Bytes of rows that are compared with all queries of a block before the next rows are read; they
/// stay in the first-level cache meanwhile.
const ROW_BLOCK_BYTES: usize = 20 << 10;

/// The `k` rows with the largest dot product for each query, best first, equal ones in row order.
///
/// Rows for which `keep` is false are left out. Besides the results, memory is `k` per query under way.
///
/// # Errors
/// [`Error::Dimension`] when queries and rows have different lengths.
pub fn search(
    rows: Rows<'_>,
    queries: Rows<'_>,
    k: usize,
    keep: &(dyn Fn(u32) -> bool + Sync),
) -> Result<Vec<Vec<Scored<u32>>>, Error> {
    if rows.dim() != queries.dim() {
        return Err(Error::Dimension {
            what: "the query".to_owned(),
            expected: rows.dim(),
            found: queries.dim(),
        });
    }
    let share = queries.len().div_ceil(rayon::current_num_threads()).max(1);
    let found: Vec<Vec<_>> = if rounded::pays(queries.len()) {
        let blocks = queries.data().par_chunks(share.min(rounded::QUERY_BLOCK) * queries.dim());
        blocks.map(|block| rounded::search_block(rows, block, k, keep)).collect()
    } else {
        let blocks = queries.data().par_chunks(share.min(QUERY_BLOCK) * queries.dim());
        blocks.map(|block| search_block(rows, block, k, keep)).collect()
    };
    Ok(found.into_iter().flatten().collect())
}

fn search_block(
    rows: Rows<'_>,
    queries: &[f32],
    k: usize,
    keep: &(dyn Fn(u32) -> bool + Sync),
) -> Vec<Vec<Scored<u32>>> {
    let dim = rows.dim();
    let tile = tile();
    let queries: Vec<&[f32]> = queries.chunks_exact(dim).collect();
    let mut best: Vec<Best> = queries.iter().map(|_| Best::new(k)).collect();
    let row_block = (ROW_BLOCK_BYTES / (4 * dim)).max(1);
    let mut scores = [vec![0.0; row_block], vec![0.0; row_block]];
    for (number, block) in rows.data().chunks(row_block * dim).enumerate() {
        let first = (number * row_block) as u32;
        let count = block.len() / dim;
        for (pair, best) in queries.chunks(2).zip(best.chunks_mut(2)) {
            let [one, two] = &mut scores;
            // A single last query is asked twice, which is as quick as once.
            if let (Some(&a), Some(&b)) = (pair.first(), pair.last()) {
                tile([a, b], block, [one.as_mut_slice(), two.as_mut_slice()]);
            }
            for (scores, best) in scores.iter().zip(best) {
                best.offer(scores.get(..count).unwrap_or(scores), first, keep);
            }
        }
    }
    best.into_iter().map(Best::into_sorted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::kernels;
    use crate::vectors::Vectors;
    use proptest::prelude::*;

    fn plain(rows: Rows<'_>, query: &[f32], k: usize, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut all: Vec<Scored<u32>> = rows
            .iter()
            .enumerate()
            .map(|(id, row)| Scored { score: (kernels().dot)(query, row), id: id as u32 })
            .filter(|s| keep(s.id))
            .collect();
        all.sort();
        all.into_iter().take(k).map(|s| s.id).collect()
    }

    proptest! {
        #[test]
        fn finds_what_sorting_everything_finds(
            dim in 1usize..40,
            // Few distinct numbers, so that equal scores are common.
            data in proptest::collection::vec(-2i8..3, 0..4000),
            k in 0usize..50,
            modulus in 1u32..5,
        ) {
            let mut data: Vec<f32> = data.into_iter().map(f32::from).collect();
            data.truncate(data.len() / dim * dim);
            let rows = Vectors::new("rows", dim, data).unwrap();
            let keep = |id: u32| id.is_multiple_of(modulus);
            let found = search(rows.view(), rows.view(), k, &keep).unwrap();
            prop_assert_eq!(&found, &search_block(rows.view(), rows.view().data(), k, &keep));
            prop_assert_eq!(&found, &rounded::search_block(rows.view(), rows.view().data(), k, &keep));
            prop_assert_eq!(found.len(), rows.len());
            for (query, found) in rows.view().iter().zip(found) {
                let ids: Vec<u32> = found.iter().map(|s| s.id).collect();
                prop_assert_eq!(ids, plain(rows.view(), query, k, keep));
            }
        }
    }

    #[test]
    fn many_blocks_of_rows_and_queries() {
        let dim = 700;
        let data = (0..dim * 300).map(|i| ((i * 7919 % 1013) as f32).sin()).collect();
        let rows = Vectors::new("rows", dim, data).unwrap();
        let found = search(rows.view(), rows.view(), 3, &|_| true).unwrap();
        for (row, found) in found.iter().enumerate() {
            assert_eq!(found.iter().map(|s| s.id).collect::<Vec<_>>(), {
                plain(rows.view(), rows.view().get(row).unwrap(), 3, |_| true)
            });
        }
    }

    #[test]
    fn dimensions_must_agree() {
        let (rows, query) = (Rows::new("r", 2, &[1.0, 2.0]).unwrap(), Rows::new("q", 1, &[1.0]).unwrap());
        let error = search(rows, query, 1, &|_| true).unwrap_err().to_string();
        assert!(error.contains("has 1 dimensions where 2"), "{error}");
    }
}
