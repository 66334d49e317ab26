//! Exact search: every query against every row.

use rayon::prelude::*;

use crate::distance::kernels;
use crate::error::Error;
use crate::topk::{Scored, TopK};
use crate::vectors::Rows;

/// Queries that one thread takes at a time.
const QUERY_BLOCK: usize = 64;

/// Bytes of rows that are compared with all queries of a block before the next rows are read; they
/// stay in the second-level cache meanwhile.
const ROW_BLOCK_BYTES: usize = 256 << 10;

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
    let blocks = queries.data().par_chunks(QUERY_BLOCK * queries.dim());
    let found = blocks.flat_map_iter(|block| search_block(rows, block, k, keep));
    Ok(found.collect())
}

fn search_block(
    rows: Rows<'_>,
    queries: &[f32],
    k: usize,
    keep: &(dyn Fn(u32) -> bool + Sync),
) -> Vec<Vec<Scored<u32>>> {
    let dim = rows.dim();
    let dot = kernels().dot;
    let mut tops: Vec<TopK<u32>> = queries.chunks_exact(dim).map(|_| TopK::new(k)).collect();
    let row_block = (ROW_BLOCK_BYTES / (4 * dim)).max(1);
    for (number, block) in rows.data().chunks(row_block * dim).enumerate() {
        let first = (number * row_block) as u32;
        for (query, top) in queries.chunks_exact(dim).zip(&mut tops) {
            for (id, row) in (first..).zip(block.chunks_exact(dim)) {
                let score = dot(query, row);
                // Rows ascend, so one whose score equals the worst kept would lose the tie.
                if score > top.threshold() && keep(id) {
                    top.push(score, id);
                }
            }
        }
    }
    tops.into_iter().map(TopK::into_sorted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
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
