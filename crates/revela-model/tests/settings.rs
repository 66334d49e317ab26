//! Every setting of a folder that decides vectors, against sentence-transformers and transformers
//! (`tools/golden/settings.py` and `config_keys.py` make the files), and against the fingerprint.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{copy_of, distance, edit, golden, open, open_at};
use revela_base::embed::{Embedder, TextKind};
use revela_model::config::DecoderConfig;
use revela_model::keys::Role;
use revela_model::model_config::ModelConfig;
use revela_model::settings;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    base: String,
    edits: BTreeMap<String, Value>,
    metric: String,
    query: Vec<Vec<f32>>,
    passage: Vec<Vec<f32>>,
}

fn settings_golden() -> Golden {
    serde_json::from_slice(&std::fs::read(golden("settings.json")).unwrap()).unwrap()
}

#[test]
fn every_row_gives_the_vectors_of_sentence_transformers() {
    let Golden { texts, rows } = settings_golden();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(rows.len() > 50);
    let root = tempfile::tempdir().unwrap();
    for row in rows {
        let dir = copy_of(&row.base, root.path());
        edit(&dir, &row.edits);
        let encoder = open_at(&dir).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        assert_eq!(serde_json::to_value(encoder.metric()).unwrap(), row.metric, "{}", row.name);
        for (kind, want) in [(TextKind::Query, &row.query), (TextKind::Passage, &row.passage)] {
            let d = distance(&encoder.embed(kind, &texts).unwrap(), &want.concat());
            assert!(d < 2e-5, "{}, {kind:?}: vectors differ by {d}", row.name);
        }
    }
}

#[test]
fn what_a_row_reads_is_written_so_that_it_is_read_again() {
    let Golden { texts, rows } = settings_golden();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let root = tempfile::tempdir().unwrap();
    for row in rows {
        let dir = copy_of(&row.base, root.path());
        edit(&dir, &row.edits);
        let encoder = open_at(&dir).unwrap();
        let written = root.path().join("written");
        let _ = std::fs::remove_dir_all(&written);
        common::save(&encoder, &written);
        assert_eq!(open_at(&written).unwrap().fingerprint(), encoder.fingerprint(), "{}", row.name);
        // For other tools it is a folder without Revela's manifest.
        std::fs::remove_file(written.join(revela_base::artifact::MANIFEST)).unwrap();
        let foreign = open_at(&written).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        assert_eq!(foreign.contract, encoder.contract, "{}", row.name);
        for kind in [TextKind::Query, TextKind::Passage] {
            let vectors = [&encoder, &foreign].map(|e| e.embed(kind, &texts).unwrap());
            assert_eq!(vectors[0], vectors[1], "{}", row.name);
        }
    }
}

/// Keys and defaults of other tools' classes.
#[derive(Deserialize)]
struct Classes {
    families: BTreeMap<String, Map<String, Value>>,
    rope_theta: BTreeMap<String, f64>,
    adapter: Map<String, Value>,
}

fn classes() -> Classes {
    serde_json::from_slice(&std::fs::read(golden("config_keys.json")).unwrap()).unwrap()
}

#[test]
fn every_key_of_the_classes_is_known_and_their_defaults_are_read() {
    let Classes { families, adapter, .. } = classes();
    assert_eq!(families.len(), 8);
    for (family, keys) in families {
        let known = settings::config_keys(&family).unwrap();
        for name in keys.keys() {
            assert!(known.role(name).is_some(), "{family}: {name} is not known");
        }
        let mut defaults = keys;
        defaults.insert("model_type".into(), family.clone().into());
        known.check(&defaults).unwrap_or_else(|e| panic!("{family}: {e}"));
    }
    for name in adapter.keys() {
        assert!(settings::adapter_keys().role(name).is_some(), "{name} of adapter_config.json is not known");
    }
    settings::adapter_keys().check(&adapter).unwrap();
}

fn parse(json: &Value) -> ModelConfig {
    ModelConfig::parse(json.to_string().as_bytes(), std::path::Path::new("config.json")).unwrap()
}

