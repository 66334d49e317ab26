//! AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with f32 master weights and clipping by the
//! global norm.
//!
//! burn's own AdamW has neither, and passes over memory a dozen times; here one pass updates weight and
//! moments where they stand on the CPU. Other devices use the same formula in tensor operations.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use rayon::prelude::*;
use revela_model::cpu::vectorised;
use revela_model::op;
use revela_model::params::{Parameter, map_named};
use serde::{Deserialize, Serialize};

use crate::gradients::GradientSet;

/// Constants of AdamW; the learning rate comes from the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of matrices, times the learning rate; norms and biases are not decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamWConfig {
    /// # Errors
    /// The value that is impossible, and what would be possible.
    pub fn check(&self) -> Result<(), String> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(format!("{name} is {beta}; it must be at least 0 and under 1"));
            }
        }
        if !(self.epsilon > 0.0 && self.weight_decay >= 0.0) {
            return Err("epsilon must be positive and weight_decay at least 0".into());
        }
        Ok(())
    }
}

/// Moments of one parameter, flat; `master` holds the f32 weights where the model's are narrower.
#[derive(Debug, Clone)]
struct Slot {
    first: Tensor<1>,
    second: Tensor<1>,
    master: Option<Tensor<1>>,
}

/// The optimiser's state.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    slots: BTreeMap<String, Slot>,
}

/// One step's numbers.
#[derive(Clone, Copy)]
struct Step {
    learning_rate: f64,
    decay: f64,
    correction1: f64,
    correction2: f64,
    config: AdamWConfig,
    /// Gradients are multiplied with this first: clipping and the mean over accumulated batches.
    factor: f64,
}

