//! The backward pass of the cross path.

use rayon::prelude::*;
use revela_model::cpu::{Mat, MatMut, PANEL, RightOperand, Store, vectorised};
use revela_model::op::View;

use super::super::super::reading::ValueNorm;
use super::super::EPSILON;
use super::{Chunk, CrossAttention, TILE_ROWS, exponentials};

/// Tasks of the backward pass at least, whatever the number of threads.
const TASKS: usize = 16;

/// The numbers that turn a row of scores into its share of the result.
struct RowScale {
    inverse_sum: f32,
    alpha: f32,
    beta: f32,
    gamma: f32,
}

impl RowScale {
    /// With A = e / sum: dA = alpha P + beta n, dS = A (dA - rowsum(A dA)), dn += beta A.
    #[inline(always)]
    fn apply(&self, e: &mut [f32], p: &mut [f32], norms: &[f32], d_norms: &mut [f32], factor: f32) {
        for (((e, p), n), d_norm) in e.iter_mut().zip(p.iter_mut()).zip(norms).zip(d_norms) {
            let a = *e * self.inverse_sum;
            *p = a * (self.alpha * *p + self.beta * n - self.gamma) * factor;
            *d_norm += self.beta * a;
            *e = a * self.alpha;
        }
    }
}

/// Gradients that one task of the backward pass collects: one key-value head, some chunks.
struct Part {
    kv_head: usize,
    chunks: std::ops::Range<usize>,
    /// `[reader rows, group * dim]`.
    dq: Vec<f32>,
    /// `[rows of the chunks, dim]` each.
    dk: Vec<f32>,
    dv: Vec<f32>,
    /// `[readers, chunks of the task]`.
    dw: Vec<f32>,
}

