//! The cross path as one CPU kernel: O(B L^2) memory, exact, deterministic on any number of threads.
//!
//! One tile of scores `[L_i, L_j]` is in the cache at a time. V-normalisation and the weight W[i, j] are
//! one factor per row of a tile, so they cost nothing extra. The backward pass computes tiles again:
//! with P = G V_j^T it needs no O_ij, since `<G, O_ij> = rowsum(A * P)`. Five products instead of the
//! forward pass's two, and nothing of size B^2 is kept but W.

mod backward;

use burn::tensor::Tensor;
use rayon::prelude::*;
use revela_model::cpu::vector::{exp, max, scale};
use revela_model::cpu::{Mat, MatMut, Matmul, PANEL, Packed, RightOperand, Store, split_rows, vectorised};
use revela_model::op::{Kernel, Output, View, apply};

use super::super::reading::{ReadShape, Skip, ValueNorm};
use super::{CrossOptions, EPSILON};

/// See [`super::cross_attention`].
pub(super) fn cross_attention(
    [q, k, v]: [Tensor<2>; 3],
    w: Tensor<2>,
    shape: &ReadShape,
    options: CrossOptions,
    matmul: Matmul,
) -> Tensor<2> {
    let (value_norm, skip) = (options.value_norm, options.skip);
    let kernel = CrossAttention { shape: shape.clone(), value_norm, skip, matmul };
    apply(kernel, [q, k, v, w].map(Tensor::into_dispatch))
}

/// Rows of a tile: with the longest usual chunks, two tiles of f32 stay in a second-level cache.
const TILE_ROWS: usize = 192;

#[derive(Debug, Clone)]
struct CrossAttention {
    shape: ReadShape,
    value_norm: ValueNorm,
    skip: Skip,
    matmul: Matmul,
}

/// One chunk's keys and values of one head, ready for products.
struct Chunk<'a> {
    keys: usize,
    columns: usize,
    packed_keys: Packed,
    /// Only for the backward pass.
    packed_values: Option<Packed>,
    k: &'a [f32],
    v: &'a [f32],
    /// Lengths of the value vectors; ones without V-normalisation.
    norms: Vec<f32>,
}

impl CrossAttention {
    fn chunk<'a>(&self, [_, k, v, _]: [View<'a>; 4], j: usize, kv_head: usize, backward: bool) -> Chunk<'a> {
        let (dim, stride) = (self.shape.heads.dim, self.shape.heads.kv_width());
        let (start, keys) = (self.shape.chunks.starts()[j], self.shape.chunks.keys(j));
        let at = start * stride + kv_head * dim;
        let (k, v) = (&k.data[at..], &v.data[at..]);
        let length = |l: usize| v[l * stride..][..dim].iter().map(|x| x * x).sum::<f32>().sqrt();
        Chunk {
            keys,
            columns: keys.next_multiple_of(PANEL),
            packed_keys: self.matmul.pack(k, keys, dim, stride),
            packed_values: backward.then(|| self.matmul.pack(v, keys, dim, stride)),
            k,
            v,
            norms: match self.value_norm {
                ValueNorm::Mean => (0..keys).map(length).collect(),
                ValueNorm::Off => vec![1.0; keys],
            },
        }
    }

    fn is_skipped(&self, w: f32) -> bool {
        match self.skip {
            Skip::Nothing => false,
            Skip::Below(least) => w.abs() < least,
        }
    }

    /// Row ranges of a reader's tiles, as rows of the whole batch.
    fn tiles(&self, reader: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (start, rows) = (self.shape.readers.starts()[reader], self.shape.readers.rows(reader));
        (0..rows).step_by(TILE_ROWS).map(move |r| (start + r, (rows - r).min(TILE_ROWS)))
    }

    /// `x K^T` (or `x V^T`) of `rows` rows beginning at `at` in `x`.
    fn product(&self, x: &[f32], at: usize, rows: usize, right: &Packed, columns: usize, to: &mut [f32]) {
        let left = Mat::new(&x[at..], rows, self.shape.heads.dim, self.shape.heads.width());
        let to = MatMut::new(to, rows, columns, columns);
        self.matmul.tile(left, RightOperand::Packed(right), to, Store::Set);
    }

    fn forward_reader(&self, i: usize, chunks: &[Chunk<'_>], q: &[f32], w: &[f32], out: &mut [f32]) {
        let heads = self.shape.heads;
        let (dim, width) = (heads.dim, heads.width());
        let first_row = self.shape.readers.starts()[i];
        let count = self.shape.chunks.sequences();
        let longest = self.shape.chunks.longest().next_multiple_of(PANEL);
        let mut tile = vec![0.0; TILE_ROWS.min(self.shape.readers.rows(i)) * longest];
        for (head, (row, rows)) in (0..heads.heads).flat_map(|h| self.tiles(i).map(move |t| (h, t))) {
            let (at, to) = (row * width + head * dim, (row - first_row) * width + head * dim);
            for (j, &w) in w.iter().enumerate() {
                let chunk = &chunks[head / heads.group() * count + j];
                if self.is_skipped(w) || chunk.keys == 0 {
                    continue;
                }
                self.product(q, at, rows, &chunk.packed_keys, chunk.columns, &mut tile);
                vectorised(
                    #[inline(always)]
                    || {
                        for scores in tile.chunks_exact_mut(chunk.columns).take(rows) {
                            self.weigh_row(&mut scores[..chunk.keys], &chunk.norms, w);
                        }
                    },
                );
                let left = Mat::new(&tile, rows, chunk.keys, chunk.columns);
                let values = RightOperand::Rows { data: chunk.v, stride: heads.kv_width() };
                self.matmul.tile(left, values, MatMut::new(&mut out[to..], rows, dim, width), Store::Add);
            }
        }
    }

    /// Scores to `W * A / (A n + eps)` in place, where n are the lengths of the values.
    #[inline(always)]
    fn weigh_row(&self, scores: &mut [f32], norms: &[f32], w: f32) {
        let [sum, norm] = exponentials(scores, self.shape.heads.scale(), [norms]);
        let length = match self.value_norm {
            ValueNorm::Mean => norm + EPSILON * sum,
            ValueNorm::Off => sum,
        };
        scale(scores, w / length);
    }
}

