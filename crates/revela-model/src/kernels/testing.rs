//! Holds a fused kernel against its composed twin: result and every gradient, with and without
//! gradient checkpointing, and with each input as a constant.

use burn::tensor::{Device, Distribution, Tensor};

use super::Kernels;

/// Normally distributed numbers on the CPU, without autodiff.
pub(crate) fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    let device = Device::flex();
    device.seed(seed);
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device)
}

/// Relative distance of two tensors, as the golden cases define it.
pub(crate) fn distance(got: &Tensor<2>, want: &Tensor<2>) -> f32 {
    let norm = |t: Tensor<2>| t.powf_scalar(2.0).sum().into_scalar::<f32>().sqrt();
    norm(got.clone() - want.clone()) / norm(want.clone()).max(1e-6)
}

/// Runs `function` in both forms and compares.
pub(crate) fn compare(inputs: &[Tensor<2>], function: impl Fn(Kernels, &[Tensor<2>]) -> Tensor<2>) {
    let plain = function(Kernels::Composed, inputs);
    assert!(distance(&function(Kernels::Fused, inputs), &plain) < 1e-5, "forward without autodiff");
    let upstream = random(plain.dims(), 99);
    let constants = (0..inputs.len()).map(Some).chain([None]);
    for (constant, balanced) in constants.flat_map(|c| [(c, false), (c, true)]) {
        let run = |kernels| gradients(inputs, constant, balanced, &upstream, |t| function(kernels, t));
        let (got, want) = (run(Kernels::Fused), run(Kernels::Composed));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            match (got, want) {
                (None, None) => {}
                (Some(got), Some(want)) => {
                    let d = distance(got, want);
                    assert!(d < 2e-5, "gradient {i}, constant {constant:?}, checkpointing {balanced}: {d}");
                }
                _ => panic!("gradient {i} exists in one form only (constant {constant:?})"),
            }
        }
    }
}

/// The gradients of `function` at `upstream`; none for the constant.
pub(crate) fn gradients(
    inputs: &[Tensor<2>],
    constant: Option<usize>,
    balanced: bool,
    upstream: &Tensor<2>,
    function: impl Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Option<Tensor<2>>> {
    let mut device = Device::flex().autodiff();
    if balanced {
        device = device.gradient_checkpointing();
    }
    let strategy = device.gradient_checkpointing_strategy().unwrap();
    let on_device = |t: Tensor<2>| t.autodiff().with_gradient_checkpointing_strategy(strategy);
    let leaves: Vec<Tensor<2>> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let leaf = on_device(t.clone());
            if constant == Some(i) { leaf } else { leaf.require_grad() }
        })
        .collect();
    // Something before and after the function, as in a model: checkpointing recomputes chains.
    let before: Vec<Tensor<2>> = leaves.iter().map(|t| t.clone().mul_scalar(1.5)).collect();
    let loss = (function(&before).mul_scalar(0.5) * on_device(upstream.clone())).sum();
    if !loss.is_tracked() {
        return leaves.iter().map(|_| None).collect();
    }
    let grads = loss.backward();
    leaves.iter().map(|t| t.grad(&grads)).collect()
}
