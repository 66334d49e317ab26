//! Self-attention inside each sequence of a batch, with grouped key-value heads
//! (Vaswani et al. 2017, arXiv:1706.03762; Ainslie et al. 2023, arXiv:2305.13245).

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Bool, DType, Device, Tensor, TensorData, activation};
use rayon::prelude::*;

use super::Kernels;
use crate::Packing;
use crate::cpu::vector::{dot, exp_scores, scale};
use crate::cpu::{Mat, MatMut, Matmul, PANEL, Packed, RightOperand, Store, split_rows, vectorised};
use crate::op::{Kernel, Output, View, apply, runs_on};

/// How a row of features divides into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Features per head.
    pub dim: usize,
}

impl AttentionShape {
    /// Query heads per key-value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Features of a row of queries.
    pub fn width(&self) -> usize {
        self.heads * self.dim
    }

    /// Features of a row of keys or values.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.dim
    }

    /// `1 / sqrt(dim)`, what scores are multiplied with.
    pub fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Which rows of its sequence a row reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those before it, and itself.
    Causal,
    /// All.
    Both,
    /// Those at most so many rows away, before and after.
    Window(usize),
}

impl Reach {
    /// The keys that a row reads, in a sequence with so many real rows.
    fn seen(self, row: usize, keys: usize) -> Range<usize> {
        let end = match self {
            Self::Causal => (row + 1).min(keys),
            Self::Both => keys,
            Self::Window(near) => (row + near + 1).min(keys),
        };
        let start = match self {
            Self::Causal | Self::Both => 0,
            Self::Window(near) => row.saturating_sub(near).min(end),
        };
        start..end
    }
}

/// What attention needs to know of a batch.
#[derive(Debug, Clone)]
pub struct AttentionMask {
    packing: Arc<Packing>,
    reach: Reach,
    /// `[batch, 1, length, length]`, true where a key must not be read; for the composed form.
    hidden: Option<Tensor<4, Bool>>,
}

impl AttentionMask {
    /// Prepares the mask of a batch, for kernels that were asked whether they run ([`Kernels::on`]). The
    /// composed form wants sequences of one length.
    pub fn new(packing: Arc<Packing>, reach: Reach, kernels: Kernels, device: &Device) -> Self {
        let hidden = (kernels == Kernels::Composed).then_some(packing.uniform()).flatten().map(|length| {
            let row = |q, keys| {
                let seen = reach.seen(q, keys);
                (0..length).map(move |k| !seen.contains(&k))
            };
            let lengths = packing.lengths().iter();
            let hidden: Vec<bool> =
                lengths.flat_map(|&keys| (0..length).flat_map(move |q| row(q, keys))).collect();
            let data = TensorData::new(hidden, [packing.sequences(), 1, length, length]);
            Tensor::from_data(data, device)
        });
        Self { packing, reach, hidden }
    }
}

impl Kernels {
    /// Every row reads those rows of its sequence that the mask lets it.
    ///
    /// `q`: `[rows, heads * dim]`, `k`, `v`: `[rows, kv_heads * dim]`, positions already applied.
    /// Returns `[rows, heads * dim]`. What padding rows get is unspecified.
    ///
    /// # Panics
    /// In the composed form, when the sequences of the batch have different numbers of rows.
    pub fn attention(
        self,
        q: Tensor<2>,
        k: Tensor<2>,
        v: Tensor<2>,
        mask: &AttentionMask,
        shape: AttentionShape,
    ) -> Tensor<2> {
        match self.matmul() {
            Some(matmul) if runs_on(&q) && runs_on(&k) && runs_on(&v) => {
                let kernel = Attention { shape, reach: mask.reach, packing: mask.packing.clone(), matmul };
                apply(kernel, [q.into_dispatch(), k.into_dispatch(), v.into_dispatch()])
            }
            _ => composed(q, k, v, mask, shape),
        }
    }
}

fn composed(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    mask: &AttentionMask,
    shape: AttentionShape,
) -> Tensor<2> {
    let rows = mask.packing.total_rows();
    let batch = mask.packing.sequences();
    let heads = |t, n| split_heads(t, batch, n, shape);
    let (q, k, v) = (heads(q, shape.heads), heads(k, shape.kv_heads), heads(v, shape.kv_heads));
    let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(shape.scale());
    let dtype = scores.dtype();
    let scores = scores.cast(DType::F32);
    let scores = match &mask.hidden {
        Some(hidden) => scores.mask_fill(hidden.clone(), f32::MIN),
        None => panic_uneven(),
    };
    let out = activation::softmax(scores, 3).cast(dtype).matmul(v);
    out.swap_dims(1, 2).reshape([rows, shape.width()])
}

