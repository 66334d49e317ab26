use super::super::testing::{compare, distance, random};
use super::*;

fn run(
    kernels: Kernels,
    t: &[Tensor<2>],
    packing: Arc<Packing>,
    reach: Reach,
    shape: AttentionShape,
) -> Tensor<2> {
    let mask = AttentionMask::new(packing, reach, kernels, &t[0].device());
    kernels.attention(t[0].clone(), t[1].clone(), t[2].clone(), &mask, shape)
}

#[test]
fn fused_equals_composed() {
    for (heads, kv_heads, dim) in [(1, 1, 8), (4, 2, 8), (2, 2, 64)] {
        let shape = AttentionShape { heads, kv_heads, dim };
        for (reach, lengths) in
            [(Reach::Causal, [70, 1, 33]), (Reach::Both, [70, 1, 33]), (Reach::Window(9), [70, 70, 70])]
        {
            let packing = Packing::padded(&lengths);
            let rows = packing.total_rows();
            let q = random([rows, shape.width()], 1);
            let kv = |seed| random([rows, shape.kv_width()], seed);
            compare(&[q, kv(2), kv(3)], |kernels, t| run(kernels, t, packing.clone(), reach, shape));
        }
    }
}

#[test]
fn packed_rows_equal_padded_rows() {
    let shape = AttentionShape { heads: 2, kv_heads: 1, dim: 8 };
    let lengths = [5, 60];
    let inputs = [random([120, 16], 1), random([120, 8], 2), random([120, 8], 3)];
    let real = |t: &Tensor<2>| Tensor::cat(vec![t.clone().narrow(0, 0, 5), t.clone().narrow(0, 60, 60)], 0);
    for reach in [Reach::Causal, Reach::Both, Reach::Window(4)] {
        let full = run(Kernels::Fused, &inputs, Packing::padded(&lengths), reach, shape);
        let cut = inputs.each_ref().map(real);
        let packed = run(Kernels::Fused, &cut, Packing::packed(&lengths), reach, shape);
        assert!(distance(&packed, &real(&full)) == 0.0, "padding changes nothing ({reach:?})");
    }
}

#[test]
fn reach_ends_with_the_real_rows() {
    assert_eq!(Reach::Causal.seen(3, 10), 0..4);
    assert_eq!(Reach::Both.seen(3, 10), 0..10);
    assert_eq!(Reach::Window(2).seen(5, 10), 3..8);
    assert_eq!(Reach::Window(2).seen(9, 10), 7..10);
    assert!(Reach::Window(2).seen(15, 10).is_empty(), "padding far behind reads nothing");
}
