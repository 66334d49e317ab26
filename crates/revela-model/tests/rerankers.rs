//! Tiny rerankers of every form, with random weights, against what sentence-transformers' CrossEncoder and transformers
//! compute with them (`tools/golden/rerankers.py` makes the files).

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use common::{copy_of, distance, edit, golden};
use revela_base::rerank::{Form, Pair, Reranker};
use revela_model::reranking::{RerankerOptions, RerankingModel};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    query: String,
    passage: String,
    score: f32,
}

const CROSS_ENCODERS: [&str; 7] =
    ["bert", "bert-saved", "roberta", "xlm-roberta", "distilbert", "modernbert", "modernbert-cls"];

fn folder(name: &str) -> String {
    format!("rerankers/{name}")
}

fn cases(name: &str) -> Vec<Case> {
    let bytes = std::fs::read(golden(&folder(name)).join("cases.json")).unwrap();
    serde_json::from_slice::<Cases>(&bytes).unwrap().cases
}

fn open_at(dir: &Path, options: &RerankerOptions) -> revela_model::Result<RerankingModel> {
    RerankingModel::open(dir, options, &Device::flex())
}

fn open(name: &str, options: &RerankerOptions) -> RerankingModel {
    open_at(&golden(&folder(name)), options).unwrap()
}

/// The options under which a golden folder was scored.
fn options(name: &str) -> RerankerOptions {
    let form = (name == "qwen3-yes-no").then_some(Form::YesNo);
    RerankerOptions { form, ..RerankerOptions::default() }
}

fn scores(model: &RerankingModel, cases: &[Case]) -> Vec<f32> {
    let pairs: Vec<Pair<'_>> = cases.iter().map(|c| (c.query.as_str(), c.passage.as_str())).collect();
    model.scores(&pairs).unwrap()
}

#[test]
fn scores_are_those_of_the_reference_implementations() {
    for name in CROSS_ENCODERS.into_iter().chain(["qwen3-yes-no", "llama-likelihood"]) {
        let (model, cases) = (open(name, &options(name)), cases(name));
        let want: Vec<f32> = cases.iter().map(|case| case.score).collect();
        let d = distance(&scores(&model, &cases), &want);
        assert!(d < 1e-5, "{name}: scores differ by {d}");
        let different = want.iter().any(|score| (score - want[0]).abs() > 1e-3);
        assert!(different, "{name}: the cases tell nothing apart");
    }
}

#[test]
fn a_folder_says_its_form() {
    for name in CROSS_ENCODERS {
        assert_eq!(open(name, &RerankerOptions::default()).form(), Form::CrossEncoder, "{name}");
    }
    for name in ["qwen3-yes-no", "llama-likelihood"] {
        assert_eq!(open(name, &RerankerOptions::default()).form(), Form::Likelihood, "{name}");
    }
}

#[test]
fn a_pair_of_a_batch_is_the_pair_alone_and_tokens_are_bounded() {
    let huge = "sun moon ".repeat(500);
    for name in CROSS_ENCODERS.into_iter().chain(["qwen3-yes-no", "llama-likelihood"]) {
        // What the models allow would take minutes here.
        let model = open(name, &RerankerOptions { max_length: Some(700), ..options(name) });
        let pairs = [("moon", huge.as_str()), (&huge, "moon"), ("", ""), (&huge, &huge), ("\0", "\u{fffd}")];
        let together = model.scores(&pairs).unwrap();
        for (pair, score) in pairs.iter().zip(&together) {
            let alone = model.scores(&[*pair]).unwrap()[0];
            assert!((alone - score).abs() < 1e-6, "{name}");
            assert!(model.tokens(*pair).unwrap() <= model.max_length(), "{name}");
        }
        assert!(model.scores(&[]).unwrap().is_empty());
        let short =
            open(name, &RerankerOptions { max_length: Some(model.max_length() - 1), ..options(name) });
        assert_eq!(short.tokens((&huge, &huge)).unwrap(), model.max_length() - 1, "{name}");
        assert_ne!(short.fingerprint(), model.fingerprint(), "{name}: the length decides scores");
    }
}

