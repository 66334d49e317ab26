//! What stands in folders and was passed over once: end tokens, adapters beside their base or in halves, texts
//! without a token.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{copy_of, distance, edit, golden, open, open_at, save};
use revela_base::artifact::MANIFEST;
use revela_base::embed::{Embedder, TextKind};
use revela_model::encoder::Encoder;
use revela_model::tokenizer::TextTokenizer;
use safetensors::SafeTensors;
use serde_json::{Value, json};

const TEXTS: [&str; 3] = ["sun", "The quick brown fox", "fn norm(row: &[f32]) -> f32 { 0.5 }"];

fn set(dir: &Path, file: &str, changes: Value) {
    edit(dir, &BTreeMap::from([(file.to_owned(), json!({"set": changes}))]));
}

fn ids(encoder: &Encoder, text: &str) -> Vec<u32> {
    encoder.contract.encode(&encoder.tokenizer, TextKind::Passage, text).unwrap()
}

#[test]
fn what_eos_token_is_called_adds_nothing_to_texts() {
    let root = tempfile::tempdir().unwrap();
    for (family, other) in
        [("qwen3", "<|endoftext|>"), ("qwen2", "<|im_end|>"), ("llama", "<|begin_of_text|>")]
    {
        let dir = copy_of(family, root.path());
        set(&dir, "tokenizer_config.json", json!({"eos_token": other}));
        let changed = open_at(&dir).unwrap();
        let base = open(family);
        let alone = TextTokenizer::open(&golden(family)).unwrap();
        for text in TEXTS {
            assert_eq!(ids(&changed, text), alone.encode(&format!("passage: {text}")).unwrap(), "{family}");
            assert_eq!(ids(&changed, text), ids(&base, text), "{family}");
        }
        assert_eq!(changed.fingerprint(), base.fingerprint(), "{family}");
    }
}

#[test]
fn tokens_that_settings_ask_for_are_added_once() {
    let root = tempfile::tempdir().unwrap();
    for (family, begin) in [("qwen2", None), ("qwen3", None), ("llama", Some("<|begin_of_text|>"))] {
        let dir = copy_of(family, root.path());
        set(
            &dir,
            "tokenizer_config.json",
            json!({"add_eos_token": true, "eos_token": {"content": "<|end_of_text|>"}}),
        );
        if family != "llama" {
            set(&dir, "tokenizer_config.json", json!({"eos_token": "<|endoftext|>"}));
        }
        let encoder = open_at(&dir).unwrap();
        let end = encoder.tokenizer.id(if family == "llama" { "<|end_of_text|>" } else { "<|endoftext|>" });
        let begin = begin.and_then(|name| encoder.tokenizer.id(name));
        for text in TEXTS {
            let bare = encoder.tokenizer.encode_bare(&format!("passage: {text}")).unwrap();
            let framed: Vec<u32> = begin.into_iter().chain(bare).chain(end).collect();
            assert_eq!(ids(&encoder, text), framed, "{family}: {text}");
        }
        let long = ids(&encoder, &TEXTS.join(" ").repeat(9));
        assert_eq!((long.len(), long.last().copied()), (encoder.contract.max_length, end), "{family}");
        // Other tools find it in what is written.
        let written = root.path().join(format!("{family}-written"));
        save(&encoder, &written);
        let plain = TextTokenizer::open(&written).unwrap();
        let text = format!("passage: {}", TEXTS[1]);
        assert_eq!(plain.encode(&text).unwrap(), ids(&encoder, TEXTS[1]), "{family}");
    }
    let dir = copy_of("qwen2", root.path());
    set(&dir, "tokenizer_config.json", json!({"add_bos_token": true, "bos_token": "<|im_start|>"}));
    let encoder = open_at(&dir).unwrap();
    assert_eq!(ids(&encoder, "sun").first().copied(), encoder.tokenizer.id("<|im_start|>"));
    set(&dir, "tokenizer_config.json", json!({"bos_token": "<|absent|>"}));
    let error = open_at(&dir).unwrap_err().to_string();
    assert!(error.contains("add_bos_token") && error.contains("<|absent|>"), "{error}");
}

