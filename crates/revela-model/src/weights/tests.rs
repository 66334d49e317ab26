use std::sync::Arc;

use super::*;
use crate::causal_lm::CausalLm;
use crate::init::draw;
use crate::testing::tiny_config;
use revela_base::seed::Seed;

fn model() -> CausalLm {
    draw(CausalLm::zeros(Arc::new(tiny_config()), &Device::flex()), Seed(1), &Device::flex())
}

fn write(dir: &Path, parameters: Vec<(String, Parameter)>, precision: Precision) -> Result<CausalLm> {
    std::fs::write(dir.join(WEIGHTS), to_safetensors(parameters, precision).unwrap()).unwrap();
    let empty = CausalLm::zeros(Arc::new(tiny_config()), &Device::flex());
    Weights::read(dir)?.fill(empty, Precision::F32, &Device::flex())
}

fn bytes(model: &CausalLm) -> Vec<u8> {
    to_safetensors(named(model), Precision::F32).unwrap()
}

#[test]
fn names_are_hugging_face_names_and_bytes_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    let names: Vec<String> = named(&model).into_iter().map(|(n, _)| n).collect();
    assert!(names.contains(&"model.layers.1.self_attn.q_proj.weight".to_owned()), "{names:?}");
    assert!(names.contains(&"model.layers.0.post_attention_layernorm.weight".to_owned()));
    assert_eq!(names.len(), 2 * 9 + 3);
    let again = write(dir.path(), named(&model), Precision::F32).unwrap();
    assert_eq!(bytes(&again), bytes(&model));
    let rounded = write(dir.path(), named(&model), Precision::Bf16).unwrap();
    assert_ne!(bytes(&rounded), bytes(&model));
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = |p| write(dir.path(), p, Precision::F32).unwrap_err().to_string();
    let mut parameters = named(&model());
    let (name, parameter) = parameters.remove(3);
    assert!(message(parameters.clone()).contains(&format!("missing: {name}")));
    parameters.push((name, parameter.clone()));
    parameters.push(("model.surprise".into(), parameter));
    assert!(message(parameters.clone()).contains("not part of the model: model.surprise"));
    parameters.pop();
    let embedding = parameters.iter().position(|(n, _)| n.contains("embed_tokens")).unwrap();
    parameters[embedding].1 = parameters[embedding + 1].1.clone();
    assert!(message(parameters).contains("embed_tokens.weight has shape"));
}

#[test]
fn truncated_files_are_damage_and_missing_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let empty = || CausalLm::zeros(Arc::new(tiny_config()), &Device::flex());
    assert!(Weights::read(dir.path()).unwrap_err().to_string().contains(WEIGHTS));
    let whole = bytes(&model());
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(dir.path().join(WEIGHTS), &whole[..length]).unwrap();
        let error = Weights::read(dir.path()).and_then(|w| w.fill(empty(), Precision::F32, &Device::flex()));
        assert!(error.unwrap_err().to_string().contains("safetensors"), "cut at {length}");
    }
}

#[test]
fn shards_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    let parameters = named(&model);
    let mut map = BTreeMap::new();
    for (shard, part) in parameters.chunks(8).enumerate() {
        let file = format!("model-{shard}.safetensors");
        std::fs::write(dir.path().join(&file), to_safetensors(part.to_vec(), Precision::F32).unwrap())
            .unwrap();
        map.extend(part.iter().map(|(name, _)| (name.clone(), file.clone())));
    }
    let index = serde_json::json!({ "weight_map": map });
    std::fs::write(dir.path().join(INDEX), index.to_string()).unwrap();
    let empty = CausalLm::zeros(Arc::new(tiny_config()), &Device::flex());
    let read = Weights::read(dir.path()).unwrap().fill(empty, Precision::F32, &Device::flex()).unwrap();
    assert_eq!(bytes(&read), bytes(&model));
}