#[test]
fn the_instruction_is_part_of_a_score() {
    let plain = open("qwen3-yes-no", &options("qwen3-yes-no"));
    let instruction = Some("Find code".to_owned());
    let other = open("qwen3-yes-no", &RerankerOptions { instruction, ..options("qwen3-yes-no") });
    let pair = [("moon", "the moon is far")];
    assert_ne!(plain.scores(&pair).unwrap(), other.scores(&pair).unwrap());
    assert_ne!(plain.fingerprint(), other.fingerprint());
}

/// Sets keys of a file in a copy of a golden folder and opens it.
fn changed(name: &str, file: &str, set: Value) -> revela_model::Result<RerankingModel> {
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of(&folder(name), root.path());
    edit(&dir, &BTreeMap::from([(file.to_owned(), json!({ "set": set }))]));
    open_at(&dir, &RerankerOptions::default())
}

#[test]
fn keys_that_would_give_other_scores_are_refused_by_name() {
    let config = "config.json";
    let saved = "config_sentence_transformers.json";
    let cases = [
        ("bert", config, json!({"id2label": {"0": "no", "1": "yes"}}), "id2label says that there are 2"),
        ("bert", config, json!({"num_labels": 3}), "num_labels says that there are 3"),
        ("bert", config, json!({"id2label": null}), "two labels"),
        ("bert", config, json!({"sbert_ce_default_activation_function": "mine.Act"}), "mine.Act"),
        ("bert", config, json!({"sbert_ce_default_activation_function": "torch.nn.Tanh"}), "Tanh"),
        ("roberta", config, json!({"sentence_transformers": {"activation_fn": "torch.nn.GELU"}}), "GELU"),
        ("roberta", config, json!({"sentence_transformers": {"surprise": 1}}), "surprise"),
        ("modernbert", config, json!({"classifier_pooling": "max"}), "classifier_pooling"),
        ("modernbert", config, json!({"classifier_activation": "mish"}), "classifier_activation"),
        ("modernbert", config, json!({"classifier_bias": true}), "missing: head.dense.bias"),
        ("modernbert-cls", config, json!({"classifier_bias": false}), "head.dense.bias"),
        ("bert", config, json!({"type_vocab_size": 1}), "token_type_embeddings"),
        ("bert", config, json!({"surprise": 1}), "surprise"),
        ("bert-saved", saved, json!({"surprise": 1}), "surprise"),
        ("bert-saved", saved, json!({"model_type": "SentenceTransformer"}), "model_type"),
        ("bert-saved", saved, json!({"activation_fn": "torch.nn.Softplus"}), "Softplus"),
        ("bert-saved", saved, json!({"default_prompt_name": "q"}), "default_prompt_name"),
        (
            "bert-saved",
            saved,
            json!({"default_prompt_name": "q", "prompts": {"q": "query: "}}),
            "\"query: \"",
        ),
        (
            "bert-saved",
            "sentence_bert_config.json",
            json!({"transformer_task": "fill-mask"}),
            "transformer_task",
        ),
        ("bert", "tokenizer_config.json", json!({"model_max_length": 4}), "needs 5"),
        (
            "bert",
            "tokenizer_config.json",
            json!({"tokenizer_class": "TokenizersBackend"}),
            "model_input_names",
        ),
        ("bert", "tokenizer_config.json", json!({"truncation_side": "left"}), "truncation_side"),
        (
            "llama-likelihood",
            config,
            json!({"architectures": ["LlamaForSequenceClassification"]}),
            "decoder with",
        ),
    ];
    for (name, file, set, named) in cases {
        let shown = set.to_string();
        let error = changed(name, file, set).unwrap_err().to_string();
        assert!(error.contains(named), "{name}, {shown}: {error}");
    }
}

