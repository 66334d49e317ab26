//! From token states to one vector per text.

use std::sync::Arc;

use burn::tensor::{DType, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::Packing;
use crate::layers::Run;

/// Which states stand for the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The last real token's, which has read all others in a causal model.
    Eos,
    /// The mean of all real tokens'.
    Mean,
    /// The first token's; only useful where tokens read both ways.
    Cls,
}

impl Pooling {
    /// `hidden`: `[rows, d]`. Returns `[sequences, d]`, f32.
    pub fn pool(self, hidden: Tensor<2>, packing: &Arc<Packing>, run: Run) -> Tensor<2> {
        let pick = |hidden: Tensor<2>, rows: Vec<i32>| {
            let n = rows.len();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n]), &hidden.device().inner());
            hidden.select(0, rows)
        };
        let pooled = match self {
            Self::Eos => pick(hidden, packing.last_rows().map(|row| row as i32).collect()),
            Self::Cls => {
                pick(hidden, packing.starts().iter().take(packing.sequences()).map(|r| *r as i32).collect())
            }
            Self::Mean => run.kernels.sequence_mean(hidden, packing),
        };
        pooled.cast(DType::F32)
    }
}

/// How long vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// 1.
    #[default]
    Unit,
    /// As the model gives them.
    Raw,
}

impl Scale {
    /// Whether it is the usual one.
    pub(crate) fn is_unit(&self) -> bool {
        *self == Self::Unit
    }

    /// Brings rows to this length.
    pub fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Unit => normalize(x),
            Self::Raw => x,
        }
    }
}

/// Brings rows to unit length; rows shorter than 1e-12 stay short.
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().powf_scalar(2.0).sum_dim(1).sqrt().clamp_min(1e-12);
    x / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn each_pooling_picks_its_rows() {
        let packing = Packing::padded(&[2, 1]);
        let x = Tensor::<2>::from_floats([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0], [7.0, 8.0]], &Device::flex());
        let pooled = |p: Pooling| {
            p.pool(x.clone(), &packing, Run::default()).into_data().try_into_vec::<f32>().unwrap()
        };
        assert_eq!(pooled(Pooling::Eos), [3.0, 2.0, 5.0, 5.0]);
        assert_eq!(pooled(Pooling::Cls), [1.0, 0.0, 5.0, 5.0]);
        assert_eq!(pooled(Pooling::Mean), [2.0, 1.0, 5.0, 5.0]);
        let unit = normalize(x).into_data().try_into_vec::<f32>().unwrap();
        assert!((unit[2] * unit[2] + unit[3] * unit[3] - 1.0).abs() < 1e-6);
    }
}
