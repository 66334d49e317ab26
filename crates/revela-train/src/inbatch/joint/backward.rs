//! The backward pass of joint reading.
//!
//! With P the attention weights of a row over all it reads, and G the gradient of its result: dP = G V^T,
//! dS = P (dP - rowsum(P dP)), and the gradient of log W[i, j] is the sum of dS over chunk j, all heads and rows.

use std::ops::Range;

use rayon::prelude::*;
use revela_model::cpu::vector::{dot, sum};
use revela_model::cpu::{Mat, MatMut, RightOperand, Store, vectorised};
use revela_model::op::View;

use super::fused::{JointAttention, Pass, Segment, Source, TILE_ROWS, Tile};

/// Tasks at least, whatever the number of threads.
const TASKS: usize = 16;

/// Gradients that one task collects: one key-value head, some readers.
struct Part {
    kv: usize,
    readers: Range<usize>,
    /// `[rows of the readers, group * dim]`.
    dq: Vec<f32>,
    /// `[rows of the readers, dim]` each.
    own: [Vec<f32>; 2],
    /// `[chunk rows, dim]` each.
    read: [Vec<f32>; 2],
    /// `[readers, chunks]`.
    log_weights: Vec<f32>,
}

/// The buffers of a tile.
#[derive(Default)]
struct Buffers {
    p: Vec<f32>,
    dp: Vec<f32>,
}

