//! Joint reading as it is defined, all attention weights at once: the plain twin of the kernel.

use burn::tensor::{Bool, DType, Tensor, TensorData, activation};
use revela_model::Packing;

use super::super::reading::ReadShape;
use super::JointInputs;

/// See [`super::joint_attention`]. Takes padded batches only.
pub(super) fn joint_attention(inputs: JointInputs, shape: &ReadShape) -> Tensor<2> {
    let JointInputs { own: [q, k, v], read: [ck, cv], log_weights } = inputs;
    let heads = shape.heads;
    let (readers, chunks) = (shape.readers.sequences(), shape.chunks.sequences());
    let (length, read_length) = (shape.readers.longest(), shape.chunks.longest());
    let split = |t: Tensor<2>, batch: usize, length: usize, n: usize| -> Tensor<4> {
        let t = t.reshape([batch, length, n, heads.dim]).swap_dims(1, 2);
        let t = t.unsqueeze_dim::<5>(2).repeat_dim(2, heads.heads / n);
        t.reshape([batch, heads.heads, length, heads.dim])
    };
    let dtype = q.dtype();
    let q = split(q, readers, length, heads.heads);
    let [k, v] = [k, v].map(|t| split(t, readers, length, heads.kv_heads));
    // All chunks one after another: [1, heads, chunks * L, dim].
    let [ck, cv] = [ck, cv].map(|t| {
        let t = split(t, chunks, read_length, heads.kv_heads).swap_dims(0, 1);
        t.reshape([1, heads.heads, chunks * read_length, heads.dim])
    });
    let scores =
        |k: Tensor<4>| q.clone().matmul(k.swap_dims(2, 3)).mul_scalar(heads.scale()).cast(DType::F32);
    let past = scores(k);
    let past = past.clone().mask_fill(future(&shape.readers, &past).expand(past.dims()), f32::MIN);
    let others = scores(ck);
    let all = others.dims();
    let bias = log_weights.cast(DType::F32).clamp_min(f32::MIN / 2.0);
    let bias = bias.reshape([readers, 1, 1, chunks, 1]).repeat_dim(4, read_length);
    let others = others + bias.reshape([readers, 1, 1, chunks * read_length]);
    let others = others.mask_fill(padding(&shape.chunks, &past).expand(all), f32::MIN);
    let a = activation::softmax(Tensor::cat(vec![past, others], 3), 3).cast(dtype);
    let own = a.clone().narrow(3, 0, length).matmul(v);
    let out = own + a.narrow(3, length, chunks * read_length).matmul(cv);
    out.swap_dims(1, 2).reshape([readers * length, heads.width()])
}

/// True where a row of a reader must not read a position of its own, `[readers, 1, L, L]`.
fn future(readers: &Packing, like: &Tensor<4>) -> Tensor<4, Bool> {
    let length = readers.longest();
    let hidden = readers
        .lengths()
        .iter()
        .flat_map(|&keys| (0..length).flat_map(move |row| (0..length).map(move |l| l > row || l >= keys)));
    let data = TensorData::new(hidden.collect::<Vec<bool>>(), [readers.sequences(), 1, length, length]);
    Tensor::from_data(data, &like.device())
}

/// True where a position of a chunk is padding, `[1, 1, 1, chunks * L]`.
fn padding(chunks: &Packing, like: &Tensor<4>) -> Tensor<4, Bool> {
    let length = chunks.longest();
    let hidden = chunks.lengths().iter().flat_map(|&keys| (0..length).map(move |l| l >= keys));
    let data = TensorData::new(hidden.collect::<Vec<bool>>(), [1, 1, 1, chunks.sequences() * length]);
    Tensor::from_data(data, &like.device())
}