#[allow(clippy::panic)]
fn panic_uneven<T>() -> T {
    panic!("composed attention takes padded batches: all sequences need the same number of rows")
}

/// `[batch * length, n * dim]` to `[batch, heads, length, dim]`, key-value heads repeated for their group.
pub(crate) fn split_heads(t: Tensor<2>, batch: usize, n: usize, shape: AttentionShape) -> Tensor<4> {
    let length = t.dims()[0] / batch.max(1);
    let t = t.reshape([batch, length, n, shape.dim]).swap_dims(1, 2);
    let repeat = shape.heads / n;
    if repeat == 1 {
        return t;
    }
    t.unsqueeze_dim::<5>(2).repeat_dim(2, repeat).reshape([batch, shape.heads, length, shape.dim])
}

/// Rows of scores computed together: small, so that little above the diagonal is computed in vain.
const BLOCK: usize = 48;

#[derive(Debug, Clone)]
struct Attention {
    shape: AttentionShape,
    reach: Reach,
    packing: Arc<Packing>,
    matmul: Matmul,
}

/// One sequence's piece of the three inputs.
#[derive(Clone, Copy)]
struct Sequence<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    rows: usize,
    keys: usize,
}

impl Attention {
    fn sequence<'a>(&self, [q, k, v]: [View<'a>; 3], i: usize) -> Sequence<'a> {
        let (start, rows) = (self.packing.starts()[i], self.packing.rows(i));
        let cut = |t: View<'a>, width| &t.data[start * width..][..rows * width];
        Sequence {
            q: cut(q, self.shape.width()),
            k: cut(k, self.shape.kv_width()),
            v: cut(v, self.shape.kv_width()),
            rows,
            keys: self.packing.keys(i),
        }
    }

    /// Probabilities of rows `from..to`, `[to - from, columns]` with `columns` a multiple of the panel.
    fn probabilities(&self, s: Sequence<'_>, head: usize, keys: &Packed, block: Block, p: &mut [f32]) {
        let width = self.shape.width();
        let q =
            Mat::new(&s.q[block.from * width + head * self.shape.dim..], block.rows(), self.shape.dim, width);
        self.matmul.tile(
            q,
            RightOperand::Packed(keys),
            MatMut::new(p, block.rows(), block.columns, block.columns),
            Store::Set,
        );
        let factor = self.shape.scale();
        vectorised(
            #[inline(always)]
            || {
                for (row, p) in p.chunks_exact_mut(block.columns).take(block.rows()).enumerate() {
                    let reach = self.reach.seen(block.from + row, s.keys);
                    let (rest, after) = p.split_at_mut(reach.end);
                    let (before, seen) = rest.split_at_mut(reach.start);
                    let sum = exp_scores(seen, factor);
                    scale(seen, 1.0 / sum);
                    before.fill(0.0);
                    after.fill(0.0);
                }
            },
        );
    }

    fn forward_sequence(&self, s: Sequence<'_>, out: &mut [f32]) {
        let AttentionShape { dim, .. } = self.shape;
        let (width, kv_width) = (self.shape.width(), self.shape.kv_width());
        let mut p = vec![0.0; BLOCK * s.rows.next_multiple_of(PANEL)];
        for head in 0..self.shape.heads {
            let kv = head / self.shape.group() * dim;
            let keys = self.matmul.pack(&s.k[kv..], s.keys, dim, kv_width);
            for block in self.blocks(s) {
                self.probabilities(s, head, &keys, block, &mut p);
                let left = Mat::new(&p, block.rows(), block.keys, block.columns);
                let values = RightOperand::Rows { data: &s.v[kv..], stride: kv_width };
                let to = &mut out[block.from * width + head * dim..];
                self.matmul.tile(left, values, MatMut::new(to, block.rows(), dim, width), Store::Set);
            }
        }
    }

    fn backward_sequence(&self, s: Sequence<'_>, grad: &[f32], out: [&mut [f32]; 3]) {
        let AttentionShape { dim, .. } = self.shape;
        let kv_width = self.shape.kv_width();
        let [dq, dk, dv] = out;
        let size = BLOCK * s.rows.next_multiple_of(PANEL);
        let (mut p, mut dp) = (vec![0.0; size], vec![0.0; size]);
        for head in 0..self.shape.heads {
            let kv = head / self.shape.group() * dim;
            let keys = self.matmul.pack(&s.k[kv..], s.keys, dim, kv_width);
            let values = self.matmul.pack(&s.v[kv..], s.keys, dim, kv_width);
            for block in self.blocks(s) {
                self.probabilities(s, head, &keys, block, &mut p);
                self.score_gradients(head, &values, grad, block, &p, &mut dp);
                self.accumulate(s, head, grad, block, [&p, &dp], [&mut *dq, &mut *dk, &mut *dv]);
            }
        }
    }

    /// From probabilities A and dA = G V^T: dS = A * (dA - rowsum(A * dA)) * scale, in `dp`.
    fn score_gradients(
        &self,
        head: usize,
        values: &Packed,
        grad: &[f32],
        block: Block,
        p: &[f32],
        dp: &mut [f32],
    ) {
        let width = self.shape.width();
        let g = Mat::new(
            &grad[block.from * width + head * self.shape.dim..],
            block.rows(),
            self.shape.dim,
            width,
        );
        self.matmul.tile(
            g,
            RightOperand::Packed(values),
            MatMut::new(dp, block.rows(), block.columns, block.columns),
            Store::Set,
        );
        let factor = self.shape.scale();
        vectorised(
            #[inline(always)]
            || {
                let rows = dp.chunks_exact_mut(block.columns).zip(p.chunks_exact(block.columns));
                for (dp, p) in rows.take(block.rows()) {
                    let mean = dot(p, dp);
                    for (dp, p) in dp.iter_mut().zip(p) {
                        *dp = p * (*dp - mean) * factor;
                    }
                }
            },
        );
    }

    /// dQ += dS K, dK += dS^T Q, dV += A^T G.
    fn accumulate(
        &self,
        s: Sequence<'_>,
        head: usize,
        grad: &[f32],
        block: Block,
        [p, ds]: [&[f32]; 2],
        [dq, dk, dv]: [&mut [f32]; 3],
    ) {
        let AttentionShape { dim, .. } = self.shape;
        let (width, kv_width) = (self.shape.width(), self.shape.kv_width());
        let kv = head / self.shape.group() * dim;
        let at = block.from * width + head * dim;
        let ds = Mat::new(ds, block.rows(), block.keys, block.columns);
        let p = Mat::new(p, block.rows(), block.keys, block.columns);
        let rows = |data, stride| RightOperand::Rows { data, stride };
        let to = |data, n, stride| MatMut::new(data, n, dim, stride);
        self.matmul.tile(ds, rows(&s.k[kv..], kv_width), to(&mut dq[at..], block.rows(), width), Store::Set);
        let (q, g) = (rows(&s.q[at..], width), rows(&grad[at..], width));
        self.matmul.tile(ds.transposed(), q, to(&mut dk[kv..], block.keys, kv_width), Store::Add);
        self.matmul.tile(p.transposed(), g, to(&mut dv[kv..], block.keys, kv_width), Store::Add);
    }
}

