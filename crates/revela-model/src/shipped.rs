//! The encoder that comes with the program: `models/encoder-code`, whose card says how it was made.

use std::path::Path;

/// The name by which it is asked for, wherever an encoder is named and no folder is called so.
pub const ENCODER_CODE: &str = "encoder-code";

pub(crate) const TOKENIZER: &[u8] = include_bytes!("../../../models/encoder-code/tokenizer.json");
pub(crate) const WEIGHTS: &[u8] = include_bytes!("../../../models/encoder-code/model.safetensors");

/// Whether this is its name, and no folder's.
pub(crate) fn is_meant(name: &Path) -> bool {
    name == Path::new(ENCODER_CODE) && !name.exists()
}