#[test]
fn keys_that_decide_scores_are_obeyed() {
    let first = |model: &RerankingModel| model.scores(&[("moon", "the moon is far")]).unwrap()[0];
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let logit = first(&open("bert", &RerankerOptions::default()));
    let squashed = [
        changed("bert", "config.json", json!({"sbert_ce_default_activation_function": null})),
        changed(
            "bert",
            "config.json",
            json!({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}),
        ),
    ];
    for model in squashed {
        assert!((first(&model.unwrap()) - sigmoid(logit)).abs() < 1e-6);
    }
    let untyped = changed(
        "bert",
        "tokenizer_config.json",
        json!({"model_input_names": ["input_ids", "attention_mask"]}),
    );
    assert_ne!(first(&untyped.unwrap()), logit, "types of tokens count");
    let mean = first(&open("modernbert", &RerankerOptions::default()));
    assert_ne!(
        first(&changed("modernbert", "config.json", json!({"classifier_pooling": "cls"})).unwrap()),
        mean
    );
    assert_ne!(
        first(&changed("modernbert", "config.json", json!({"classifier_activation": "relu"})).unwrap()),
        mean
    );
}

#[test]
fn folders_of_another_kind_are_refused() {
    let error = |dir: &Path| open_at(dir, &RerankerOptions::default()).unwrap_err().to_string();
    let headless = error(&golden("bert"));
    assert!(headless.contains("two labels"), "{headless}");
    let adapter = error(&golden("llama-adapter"));
    assert!(adapter.contains("adapter"), "{adapter}");
    let no_yes =
        open_at(&golden("llama"), &RerankerOptions { form: Some(Form::YesNo), ..Default::default() });
    assert!(no_yes.unwrap_err().to_string().contains("no token \"yes\""));
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {"idx": 1, "name": "1", "path": "../1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.LogitScore"},
    ]);
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of(&folder("qwen3-yes-no"), root.path());
    edit(&dir, &BTreeMap::from([("modules.json".to_owned(), json!({ "write": modules }))]));
    assert!(error(&dir).contains("../1_LogitScore"));
}

/// A folder of sentence-transformers' with a LogitScore says its form itself; its own prompt must be the published one.
#[test]
fn a_logit_score_is_the_form_of_yes_and_no() {
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of(&folder("qwen3-yes-no"), root.path());
    let plain = open("qwen3-yes-no", &options("qwen3-yes-no"));
    let tokens: Value = serde_json::from_slice(&std::fs::read(dir.join("tokenizer.json")).unwrap()).unwrap();
    let id = |word: &str| {
        let added = tokens["added_tokens"].as_array().unwrap();
        added.iter().find(|token| token["content"] == word).unwrap()["id"].clone()
    };
    let of = |kind: &str| format!("sentence_transformers.{kind}");
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": of("base.modules.transformer.Transformer")},
        {"idx": 1, "name": "1", "path": "1_LogitScore", "type": of("cross_encoder.modules.logit_score.LogitScore")},
    ]);
    let score = json!({"true_token_id": id("yes"), "false_token_id": id("no")});
    let files = [("modules.json", modules), ("1_LogitScore/config.json", score)];
    edit(&dir, &files.map(|(name, json)| (name.to_owned(), json!({ "write": json }))).into());
    let open = || open_at(&dir, &RerankerOptions::default());
    assert!(open().unwrap_err().to_string().contains("chat_template.jinja"));
    let template = "{# Judge whether the Document meets #}<Instruct>: <Query>: <Document>: <think>";
    std::fs::write(dir.join("chat_template.jinja"), template).unwrap();
    let model = open().unwrap();
    assert_eq!((model.form(), model.fingerprint()), (Form::YesNo, plain.fingerprint()));
    let other = json!({"true_token_id": 1, "false_token_id": 2});
    edit(&dir, &BTreeMap::from([("1_LogitScore/config.json".to_owned(), json!({ "write": other }))]));
    assert!(open().unwrap_err().to_string().contains("[1, 2]"));
}

/// Weights that give no finite score are damaged, and say so instead of ranking at random.
#[test]
fn a_score_that_is_no_number_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let dir = copy_of(&folder("bert"), root.path());
    let path = dir.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let start = json["classifier.bias"]["data_offsets"][0].as_u64().unwrap() as usize + 8 + header;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let model = open_at(&dir, &RerankerOptions::default()).unwrap();
    let error = model.scores(&[("a", "b")]).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}
