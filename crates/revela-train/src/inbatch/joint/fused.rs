//! Joint reading as one CPU kernel: O(B L^2) memory, exact, deterministic on any number of threads.
//!
//! A tile holds some rows of a reader and the columns of everything they read: their own past and the chunks, one
//! segment after another. So one running maximum serves all segments, and a chunk that a reader does not read
//! costs nothing. The backward pass computes tiles again; nothing is kept between the passes.

use burn::tensor::Tensor;
use rayon::prelude::*;
use revela_model::cpu::vector::{exp_shifted, max, scale};
use revela_model::cpu::{Mat, MatMut, Matmul, PANEL, Packed, RightOperand, Store, split_rows, vectorised};
use revela_model::op::{Kernel, Output, View, apply};

use super::super::reading::{ReadShape, Skip};
use super::JointInputs;

/// See [`super::joint_attention`].
pub(super) fn joint_attention(
    inputs: JointInputs,
    shape: &ReadShape,
    skip: Skip,
    matmul: Matmul,
) -> Tensor<2> {
    let JointInputs { own: [q, k, v], read: [ck, cv], log_weights } = inputs;
    let kernel = JointAttention { shape: shape.clone(), skip, matmul };
    apply(kernel, [q, k, v, ck, cv, log_weights].map(Tensor::into_dispatch))
}

/// Rows of a tile: with 16 chunks of 160 tokens, two tiles of f32 stay in a second-level cache.
pub(super) const TILE_ROWS: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct JointAttention {
    pub(super) shape: ReadShape,
    skip: Skip,
    pub(super) matmul: Matmul,
}

/// The keys and values of one head of one sequence, ready for products.
pub(super) struct Source<'a> {
    pub(super) keys: usize,
    pub(super) packed_keys: Packed,
    /// Only for the backward pass.
    pub(super) packed_values: Option<Packed>,
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// The passes, which want different operands packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    Backward,
}

/// Where the scores of one source stand in a row of a tile.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) source: &'a Source<'a>,
    /// The chunk; none for the own past.
    pub(super) chunk: Option<usize>,
    bias: f32,
    pub(super) start: usize,
}

/// Some rows of a reader.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Of the reader.
    pub(super) from: usize,
    pub(super) rows: usize,
    /// Where the rows begin in the whole batch.
    pub(super) at: usize,
}

impl Segment<'_> {
    /// Keys that any row of a tile reads.
    #[inline(always)]
    pub(super) fn keys(&self, tile: Tile) -> usize {
        match self.chunk {
            Some(_) => self.source.keys,
            None => (tile.from + tile.rows).min(self.source.keys),
        }
    }

    /// Keys that a row of it reads.
    #[inline(always)]
    fn seen(&self, tile: Tile, row: usize) -> usize {
        match self.chunk {
            Some(_) => self.source.keys,
            None => (tile.from + row + 1).min(self.source.keys),
        }
    }
}

/// Columns of a source in a tile.
fn columns(source: &Source<'_>) -> usize {
    source.keys.next_multiple_of(PANEL)
}