/// The sizes that a file must state, and nothing else.
fn least(family: &str) -> Value {
    let mut json = json!({"model_type": family, "vocab_size": 99});
    let sizes: &[(&str, u64)] = match family {
        "distilbert" => &[("dim", 128), ("n_heads", 32), ("hidden_dim", 40), ("n_layers", 3)],
        _ => &[
            ("hidden_size", 128),
            ("num_attention_heads", 32),
            ("intermediate_size", 40),
            ("num_hidden_layers", 3),
        ],
    };
    for (name, size) in sizes {
        json[*name] = (*size).into();
    }
    json
}

#[test]
fn what_a_config_does_not_say_is_what_the_class_assumes() {
    let Classes { families, rope_theta, .. } = classes();
    for (family, defaults) in &families {
        let mut stated = least(family);
        let known = settings::config_keys(family).unwrap();
        for (name, value) in defaults {
            let decides = known.role(name) == Some(Role::Decides);
            if decides && !value.is_null() && stated.get(name).is_none() {
                stated[name] = value.clone();
            }
        }
        let mut bare = least(family);
        if let Some(rows) = defaults.get("max_position_embeddings").filter(|_| !family.contains("llama")) {
            // Encoders must say how many positions their weights have.
            if !["qwen2", "qwen3"].contains(&family.as_str()) {
                bare["max_position_embeddings"] = rows.clone();
            }
        }
        let [bare, stated] = [bare, stated].map(|json| match parse(&json) {
            // The file itself is kept beside what was read of it.
            ModelConfig::Bert(c) => {
                format!("{:?}", revela_model::bert_config::BertConfig { source: Value::Null, ..(*c).clone() })
            }
            ModelConfig::ModernBert(c) => {
                format!(
                    "{:?}",
                    revela_model::modern_bert_config::ModernBertConfig {
                        source: Value::Null,
                        ..(*c).clone()
                    }
                )
            }
            ModelConfig::Decoder(c) => format!("{c:?}"),
            ModelConfig::Static(c) => panic!("{family} has layers, but was read as {c:?}"),
        });
        assert_eq!(bare, stated, "{family}");
    }
    for (family, theta) in rope_theta {
        let text = least(&family).to_string();
        let config = DecoderConfig::parse(text.as_bytes(), std::path::Path::new("config.json")).unwrap();
        assert_eq!(config.rope_theta, theta, "{family}");
    }
}

#[test]
fn settings_that_would_give_other_vectors_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    for (base, file, key, value) in [
        ("qwen3", "config.json", "use_bidirectional_attention", json!(true)),
        ("llama", "config.json", "use_bidirectional_attention", json!(true)),
        ("qwen3", "config.json", "layer_types", json!(["full_attention", "sliding_attention"])),
        ("qwen2", "config.json", "use_sliding_window", json!(true)),
        ("qwen2", "config.json", "a_key_of_tomorrow", json!(false)),
        ("qwen2", "config.json", "quantization_config", json!({"bits": 4})),
        ("llama", "config.json", "mlp_bias", json!(true)),
        ("llama", "config.json", "hidden_size", json!(1u64 << 40)),
        ("bert", "config.json", "is_decoder", json!(true)),
        ("bert", "config.json", "position_embedding_type", json!("relative_key")),
        ("modernbert", "config.json", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("sentence-old", "config_sentence_transformers.json", "similarity_fn_name", json!("euclidean")),
        ("sentence-old", "config_sentence_transformers.json", "similarity_fn_name", json!("manhattan")),
        ("sentence-old", "config_sentence_transformers.json", "default_prompt_name", json!("absent")),
        ("sentence-old", "config_sentence_transformers.json", "truncate_dim", json!(4)),
        ("sentence-old", "config_sentence_transformers.json", "model_type", json!("CrossEncoder")),
        ("sentence-old", "sentence_bert_config.json", "max_seq_length", json!(0)),
        ("sentence-old", "sentence_bert_config.json", "max_seq_length", json!(-1)),
        ("sentence-old", "sentence_bert_config.json", "model_args", json!({"num_hidden_layers": 1})),
        ("sentence-old", "1_Pooling/config.json", "include_prompt", json!(false)),
        ("sentence-old", "2_Dense/config.json", "use_residual", json!(true)),
        ("sentence-old", "2_Dense/config.json", "module_input_name", json!("token_embeddings")),
        (
            "sentence-old",
            "2_Dense/config.json",
            "activation_function",
            json!("torch.nn.modules.activation.SiLU"),
        ),
        ("sentence-old", "2_Dense/config.json", "in_features", json!(17)),
        ("sentence-old", "2_Dense/config.json", "out_features", json!(1u64 << 40)),
        ("sentence-old", "tokenizer_config.json", "truncation_side", json!("left")),
        ("sentence-old", "tokenizer_config.json", "split_special_tokens", json!(true)),
        ("llama-adapter", "adapter_config.json", "init_lora_weights", json!("pissa")),
        ("llama-adapter", "adapter_config.json", "layers_to_transform", json!([0])),
    ] {
        let dir = copy_of(base, root.path());
        edit(&dir, &BTreeMap::from([(file.to_owned(), json!({"set": {key: value}}))]));
        let error = open_at(&dir).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(file), "{base}, {key} = {value}: {error}");
    }
}

