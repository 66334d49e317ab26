//! Walking a model's parameters by the names that Hugging Face gives them.
//!
//! Modules name their fields as Hugging Face does, so a parameter's path in the module tree is its name
//! in a safetensors file.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::device::lift;

/// A parameter as the walk hands it out: everything is a vector or a matrix.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// A bias or a norm's weight.
    Vector(Tensor<1>),
    /// A linear layer's weight or an embedding.
    Matrix(Tensor<2>),
}

impl Parameter {
    /// All numbers in a row, without autodiff.
    pub fn flat(self) -> Tensor<1> {
        match self {
            Self::Vector(tensor) => tensor.inner(),
            Self::Matrix(tensor) => tensor.inner().flatten(0, 1),
        }
    }

    /// A parameter of this shape from all its numbers.
    pub fn from_flat(flat: Tensor<1>, shape: &[usize]) -> Self {
        match shape {
            [rows, cols] => Self::Matrix(flat.reshape([*rows, *cols])),
            _ => Self::Vector(flat),
        }
    }

    /// Where it lives, with the autodiff context.
    pub fn device(&self) -> Device {
        match self {
            Self::Vector(tensor) => tensor.device(),
            Self::Matrix(tensor) => tensor.device(),
        }
    }

    /// In the autodiff context of a device, as a leaf.
    #[must_use]
    pub fn lift(self, device: &Device) -> Self {
        match self {
            Self::Vector(tensor) => Self::Vector(lift(tensor, device)),
            Self::Matrix(tensor) => Self::Matrix(lift(tensor, device)),
        }
    }

    /// Whether gradients flow into it.
    pub fn is_trained(&self) -> bool {
        match self {
            Self::Vector(tensor) => tensor.is_require_grad(),
            Self::Matrix(tensor) => tensor.is_require_grad(),
        }
    }

    /// The numbers and the shape, on the host.
    pub fn data(self) -> TensorData {
        match self {
            Self::Vector(tensor) => tensor.into_data(),
            Self::Matrix(tensor) => tensor.into_data(),
        }
    }

    /// The shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(tensor) => tensor.dims().to_vec(),
            Self::Matrix(tensor) => tensor.dims().to_vec(),
        }
    }
}

/// Every parameter with its name, in the order of the module's fields.
pub fn named<M: Module>(module: &M) -> Vec<(String, Parameter)> {
    let mut walk = Collect { path: Path::default(), found: Vec::new() };
    module.visit(&mut walk);
    walk.found
}

/// Replaces every parameter by what `change` makes of it and its name.
pub fn map_named<M: Module>(module: M, change: &mut dyn FnMut(&str, Parameter) -> Parameter) -> M {
    module.map(&mut Change { path: Path::default(), change })
}

/// The module that stands `weight` of the way from one to another of the same parameters.
///
/// # Errors
/// The name of a parameter that the other lacks, or has in another shape.
pub fn interpolate<M: Module>(from: M, to: &M, weight: f64) -> Result<M, String> {
    let mut other: std::collections::HashMap<String, Parameter> = named(to).into_iter().collect();
    let mut wrong = None;
    let module = map_named(from, &mut |name, parameter| {
        let shape = parameter.shape();
        match other.remove(name).filter(|other| other.shape() == shape) {
            Some(other) => {
                let (from, to) = (parameter.flat(), other.flat());
                let between = from.clone() + (to - from).mul_scalar(weight);
                Parameter::from_flat(between, &shape)
            }
            None => {
                wrong.get_or_insert_with(|| name.to_owned());
                parameter
            }
        }
    });
    match wrong {
        Some(name) => Err(name),
        None => Ok(module),
    }
}

/// Number of parameters.
pub fn count<M: Module>(module: &M) -> usize {
    named(module).iter().map(|(_, p)| p.shape().iter().product::<usize>()).sum()
}

/// Where the walk is. Which variant of an enum is there is no part of a parameter's name.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

struct Collect {
    path: Path,
    found: Vec<(String, Parameter)>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(parameter) = erase(param.val()) {
            self.found.push((self.path.name(), parameter));
        }
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }
}

struct Change<'a> {
    path: Path,
    change: &'a mut dyn FnMut(&str, Parameter) -> Parameter,
}

impl ModuleMapper for Change<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let trained = param.is_require_grad();
        let (id, value, mapper) = param.consume();
        // Only `change` may hold the value now, so that it can be updated where it stands.
        let value = match erase(value) {
            Some(parameter) => restore::<D>((self.change)(&name, parameter)),
            None => unreachable!("models here hold vectors and matrices only"),
        };
        Param::from_mapped_value(id, value.set_require_grad(trained), mapper)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }
}

/// From a tensor whose rank the compiler does not know to one whose rank we know.
fn erase<const D: usize>(tensor: Tensor<D>) -> Option<Parameter> {
    match D {
        1 => Some(Parameter::Vector(Tensor::from_bridge(tensor.into_bridge()))),
        2 => Some(Parameter::Matrix(Tensor::from_bridge(tensor.into_bridge()))),
        _ => None,
    }
}

fn restore<const D: usize>(parameter: Parameter) -> Tensor<D> {
    match parameter {
        Parameter::Vector(tensor) => Tensor::from_bridge(tensor.into_bridge()),
        Parameter::Matrix(tensor) => Tensor::from_bridge(tensor.into_bridge()),
    }
}

/// Decides by name which parameters are trained; gradients of the others are not computed.
pub fn set_trained<M: Module>(module: M, trained: impl Fn(&str) -> bool) -> M {
    struct Train<F> {
        path: Path,
        trained: F,
    }
    impl<F: Fn(&str) -> bool> ModuleMapper for Train<F> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let trained = (self.trained)(&self.path.name());
            param.set_require_grad(trained)
        }

        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }
    }
    module.map(&mut Train { path: Path::default(), trained })
}
