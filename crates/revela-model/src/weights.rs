//! Weights in safetensors files, single or sharded, under Hugging Face's names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{DType, Device, bf16, f16};
use revela_base::file::FileError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::device::tensor;
use crate::error::{ModelError, Result};
use crate::names;
use crate::params::{Parameter, map_named, named};

/// The single-file name.
pub const WEIGHTS: &str = "model.safetensors";
/// The name of the list of shards.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// How numbers are stored in memory and in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the exponent of f32.
    Bf16,
}

impl Precision {
    /// burn's name.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// `torch_dtype` in config.json.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(format!("unknown dtype {other}; choose f32 or bf16")),
        }
    }
}

/// One tensor of a file, as f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Row-major numbers.
    pub data: Vec<f32>,
    /// Shape.
    pub shape: Vec<usize>,
}

/// All tensors of a folder or file, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Stored>,
}

impl Weights {
    /// Reads `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub fn read(dir: &Path) -> Result<Self> {
        let single = dir.join(WEIGHTS);
        if single.exists() {
            return Self::read_file(&single);
        }
        let index = dir.join(INDEX);
        if !index.exists() {
            let detail = format!(
                "neither {WEIGHTS} nor {INDEX} is there; weights in other forms, such as pytorch_model.bin, are not \
                 read: save the model once with a recent version of transformers, which writes {WEIGHTS}"
            );
            return Err(ModelError::Weights { path: dir.to_owned(), detail });
        }
        let mut all = Self { path: dir.to_owned(), tensors: BTreeMap::new() };
        for shard in shards(&index)? {
            for (name, tensor) in Self::read_file(&dir.join(shard))?.tensors {
                if all.tensors.insert(name.clone(), tensor).is_some() {
                    return Err(all.wrong(format!("{name} stands in two shards")));
                }
            }
        }
        Ok(all)
    }

    /// Reads one file.
    pub fn read_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
        Self::parse(&bytes, path)
    }

    /// Parses the bytes of a safetensors file; `path` is for messages.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut weights = Self { path: path.to_owned(), tensors: BTreeMap::new() };
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| FileError::corrupt(path, format!("it is no whole safetensors file ({e})")))?;
        for (name, view) in file.tensors() {
            if names::is_buffer(&name) {
                continue;
            }
            let data = numbers(&view).map_err(|e| weights.wrong(format!("{name} {e}")))?;
            weights.tensors.insert(name, Stored { data, shape: view.shape().to_vec() });
        }
        Ok(weights)
    }

    fn wrong(&self, detail: String) -> ModelError {
        ModelError::Weights { path: self.path.clone(), detail }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    /// Takes a tensor out.
    pub fn take(&mut self, name: &str) -> Option<Stored> {
        self.tensors.remove(name)
    }

    /// Refuses a configuration that asks for many more numbers than there are, before memory for them is.
    ///
    /// # Errors
    /// Both counts.
    pub(crate) fn check_room(&self, parameters: u128) -> Result<()> {
        // A misfit that memory bears is named tensor by tensor later.
        const BEARABLE: u128 = 1 << 26;
        let there: u128 = self.tensors.values().map(|tensor| tensor.data.len() as u128).sum();
        if parameters <= 2 * there + BEARABLE {
            return Ok(());
        }
        Err(self.wrong(format!(
            "the configuration describes {parameters} numbers or more, but only {there} are there"
        )))
    }

    /// Renames tensors, or drops those for which `rename` gives nothing.
    #[must_use]
    pub fn rename(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors.into_iter().filter_map(|(name, t)| Some((rename(&name)?, t))).collect();
        Self { path: self.path, tensors }
    }

    /// The tensors whose names are picked, and the others.
    #[must_use]
    pub(crate) fn split(self, picked: impl Fn(&str) -> bool) -> [Self; 2] {
        let (some, others) = self.tensors.into_iter().partition(|(name, _)| picked(name));
        [Self { path: self.path.clone(), tensors: some }, Self { path: self.path, tensors: others }]
    }

    /// Fills a module: every parameter from the tensor of its name, every tensor into one parameter.
    ///
    /// # Errors
    /// Names all parameters without a tensor, all tensors without a parameter, or the shape that differs.
    pub fn fill<M: Module>(self, module: M, precision: Precision, device: &Device) -> Result<M> {
        self.fill_as(module, &str::to_owned, precision, device)
    }

    /// Like [`fill`](Self::fill), where files call parameters otherwise: `name_in_file` says how.
    ///
    /// # Errors
    /// As for `fill`, with the names of the file.
    pub fn fill_as<M: Module>(
        self,
        module: M,
        name_in_file: &dyn Fn(&str) -> String,
        precision: Precision,
        device: &Device,
    ) -> Result<M> {
        self.check_names(&module, name_in_file, |_| true)?;
        self.put(module, name_in_file, precision, device)
    }

    /// Like [`fill`](Self::fill), but leaves parameters alone whose tensors are not there.
    ///
    /// # Errors
    /// As for `fill`, without the missing ones.
    pub fn fill_some<M: Module>(self, module: M, precision: Precision, device: &Device) -> Result<M> {
        self.check_names(&module, &str::to_owned, |_| false)?;
        self.put(module, &str::to_owned, precision, device)
    }

    fn put<M: Module>(
        mut self,
        module: M,
        name_in_file: &dyn Fn(&str) -> String,
        precision: Precision,
        device: &Device,
    ) -> Result<M> {
        let mut misfit = None;
        let module = map_named(module, &mut |name, parameter| {
            let name = name_in_file(name);
            match self.tensors.remove(&name) {
                Some(stored) if stored.shape == parameter.shape() => stored.parameter(precision, device),
                Some(stored) => {
                    misfit.get_or_insert(format!(
                        "{name} has shape {:?} where the configuration asks for {:?}",
                        stored.shape,
                        parameter.shape()
                    ));
                    parameter
                }
                None => parameter,
            }
        });
        match misfit {
            Some(detail) => Err(self.wrong(detail)),
            None => Ok(module),
        }
    }

    fn check_names<M: Module>(
        &self,
        module: &M,
        name_in_file: &dyn Fn(&str) -> String,
        needed: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let wanted: Vec<String> = named(module).into_iter().map(|(name, _)| name_in_file(&name)).collect();
        let missing: Vec<&str> = wanted
            .iter()
            .map(String::as_str)
            .filter(|n| needed(n) && !self.tensors.contains_key(*n))
            .collect();
        let extra: Vec<&str> = self.names().filter(|name| !wanted.iter().any(|w| w == name)).collect();
        let mut parts = Vec::new();
        if !missing.is_empty() {
            parts.push(format!("missing: {}", shown(&missing)));
        }
        if !extra.is_empty() {
            parts.push(format!("not part of the model: {}", shown(&extra)));
        }
        if parts.is_empty() { Ok(()) } else { Err(self.wrong(parts.join("; "))) }
    }
}

