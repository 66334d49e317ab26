//! Linear layers, embeddings and norms.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::kernels::Kernels;
use crate::lora::Lora;

/// What every layer's forward pass wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// Which form of the functions to use.
    pub kernels: Kernels,
    /// Whether dropout applies.
    pub mode: Mode,
}

/// Training or use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Dropout applies.
    Train,
    /// No randomness.
    #[default]
    Infer,
}

/// `y = x W^T + b`, plus a low-rank adapter where there is one.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter.
    pub lora: Option<Lora>,
}

impl Linear {
    /// Zero weights; they are drawn or loaded by name afterwards.
    pub(crate) fn zeros(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([outputs, inputs], device)),
            bias: bias.then(|| Param::from_tensor(Tensor::zeros([outputs], device))),
            lora: None,
        }
    }

    /// `x`: `[rows, in]`. Returns `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let y = run.kernels.linear(x.clone(), self.weight.val());
        let y = match &self.bias {
            Some(bias) => y + bias.val().unsqueeze::<2>(),
            None => y,
        };
        match &self.lora {
            Some(lora) => y + lora.forward(x, run),
            None => y,
        }
    }
}

/// A table of token vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, d]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub(crate) fn zeros(vocabulary: usize, width: usize, device: &Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::zeros([vocabulary, width], device)) }
    }

    /// Returns `[ids.len(), d]`.
    pub fn forward(&self, ids: &[u32]) -> Tensor<2> {
        let weight = self.weight.val();
        let ids: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
        let rows = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows]), &weight.device());
        weight.select(0, ids)
    }
}

/// Root-mean-square normalisation.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn ones(width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::ones([width], device)), eps }
    }

    /// `x`: `[rows, d]`.
    pub fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        run.kernels.rms_norm(x, self.weight.val(), self.eps)
    }
}
