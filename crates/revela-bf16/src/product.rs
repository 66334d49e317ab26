//! The product itself.

use rayon::prelude::*;

use crate::operand::{Left, PANEL, Right, Source};
use crate::plain;

/// `[m, k] x [k, n]`.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

/// What the product is added to.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// These numbers, one per column.
    Bias(&'a [f32]),
    /// What is there.
    Add,
}

impl<'a> Start<'a> {
    /// For some of the columns.
    fn columns(self, first: usize, count: usize) -> Self {
        match self {
            Start::Bias(bias) => Start::Bias(&bias[first..first + count]),
            other => other,
        }
    }
}

/// Some rows times some numbers of one panel.
pub(crate) struct Tile<'a> {
    /// Rows of bf16, `stride` apart.
    pub(crate) a: &'a [u16],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// The pairs of the panel that are multiplied now, `[pairs, PANEL, 2]`.
    pub(crate) panel: &'a [u16],
    /// Columns of the panel that exist.
    pub(crate) columns: usize,
    /// Distance of the result's rows.
    pub(crate) width: usize,
    pub(crate) start: Start<'a>,
}

/// Rows of a task: with a panel they fit the second-level cache.
const ROWS: usize = 96;

/// Numbers of a sum that are added at a time, for the same reason.
const DEPTH: usize = 2048;

/// Multiply-adds under which threads cost more than they save.
const PARALLEL: usize = 1 << 21;

/// Where a product is written.
#[derive(Debug)]
pub struct Target<'a> {
    data: &'a mut [f32],
    columns: usize,
    stride: usize,
}

impl<'a> Target<'a> {
    /// Rows of `columns` numbers, `stride` apart.
    pub fn new(data: &'a mut [f32], columns: usize, stride: usize) -> Self {
        Self { data, columns, stride }
    }
}

/// `c = left * right`, on top of `start`; `c` is `[m, n]`. On this thread. It may have fewer columns than the right
/// operand, or more, up to a multiple of 32: these are zero.
///
/// # Panics
/// When sizes do not fit each other: a bug in the caller.
pub fn multiply(left: &Left, right: &Right, start: Start<'_>, c: Target<'_>) {
    let (m, n) = (left.m, c.columns);
    if m * n == 0 {
        return;
    }
    let inside = c.stride >= n && c.data.len() >= (m - 1) * c.stride + n;
    let inside = inside && n <= right.n.next_multiple_of(PANEL);
    assert!(left.k == right.k && inside, "the sizes of a product do not fit");
    assert!(!matches!(start, Start::Bias(bias) if bias.len() != n), "a bias has the wrong length");
    let panel_len = Right::panel_len(right.k);
    let depths = right.k.div_ceil(DEPTH).max(1);
    for depth in 0..depths {
        let start = if depth == 0 { start } else { Start::Add };
        for number in 0..n.div_ceil(PANEL) {
            let columns = PANEL.min(n - number * PANEL);
            let panel = &right.data[number * panel_len..][..panel_len];
            let from = depth * DEPTH * PANEL;
            let tile = Tile {
                a: &left.data[depth * DEPTH..],
                stride: left.stride,
                rows: m,
                panel: &panel[from..panel_len.min(from + DEPTH * PANEL)],
                columns,
                width: c.stride,
                start: start.columns(number * PANEL, columns),
            };
            run(&tile, &mut c.data[number * PANEL..]);
        }
    }
}

fn run(tile: &Tile<'_>, c: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if crate::wide::tile(tile, c) {
        return;
    }
    plain::tile(tile, c);
}

