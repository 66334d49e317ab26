//! Helpers of the unit tests.

use burn::tensor::{Device, Distribution, Tensor};

/// Normal numbers.
pub(super) fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    let device = Device::flex();
    device.seed(seed);
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device)
}

/// Relative distance, as the golden cases define it.
pub(super) fn distance(got: &Tensor<2>, want: &Tensor<2>) -> f32 {
    let norm = |t: Tensor<2>| t.powf_scalar(2.0).sum().into_scalar::<f32>().sqrt();
    norm(got.clone() - want.clone()) / norm(want.clone()).max(1e-6)
}
