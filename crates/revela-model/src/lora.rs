//! Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): `y += scale * dropout(x) A^T B^T`.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use revela_base::artifact::{ArtifactWriter, IfExists};
use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::decoder::Decoder;
use crate::device::{self, lift};
use crate::error::{ModelError, Result};
use crate::layers::{Linear, Mode, Run};
use crate::params::named;
use crate::weights::{Precision, to_safetensors};

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
    /// Tells the layers' dropout apart.
    #[module(skip)]
    stream: u64,
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
    pub fn check(&self) -> std::result::Result<(), String> {
        if self.r == 0 {
            return Err("lora r is 0; it must be at least 1".into());
        }
        if self.alpha.is_nan() || self.alpha <= 0.0 {
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
    pub(crate) fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let x = match run.mode {
            Mode::Train(dropout) if self.dropout > 0.0 => {
                let [rows, columns] = x.dims();
                let mask = dropout.mask(self.stream, rows, columns, 1.0 - self.dropout);
                let mask = TensorData::new(mask, [rows, columns]);
                x.clone() * Tensor::<2>::from_data(mask, &x.device().inner()).cast(x.dtype())
            }
            _ => x,
        };
        let inner = run.kernels.linear(x, self.a.val());
        run.kernels.linear(inner, self.b.val()).mul_scalar(self.scale)
    }

    /// What the adapter adds to the layer's weight: `scale * B A`, `[out, in]`.
    fn delta(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()).mul_scalar(self.scale)
    }
}

/// Freezes a decoder and puts an adapter on each target layer: A drawn from `seed` as PEFT draws it, B
/// zero, so that training starts from the base model.
pub fn attach(decoder: Decoder, config: &LoraConfig, seed: Seed, device: &Device) -> Decoder {
    let mut decoder = decoder.no_grad();
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        for (name, linear) in layer.linears() {
            if config.targets.iter().any(|target| name.ends_with(target.as_str())) {
                linear.lora =
                    Some(fresh(linear, config, seed.derive(&format!("layers.{index}.{name}")), device));
            }
        }
    }
    decoder
}

fn fresh(linear: &Linear, config: &LoraConfig, seed: Seed, device: &Device) -> Lora {
    let [outputs, inputs] = linear.weight.val().dims();
    let bound = 1.0 / (inputs as f32).sqrt();
    let mut stream = seed.stream("lora");
    let a = (0..config.r * inputs).map(|_| stream.random_range(-bound..bound)).collect();
    Lora {
        a: Param::from_tensor(device::tensor(a, [config.r, inputs], Precision::F32, device)),
        b: Param::from_tensor(lift(Tensor::zeros([outputs, config.r], &device.clone().inner()), device)),
        scale: config.alpha / config.r as f64,
        dropout: config.dropout,
        stream: seed.0,
    }
}

/// Adds the adapters into the weights and drops them.
#[must_use]
pub fn merge(mut decoder: Decoder) -> Decoder {
    for (_, linear) in decoder.layers.iter_mut().flat_map(|layer| layer.linears()) {
        if let Some(lora) = linear.lora.take() {
            let delta = lora.delta();
            linear.weight = linear.weight.clone().map(|w| {
                let delta = delta.cast(w.dtype());
                (w + delta).detach()
            });
        }
    }
    decoder
}

/// Which class PEFT wraps the base model in; it decides the names in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// A bare decoder: a retriever.
    FeatureExtraction,
    /// A decoder with an output embedding: a language model.
    CausalLm,
}

impl AdapterKind {
    fn task_type(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "FEATURE_EXTRACTION",
            Self::CausalLm => "CAUSAL_LM",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "base_model.model.",
            Self::CausalLm => "base_model.model.model.",
        }
    }
}

/// Writes a decoder's adapters as a PEFT folder: adapter_config.json and adapter_model.safetensors.
pub fn save(
    decoder: &Decoder,
    config: &LoraConfig,
    kind: AdapterKind,
    base: &str,
    dir: &Path,
    if_exists: IfExists,
) -> Result<()> {
    let adapters = named(decoder)
        .into_iter()
        .filter_map(|(name, parameter)| Some((format!("{}{}", kind.prefix(), peft_name(&name)?), parameter)))
        .collect();
    let bytes = to_safetensors(adapters, Precision::F32)
        .map_err(|detail| ModelError::Adapter { path: dir.to_owned(), detail })?;
    let mut writer = ArtifactWriter::create(dir, "revela.adapter", 1, if_exists)?;
    writer.json(
        "adapter_config.json",
        &json!({
            "peft_type": "LORA",
            "task_type": kind.task_type(),
            "base_model_name_or_path": base,
            "r": config.r,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "target_modules": config.targets,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
        }),
    )?;
    writer.file("adapter_model.safetensors", |out| out.write_all(&bytes))?;
    writer.finish(&())?;
    Ok(())
}

