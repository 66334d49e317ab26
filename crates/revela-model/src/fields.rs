//! Reading the fields of a config.json that differ between families.

use serde_json::Value;

use crate::kernels::Activation;

/// A JSON object whose fields are read by name.
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl Fields<'_> {
    /// A positive whole number.
    pub(crate) fn size(&self, name: &str) -> Result<usize, String> {
        match self.0.get(name).and_then(Value::as_u64) {
            Some(0) => Err(format!("{name} is 0")),
            Some(number) => Ok(number as usize),
            None => Err(format!("{name} is missing or no whole number")),
        }
    }

    /// A whole number, or what it is where nothing is said.
    pub(crate) fn size_or(&self, name: &str, otherwise: usize) -> Result<usize, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => {
                value.as_u64().map(|n| n as usize).ok_or_else(|| format!("{name} is no whole number"))
            }
        }
    }

    /// A positive number, or what it is where nothing is said.
    pub(crate) fn number_or(&self, name: &str, otherwise: f64) -> Result<f64, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => {
                value.as_f64().filter(|n| *n > 0.0).ok_or_else(|| format!("{name} is no positive number"))
            }
        }
    }

    /// True or false; false where nothing is said.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The name of an activation; GELU where nothing is said.
    pub(crate) fn activation(&self, name: &str) -> Result<Activation, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Activation::Gelu),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
                format!("{name} is {value}; known are gelu, gelu_new, gelu_pytorch_tanh, relu and silu")
            }),
        }
    }
}
