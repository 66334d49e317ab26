//! The published all-MiniLM-L6-v2 against sentence-transformers, where `REVELA_MINILM_DIR` names its folder.

use std::path::Path;

use burn::tensor::Device;
use revela_base::embed::{Embedder, TextKind};
use revela_model::cpu::Matmul;
use revela_model::encoder::Encoder;
use revela_model::weights::{Precision, Weights};

#[test]
fn embeddings_are_those_of_sentence_transformers() {
    let Some(dir) = std::env::var_os("REVELA_MINILM_DIR") else {
        println!("skipped: REVELA_MINILM_DIR names no folder with all-MiniLM-L6-v2");
        return;
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let lines = std::fs::read_to_string(golden.join("minilm.jsonl")).unwrap();
    let texts: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(texts.len(), 64);
    let mut weights = Weights::read_file(&golden.join("minilm.safetensors")).unwrap();
    let want = weights.take("embeddings").unwrap();
    assert_eq!(want.shape, [64, 384]);
    let encoder = Encoder::open(Path::new(&dir), Precision::F32, &Device::flex()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (matmul, least) in [(Matmul::F32, 0.99999), (Matmul::Bf16, 0.9999)] {
        let got = encoder.clone().with_matmul(matmul).embed(TextKind::Passage, &texts).unwrap();
        for ((got, want), text) in got.chunks(384).zip(want.data.chunks(384)).zip(&texts) {
            let cosine: f64 = got.iter().zip(want).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!(cosine >= least, "{text:?}: cosine {cosine} with products in {matmul}");
        }
    }
}
