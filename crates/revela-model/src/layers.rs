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
    Train(Dropout),
    /// No randomness.
    #[default]
    Infer,
}

/// What decides which numbers are dropped: the same rows of the same batch lose the same numbers, however
/// the batch is cut into pieces and however often a piece is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropout {
    /// Of the batch and of what it is run for.
    pub seed: u64,
    /// Where the rows at hand begin in the whole batch.
    pub first_row: usize,
}

impl Run {
    /// Training with this seed.
    pub fn training(seed: u64) -> Self {
        Self { kernels: Kernels::default(), mode: Mode::Train(Dropout { seed, first_row: 0 }) }
    }

    /// The same for another use of the batch: other numbers are dropped.
    #[must_use]
    pub fn tagged(self, tag: u64) -> Self {
        self.map_dropout(|d| Dropout { seed: mix(d.seed ^ mix(tag + 1)), ..d })
    }

    /// The same for rows that begin here in the whole batch.
    #[must_use]
    pub(crate) fn beginning_at(self, first_row: usize) -> Self {
        self.map_dropout(|d| Dropout { first_row, ..d })
    }

    fn map_dropout(self, change: impl FnOnce(Dropout) -> Dropout) -> Self {
        let mode = match self.mode {
            Mode::Train(dropout) => Mode::Train(change(dropout)),
            Mode::Infer => Mode::Infer,
        };
        Self { mode, ..self }
    }
}

impl Dropout {
    /// `[rows, columns]` of `1 / kept` with probability `kept`, else 0, in the stream of this layer.
    pub(crate) fn mask(&self, layer: u64, rows: usize, columns: usize, kept: f64) -> Vec<f32> {
        let limit = (kept * 2.0_f64.powi(32)) as u64;
        let value = (1.0 / kept) as f32;
        let stream = mix(self.seed ^ mix(layer));
        (0..rows * columns)
            .map(|at| {
                let number = mix(stream ^ (self.first_row * columns + at) as u64);
                if number >> 32 < limit { value } else { 0.0 }
            })
            .collect()
    }
}

/// The output function of SplitMix64 (Steele et al. 2014): a good hash of a counter.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
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

    /// Features that go in and that come out.
    pub fn width(&self) -> [usize; 2] {
        let [outputs, inputs] = self.weight.val().dims();
        [inputs, outputs]
    }

    /// `x`: `[rows, in]`. Returns `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let y = match &self.bias {
            Some(bias) => run.kernels.linear_bias(x.clone(), self.weight.val(), bias.val()),
            None => run.kernels.linear(x.clone(), self.weight.val()),
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

/// Layer normalisation.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    /// `[d]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn ones(width: usize, bias: bool, eps: f64, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            bias: bias.then(|| Param::from_tensor(Tensor::zeros([width], device))),
            eps,
        }
    }

    /// `x`: `[rows, d]`.
    pub fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        run.kernels.layer_norm(x, self.weight.val(), bias, self.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_batch_lose_the_same_numbers() {
        let Mode::Train(whole) = Run::training(7).mode else { panic!() };
        let mask = whole.mask(3, 100, 40, 0.9);
        let kept = mask.iter().filter(|v| **v > 0.0).count() as f64 / 4000.0;
        assert!((kept - 0.9).abs() < 0.02, "{kept}");
        let Mode::Train(piece) = Run::training(7).beginning_at(60).mode else { panic!() };
        assert_eq!(piece.mask(3, 40, 40, 0.9), mask[60 * 40..]);
        assert_ne!(whole.mask(4, 100, 40, 0.9), mask);
        let Mode::Train(tagged) = Run::training(7).tagged(1).mode else { panic!() };
        assert_ne!(tagged.mask(3, 100, 40, 0.9), mask);
    }
}