impl JointAttention {
    /// Of all inputs, given that of the result.
    pub(super) fn gradients(
        &self,
        inputs: [View<'_>; 6],
        grad: &[f32],
        needs: [bool; 6],
    ) -> [Option<Vec<f32>>; 6] {
        let chunks = self.chunks(inputs, Pass::Backward);
        let task = |(kv, readers)| self.task(inputs, grad, needs, &chunks, kv, readers);
        let parts: Vec<Part> = self.tasks().into_par_iter().map(task).collect();
        self.assemble(&parts, needs)
    }

    /// Key-value heads times slices of the readers.
    fn tasks(&self) -> Vec<(usize, Range<usize>)> {
        let (kv_heads, readers) = (self.shape.heads.kv_heads, self.shape.readers.sequences());
        let slices = TASKS.div_ceil(kv_heads).clamp(1, readers.max(1));
        let cut = |slice: usize| slice * readers / slices;
        (0..kv_heads).flat_map(|kv| (0..slices).map(move |s| (kv, cut(s)..cut(s + 1)))).collect()
    }

    fn task(
        &self,
        inputs: [View<'_>; 6],
        grad: &[f32],
        needs: [bool; 6],
        chunks: &[Source<'_>],
        kv: usize,
        readers: Range<usize>,
    ) -> Part {
        let (heads, count) = (self.shape.heads, self.shape.chunks.sequences());
        let starts = self.shape.readers.starts();
        let rows = starts[readers.end] - starts[readers.start];
        let read = if needs[3] || needs[4] { self.shape.chunks.total_rows() * heads.dim } else { 0 };
        let own = if needs[..3].contains(&true) { rows * heads.dim } else { 0 };
        let mut part = Part {
            kv,
            dq: vec![0.0; own * heads.group()],
            own: [vec![0.0; own], vec![0.0; own]],
            read: [vec![0.0; read], vec![0.0; read]],
            log_weights: vec![0.0; readers.len() * count],
            readers: readers.clone(),
        };
        let mut buffers = Buffers::default();
        for i in readers {
            let own = self.own(inputs, i, kv, Pass::Backward);
            let log_weights = &inputs[5].data[i * count..][..count];
            let (segments, stride) = self.segments(&own, &chunks[kv * count..][..count], log_weights);
            for (g, tile) in (0..heads.group()).flat_map(|g| self.tiles(i).map(move |t| (g, t))) {
                let at = tile.at * heads.width() + (kv * heads.group() + g) * heads.dim;
                let (q, grad) = (&inputs[0].data[at..], &grad[at..]);
                self.tile_gradients(q, grad, tile, &segments, stride, &mut buffers);
                self.add_weight_gradients(i, tile, &segments, stride, &buffers, &mut part);
                self.accumulate([q, grad], (g, tile), &segments, stride, &buffers, &mut part);
            }
        }
        part
    }

    /// Leaves P in the first buffer and dS in the second.
    fn tile_gradients(
        &self,
        q: &[f32],
        grad: &[f32],
        tile: Tile,
        segments: &[Segment<'_>],
        stride: usize,
        Buffers { p, dp }: &mut Buffers,
    ) {
        p.resize(TILE_ROWS * stride, 0.0);
        dp.resize(TILE_ROWS * stride, 0.0);
        self.products(q, tile, segments, |s| Some(&s.packed_keys), (p, stride));
        self.products(grad, tile, segments, |s| s.packed_values.as_ref(), (dp, stride));
        let inverse = self.exponentials(p, stride, segments, tile);
        vectorised(
            #[inline(always)]
            || {
                let rows = p.chunks_mut(stride).zip(dp.chunks_mut(stride)).zip(&inverse);
                for ((p, dp), inverse) in rows.take(tile.rows) {
                    let mut mean = 0.0;
                    for s in segments {
                        let range = s.start..s.start + s.keys(tile);
                        mean += dot(&p[range.clone()], &dp[range]);
                    }
                    mean *= inverse;
                    for s in segments {
                        let range = s.start..s.start + s.keys(tile);
                        for (p, dp) in p[range.clone()].iter_mut().zip(&mut dp[range]) {
                            *p *= inverse;
                            *dp = *p * (*dp - mean);
                        }
                    }
                }
            },
        );
    }

    fn add_weight_gradients(
        &self,
        reader: usize,
        tile: Tile,
        segments: &[Segment<'_>],
        stride: usize,
        Buffers { dp, .. }: &Buffers,
        part: &mut Part,
    ) {
        let count = self.shape.chunks.sequences();
        let to = &mut part.log_weights[(reader - part.readers.start) * count..][..count];
        vectorised(
            #[inline(always)]
            || {
                for segment in segments {
                    let Some(j) = segment.chunk else { continue };
                    for dp in dp.chunks(stride).take(tile.rows) {
                        to[j] += sum(&dp[segment.start..][..segment.keys(tile)]);
                    }
                }
            },
        );
    }

    /// dQ += dS K, dK += dS^T Q, dV += P^T G, each for what is asked for. Scores were scaled, so keys and queries
    /// come scaled into their gradients.
    fn accumulate(
        &self,
        [q, grad]: [&[f32]; 2],
        (g, tile): (usize, Tile),
        segments: &[Segment<'_>],
        stride: usize,
        Buffers { p, dp }: &Buffers,
        part: &mut Part,
    ) {
        let heads = self.shape.heads;
        let dim = heads.dim;
        let first = self.shape.readers.starts()[part.readers.start];
        let row = tile.at - first;
        for segment in segments {
            let keys = segment.keys(tile);
            let ds = Mat::new(&dp[segment.start..], tile.rows, keys, stride);
            let weights = Mat::new(&p[segment.start..], tile.rows, keys, stride);
            if !part.dq.is_empty() {
                let k = RightOperand::Rows { data: segment.source.k, stride: heads.kv_width() };
                let to = &mut part.dq[(row * heads.group() + g) * dim..];
                let to = MatMut::new(to, tile.rows, dim, heads.group() * dim);
                self.matmul.tile(ds, k, to, Store::Add);
            }
            let (to, at) = match segment.chunk {
                None => (&mut part.own, row - tile.from),
                Some(j) => (&mut part.read, self.shape.chunks.starts()[j]),
            };
            let [dk, dv] = to;
            if dk.is_empty() {
                continue;
            }
            let from = |data| RightOperand::Rows { data, stride: heads.width() };
            let dk = MatMut::new(&mut dk[at * dim..], keys, dim, dim);
            self.matmul.tile(ds.transposed(), from(q), dk, Store::Add);
            let dv = MatMut::new(&mut dv[at * dim..], keys, dim, dim);
            self.matmul.tile(weights.transposed(), from(grad), dv, Store::Add);
        }
    }

    /// Adds the tasks' gradients in order.
    fn assemble(&self, parts: &[Part], needs: [bool; 6]) -> [Option<Vec<f32>>; 6] {
        let (heads, readers) = (self.shape.heads, &self.shape.readers);
        let (width, kv_width, dim) = (heads.width(), heads.kv_width(), heads.dim);
        let count = self.shape.chunks.sequences();
        let zeros = |wanted: bool, rows: usize, width: usize| wanted.then(|| vec![0.0; rows * width]);
        let (own_rows, read_rows) = (readers.total_rows(), self.shape.chunks.total_rows());
        let mut dq = zeros(needs[0], own_rows, width);
        let mut own = [needs[1], needs[2]].map(|wanted| zeros(wanted, own_rows, kv_width));
        let mut read = [needs[3], needs[4]].map(|wanted| zeros(wanted, read_rows, kv_width));
        let mut log_weights = zeros(needs[5], readers.sequences(), count);
        let factor = heads.scale();
        for part in parts {
            let first = readers.starts()[part.readers.start];
            let group = heads.group() * dim;
            add_columns(&mut dq, &part.dq, [first, width], [part.kv * group, group], factor);
            for (index, factor) in [factor, 1.0].into_iter().enumerate() {
                let columns = [part.kv * dim, dim];
                add_columns(&mut own[index], &part.own[index], [first, kv_width], columns, factor);
                add_columns(&mut read[index], &part.read[index], [0, kv_width], columns, factor);
            }
            add_columns(&mut log_weights, &part.log_weights, [part.readers.start, count], [0, count], 1.0);
        }
        let ([dk, dv], [dck, dcv]) = (own, read);
        [dq, dk, dv, dck, dcv, log_weights]
    }
}

/// Adds rows of `columns` numbers, times a factor, to some columns of a matrix from a row on.
fn add_columns(
    to: &mut Option<Vec<f32>>,
    from: &[f32],
    [row, width]: [usize; 2],
    [column, columns]: [usize; 2],
    factor: f32,
) {
    let Some(to) = to else { return };
    if columns == 0 || from.is_empty() {
        return;
    }
    for (to, from) in to[row * width..].chunks_exact_mut(width).zip(from.chunks_exact(columns)) {
        for (to, from) in to[column..][..columns].iter_mut().zip(from) {
            *to += factor * from;
        }
    }
}
