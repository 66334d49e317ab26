//! Choosing a device by name, and moving tensors into its autodiff context.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::weights::Precision;

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU by index.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let unknown = || format!("unknown device {text}; choose cpu, cuda or cuda:N");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl DeviceChoice {
    /// The device, without autodiff.
    ///
    /// # Errors
    /// When the program was built without support for it.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(Device::cuda(index)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(ModelError::Device(format!(
                "this program was built without CUDA, so {self} cannot be used; \
                 build it with `--features cuda` or choose cpu"
            ))),
        }
    }
}

impl DeviceChoice {
    /// The device with autodiff. On the processor, results that cost little more than reading their inputs are
    /// computed again for the backward pass: a fifth less memory in no more time.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_training(self) -> Result<Device> {
        let device = self.open()?.autodiff();
        Ok(match self {
            Self::Cpu => device.gradient_checkpointing(),
            Self::Cuda(_) => device,
        })
    }
}

/// Puts a plain tensor into the autodiff context of a device, as a constant; without a context it stays
/// as it is.
pub fn lift<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => tensor.autodiff().with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}

/// Numbers as a tensor of a dtype in the autodiff context of a device.
///
/// The cast happens before autodiff sees the tensor: a parameter is a leaf, not the result of a cast.
pub fn tensor<const D: usize>(
    data: Vec<f32>,
    shape: [usize; D],
    precision: Precision,
    device: &Device,
) -> Tensor<D> {
    let plain = Tensor::<D>::from_data(TensorData::new(data, shape), &device.clone().inner());
    lift(plain.cast(precision.dtype()), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_display() {
        for (text, shown) in [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), shown);
        }
        for text in ["gpu", "cuda:x", "cpu:0", ""] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().contains("choose cpu"));
        }
    }
}