impl CrossAttention {
    /// Of queries, keys, values and weights, given that of the result.
    pub(super) fn gradients(&self, inputs: [View<'_>; 4], grad: &[f32]) -> [Vec<f32>; 4] {
        let parts: Vec<Part> =
            self.tasks().into_par_iter().map(|task| self.backward_task(inputs, grad, task)).collect();
        self.assemble(&parts)
    }

    /// The tasks: key-value heads times slices of the chunks.
    fn tasks(&self) -> Vec<(usize, std::ops::Range<usize>)> {
        let (kv_heads, chunks) = (self.shape.heads.kv_heads, self.shape.chunks.sequences());
        let slices = TASKS.div_ceil(kv_heads).clamp(1, chunks.max(1));
        let cut = |slice: usize| slice * chunks / slices;
        (0..kv_heads).flat_map(|h| (0..slices).map(move |s| (h, cut(s)..cut(s + 1)))).collect()
    }

    fn backward_task(
        &self,
        inputs: [View<'_>; 4],
        grad: &[f32],
        (kv_head, chunks): (usize, std::ops::Range<usize>),
    ) -> Part {
        let heads = self.shape.heads;
        let starts = self.shape.chunks.starts();
        let rows = starts[chunks.end] - starts[chunks.start];
        let mut part = Part {
            kv_head,
            dq: vec![0.0; self.shape.readers.total_rows() * heads.group() * heads.dim],
            dk: vec![0.0; rows * heads.dim],
            dv: vec![0.0; rows * heads.dim],
            dw: vec![0.0; self.shape.readers.sequences() * chunks.len()],
            chunks: chunks.clone(),
        };
        let size =
            TILE_ROWS.min(self.shape.readers.longest()) * self.shape.chunks.longest().next_multiple_of(PANEL);
        let mut tiles = [vec![0.0; size], vec![0.0; size]];
        for j in chunks {
            let chunk = self.chunk(inputs, j, kv_head, true);
            if chunk.keys > 0 {
                self.backward_chunk(inputs, grad, j, &chunk, &mut tiles, &mut part);
            }
        }
        part
    }

    fn backward_chunk(
        &self,
        [q, _, _, w]: [View<'_>; 4],
        grad: &[f32],
        j: usize,
        chunk: &Chunk<'_>,
        tiles: &mut [Vec<f32>; 2],
        part: &mut Part,
    ) {
        let heads = self.shape.heads;
        let (readers, count) = (self.shape.readers.sequences(), self.shape.chunks.sequences());
        let local =
            (self.shape.chunks.starts()[j] - self.shape.chunks.starts()[part.chunks.start]) * heads.dim;
        let mut d_norms = vec![0.0; chunk.keys];
        for i in 0..readers {
            let weight = w.data[i * count + j];
            if self.is_skipped(weight) {
                continue;
            }
            for (g, (row, rows)) in (0..heads.group()).flat_map(|g| self.tiles(i).map(move |t| (g, t))) {
                let at = row * heads.width() + (part.kv_head * heads.group() + g) * heads.dim;
                let dw = self.backward_tile(q.data, grad, [at, rows], chunk, tiles, &mut d_norms, weight);
                part.dw[i * part.chunks.len() + j - part.chunks.start] += dw;
                let to = row * heads.group() * heads.dim + g * heads.dim;
                self.accumulate(q.data, grad, [at, rows, to, local], chunk, tiles, part);
            }
        }
        self.add_norm_gradient(chunk, &d_norms, &mut part.dv[local..]);
    }

    /// Leaves `W A / D` in the first tile and dS in the second; returns the tile's share of dW.
    #[allow(clippy::too_many_arguments)]
    fn backward_tile(
        &self,
        q: &[f32],
        grad: &[f32],
        [at, rows]: [usize; 2],
        chunk: &Chunk<'_>,
        [s, p]: &mut [Vec<f32>; 2],
        d_norms: &mut [f32],
        weight: f32,
    ) -> f32 {
        self.product(q, at, rows, &chunk.packed_keys, chunk.columns, s);
        if let Some(values) = &chunk.packed_values {
            self.product(grad, at, rows, values, chunk.columns, p);
        }
        vectorised(
            #[inline(always)]
            || {
                let mut dw = 0.0;
                let tile_rows = s.chunks_exact_mut(chunk.columns).zip(p.chunks_exact_mut(chunk.columns));
                for (s, p) in tile_rows.take(rows) {
                    let (s, p) = (&mut s[..chunk.keys], &mut p[..chunk.keys]);
                    dw += self.backward_row(s, p, &chunk.norms, d_norms, weight);
                }
                dw
            },
        )
    }

    /// Scores S and P = G V^T to W A / D and dS (times the score scale) in place.
    ///
    /// Adds to `d_norms` the gradient of the values' lengths and returns that of the weight.
    #[inline(always)]
    fn backward_row(&self, s: &mut [f32], p: &mut [f32], norms: &[f32], d_norms: &mut [f32], w: f32) -> f32 {
        let factor = self.shape.heads.scale();
        let [sum, norm, grad] = exponentials(s, factor, [norms, p]);
        let inverse_sum = 1.0 / sum;
        let (mean_norm, mean_grad) = (norm * inverse_sum, grad * inverse_sum);
        let inverse_length = match self.value_norm {
            ValueNorm::Mean => 1.0 / (mean_norm + EPSILON),
            ValueNorm::Off => 1.0,
        };
        let alpha = w * inverse_length;
        let beta = match self.value_norm {
            ValueNorm::Mean => -w * mean_grad * inverse_length * inverse_length,
            ValueNorm::Off => 0.0,
        };
        let row = RowScale { inverse_sum, alpha, beta, gamma: alpha * mean_grad + beta * mean_norm };
        row.apply(s, p, norms, d_norms, factor);
        mean_grad * inverse_length
    }

    /// dQ += dS K, dK += dS^T Q, dV += (W A / D)^T G.
    fn accumulate(
        &self,
        q: &[f32],
        grad: &[f32],
        [at, rows, to, local]: [usize; 4],
        chunk: &Chunk<'_>,
        [s, p]: &[Vec<f32>; 2],
        part: &mut Part,
    ) {
        let heads = self.shape.heads;
        let (dim, width) = (heads.dim, heads.width());
        let (a, ds) =
            (Mat::new(s, rows, chunk.keys, chunk.columns), Mat::new(p, rows, chunk.keys, chunk.columns));
        let right = |data, stride| RightOperand::Rows { data, stride };
        let dq = MatMut::new(&mut part.dq[to..], rows, dim, heads.group() * dim);
        self.matmul.tile(ds, right(chunk.k, heads.kv_width()), dq, Store::Add);
        let dk = MatMut::new(&mut part.dk[local..], chunk.keys, dim, dim);
        self.matmul.tile(ds.transposed(), right(&q[at..], width), dk, Store::Add);
        let dv = MatMut::new(&mut part.dv[local..], chunk.keys, dim, dim);
        self.matmul.tile(a.transposed(), right(&grad[at..], width), dv, Store::Add);
    }

    /// d|v| / dv = v / |v|; a zero vector has no direction and gets nothing.
    fn add_norm_gradient(&self, chunk: &Chunk<'_>, d_norms: &[f32], dv: &mut [f32]) {
        if self.value_norm == ValueNorm::Off {
            return;
        }
        let (dim, stride) = (self.shape.heads.dim, self.shape.heads.kv_width());
        for (l, (d_norm, norm)) in d_norms.iter().zip(&chunk.norms).enumerate() {
            if *norm > 0.0 {
                let factor = d_norm / norm;
                let to = &mut dv[l * dim..][..dim];
                to.iter_mut().zip(&chunk.v[l * stride..]).for_each(|(to, v)| *to += factor * v);
            }
        }
    }

    /// Adds the tasks' gradients in order.
    fn assemble(&self, parts: &[Part]) -> [Vec<f32>; 4] {
        let heads = self.shape.heads;
        let (dim, width, kv_width) = (heads.dim, heads.width(), heads.kv_width());
        let (readers, chunks) = (&self.shape.readers, &self.shape.chunks);
        let group = heads.group() * dim;
        let mut dq = vec![0.0; readers.total_rows() * width];
        let mut dk = vec![0.0; chunks.total_rows() * kv_width];
        let mut dv = vec![0.0; chunks.total_rows() * kv_width];
        let mut dw = vec![0.0; readers.sequences() * chunks.sequences()];
        for part in parts {
            let rows = dq.chunks_exact_mut(width).zip(part.dq.chunks_exact(group));
            for (to, from) in rows {
                add(&mut to[part.kv_head * group..][..group], from);
            }
            let first = chunks.starts()[part.chunks.start];
            for (to, from) in [(&mut dk, &part.dk), (&mut dv, &part.dv)] {
                let rows = to[first * kv_width..].chunks_exact_mut(kv_width).zip(from.chunks_exact(dim));
                for (to, from) in rows {
                    to[part.kv_head * dim..][..dim].copy_from_slice(from);
                }
            }
            let rows =
                dw.chunks_exact_mut(chunks.sequences()).zip(part.dw.chunks_exact(part.chunks.len().max(1)));
            for (to, from) in rows {
                add(&mut to[part.chunks.clone()], from);
            }
        }
        [dq, dk, dv, dw]
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