/// Scores to exponentials in place. Returns their sum, and their products with each of `others`.
#[inline(always)]
pub(super) fn exponentials<const N: usize, const M: usize>(
    x: &mut [f32],
    factor: f32,
    others: [&[f32]; N],
) -> [f32; M] {
    const LANES: usize = revela_model::cpu::vector::LANES;
    const { assert!(M == N + 1) };
    let top = max(x) * factor;
    let mut lanes = [[0.0; LANES]; M];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for (c, chunk) in chunks.iter_mut().enumerate() {
        for l in 0..LANES {
            chunk[l] = exp(chunk[l] * factor - top);
            lanes[0][l] += chunk[l];
        }
        for (lanes, other) in lanes[1..].iter_mut().zip(others) {
            let other = &other[c * LANES..][..LANES];
            for l in 0..LANES {
                lanes[l] += chunk[l] * other[l];
            }
        }
    }
    let mut sums = [0.0; M];
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum = lanes.iter().sum();
    }
    let done = chunks.len() * LANES;
    for (l, value) in rest.iter_mut().enumerate() {
        *value = exp(*value * factor - top);
        sums[0] += *value;
        for (sum, other) in sums[1..].iter_mut().zip(others) {
            *sum += *value * other[done + l];
        }
    }
    sums
}

impl Kernel<4> for CrossAttention {
    type Saved = ();

    fn forward(&self, inputs: [View<'_>; 4], _needs: [bool; 4]) -> Output<()> {
        let [q, _, _, w] = inputs;
        let (readers, count) = (&self.shape.readers, self.shape.chunks.sequences());
        let width = self.shape.heads.width();
        let chunks: Vec<Chunk<'_>> = (0..self.shape.heads.kv_heads * count)
            .into_par_iter()
            .map(|at| self.chunk(inputs, at % count, at / count, false))
            .collect();
        let mut out = vec![0.0; readers.total_rows() * width];
        split_rows(&mut out, readers.starts(), width)
            .into_par_iter()
            .zip(w.data.par_chunks(count.max(1)))
            .enumerate()
            .for_each(|(i, (out, w))| self.forward_reader(i, &chunks, q.data, w, out));
        Output::new(out, [readers.total_rows(), width])
    }

    fn backward(
        &self,
        inputs: [View<'_>; 4],
        (): (),
        grad: View<'_>,
        _needs: [bool; 4],
    ) -> [Option<Vec<f32>>; 4] {
        self.gradients(inputs, grad.data).map(Some)
    }
}
