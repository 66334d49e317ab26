//! Gradients by parameter name.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::op;
use revela_model::params::{Parameter, named};

/// The gradients of a model's trained parameters, each flat, by name.
///
/// Parameters that nothing flowed into have no entry: that is a gradient of zero.
#[derive(Debug, Clone, Default)]
pub struct GradientSet(BTreeMap<String, Tensor<1>>);

impl GradientSet {
    /// Takes a module's gradients out of a backward pass.
    pub fn take<M: Module>(module: &M, grads: &mut Gradients) -> Self {
        let mut flat = |parameter: Parameter| match parameter {
            Parameter::Vector(t) => t.grad_remove(grads),
            Parameter::Matrix(t) => t.grad_remove(grads).map(|g| g.flatten(0, 1)),
        };
        Self(named(module).into_iter().filter_map(|(name, p)| Some((name, flat(p)?))).collect())
    }

    /// Adds another backward pass, for accumulation.
    pub fn add(&mut self, other: Self) {
        for (name, gradient) in other.0 {
            let sum = match self.0.remove(&name) {
                Some(own) => own + gradient,
                None => gradient,
            };
            self.0.insert(name, sum);
        }
    }

    /// Sets one parameter's gradient.
    pub fn insert(&mut self, name: &str, gradient: Tensor<1>) {
        self.0.insert(name.to_owned(), gradient);
    }

    /// One parameter's gradient.
    pub fn get(&self, name: &str) -> Option<&Tensor<1>> {
        self.0.get(name)
    }

    /// Takes one parameter's gradient.
    pub fn remove(&mut self, name: &str) -> Option<Tensor<1>> {
        self.0.remove(name)
    }

    /// Euclidean norm over all parameters, in f64 and in order of the names, so that it is the same on
    /// any number of threads.
    pub fn norm(&self) -> f64 {
        self.0.values().map(square_sum).sum::<f64>().sqrt()
    }
}

fn square_sum(tensor: &Tensor<1>) -> f64 {
    let sum = |x: &[f32]| x.chunks(1 << 12).map(|c| f64::from(c.iter().map(|v| v * v).sum::<f32>())).sum();
    op::read(tensor, sum).unwrap_or_else(|| {
        let data = tensor.clone().into_data().convert::<f32>();
        data.as_slice::<f32>().map_or(f64::NAN, sum)
    })
}
