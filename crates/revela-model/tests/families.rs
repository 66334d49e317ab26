//! Tiny models of every family, with random weights, against what transformers, sentence-transformers and PEFT
//! compute with them (`tools/golden` makes the files).

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use revela_base::artifact::IfExists;
use revela_base::embed::{Embedder, TextKind};
use revela_model::decoder::TokenBatch;
use revela_model::encoder::Encoder;
use revela_model::kernels::Kernels;
use revela_model::layers::Run;
use revela_model::lora::merge;
use revela_model::pooling::{Pooling, normalize};
use revela_model::tokenizer::TextTokenizer;
use revela_model::weights::{Precision, Weights};
use serde::Deserialize;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[derive(Deserialize)]
struct Cases {
    max_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn cases(name: &str) -> Cases {
    serde_json::from_slice(&std::fs::read(golden(name).join("cases.json")).unwrap()).unwrap()
}

fn expected(name: &str, tensor: &str) -> Vec<f32> {
    let mut weights = Weights::read_file(&golden(name).join("expected.safetensors")).unwrap();
    weights.take(tensor).unwrap().data
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// Largest difference.
fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn open(name: &str) -> Encoder {
    Encoder::open(&golden(name), Precision::F32, &Device::flex()).unwrap()
}

const FAMILIES: [&str; 9] = [
    "bert",
    "bert-old-names",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "modernbert",
    "llama",
    "qwen2",
    "qwen3",
];

#[test]
fn token_ids_are_those_of_transformers() {
    for name in FAMILIES {
        let (mut encoder, cases) = (open(name), cases(name));
        encoder.contract.max_length = cases.max_length;
        encoder.contract.query_prompt.clear();
        // Token ids as the tokenizer alone gives them; an appended end token is the contract's.
        encoder.contract.append = None;
        for case in cases.cases {
            let ids = encoder.contract.encode(&encoder.tokenizer, TextKind::Query, &case.text).unwrap();
            assert_eq!(ids, case.ids, "{name}: {:?}", case.text);
        }
    }
}

/// Hidden states of the real rows, in both forms of the kernels.
fn hidden(encoder: &Encoder, ids: &[Vec<u32>], kernels: Kernels) -> Vec<f32> {
    let run = Run { kernels, ..Run::default() };
    let batch = match kernels {
        Kernels::Fused | Kernels::Mixed => TokenBatch::packed(ids),
        Kernels::Composed => TokenBatch::padded(ids, 0),
    };
    let rows = encoder.model.backbone.forward(&batch, run);
    let packing = &batch.packing;
    let real = (0..ids.len()).map(|i| rows.clone().narrow(0, packing.starts()[i], packing.keys(i)));
    numbers(Tensor::cat(real.collect(), 0))
}

fn pooled(encoder: &Encoder, ids: &[Vec<u32>], pooling: Pooling) -> Vec<f32> {
    let batch = TokenBatch::packed(ids);
    let rows = encoder.model.backbone.forward(&batch, Run::default());
    numbers(normalize(pooling.pool(rows, &Arc::clone(&batch.packing), Run::default())))
}

#[test]
fn hidden_states_and_vectors_are_those_of_transformers() {
    for name in FAMILIES.into_iter().chain(["llama-adapter"]) {
        let encoder = open(name);
        let ids: Vec<Vec<u32>> = cases(name).cases.into_iter().map(|case| case.ids).collect();
        let want = expected(name, "hidden");
        for kernels in [Kernels::Fused, Kernels::Composed] {
            let d = distance(&hidden(&encoder, &ids, kernels), &want);
            assert!(d < 1e-4, "{name}, {kernels:?}: hidden states differ by {d}");
        }
        for (pooling, tensor) in [(Pooling::Mean, "mean"), (Pooling::Cls, "cls"), (Pooling::Eos, "last")] {
            let d = distance(&pooled(&encoder, &ids, pooling), &expected(name, tensor));
            assert!(d < 1e-5, "{name}: {tensor} vectors differ by {d}");
        }
    }
}

/// The embeddings that a sentence-transformers folder gives: bare texts, queries and passages.
fn check_sentences(encoder: &mut Encoder, name: &str) {
    #[derive(Deserialize)]
    struct Texts {
        texts: Vec<String>,
    }
    let texts: Texts =
        serde_json::from_slice(&std::fs::read(golden(name).join("cases.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.texts.iter().map(String::as_str).collect();
    for (kind, tensor) in [(TextKind::Query, "query"), (TextKind::Passage, "passage")] {
        let d = distance(&encoder.embed(kind, &texts).unwrap(), &expected(name, tensor));
        assert!(d < 1e-5, "{name}: {tensor} embeddings differ by {d}");
    }
    let prompt = std::mem::take(&mut encoder.contract.query_prompt);
    let d = distance(&encoder.embed(TextKind::Query, &texts).unwrap(), &expected(name, "plain"));
    assert!(d < 1e-5, "{name}: embeddings without prompt differ by {d}");
    encoder.contract.query_prompt = prompt;
}

#[test]
fn sentence_transformers_folders_give_the_same_embeddings() {
    for name in ["sentence-new", "sentence-old", "static", "static-cut"] {
        check_sentences(&mut open(name), name);
    }
}

#[test]
fn what_was_read_is_written_back_with_the_same_embeddings_and_names() {
    let root = tempfile::tempdir().unwrap();
    for name in FAMILIES.into_iter().chain(["sentence-new", "sentence-old", "static", "static-cut"]) {
        let encoder = open(name);
        let dir = root.path().join(name);
        encoder.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
        let mut again = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(again.contract, encoder.contract, "{name}");
        assert_eq!(again.fingerprint(), encoder.fingerprint(), "{name}");
        // Without Revela's manifest it is a folder as any other tool would write it.
        std::fs::remove_file(dir.join(revela_base::artifact::MANIFEST)).unwrap();
        let foreign = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(foreign.contract, encoder.contract, "{name}: the contract is in other tools' files too");
        if name.starts_with("s") {
            check_sentences(&mut again, name);
        }
        let bare = |name: &str| {
            if name == "embeddings" {
                return "embedding.weight".to_owned();
            }
            let prefixes = ["bert.", "distilbert.", "roberta.", "model."];
            prefixes.iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name).to_owned()
        };
        let source: Vec<String> = Weights::read(&golden(name)).unwrap().names().map(bare).collect();
        for tensor in Weights::read(&dir).unwrap().names() {
            let old = tensor
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            assert!(source.iter().any(|s| s == tensor || *s == old), "{name}: {tensor} is a name of our own");
        }
    }
}

#[test]
fn a_merged_adapter_gives_the_vectors_of_base_and_adapter() {
    let adapted = open("llama-adapter");
    let texts = ["sun", "The quick brown fox", "fn norm(row: &[f32]) -> f32 { 0.5 }"];
    let with = adapted.embed(TextKind::Passage, &texts).unwrap();
    let base = open("llama").embed(TextKind::Passage, &texts).unwrap();
    assert!(distance(&with, &base) > 1e-3, "the adapter changes something");
    let model = merge(adapted.model.clone());
    let merged = Encoder::new(model, adapted.tokenizer.clone(), adapted.contract.clone()).unwrap();
    assert!(distance(&merged.embed(TextKind::Passage, &texts).unwrap(), &with) < 1e-5);
}

#[test]
fn folders_that_do_not_fit_together_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let message = |change: &dyn Fn(&Path)| {
        let dir = root.path().join("copy");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        for entry in std::fs::read_dir(golden("bert")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
        change(&dir);
        Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap_err().to_string()
    };
    let edit = |file: &'static str, from: &'static str, to: &'static str| {
        move |dir: &Path| {
            let text = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(dir.join(file), text.replace(from, to)).unwrap();
        }
    };
    let config = |from, to| message(&edit("config.json", from, to));
    assert!(config("\"model_type\": \"bert\"", "\"model_type\": \"t5\"").contains("xlm-roberta"));
    assert!(
        config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")
            .contains("missing: encoder.layer.2.attention")
    );
    assert!(config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1").contains("not part of the model"));
    assert!(config("\"intermediate_size\": 56", "\"intermediate_size\": 48").contains("has shape"));
    let error = message(&|dir| {
        std::fs::copy(golden("roberta").join("tokenizer.json"), dir.join("tokenizer.json")).unwrap();
    });
    assert!(error.contains("embeddings"), "a vocabulary larger than the embedding: {error}");
    let pooling = |text: &'static str| {
        message(&move |dir| {
            std::fs::create_dir(dir.join("1_Pooling")).unwrap();
            std::fs::write(dir.join("1_Pooling/config.json"), text).unwrap();
            let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
            std::fs::write(dir.join("modules.json"), modules).unwrap();
        })
    };
    assert!(pooling(r#"{"pooling_mode_max_tokens": true}"#).contains("lasttoken"));
    assert!(
        pooling(r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#)
            .contains("exactly one")
    );
    let error = message(&|dir| {
        std::fs::rename(dir.join("tokenizer.json"), dir.join("gone")).unwrap();
    });
    assert!(error.contains("vocab.txt"), "{error}");
}

#[test]
fn a_decoder_refuses_the_first_tokens_state() {
    let root = tempfile::tempdir().unwrap();
    let mut encoder = open("llama");
    encoder.contract.pooling = Pooling::Cls;
    let dir = root.path().join("cls");
    encoder.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
    std::fs::remove_file(dir.join(revela_base::artifact::MANIFEST)).unwrap();
    let error = Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("cls") && error.contains("llama"), "{error}");
}

#[test]
fn tokenizers_keep_their_settings_through_a_round_trip() {
    let tokenizer = TextTokenizer::open(&golden("bert")).unwrap();
    assert_eq!(tokenizer.closing().len(), 1, "[SEP] closes every text");
}
