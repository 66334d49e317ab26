//! Many queries against many rows, each number of which is used several times while it is in a register.
//!
//! Every product has the bits that the instruction set's own [`dot`](super::Kernels::dot) gives, so a tile
//! is only a faster way of asking for the same.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use super::kernels;

/// Fills each `out` with the products of one of two queries and of the rows that are laid end to end in `rows`,
/// as far as it is long enough. Queries and rows have one length.
pub(crate) type Tile = fn([&[f32]; 2], &[f32], [&mut [f32]; 2]);

/// What this machine runs best.
pub(crate) fn tile() -> Tile {
    static CHOSEN: OnceLock<Tile> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if super::avx512::available().is_some() {
            // SAFETY: `available` says that the features are there.
            return |queries, rows, out| unsafe { wide::tile(queries, rows, out) };
        }
        plain
    })
}

/// One product after the other.
fn plain(queries: [&[f32]; 2], rows: &[f32], out: [&mut [f32]; 2]) {
    let dot = kernels().dot;
    for (query, out) in queries.into_iter().zip(out) {
        for (row, out) in rows.chunks_exact(query.len().max(1)).zip(out) {
            *out = dot(query, row);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::super::avx512::sum_f32;
    use super::plain;

    /// Rows that are compared at once: with two queries and four sums each, 24 of 32 registers.
    const ROWS: usize = 3;

    /// AVX-512. The order of additions of each product is that of `avx512::dot`.
    #[target_feature(enable = "avx512f")]
    pub(super) fn tile(queries: [&[f32]; 2], rows: &[f32], out: [&mut [f32]; 2]) {
        let dim = queries[0].len();
        let [first, second] = out;
        if dim == 0 || queries[1].len() != dim {
            return plain(queries, rows, [first, second]);
        }
        let count = (rows.len() / dim).min(first.len()).min(second.len());
        let whole = count / ROWS * ROWS;
        for start in (0..whole).step_by(ROWS) {
            let some = &rows[start * dim..(start + ROWS) * dim];
            let sums = products(queries, some, dim);
            first[start..start + ROWS].copy_from_slice(&sums[0]);
            second[start..start + ROWS].copy_from_slice(&sums[1]);
        }
        plain(
            queries,
            &rows[whole * dim..count * dim],
            [&mut first[whole..count], &mut second[whole..count]],
        );
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    #[allow(
        clippy::needless_range_loop,
        reason = "constant bounds over several arrays, which the compiler unrolls"
    )]
    fn products(queries: [&[f32]; 2], rows: &[f32], dim: usize) -> [[f32; ROWS]; 2] {
        assert!(queries[0].len() == dim && queries[1].len() == dim && rows.len() == ROWS * dim);
        let (a, b) = (queries[0].as_ptr(), queries[1].as_ptr());
        let r = [rows.as_ptr(), rows[dim..].as_ptr(), rows[2 * dim..].as_ptr()];
        let mut sums = [[[_mm512_setzero_ps(); 4]; ROWS]; 2];
        let whole = dim / 64 * 64;
        for block in (0..whole).step_by(64) {
            for i in 0..4 {
                let at = block + 16 * i;
                // SAFETY: at + 16 <= whole <= dim, the length of both queries and of each of the rows.
                let (x, y) = unsafe { (_mm512_loadu_ps(a.add(at)), _mm512_loadu_ps(b.add(at))) };
                for j in 0..ROWS {
                    // SAFETY: as above.
                    let z = unsafe { _mm512_loadu_ps(r[j].add(at)) };
                    sums[0][j][i] = _mm512_fmadd_ps(x, z, sums[0][j][i]);
                    sums[1][j][i] = _mm512_fmadd_ps(y, z, sums[1][j][i]);
                }
            }
        }
        for at in (whole..dim).step_by(16) {
            let mask = ((1u32 << (dim - at).min(16)) - 1) as __mmask16;
            // SAFETY: at < dim, and numbers outside the mask, which lie behind the end, are not read.
            let (x, y) =
                unsafe { (_mm512_maskz_loadu_ps(mask, a.add(at)), _mm512_maskz_loadu_ps(mask, b.add(at))) };
            for j in 0..ROWS {
                // SAFETY: as above.
                let z = unsafe { _mm512_maskz_loadu_ps(mask, r[j].add(at)) };
                sums[0][j][0] = _mm512_fmadd_ps(x, z, sums[0][j][0]);
                sums[1][j][0] = _mm512_fmadd_ps(y, z, sums[1][j][0]);
            }
        }
        let mut products = [[0.0; ROWS]; 2];
        // Loops, since closures would not have this function's instruction set.
        for (products, sums) in products.iter_mut().zip(sums) {
            for (product, sums) in products.iter_mut().zip(sums) {
                *product = sum_f32(sums);
            }
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use revela_base::seed::Seed;

    #[test]
    fn every_product_has_the_bits_of_dot() {
        let mut stream = Seed(3).stream("tile");
        let mut numbers = |n: usize| (0..n).map(|_| stream.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
        for dim in (1..140).chain([192, 383, 384, 385, 768]) {
            for rows in [0, 1, 2, 3, 4, 7, 12] {
                let (a, b, data) = (numbers(dim), numbers(dim), numbers(dim * rows));
                let (mut first, mut second) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
                let (mut third, mut fourth) = (first.clone(), second.clone());
                tile()([&a, &b], &data, [&mut first, &mut second]);
                plain([&a, &b], &data, [&mut third, &mut fourth]);
                assert_eq!((first, second), (third, fourth), "{dim} numbers, {rows} rows");
            }
        }
    }

    #[test]
    fn odd_lengths_are_harmless() {
        let (a, data, mut out) = ([1.0; 5], [2.0; 12], [0.0; 9]);
        let (one, two) = out.split_at_mut(4);
        tile()([&a, &a], &data, [one, two]);
        assert_eq!(out, [10.0, 10.0, 0.0, 0.0, 10.0, 10.0, 0.0, 0.0, 0.0]);
        tile()([&a, &a[..3]], &data, [&mut [0.0; 2], &mut [0.0; 3]]);
        tile()([&[], &[]], &data, [&mut [], &mut []]);
    }
}
