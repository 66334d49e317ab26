//! Reading the JSON files of other tools, and the tensors of a language model.

use std::path::Path;

use revela_base::file::FileError;

use crate::config::DecoderConfig;
use crate::error::{ModelError, Result};
use crate::weights::Weights;

/// A language model's tensors: rotary buffers are left out, and an output embedding that is tied.
pub fn language_model_weights(weights: Weights, config: &DecoderConfig) -> Weights {
    weights.rename(|name| {
        let left_out = name.ends_with("rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight");
        (!left_out).then(|| name.to_owned())
    })
}

/// A JSON file, or nothing where there is none.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes)
                .map_err(|e| ModelError::Config { path: path.to_owned(), detail: e.to_string() })?;
            Ok(Some(value))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::io("read", path)(e).into()),
    }
}
