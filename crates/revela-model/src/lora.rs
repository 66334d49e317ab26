//! Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): `y += scale * dropout(x) A^T B^T`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::{Linear, Mode, Run};

/// The adapter of one linear layer.
#[derive(Module, Debug)]
pub struct Lora {
    /// `[r, in]`.
    pub a: Param<Tensor<2>>,
    /// `[out, r]`.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
}

/// The linear layers of a decoder that can carry an adapter, by their Hugging Face names.
pub const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Size and place of adapters, in PEFT's terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The adapter is scaled by `alpha / r`.
    pub alpha: f64,
    /// Dropout on the adapter's input while training.
    pub dropout: f64,
    /// Names of the layers with an adapter, out of [`TARGETS`].
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    /// The published recipe: r 256, alpha 64, dropout 0.1, all linear layers.
    fn default() -> Self {
        Self { r: 256, alpha: 64.0, dropout: 0.1, targets: TARGETS.map(str::to_owned).to_vec() }
    }
}

impl LoraConfig {
    /// # Errors
    /// The value that is impossible, and what would be possible.
    pub fn check(&self) -> Result<(), String> {
        if self.r == 0 {
            return Err("lora r is 0; it must be at least 1".into());
        }
        if !(self.alpha > 0.0) {
            return Err(format!("lora alpha is {}; it must be positive", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!("lora dropout is {}; it must be at least 0 and under 1", self.dropout));
        }
        if self.targets.is_empty() {
            return Err(format!("lora targets are empty; choose among {}", TARGETS.join(", ")));
        }
        match self.targets.iter().find(|t| !TARGETS.contains(&t.as_str())) {
            Some(other) => {
                Err(format!("lora target {other} is unknown; choose among {}", TARGETS.join(", ")))
            }
            None => Ok(()),
        }
    }
}

impl Lora {
    /// Puts an adapter of zeros beside a layer's weights; A is drawn by name afterwards, B stays zero so
    /// that training starts from the base model.
    pub(crate) fn attach(linear: &mut Linear, config: &LoraConfig, device: &Device) {
        let [outputs, inputs] = linear.weight.val().dims();
        linear.lora = Some(Self {
            a: Param::from_tensor(Tensor::zeros([config.r, inputs], device)),
            b: Param::from_tensor(Tensor::zeros([outputs, config.r], device)),
            scale: config.alpha / config.r as f64,
            dropout: config.dropout,
        });
    }

    pub(crate) fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let x = if run.mode == Mode::Train && self.dropout > 0.0 {
            let kept = 1.0 - self.dropout;
            let mask = Tensor::<2>::random(x.dims(), Distribution::Bernoulli(kept), &x.device().inner());
            x * mask.mul_scalar(1.0 / kept)
        } else {
            x
        };
        let inner = run.kernels.linear(x, self.a.val());
        run.kernels.linear(inner, self.b.val()).mul_scalar(self.scale)
    }

    /// What the adapter adds to the layer's weight: `scale * B A`, `[out, in]`.
    pub(crate) fn delta(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()).mul_scalar(self.scale)
    }
}