/// `layers.0.self_attn.q_proj.lora.a` to `layers.0.self_attn.q_proj.lora_A.weight`.
fn peft_name(name: &str) -> Option<String> {
    let (layer, part) = name.rsplit_once(".lora.")?;
    Some(format!("{layer}.lora_{}.weight", part.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::TokenBatch;
    use crate::init::draw;
    use crate::params::{Parameter, map_named};
    use crate::testing::tiny_config;
    use crate::weights::Weights;
    use std::sync::Arc;

    fn config() -> LoraConfig {
        LoraConfig { r: 4, alpha: 8.0, dropout: 0.5, targets: vec!["q_proj".into(), "down_proj".into()] }
    }

    fn base(device: &Device) -> Decoder {
        draw(Decoder::zeros(Arc::new(tiny_config()), device), Seed(1), device)
    }

    fn hidden(decoder: &Decoder, mode: Mode) -> Vec<f32> {
        let batch = TokenBatch::packed(&[vec![3_u32, 4, 5], vec![6, 7]]);
        let run = Run { mode, ..Run::default() };
        decoder.forward(&batch, run).inner().into_data().try_into_vec::<f32>().unwrap()
    }

    /// Adapters whose B is not zero.
    fn adapted(device: &Device) -> Decoder {
        let decoder = attach(base(device), &config(), Seed(2), device);
        map_named(decoder, &mut |name, parameter| match parameter {
            Parameter::Matrix(b) if name.ends_with("lora.b") => {
                Parameter::Matrix(b.ones_like().mul_scalar(0.05))
            }
            other => other,
        })
    }

    #[test]
    fn a_fresh_adapter_changes_nothing_and_a_merged_one_is_the_same() {
        let device = Device::flex();
        let fresh = attach(base(&device), &config(), Seed(2), &device);
        assert_eq!(hidden(&fresh, Run::training(1).mode), hidden(&base(&device), Mode::Infer));
        let adapted = adapted(&device);
        let with = hidden(&adapted, Mode::Infer);
        assert_ne!(with, hidden(&base(&device), Mode::Infer));
        assert_ne!(with, hidden(&adapted, Run::training(1).mode), "dropout applies in training");
        let merged = merge(adapted);
        assert_eq!(named(&merged).len(), named(&base(&device)).len());
        for (a, b) in with.iter().zip(hidden(&merged, Mode::Infer)) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn only_adapters_are_trained() {
        let device = Device::flex().autodiff();
        let decoder = adapted(&device);
        let batch = TokenBatch::packed(&[vec![3_u32, 4, 5]]);
        let grads = decoder.forward(&batch, Run::default()).sum().backward();
        for (name, parameter) in named(&decoder) {
            let trained = match parameter {
                Parameter::Vector(t) => t.grad(&grads).is_some(),
                Parameter::Matrix(t) => t.grad(&grads).is_some(),
            };
            assert_eq!(trained, name.contains(".lora."), "{name}");
        }
    }

    #[test]
    fn the_folder_has_pefts_names() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("adapter");
        let decoder = adapted(&Device::flex());
        save(&decoder, &config(), AdapterKind::CausalLm, "base", &dir, IfExists::Refuse).unwrap();
        let weights = Weights::read_file(&dir.join("adapter_model.safetensors")).unwrap();
        let name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight";
        assert_eq!(weights.get(name).unwrap().shape, [4, 72]);
        assert_eq!(weights.names().count(), 2 * 2 * 2);
    }

    #[test]
    fn impossible_settings_are_named() {
        let message = |change: fn(&mut LoraConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert!(message(|c| c.r = 0).contains("r is 0"));
        assert!(message(|c| c.dropout = 1.0).contains("dropout"));
        assert!(message(|c| c.targets = vec!["head".into()]).contains("q_proj"));
        config().check().unwrap();
    }
}