#[test]
fn modules_that_do_not_run_in_their_order_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    let (first, pooling) = (module("Transformer", ""), module("Pooling", "1_Pooling"));
    for (list, part) in [
        (json!([first, module("Normalize", "2"), pooling]), "before the pooling"),
        (json!([first, module("Dense", "2_Dense"), pooling]), "before the pooling"),
        (json!([first]), "no Pooling"),
        (json!([module("StaticEmbedding", ""), pooling]), "has pooled already"),
        (json!([first, pooling, module("StaticEmbedding", "")]), "StaticEmbedding"),
        (json!([first, pooling, pooling]), "second pooling"),
        (json!([pooling, first]), "first module is Pooling"),
        (json!([first, pooling, module("LayerNorm", "2")]), "LayerNorm"),
        (json!([first, pooling, {"type": "custom_st.Normalize", "path": "2"}]), "custom_st.Normalize"),
        (json!([first, pooling, module("Dense", "../2_Dense")]), "leads out"),
        (json!([module("Transformer", "0_Transformer"), pooling]), "0_Transformer"),
        (
            json!([first, {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling", "kwargs": ["task"]}]),
            "kwargs",
        ),
    ] {
        let dir = copy_of("sentence-old", root.path());
        edit(&dir, &BTreeMap::from([("modules.json".to_owned(), json!({"write": list}))]));
        let error = open_at(&dir).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("modules.json"), "{list}: {error}");
    }
}

/// Other values for every key that decides vectors.
fn others(key: &str) -> Vec<Value> {
    let list = |values: &[Value]| values.to_vec();
    match key {
        "model_type" => {
            list(&[json!("bert"), json!("roberta"), json!("llama"), json!("qwen3"), json!("gpt2")])
        }
        "hidden_act" | "activation" | "hidden_activation" => {
            list(&[json!("relu"), json!("silu"), json!("mish")])
        }
        "layer_types" => {
            list(&[json!(vec!["full_attention"; 4]), json!(["sliding_attention", "full_attention"])])
        }
        "rope_parameters" | "rope_scaling" => list(&[
            json!({"rope_type": "default", "rope_theta": 5.0}),
            json!({"rope_type": "yarn", "factor": 2.0}),
            json!({"full_attention": {"rope_theta": 5.0}, "sliding_attention": {"rope_theta": 6.0}}),
        ]),
        "layer_norm_eps" | "norm_eps" | "rms_norm_eps" => list(&[json!(0.25)]),
        "rope_theta" | "global_rope_theta" | "local_rope_theta" => list(&[json!(12.5)]),
        "attention_bias" | "mlp_bias" | "norm_bias" | "is_causal" | "tie_word_embeddings" => {
            list(&[json!(true), json!(false)])
        }
        "do_lower_case"
        | "strip_accents"
        | "tokenize_chinese_chars"
        | "add_prefix_space"
        | "add_bos_token"
        | "add_eos_token"
        | "bias"
        | "use_rslora" => list(&[json!(true), json!(false)]),
        "similarity_fn_name" => list(&[json!("cosine"), json!("dot"), json!("euclidean")]),
        "prompts" => list(&[json!({}), json!({"query": "other "}), json!({"document": "other "})]),
        "default_prompt_name" => list(&[json!("query"), json!("absent")]),
        "path" | "type" => list(&[json!("sentence_transformers.models.Normalize"), json!("2_Dense")]),
        "pooling_mode" => list(&[json!("cls"), json!("mean"), json!("lasttoken"), json!("max")]),
        "activation_function" => {
            list(&[json!("torch.nn.Tanh"), json!("torch.nn.ReLU"), json!("torch.nn.Identity")])
        }
        "tokenizer_class" => list(&[json!("PreTrainedTokenizerFast"), json!("BertTokenizer")]),
        "bos_token" | "eos_token" => list(&[json!("a"), json!("<|im_start|>")]),
        "base_model_name_or_path" => list(&[json!("../qwen3"), json!("../absent")]),
        "target_modules" => list(&[json!(["q_proj"]), json!(["absent"])]),
        key if key.starts_with("pooling_mode_") => list(&[json!(true), json!(false)]),
        // The others are sizes and lengths.
        _ => list(&[json!(1), json!(2), json!(3), json!(7), json!(16), json!(u64::MAX)]),
    }
}

/// A folder of every family, and those with what comes around it.
const FOLDERS: [&str; 13] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "modernbert",
    "llama",
    "qwen2",
    "qwen3",
    "sentence-new",
    "sentence-old",
    "llama-adapter",
    "static",
    "static-cut",
];

