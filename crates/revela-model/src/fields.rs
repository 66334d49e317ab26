//! Reading the fields of a config.json that differ between families.

use serde_json::Value;

use crate::kernels::Activation;
use crate::keys::Keys;

/// Sizes above this are no model's; memory for them must not be asked for.
const LARGEST_SIZE: u64 = 1 << 28;

/// A JSON object whose fields are read by name.
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl Fields<'_> {
    /// Refuses keys that are unknown or ask for what is not supported.
    pub(crate) fn check(&self, keys: Option<Keys>) -> Result<(), String> {
        let object = self.0.as_object().ok_or("it is no JSON object")?;
        let checked = keys.map_or(Ok(()), |keys| keys.check(object));
        // Then such keys are what that code reads.
        let own = object.get("auto_map").is_some_and(|map| !map.is_null());
        checked.map_err(|e| {
            if own { format!("{e} (auto_map names code of its own, which is not run)") } else { e }
        })
    }

    /// A positive whole number of which memory is a multiple.
    pub(crate) fn size(&self, name: &str) -> Result<usize, String> {
        match self.0.get(name).and_then(Value::as_u64) {
            Some(0) => Err(format!("{name} is 0")),
            Some(number) if number > LARGEST_SIZE => Err(format!("{name} is {number}; no model is so large")),
            Some(number) => Ok(number as usize),
            None => Err(format!("{name} is missing or no whole number")),
        }
    }

    /// The same, or what it is where nothing is said; 0 is allowed.
    pub(crate) fn size_or(&self, name: &str, otherwise: usize) -> Result<usize, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) if value == &Value::from(0) => Ok(0),
            Some(_) => self.size(name),
        }
    }

    /// A positive whole number of any size, or what it is where nothing is said.
    pub(crate) fn length_or(&self, name: &str, otherwise: usize) -> Result<usize, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => match value.as_u64() {
                Some(0) => Err(format!("{name} is 0")),
                Some(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
                None => Err(format!("{name} is {value}, which is no whole number")),
            },
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
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        self.flag_or(name, false)
    }

    /// True or false, or what it is where nothing is said.
    pub(crate) fn flag_or(&self, name: &str, otherwise: bool) -> Result<bool, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => {
                value.as_bool().ok_or_else(|| format!("{name} is {value}; true and false are known"))
            }
        }
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