#[test]
fn an_end_token_of_the_contract_is_written_into_the_tokenizer() {
    let root = tempfile::tempdir().unwrap();
    for (family, token) in [("qwen2", "<|endoftext|>"), ("llama", "<|end_of_text|>")] {
        let plain = open(family);
        let end = plain.tokenizer.id(token).unwrap();
        let mut contract = plain.contract.clone();
        contract.append = Some(end);
        let by_contract = contract.encode(&plain.tokenizer, TextKind::Passage, TEXTS[1]).unwrap();
        assert_eq!(by_contract.last(), Some(&end));
        let mut tokenizer = plain.tokenizer.clone();
        if family == "llama" {
            // The class for Llama in transformers 4 goes by its settings.
            let dir = copy_of(family, root.path());
            set(&dir, "tokenizer_config.json", json!({"tokenizer_class": "LlamaTokenizerFast"}));
            tokenizer = TextTokenizer::open(&dir).unwrap();
        }
        let encoder = Encoder::new(plain.model.clone(), tokenizer, contract).unwrap();
        assert_eq!(ids(&encoder, TEXTS[1]), by_contract);
        let dir = root.path().join(format!("{family}-written"));
        save(&encoder, &dir);
        assert_eq!(open_at(&dir).unwrap().fingerprint(), encoder.fingerprint());
        std::fs::remove_file(dir.join(MANIFEST)).unwrap();
        let foreign = open_at(&dir).unwrap();
        assert_eq!((&foreign.contract, ids(&foreign, TEXTS[1])), (&encoder.contract, by_contract));
        let settings: Value =
            serde_json::from_slice(&std::fs::read(dir.join("tokenizer_config.json")).unwrap()).unwrap();
        assert_eq!(settings.get("add_eos_token"), (family == "llama").then_some(&json!(true)), "{family}");
    }
}

#[test]
fn an_adapter_beside_its_base_is_applied() {
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of("llama", root.path());
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(golden("llama-adapter").join(name), dir.join(name)).unwrap();
    }
    let (both, apart, base) = (open_at(&dir).unwrap(), open("llama-adapter"), open("llama"));
    let vectors = |e: &Encoder| e.embed(TextKind::Passage, &TEXTS).unwrap();
    assert_eq!(vectors(&both), vectors(&apart));
    assert!(distance(&vectors(&both), &vectors(&base)) > 1e-3);
    let language = revela_model::language_model::LanguageModel::open(
        &dir,
        revela_model::weights::Precision::F32,
        &burn::tensor::Device::flex(),
    );
    assert!(language.unwrap_err().to_string().contains("adapter"));
}

#[test]
fn half_an_adapter_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of("llama-adapter", root.path());
    let path = dir.join("adapter_model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    for (lost, part) in [
        ("layers.1.mlp.up_proj.lora_B", "lora_A is there without lora_B"),
        ("layers.0.self_attn.q_proj.lora_A", "lora_B is there without lora_A"),
        ("layers.1.self_attn.v_proj", "layers.1.self_attn.v_proj"),
    ] {
        let kept = whole.tensors().into_iter().filter(|(name, _)| !name.contains(lost));
        std::fs::write(&path, safetensors::serialize(kept, None).unwrap()).unwrap();
        let error = open_at(&dir).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("half of it is missing"), "{lost}: {error}");
    }
}

#[test]
fn a_text_without_a_token_has_a_row_of_zeros_and_changes_no_other() {
    let mut encoder = open("qwen2");
    encoder.contract.passage_prompt.clear();
    let width = encoder.dimension();
    let rows = encoder.embed(TextKind::Passage, &["", "sun", "", "The quick brown fox"]).unwrap();
    assert!(rows[..width].iter().chain(&rows[2 * width..3 * width]).all(|x| *x == 0.0));
    let alone = encoder.embed(TextKind::Passage, &["sun"]).unwrap();
    assert!(distance(&rows[width..2 * width], &alone) < 1e-6);
    assert!(encoder.embed(TextKind::Passage, &["", ""]).unwrap().iter().all(|x| *x == 0.0));
    assert_eq!(encoder.count_tokens(TextKind::Passage, &["", ""]).unwrap(), 0);
}