/// `c = a * b`, on top of `start`, on all threads: `a` is `[m, k]`, `b` is `[k, n]`, `c` is `[m, n]`. The result is
/// the same on any number of threads.
///
/// # Panics
/// When sizes do not fit each other: a bug in the caller.
pub fn product(shape: Shape, a: Source<'_>, b: Source<'_>, start: Start<'_>, c: &mut [f32]) {
    let Shape { m, n, k } = shape;
    assert!(c.len() == m * n, "the result of a product has the wrong length");
    let right = Right::new(b, n, k);
    let block = |(number, c): (usize, &mut [f32])| {
        let rows = c.len() / n;
        let left = Left::new(a.from(number * ROWS), rows, k);
        multiply(&left, &right, start, Target::new(c, n, n));
    };
    if n == 0 {
        return;
    }
    if m * n * k < PARALLEL {
        c.chunks_mut(ROWS * n).enumerate().for_each(block);
    } else {
        c.par_chunks_mut(ROWS * n).enumerate().for_each(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;
    use proptest::prelude::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut x = seed;
        (0..n)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 8) as f32 / 16_777_216.0 - 0.5
            })
            .collect()
    }

    fn transposed(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..columns * rows).map(|i| x[i % rows * columns + i / rows]).collect()
    }

    fn rounded(x: f32) -> f64 {
        f64::from(bf16::from_f32(x))
    }

    /// By the definition, in f64.
    fn wanted(shape: Shape, a: &[f32], b: &[f32]) -> Vec<f64> {
        let Shape { m, n, k } = shape;
        let at = |i: usize| (0..k).map(|p| rounded(a[i / n * k + p]) * rounded(b[i % n * k + p])).sum();
        (0..m * n).map(at).collect()
    }

    fn close(got: &[f32], want: &[f64], k: usize) -> bool {
        let doubt = 1e-6 * (k as f64).max(1.0);
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() <= doubt)
    }

    fn check(shape: Shape) {
        let Shape { m, n, k } = shape;
        let (a, b, bias) = (numbers(m * k, 1), numbers(n * k, 2), numbers(n, 3));
        let (a_t, b_t) = (transposed(&a, m, k), transposed(&b, n, k));
        let want = wanted(shape, &a, &b);
        for a in [Source::along(&a, k), Source::across(&a_t, m)] {
            for b in [Source::along(&b, k), Source::across(&b_t, n)] {
                let mut c = vec![f32::NAN; m * n];
                product(shape, a, b, Start::Zero, &mut c);
                assert!(close(&c, &want, k), "{shape:?} {a:?}");
                product(shape, a, b, Start::Add, &mut c);
                let twice: Vec<f64> = want.iter().map(|w| 2.0 * w).collect();
                assert!(close(&c, &twice, 2 * k), "{shape:?}: on top of what is there");
                product(shape, a, b, Start::Bias(&bias), &mut c);
                let more: Vec<f64> =
                    want.iter().enumerate().map(|(i, w)| w + f64::from(bias[i % n])).collect();
                assert!(close(&c, &more, k + 1), "{shape:?}: on top of a bias");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn agrees_with_the_definition(m in 0usize..40, n in 0usize..80, k in 0usize..90) {
            check(Shape { m, n, k });
        }
    }

    #[test]
    fn blocks_of_rows_columns_and_sums() {
        for (m, n, k) in [(1, 1, 1), (250, 33, 64), (13, 64, 2 * DEPTH + 3), (97, 96, 130), (300, 200, 50)] {
            check(Shape { m, n, k });
        }
    }

    /// The processor's form against the plain one, on the same operands.
    #[test]
    fn fast_and_plain_tiles_agree() {
        let (m, n, k) = (29, 45, 71);
        let (a, b) = (numbers(m * k, 4), numbers(n * k, 5));
        let left = Left::new(Source::along(&a, k), m, k);
        let right = Right::new(Source::along(&b, k), n, k);
        let mut fast = vec![0.0; m * n];
        multiply(&left, &right, Start::Zero, Target::new(&mut fast, n, n));
        let len = Right::panel_len(k);
        let mut slow = vec![0.0; m * n];
        for (number, panel) in right.data.chunks(len).enumerate() {
            let columns = PANEL.min(n - number * PANEL);
            let (a, stride) = (&left.data[..], left.stride);
            let tile = Tile { a, stride, rows: m, panel, columns, width: n, start: Start::Zero };
            plain::tile(&tile, &mut slow[number * PANEL..]);
        }
        assert!(fast.iter().zip(&slow).all(|(f, s)| (f - s).abs() < 1e-5));
    }

    /// Parts of larger matrices, into a part of one, in memory used before.
    #[test]
    fn strides_and_used_memory() {
        let (m, n, k) = (19, 40, 34);
        let (a, b) = (numbers(m * (k + 5), 6), numbers(k * (n + 3), 7));
        let mut left = Left::new(Source::along(&[9.0; 64 * 64], 64), 64, 64);
        let mut right = Right::new(Source::along(&[9.0; 64 * 64], 64), 64, 64);
        left.fill(Source::along(&a, k + 5), m, k);
        right.fill(Source::across(&b, n + 3), n, k);
        let mut c = vec![7.0; m * (n + 2)];
        multiply(&left, &right, Start::Zero, Target::new(&mut c[..m * (n + 2) - 2], n, n + 2));
        for (i, row) in c.chunks(n + 2).enumerate() {
            for (j, &got) in row.iter().enumerate() {
                let at = |p: usize| rounded(a[i * (k + 5) + p]) * rounded(b[p * (n + 3) + j]);
                let want = if j < n { (0..k).map(at).sum() } else { 7.0 };
                assert!((f64::from(got) - want).abs() < 1e-4, "{i}, {j}: {got} {want}");
            }
        }
    }

    #[test]
    fn some_columns_and_padding() {
        let (m, n, k) = (5, 40, 8);
        let (a, b) = (numbers(m * k, 8), numbers(n * k, 9));
        let left = Left::new(Source::along(&a, k), m, k);
        let right = Right::new(Source::along(&b, k), n, k);
        let of = |columns: usize| {
            let mut c = vec![7.0; m * columns];
            multiply(&left, &right, Start::Zero, Target::new(&mut c, columns, columns));
            c
        };
        let (some, all) = (of(33), of(64));
        for i in 0..m {
            assert_eq!(some[i * 33..][..33], all[i * 64..][..33]);
            assert_eq!(all[i * 64 + n..][..64 - n], [0.0; 24]);
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_even() {
        let x: Vec<f32> =
            numbers(64, 9).into_iter().chain([1.0, 1.003_906_3, 1.011_718_8, -0.0, 3e38]).collect();
        let left = Left::new(Source::along(&x, x.len()), 1, x.len());
        let want: Vec<u16> = x.iter().map(|x| bf16::from_f32(*x).to_bits()).collect();
        assert_eq!(left.data[..x.len()], want);
        assert!(left.data[x.len()..].iter().all(|bits| *bits == 0));
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn sizes_that_do_not_fit_are_refused() {
        let left = Left::new(Source::along(&[1.0; 4], 2), 2, 2);
        let right = Right::new(Source::along(&[1.0; 6], 3), 2, 3);
        multiply(&left, &right, Start::Zero, Target::new(&mut [0.0; 4], 2, 2));
    }
}
