//! The functions between the two linear layers of an encoder's feed-forward part.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Kernels;
use crate::cpu::vector::{erf, exp, sigmoid};
use crate::cpu::vectorised;
use crate::op::{Keep, Kernel, Output, View, apply, runs_on};

/// Numbers per task.
const TASK: usize = 1 << 14;

/// sqrt(2 / pi), in the tanh form of GELU.
const SQRT_2_PI: f32 = 0.797_884_6;
/// The cubic term's factor there (Hendrycks and Gimpel 2016).
const CUBIC: f32 = 0.044_715;

/// A function of one number, under the names that Hugging Face's configurations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// x * Phi(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    #[serde(rename = "gelu")]
    Gelu,
    /// Its approximation by tanh.
    #[serde(rename = "gelu_pytorch_tanh", alias = "gelu_new", alias = "gelu_fast")]
    GeluTanh,
    /// max(x, 0).
    #[serde(rename = "relu")]
    Relu,
    /// x * sigmoid(x).
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

impl Activation {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => x * sigmoid(2.0 * SQRT_2_PI * (x + CUBIC * x * x * x)),
            Self::Relu => x.max(0.0),
            Self::Silu => x * sigmoid(x),
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Gelu => {
                let density = 0.5 * SQRT_2_PI * exp(-0.5 * x * x);
                0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * density
            }
            Self::GeluTanh => {
                let s = sigmoid(2.0 * SQRT_2_PI * (x + CUBIC * x * x * x));
                s + x * s * (1.0 - s) * 2.0 * SQRT_2_PI * (1.0 + 3.0 * CUBIC * x * x)
            }
            Self::Relu => f32::from(x > 0.0),
            Self::Silu => {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }
        }
    }
}

impl Kernels {
    /// Applies the function to every number.
    pub fn activation(self, x: Tensor<2>, function: Activation) -> Tensor<2> {
        if self.fused() && runs_on(&x) {
            return apply(Apply(function), [x.into_dispatch()]);
        }
        match function {
            Activation::Gelu => activation::gelu(x),
            Activation::GeluTanh => {
                let cube = x.clone().powi_scalar(3).mul_scalar(CUBIC);
                let inner = (x.clone() + cube).mul_scalar(2.0 * SQRT_2_PI);
                x * activation::sigmoid(inner)
            }
            Activation::Relu => activation::relu(x),
            Activation::Silu => activation::silu(x),
        }
    }
}

#[derive(Debug, Clone)]
struct Apply(Activation);

/// Calls `$body` with `$function` a constant, so that the loop inside is compiled for it alone.
macro_rules! specialised {
    ($choice:expr, $function:ident => $body:expr) => {
        match $choice {
            Activation::Gelu => {
                const $function: Activation = Activation::Gelu;
                $body
            }
            Activation::GeluTanh => {
                const $function: Activation = Activation::GeluTanh;
                $body
            }
            Activation::Relu => {
                const $function: Activation = Activation::Relu;
                $body
            }
            Activation::Silu => {
                const $function: Activation = Activation::Silu;
                $body
            }
        }
    };
}

impl Kernel<1> for Apply {
    type Saved = ();

    const KEEP: Keep = Keep::Inputs;

    fn forward(&self, [x]: [View<'_>; 1], _needs: [bool; 1]) -> Output<()> {
        let mut out = vec![0.0; x.data.len()];
        out.par_chunks_mut(TASK).zip(x.data.par_chunks(TASK)).for_each(|(out, x)| {
            specialised!(self.0, F => vectorised(
                #[inline(always)]
                || {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = F.value(x);
                    }
                },
            ));
        });
        Output::new(out, x.shape)
    }

    fn backward(&self, [x]: [View<'_>; 1], (): (), grad: View<'_>, _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let mut dx = vec![0.0; x.data.len()];
        let inputs = x.data.par_chunks(TASK).zip(grad.data.par_chunks(TASK));
        dx.par_chunks_mut(TASK).zip(inputs).for_each(|(dx, (x, grad))| {
            specialised!(self.0, F => vectorised(
                #[inline(always)]
                || {
                    for (dx, (&x, g)) in dx.iter_mut().zip(x.iter().zip(grad)) {
                        *dx = g * F.slope(x);
                    }
                },
            ));
        });
        [Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};
    use super::*;

    #[test]
    fn fused_equals_composed() {
        for function in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu] {
            compare(&[random([40, 701], 1)], |kernels, t| kernels.activation(t[0].clone(), function));
        }
    }

    #[test]
    fn published_values_and_names() {
        let close = |a: f32, b: f32| (a - b).abs() < 2e-6;
        assert!(close(Activation::Gelu.value(1.0), 0.841_344_7));
        assert!(close(Activation::GeluTanh.value(1.0), 0.841_192));
        let named = |name: &str| serde_json::from_value::<Activation>(name.into()).unwrap();
        assert_eq!(named("gelu_new"), Activation::GeluTanh);
        assert_eq!(serde_json::to_value(Activation::Gelu).unwrap(), "gelu");
    }
}