impl AdamW {
    /// An optimiser that has made no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, slots: BTreeMap::new() }
    }

    /// Updates a module. Gradients are multiplied by `factor` first; parameters without a gradient stay.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        mut gradients: GradientSet,
        learning_rate: f64,
        factor: f64,
    ) -> M {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let base = Step {
            learning_rate,
            decay: 0.0,
            correction1: 1.0 - self.config.beta1.powi(steps),
            correction2: 1.0 - self.config.beta2.powi(steps),
            config: self.config,
            factor,
        };
        map_named(module, &mut |name, parameter| {
            let Some(gradient) = gradients.remove(name) else { return parameter };
            let slot = self.slots.remove(name).unwrap_or_else(|| Slot::new(&parameter));
            let matrix = matches!(parameter, Parameter::Matrix(_));
            let decay = if matrix { self.config.weight_decay * learning_rate } else { 0.0 };
            let (slot, parameter) = slot.step(parameter, gradient, Step { decay, ..base });
            self.slots.insert(name.to_owned(), slot);
            parameter
        })
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state as named tensors, for a checkpoint.
    pub fn state(&self) -> Vec<(String, Parameter)> {
        let mut state = Vec::new();
        for (name, slot) in &self.slots {
            let mut add = |part: &str, t: &Tensor<1>| {
                state.push((format!("{name}.{part}"), Parameter::Vector(t.clone())));
            };
            add("first", &slot.first);
            add("second", &slot.second);
            if let Some(master) = &slot.master {
                add("master", master);
            }
        }
        state
    }

    /// Puts a checkpoint's state back.
    ///
    /// # Errors
    /// The name that does not fit.
    pub fn restore(
        config: AdamWConfig,
        steps: u64,
        state: impl IntoIterator<Item = (String, Tensor<1>)>,
    ) -> Result<Self, String> {
        let mut parts: BTreeMap<String, BTreeMap<String, Tensor<1>>> = BTreeMap::new();
        for (name, tensor) in state {
            let (parameter, part) =
                name.rsplit_once('.').ok_or_else(|| format!("optimiser state has no part called {name}"))?;
            parts.entry(parameter.to_owned()).or_default().insert(part.to_owned(), tensor);
        }
        let slots = parts
            .into_iter()
            .map(|(name, mut parts)| {
                let mut part = |part: &str| {
                    parts.remove(part).ok_or_else(|| format!("optimiser state lacks {name}.{part}"))
                };
                let slot =
                    Slot { first: part("first")?, second: part("second")?, master: part("master").ok() };
                Ok((name, slot))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { config, steps, slots })
    }
}

impl Slot {
    fn new(parameter: &Parameter) -> Self {
        let flat = parameter.clone().flat();
        let zeros = || Tensor::<1>::zeros(flat.dims(), &flat.device()).cast(DType::F32);
        let narrow = flat.dtype() != DType::F32;
        Self { first: zeros(), second: zeros(), master: narrow.then(|| flat.cast(DType::F32)) }
    }

    fn step(self, parameter: Parameter, gradient: Tensor<1>, step: Step) -> (Self, Parameter) {
        let (shape, device) = (parameter.shape(), parameter.device());
        // From here on nothing else refers to the weights, so that they are changed where they stand.
        let flat = parameter.flat();
        let dtype = flat.dtype();
        let has_master = self.master.is_some();
        let weights = self.master.unwrap_or(flat);
        let [weights, first, second] =
            step.apply([weights, self.first, self.second], gradient.cast(DType::F32));
        let master = has_master.then(|| weights.clone());
        let parameter = Parameter::from_flat(weights.cast(dtype), &shape).lift(&device);
        (Self { first, second, master }, parameter)
    }
}

impl Step {
    fn apply(self, state: [Tensor<1>; 3], gradient: Tensor<1>) -> [Tensor<1>; 3] {
        op::update(state, &gradient, |[w, m, v], g| self.slices(w, m, v, g))
            .unwrap_or_else(|state| self.composed(state, gradient))
    }

    /// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w = w (1 - decay) - lr (m / c1) / (sqrt(v / c2) + eps)
    fn composed(self, [w, m, v]: [Tensor<1>; 3], gradient: Tensor<1>) -> [Tensor<1>; 3] {
        let AdamWConfig { beta1, beta2, epsilon, .. } = self.config;
        let g = gradient.mul_scalar(self.factor);
        let m = m.mul_scalar(beta1) + g.clone().mul_scalar(1.0 - beta1);
        let v = v.mul_scalar(beta2) + g.powf_scalar(2.0).mul_scalar(1.0 - beta2);
        let root = v.clone().div_scalar(self.correction2).sqrt().add_scalar(epsilon);
        let update = m.clone().mul_scalar(self.learning_rate / self.correction1) / root;
        [w.mul_scalar(1.0 - self.decay) - update, m, v]
    }

    /// The same on slices, one pass.
    fn slices(self, w: &mut [f32], m: &mut [f32], v: &mut [f32], gradient: &[f32]) {
        const TASK: usize = 1 << 15;
        let (beta1, beta2) = (self.config.beta1 as f32, self.config.beta2 as f32);
        let (rest1, rest2) = ((1.0 - self.config.beta1) as f32, (1.0 - self.config.beta2) as f32);
        let keep = (1.0 - self.decay) as f32;
        let rate = (self.learning_rate / self.correction1) as f32;
        let (inverse2, epsilon) = ((1.0 / self.correction2) as f32, self.config.epsilon as f32);
        let factor = self.factor as f32;
        w.par_chunks_mut(TASK)
            .zip(m.par_chunks_mut(TASK).zip(v.par_chunks_mut(TASK)))
            .zip(gradient.par_chunks(TASK))
            .for_each(|((w, (m, v)), g)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((w, (m, v)), g) in w.iter_mut().zip(m.iter_mut().zip(v.iter_mut())).zip(g) {
                            let g = g * factor;
                            *m = beta1 * *m + rest1 * g;
                            *v = beta2 * *v + rest2 * g * g;
                            *w = *w * keep - rate * *m / ((*v * inverse2).sqrt() + epsilon);
                        }
                    },
                );
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_floats(values, &Device::flex())
    }

    fn step() -> Step {
        let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
        Step { learning_rate: 0.01, decay: 0.001, correction1: 0.1, correction2: 0.001, config, factor: 0.5 }
    }

    #[test]
    fn one_pass_equals_tensor_operations() {
        let state = || [tensor(&[1.0, -2.0, 0.5]), tensor(&[0.1, 0.2, 0.0]), tensor(&[0.3, 0.0, 0.01])];
        let gradient = tensor(&[0.7, -1.0, 4.0]);
        let fast = step().apply(state(), gradient.clone());
        let plain = step().composed(state(), gradient);
        for (fast, plain) in fast.into_iter().zip(plain) {
            let difference = (fast - plain).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "{difference}");
        }
    }

    #[test]
    fn first_step_is_the_learning_rate_against_the_sign() {
        // Values of torch.optim.AdamW(lr=0.01, weight_decay=0) after one and two steps.
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let linear = revela_model::decoder::Decoder::zeros(
            std::sync::Arc::new(revela_model::testing::tiny_config()),
            &Device::flex().autodiff(),
        );
        let gradient = |scale: f32| {
            let mut set = GradientSet::default();
            set.insert("norm.weight", tensor(&[scale; 32]));
            set
        };
        let after = optimizer.step(linear, gradient(3.0), 0.01, 1.0);
        let weight = |m: &revela_model::decoder::Decoder| {
            m.norm.weight.val().inner().into_data().as_slice::<f32>().unwrap()[0]
        };
        assert!((weight(&after) - 0.99).abs() < 1e-6);
        let after = optimizer.step(after, gradient(-1.0), 0.01, 1.0);
        assert!((weight(&after) - 0.985_997_8).abs() < 1e-6, "{}", weight(&after));
        assert!(after.norm.weight.val().is_require_grad(), "a parameter stays trained");
    }
}
