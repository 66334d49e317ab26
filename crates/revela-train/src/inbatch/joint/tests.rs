use std::sync::Arc;

use burn::tensor::Device;
use revela_model::Packing;
use revela_model::kernels::AttentionShape;

use super::super::testing::{distance, random};
use super::*;

/// Queries, keys and values of the readers, keys and values of the chunks, logarithms of weights.
fn inputs(
    heads: AttentionShape,
    readers: &Arc<Packing>,
    chunks: &Arc<Packing>,
) -> ([Tensor<2>; 6], ReadShape) {
    let own = |width, seed| random([readers.total_rows(), width], seed);
    let read = |seed| random([chunks.total_rows(), heads.kv_width()], seed);
    let log_weights = random([readers.sequences(), chunks.sequences()], 6);
    let (width, kv_width) = (heads.width(), heads.kv_width());
    let tensors = [own(width, 1), own(kv_width, 2), own(kv_width, 3), read(4), read(5), log_weights];
    (tensors, ReadShape { readers: readers.clone(), chunks: chunks.clone(), heads })
}

fn attend(t: [Tensor<2>; 6], shape: &ReadShape, form: Form, skip: Skip) -> Tensor<2> {
    let [q, k, v, ck, cv, log_weights] = t;
    let inputs = JointInputs { own: [q, k, v], read: [ck, cv], log_weights };
    joint_attention(inputs, shape, form, skip, Matmul::F32)
}

/// Zero where rows are padding, whose results mean nothing.
fn real_rows(packing: &Packing, width: usize) -> Tensor<2> {
    let rows = (0..packing.sequences()).flat_map(|i| (0..packing.rows(i)).map(move |r| r < packing.keys(i)));
    let mask: Vec<f32> = rows.flat_map(|real| vec![f32::from(u8::from(real)); width]).collect();
    let data = burn::tensor::TensorData::new(mask, [packing.total_rows(), width]);
    Tensor::from_data(data, &Device::flex())
}

/// The result, and the gradients of the inputs that are marked.
fn run(
    inputs: &[Tensor<2>; 6],
    wanted: [bool; 6],
    shape: &ReadShape,
    form: Form,
    skip: Skip,
) -> Vec<Option<Tensor<2>>> {
    let mut index = 0;
    let leaves = inputs.clone().map(|t| {
        index += 1;
        if wanted[index - 1] { t.autodiff().require_grad() } else { t.autodiff() }
    });
    let out = attend(leaves.clone(), shape, form, skip);
    let mask = real_rows(&shape.readers, shape.heads.width());
    let grads = (out.clone() * (random(out.dims(), 77) * mask.clone()).autodiff()).sum().backward();
    std::iter::once(Some(out.inner() * mask)).chain(leaves.iter().map(|t| t.grad(&grads))).collect()
}

fn compare(got: &[Option<Tensor<2>>], want: &[Option<Tensor<2>>], place: &str) {
    let names = ["out", "dq", "dk", "dv", "dK", "dV", "dlogW"];
    for (name, (got, want)) in names.iter().zip(got.iter().zip(want)) {
        match (got, want) {
            (Some(got), Some(want)) => {
                let d = distance(got, want);
                assert!(d < 2e-5, "{name} differs by {d} ({place})");
            }
            (None, None) => {}
            _ => panic!("{name}: one form has a gradient, the other has none ({place})"),
        }
    }
}

#[test]
fn fast_equals_materialised() {
    let chunks = Packing::padded(&[40, 7, 23, 40, 1]);
    let fewer = Packing::padded(&[70, 7, 12]);
    for (heads, kv_heads, dim) in [(2, 2, 8), (6, 2, 16), (1, 1, 64)] {
        let heads = AttentionShape { heads, kv_heads, dim };
        for readers in [&chunks, &fewer] {
            let (tensors, shape) = inputs(heads, readers, &chunks);
            for wanted in
                [[true; 6], [true, true, true, false, false, true], [false, false, false, false, false, true]]
            {
                let form = |form| run(&tensors, wanted, &shape, form, Skip::Nothing);
                compare(&form(Form::Fast), &form(Form::Materialised), &format!("{heads:?} {wanted:?}"));
            }
        }
    }
}

#[test]
fn chunks_without_weight_are_not_read_and_small_ones_can_be_skipped() {
    let heads = AttentionShape { heads: 4, kv_heads: 2, dim: 8 };
    let chunks = Packing::padded(&[5, 6, 7]);
    let (mut tensors, shape) = inputs(heads, &chunks, &chunks);
    let rows = [[f32::MIN, 0.0, -40.0], [-0.7, f32::NEG_INFINITY, -0.7], [-40.0, 0.0, f32::MIN]];
    tensors[5] = Tensor::from_floats(rows, &Device::flex());
    let want = run(&tensors, [true; 6], &shape, Form::Materialised, Skip::Nothing);
    for skip in [Skip::Nothing, Skip::Below(1e-15)] {
        compare(&run(&tensors, [true; 6], &shape, Form::Fast, skip), &want, &format!("{skip:?}"));
    }
    let gradient = want[6].clone().unwrap().into_data().try_into_vec::<f32>().unwrap();
    assert_eq!((gradient[0], gradient[4], gradient[8]), (0.0, 0.0, 0.0));
}

#[test]
fn reading_nothing_is_causal_attention() {
    use revela_model::kernels::{AttentionMask, Kernels, Reach};
    let heads = AttentionShape { heads: 4, kv_heads: 2, dim: 8 };
    let chunks = Packing::packed(&[50, 6, 7]);
    let (mut tensors, shape) = inputs(heads, &chunks, &chunks);
    tensors[5] = Tensor::full([3, 3], f32::NEG_INFINITY, &Device::flex());
    let got = attend(tensors.clone(), &shape, Form::Fast, Skip::Nothing);
    let mask = AttentionMask::new(chunks, Reach::Causal, Kernels::Fused, &Device::flex());
    let [q, k, v, ..] = tensors;
    let want = Kernels::Fused.attention(q, k, v, &mask, heads);
    assert!(distance(&got, &want) < 1e-6);
}

#[test]
fn packed_equals_padded() {
    let heads = AttentionShape { heads: 2, kv_heads: 1, dim: 8 };
    let (padded, packed) = (Packing::padded(&[9, 4]), Packing::packed(&[9, 4]));
    let (tensors, shape) = inputs(heads, &padded, &padded);
    let real = |t: &Tensor<2>| t.clone().narrow(0, 0, 13);
    let [q, k, v, ck, cv, w] = &tensors;
    let tight = [real(q), real(k), real(v), real(ck), real(cv), w.clone()];
    let narrow = ReadShape { readers: packed.clone(), chunks: packed, heads };
    let full = attend(tensors.clone(), &shape, Form::Fast, Skip::Nothing);
    let tight = attend(tight, &narrow, Form::Fast, Skip::Nothing);
    assert_eq!(real(&full).into_data(), tight.into_data());
}
