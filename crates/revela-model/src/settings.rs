//! Which settings of a folder decide vectors: the files and keys that are read, in one place.
//!
//! `docs/encoder-settings.md` is this table for people.

use crate::keys::{Key, Keys, Role};
use crate::sentence_transformers as sentence;
use crate::tokenizer::SETTINGS;
use crate::{adapter, config_keys, model_config};

use Role::{Decides, Only};

/// Keys of tokenizer_config.json that count. Others there are of decoding, padding and chats, and without number.
const TOKENIZER: &[Key] = &[
    ("model_max_length", Decides),
    ("split_special_tokens", Only(&["false"])),
    ("tokenizer_class", Decides),
    ("truncation_side", Only(&["\"right\""])),
];

/// Of the classes that make a normaliser of their own; encoders of any family may have one.
const BERT_TOKENIZER: &[Key] =
    &[("do_lower_case", Decides), ("strip_accents", Decides), ("tokenize_chinese_chars", Decides)];

const ROBERTA_TOKENIZER: &[Key] = &[("add_prefix_space", Decides)];

const DECODER_TOKENIZER: &[Key] =
    &[("add_bos_token", Decides), ("add_eos_token", Decides), ("bos_token", Decides), ("eos_token", Decides)];

/// The keys of config.json that are known for a family, by its `model_type`.
pub fn config_keys(family: &str) -> Option<Keys> {
    config_keys::of_family(family)
}

/// The keys of adapter_config.json.
pub fn adapter_keys() -> Keys {
    adapter::KEYS
}

/// The keys of tokenizer_config.json that count for a family.
pub fn tokenizer_keys(family: &str) -> Keys {
    match family {
        "bert" | "distilbert" | "roberta" | "xlm-roberta" | "modernbert" => {
            Keys(&[TOKENIZER, BERT_TOKENIZER, ROBERTA_TOKENIZER])
        }
        "llama" | "qwen2" | "qwen3" => Keys(&[TOKENIZER, DECODER_TOKENIZER]),
        _ => Keys(&[TOKENIZER]),
    }
}

/// Every file of settings of a family's folder with its keys; each pooling and each dense layer has one of its kind.
pub fn files(family: &str) -> Vec<(&'static str, Keys)> {
    let mut files = vec![(SETTINGS, tokenizer_keys(family)), (adapter::CONFIG, adapter_keys())];
    files.extend(config_keys(family).map(|keys| (model_config::FILE, keys)));
    files.extend(sentence::FILES);
    files
}
