//! The cross path as it is defined, all attention weights at once: the plain twin of the fast forms.

use burn::tensor::{Bool, DType, Tensor, TensorData, activation};
use revela_model::Packing;

use super::super::reading::{ReadShape, ValueNorm};
use super::EPSILON;

/// See [`super::cross_attention`]. Takes padded batches only.
pub(super) fn cross_attention(
    [q, k, v]: [Tensor<2>; 3],
    w: Tensor<2>,
    shape: &ReadShape,
    value_norm: ValueNorm,
) -> Tensor<2> {
    let heads = shape.heads;
    let (readers, chunks) = (shape.readers.sequences(), shape.chunks.sequences());
    let (rows, width) = (shape.readers.total_rows(), heads.width());
    let split = |t: Tensor<2>, batch: usize, n: usize| -> Tensor<4> {
        let length = t.dims()[0] / batch.max(1);
        let t = t.reshape([batch, length, n, heads.dim]).swap_dims(1, 2);
        let repeat = heads.heads / n;
        let t = t.unsqueeze_dim::<5>(2).repeat_dim(2, repeat);
        t.reshape([batch, heads.heads, length, heads.dim])
    };
    let dtype = q.dtype();
    let q = split(q, readers, heads.heads).unsqueeze_dim::<5>(1);
    let k = split(k, chunks, heads.kv_heads).unsqueeze_dim::<5>(0);
    let v = split(v, chunks, heads.kv_heads).unsqueeze_dim::<5>(0);
    // [readers, chunks, heads, L, L]
    let scores = q.matmul(k.swap_dims(3, 4)).mul_scalar(heads.scale()).cast(DType::F32);
    let hidden = padding(&shape.chunks, &scores).expand(scores.dims());
    let a = activation::softmax(scores.mask_fill(hidden, f32::MIN), 4).cast(dtype);
    let mut o = a.clone().matmul(v.clone());
    if value_norm == ValueNorm::Mean {
        let norms = v.powf_scalar(2.0).sum_dim(4).sqrt();
        o = o / a.matmul(norms).add_scalar(EPSILON);
    }
    let w = w.cast(dtype).reshape([readers, chunks, 1, 1, 1]);
    (o * w).sum_dim(1).squeeze_dim::<4>(1).swap_dims(1, 2).reshape([rows, width])
}

/// True where a position of a chunk is padding, `[1, chunks, 1, 1, L]`.
fn padding(chunks: &Packing, like: &Tensor<5>) -> Tensor<5, Bool> {
    let length = chunks.longest();
    let hidden = chunks.lengths().iter().flat_map(|&keys| (0..length).map(move |l| l >= keys));
    let shape = [1, chunks.sequences(), 1, 1, length];
    Tensor::from_data(TensorData::new(hidden.collect::<Vec<bool>>(), shape), &like.device())
}