impl JointAttention {
    fn source<'a>(
        &self,
        [k, v]: [View<'a>; 2],
        [row, keys]: [usize; 2],
        kv: usize,
        pass: Pass,
    ) -> Source<'a> {
        let (dim, stride) = (self.shape.heads.dim, self.shape.heads.kv_width());
        let at = (row * stride + kv * dim).min(k.data.len());
        let (k, v) = (&k.data[at..], &v.data[at..]);
        Source {
            keys,
            packed_keys: self.matmul.pack(k, keys, dim, stride),
            packed_values: (pass == Pass::Backward).then(|| self.matmul.pack(v, keys, dim, stride)),
            k,
            v,
        }
    }

    /// A reader's own keys and values.
    pub(super) fn own<'a>(&self, inputs: [View<'a>; 6], reader: usize, kv: usize, pass: Pass) -> Source<'a> {
        let readers = &self.shape.readers;
        let place = [readers.starts()[reader], readers.keys(reader)];
        self.source([inputs[1], inputs[2]], place, kv, pass)
    }

    /// The keys and values of all chunks, head by head.
    pub(super) fn chunks<'a>(&self, inputs: [View<'a>; 6], pass: Pass) -> Vec<Source<'a>> {
        let (chunks, count) = (&self.shape.chunks, self.shape.chunks.sequences());
        let source = |at: usize| {
            let place = [chunks.starts()[at % count], chunks.keys(at % count)];
            self.source([inputs[3], inputs[4]], place, at / count, pass)
        };
        (0..self.shape.heads.kv_heads * count).into_par_iter().map(source).collect()
    }

    /// What a reader reads under its row of logarithms of weights, and the columns that this takes.
    pub(super) fn segments<'a>(
        &self,
        own: &'a Source<'a>,
        chunks: &'a [Source<'a>],
        log_weights: &[f32],
    ) -> (Vec<Segment<'a>>, usize) {
        let mut segments = vec![Segment { source: own, chunk: None, bias: 0.0, start: 0 }];
        let mut end = columns(own);
        for (j, (source, &bias)) in chunks.iter().zip(log_weights).enumerate() {
            if source.keys > 0 && !self.skip.leaves_out(bias) {
                segments.push(Segment { source, chunk: Some(j), bias, start: end });
                end += columns(source);
            }
        }
        (segments, end)
    }

    pub(super) fn tiles(&self, reader: usize) -> impl Iterator<Item = Tile> + use<> {
        let (start, rows) = (self.shape.readers.starts()[reader], self.shape.readers.rows(reader));
        (0..rows).step_by(TILE_ROWS).map(move |from| Tile {
            from,
            rows: (rows - from).min(TILE_ROWS),
            at: start + from,
        })
    }

    /// Products of a tile's rows of `x` with the keys (or values) of all segments.
    pub(super) fn products(
        &self,
        x: &[f32],
        tile: Tile,
        segments: &[Segment<'_>],
        right: impl for<'s> Fn(&'s Source<'_>) -> Option<&'s Packed>,
        (to, stride): (&mut [f32], usize),
    ) {
        let left = Mat::new(x, tile.rows, self.shape.heads.dim, self.shape.heads.width());
        for segment in segments {
            if let Some(right) = right(segment.source) {
                let columns = segment.keys(tile).next_multiple_of(PANEL);
                let to = MatMut::new(&mut to[segment.start..], tile.rows, columns, stride);
                self.matmul.tile(left, RightOperand::Packed(right), to, Store::Set);
            }
        }
    }

    /// Scores to exponentials in place, what a row does not see to zero; the inverse of each row's sum.
    pub(super) fn exponentials(
        &self,
        scores: &mut [f32],
        stride: usize,
        segments: &[Segment<'_>],
        tile: Tile,
    ) -> [f32; TILE_ROWS] {
        let factor = self.shape.heads.scale();
        let mut inverse = [0.0; TILE_ROWS];
        vectorised(
            #[inline(always)]
            || {
                let rows = scores.chunks_mut(stride).zip(&mut inverse).take(tile.rows);
                for (row, (scores, inverse)) in rows.enumerate() {
                    let mut top = f32::NEG_INFINITY;
                    for s in segments {
                        top = top.max(max(&scores[s.start..][..s.seen(tile, row)]) * factor + s.bias);
                    }
                    let mut sum = 0.0;
                    for s in segments {
                        let (seen, rest) = scores[s.start..].split_at_mut(s.seen(tile, row));
                        sum += exp_shifted(seen, factor, s.bias - top);
                        rest[..s.keys(tile) - seen.len()].fill(0.0);
                    }
                    *inverse = 1.0 / sum;
                }
            },
        );
        inverse
    }

    fn forward_reader(&self, inputs: [View<'_>; 6], i: usize, chunks: &[Source<'_>], out: &mut [f32]) {
        let heads = self.shape.heads;
        let (dim, width, count) = (heads.dim, heads.width(), self.shape.chunks.sequences());
        let log_weights = &inputs[5].data[i * count..][..count];
        let mut scores = Vec::new();
        for kv in 0..heads.kv_heads {
            let own = self.own(inputs, i, kv, Pass::Forward);
            let (segments, stride) = self.segments(&own, &chunks[kv * count..][..count], log_weights);
            scores.resize(TILE_ROWS * stride, 0.0);
            for (head, tile) in (0..heads.group()).flat_map(|g| self.tiles(i).map(move |t| (g, t))) {
                let head = (kv * heads.group() + head) * dim;
                let q = &inputs[0].data[tile.at * width + head..];
                self.products(q, tile, &segments, |s| Some(&s.packed_keys), (&mut scores, stride));
                let inverse = self.exponentials(&mut scores, stride, &segments, tile);
                let out = &mut out[tile.from * width + head..];
                for segment in &segments {
                    let left = Mat::new(&scores[segment.start..], tile.rows, segment.keys(tile), stride);
                    let values = RightOperand::Rows { data: segment.source.v, stride: heads.kv_width() };
                    self.matmul.tile(left, values, MatMut::new(out, tile.rows, dim, width), Store::Add);
                }
                for (row, inverse) in inverse.iter().take(tile.rows).enumerate() {
                    scale(&mut out[row * width..][..dim], *inverse);
                }
            }
        }
    }
}

impl Kernel<6> for JointAttention {
    type Saved = ();

    fn forward(&self, inputs: [View<'_>; 6], _needs: [bool; 6]) -> Output<()> {
        let (readers, width) = (&self.shape.readers, self.shape.heads.width());
        let chunks = self.chunks(inputs, Pass::Forward);
        let mut out = vec![0.0; readers.total_rows() * width];
        split_rows(&mut out, readers.starts(), width)
            .into_par_iter()
            .enumerate()
            .for_each(|(i, out)| self.forward_reader(inputs, i, &chunks, out));
        Output::new(out, [readers.total_rows(), width])
    }

    fn backward(
        &self,
        inputs: [View<'_>; 6],
        (): (),
        grad: View<'_>,
        needs: [bool; 6],
    ) -> [Option<Vec<f32>>; 6] {
        self.gradients(inputs, grad.data, needs)
    }
}