/// The first few of many names.
fn shown(names: &[&str]) -> String {
    let first = names.iter().take(4).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 4 { format!("{first} and {} more", names.len() - 4) } else { first }
}

/// The dtypes that a folder's weights are stored in, as safetensors names them, such as `F32`.
///
/// # Errors
/// When the first file of weights, whichever form they have, cannot be read.
pub fn stored_dtype(dir: &Path) -> Result<String> {
    let candidates = [WEIGHTS, "adapter_model.safetensors"].map(|name| dir.join(name));
    let path = match candidates.into_iter().find(|path| path.exists()) {
        Some(path) => path,
        None => dir.join(shards(&dir.join(INDEX))?.first().map_or("", String::as_str)),
    };
    let bytes = std::fs::read(&path).map_err(FileError::io("read", &path))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| FileError::corrupt(&path, format!("it is no whole safetensors file ({e})")))?;
    let tensors = file.tensors().into_iter().filter(|(name, _)| !names::is_buffer(name));
    let mut dtypes: Vec<String> = tensors.map(|(_, view)| format!("{:?}", view.dtype())).collect();
    dtypes.sort();
    dtypes.dedup();
    Ok(dtypes.join(", "))
}

/// The files that a list of shards names.
pub(crate) fn shards(index: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = std::fs::read(index).map_err(FileError::io("read", index))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|e| FileError::corrupt(index, e.to_string()))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    Ok(shards)
}

impl Stored {
    fn parameter(self, precision: Precision, device: &Device) -> Parameter {
        match self.shape[..] {
            [n] => Parameter::Vector(tensor(self.data, [n], precision, device)),
            [rows, cols] => Parameter::Matrix(tensor(self.data, [rows, cols], precision, device)),
            _ => unreachable!("the shape was compared with a parameter's"),
        }
    }
}

fn numbers(view: &TensorView<'_>) -> std::result::Result<Vec<f32>, String> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::BF16 => {
            Ok(bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect())
        }
        Dtype::F16 => Ok(bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        other => Err(format!("has dtype {other:?}; f32, f16 and bf16 can be read")),
    }
}

/// The bytes of a safetensors file with these parameters.
///
/// # Errors
/// A message, when the parameters cannot be encoded.
pub fn to_safetensors(
    parameters: Vec<(String, Parameter)>,
    precision: Precision,
) -> std::result::Result<Vec<u8>, String> {
    let encoded: Vec<(String, Vec<usize>, Vec<u8>)> = parameters
        .into_iter()
        .map(|(name, parameter)| {
            let shape = parameter.shape();
            let data = parameter.data().convert::<f32>();
            let values = data.as_slice::<f32>().map_err(|e| format!("{name}: {e:?}"))?;
            Ok((name, shape, encode(values, precision)))
        })
        .collect::<std::result::Result<_, String>>()?;
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::Bf16 => Dtype::BF16,
    };
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).map_err(|e| format!("{name}: {e}"))?;
            Ok((name.as_str(), view))
        })
        .collect::<std::result::Result<Vec<_>, String>>()?;
    // Hugging Face's loader refuses files that do not say which framework's layout they follow.
    let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests;