/// Rows `from..to` of a sequence and the keys they may read.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    to: usize,
    keys: usize,
    columns: usize,
}

impl Block {
    fn rows(&self) -> usize {
        self.to - self.from
    }
}

impl Attention {
    fn blocks(&self, s: Sequence<'_>) -> impl Iterator<Item = Block> {
        let reach = self.reach;
        (0..s.rows).step_by(BLOCK).map(move |from| {
            let to = (from + BLOCK).min(s.rows);
            let keys = reach.seen(to - 1, s.keys).end;
            Block { from, to, keys, columns: keys.next_multiple_of(PANEL) }
        })
    }
}

impl Kernel<3> for Attention {
    type Saved = ();

    fn forward(&self, inputs: [View<'_>; 3], _needs: [bool; 3]) -> Output<()> {
        let width = self.shape.width();
        let mut out = vec![0.0; self.packing.total_rows() * width];
        split_rows(&mut out, self.packing.starts(), width)
            .into_par_iter()
            .enumerate()
            .for_each(|(i, out)| self.forward_sequence(self.sequence(inputs, i), out));
        Output::new(out, [self.packing.total_rows(), width])
    }

    fn backward(
        &self,
        inputs: [View<'_>; 3],
        (): (),
        grad: View<'_>,
        _needs: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let (width, kv_width) = (self.shape.width(), self.shape.kv_width());
        let starts = self.packing.starts();
        let [mut dq, mut dk, mut dv] = inputs.map(|t| vec![0.0; t.data.len()]);
        split_rows(&mut dq, starts, width)
            .into_par_iter()
            .zip(split_rows(&mut dk, starts, kv_width))
            .zip(split_rows(&mut dv, starts, kv_width))
            .enumerate()
            .for_each(|(i, ((dq, dk), dv))| {
                let s = self.sequence(inputs, i);
                let grad = &grad.data[starts[i] * width..][..s.rows * width];
                self.backward_sequence(s, grad, [dq, dk, dv]);
            });
        [Some(dq), Some(dk), Some(dv)]
    }
}

#[cfg(test)]
mod tests;
