//! Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): `y += scale * dropout(x) A^T B^T`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::device::{self, lift};
use crate::embedding_model::EmbeddingModel;
use crate::error::{ModelError, Result};
use crate::layers::{Linear, Mode, Run};
use crate::weights::Precision;

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

/// A model whose linear layers can carry adapters.
pub trait Adaptable: Module {
    /// Its linear layers by name.
    fn linears(&mut self) -> Vec<(String, &mut Linear)>;

    /// What Hugging Face calls a layer that is called so here.
    fn name_in_file(&self, here: &str) -> String;
}

impl Adaptable for Decoder {
    fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        Self::linears(self)
    }

    fn name_in_file(&self, here: &str) -> String {
        here.to_owned()
    }
}

impl Adaptable for EmbeddingModel {
    fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        self.backbone.linears()
    }

    fn name_in_file(&self, here: &str) -> String {
        self.backbone.config().name_in_file(here)
    }
}

/// Stands for all linear layers, in PEFT's terms.
pub const ALL_LINEAR: &str = "all-linear";

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
    /// Names of the layers with an adapter, as Hugging Face calls them, or [`ALL_LINEAR`].
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    /// The published recipe: r 256, alpha 64, dropout 0.1, all linear layers.
    fn default() -> Self {
        Self { r: 256, alpha: 64.0, dropout: 0.1, targets: vec![ALL_LINEAR.to_owned()] }
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
            return Err(format!("lora targets are empty; name layers such as q_proj, or {ALL_LINEAR}"));
        }
        Ok(())
    }

    /// Whether a layer of this Hugging Face name carries an adapter.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target == ALL_LINEAR || is_called(name, target))
    }
}

impl Lora {
    /// `a`: `[r, in]`, `b`: `[out, r]`.
    pub(crate) fn new([a, b]: [Tensor<2>; 2], config: &LoraConfig, seed: Seed) -> Self {
        Self {
            a: Param::from_tensor(a),
            b: Param::from_tensor(b),
            scale: config.alpha / config.r as f64,
            dropout: config.dropout,
            stream: seed.0,
        }
    }

    /// What the product of its parts is multiplied with.
    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

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

/// Whether a module's path is, or ends with, a target's name.
fn is_called(path: &str, target: &str) -> bool {
    path.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Freezes a model and puts an adapter on each target layer: A drawn from `seed` as PEFT draws it, B
/// zero, so that training starts from the base model.
///
/// # Errors
/// When the model has no layer of a target's name; the error lists those it has.
pub fn attach<M: Adaptable>(model: M, config: &LoraConfig, seed: Seed, device: &Device) -> Result<M> {
    let mut model = model.no_grad();
    check_targets(&mut model, config)?;
    let names = file_names(&mut model);
    for ((name, linear), in_file) in model.linears().into_iter().zip(names) {
        if config.covers(&in_file) {
            linear.lora = Some(fresh(linear, config, seed.derive(&name), device));
        }
    }
    Ok(model)
}

/// The linear layers' names in files, in the order of [`Adaptable::linears`].
pub(crate) fn file_names<M: Adaptable>(model: &mut M) -> Vec<String> {
    let names: Vec<String> = model.linears().into_iter().map(|(name, _)| name).collect();
    names.iter().map(|name| model.name_in_file(name)).collect()
}

fn check_targets<M: Adaptable>(model: &mut M, config: &LoraConfig) -> Result<()> {
    let names = file_names(model);
    let missing =
        |target: &&String| *target != ALL_LINEAR && !names.iter().any(|name| is_called(name, target));
    let Some(target) = config.targets.iter().find(missing) else { return Ok(()) };
    let mut known: Vec<&str> = names.iter().filter_map(|name| name.rsplit('.').next()).collect();
    known.sort_unstable();
    known.dedup();
    Err(ModelError::Targets(format!(
        "lora target {target} is no layer of this model; choose among {} or {ALL_LINEAR}",
        known.join(", ")
    )))
}

fn fresh(linear: &Linear, config: &LoraConfig, seed: Seed, device: &Device) -> Lora {
    let [inputs, outputs] = linear.width();
    let bound = 1.0 / (inputs as f32).sqrt();
    let mut stream = seed.stream("lora");
    let a = (0..config.r * inputs).map(|_| stream.random_range(-bound..bound)).collect();
    let a = device::tensor(a, [config.r, inputs], Precision::F32, device);
    let b = lift(Tensor::zeros([outputs, config.r], &device.clone().inner()), device);
    Lora::new([a, b], config, seed)
}

/// Adds the adapters into the weights and drops them.
#[must_use]
pub fn merge<M: Adaptable>(mut model: M) -> M {
    for (_, linear) in model.linears() {
        if let Some(lora) = linear.lora.take() {
            let delta = lora.delta();
            linear.weight = linear.weight.clone().map(|w| {
                let delta = delta.cast(w.dtype());
                (w + delta).detach()
            });
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::TokenBatch;
    use crate::init::draw;
    use crate::params::{Parameter, map_named, named};
    use crate::testing::tiny_config;
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
        let decoder = attach(base(device), &config(), Seed(2), device).unwrap();
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
        let fresh = attach(base(&device), &config(), Seed(2), &device).unwrap();
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
    fn impossible_settings_are_named() {
        let message = |change: fn(&mut LoraConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert!(message(|c| c.r = 0).contains("r is 0"));
        assert!(message(|c| c.dropout = 1.0).contains("dropout"));
        assert!(message(|c| c.targets.clear()).contains("q_proj"));
        config().check().unwrap();
        let stranger = LoraConfig { targets: vec!["head".into()], ..config() };
        let error = attach(base(&Device::flex()), &stranger, Seed(2), &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("up_proj, v_proj or all-linear"), "{error}");
    }
}