/// The file's object with one key changed, or one of its objects, where it is a list.
fn with(document: &Value, key: &str, value: &Value) -> Vec<Value> {
    match document {
        Value::Array(list) => (0..list.len())
            .map(|at| {
                let mut changed = list.clone();
                changed[at][key] = value.clone();
                Value::Array(changed)
            })
            .collect(),
        other => {
            let mut changed = other.clone();
            changed[key] = value.clone();
            vec![changed]
        }
    }
}

#[test]
fn no_setting_changes_vectors_under_the_same_fingerprint() {
    let root = tempfile::tempdir().unwrap();
    let texts = [
        "Où est l'élève? 東京",
        "moon moon moon moon moon moon moon moon moon moon moon moon moon moon moon end",
    ];
    let vectors = |e: &revela_model::encoder::Encoder| {
        [TextKind::Query, TextKind::Passage].map(|kind| e.embed(kind, &texts).unwrap())
    };
    let mut opened = 0;
    for folder in FOLDERS {
        let base = open(folder);
        let (print, plain) = (base.fingerprint(), vectors(&base));
        for (file, keys) in settings::files(base.model.backbone.config().family()) {
            let dir = copy_of(folder, root.path());
            let path = dir.join(file);
            let Ok(text) = std::fs::read(&path) else { continue };
            let document: Value = serde_json::from_slice(&text).unwrap();
            for key in keys.deciding() {
                let candidates = others(key).into_iter().chain([Value::Null]);
                for changed in candidates.flat_map(|value| with(&document, key, &value)) {
                    std::fs::write(&path, changed.to_string()).unwrap();
                    let Ok(other) = open_at(&dir) else { continue };
                    opened += 1;
                    if vectors(&other) != plain || other.metric() != base.metric() {
                        assert_ne!(other.fingerprint(), print, "{folder}, {file}: {key}");
                    }
                }
            }
        }
    }
    assert!(opened > 300, "{opened} folders could be opened");
}

#[test]
fn the_table_in_the_docs_names_every_setting() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/encoder-settings.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let families = ["bert", "roberta", "xlm-roberta", "distilbert", "modernbert", "llama", "qwen2", "qwen3"];
    for family in families {
        for (file, keys) in settings::files(family) {
            for key in keys.deciding() {
                let row = rows.iter().find(|row| {
                    row[0].contains(&format!("`{file}`"))
                        && row[1].contains(&format!("`{key}`"))
                        && (row[2] == "all" || row[2].split(", ").any(|f| f == family))
                });
                assert!(row.is_some(), "docs/encoder-settings.md has no row for {file}, {key}, {family}");
            }
        }
    }
    // What the table calls a golden test is one.
    let names: Vec<String> = settings_golden().rows.into_iter().map(|row| row.name).collect();
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        for name in row[4].split('`').skip(1).step_by(2) {
            let known =
                names.iter().any(|n| n == name) || name.starts_with("families") || name.contains("::");
            assert!(known, "no golden row is called {name}");
        }
    }
}
