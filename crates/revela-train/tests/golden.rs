//! Every quantity of one training step against golden cases computed by the method's released code.
//!
//! A case is a folder with both models, the inputs and the expected losses, embeddings, weights, logits
//! and gradients. `REVELA_PARITY_DIR` makes the tests run all cases of another folder instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use revela_model::Packing;
use revela_model::causal_lm::CausalLm;
use revela_model::config::DecoderConfig;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::kernels::Kernels;
use revela_model::layers::{Mode, Run};
use revela_model::params::{Parameter, named};
use revela_model::pooling::{Pooling, normalize};
use revela_model::weights::{Precision, Weights};
use revela_train::inbatch::attention::{CrossOptions, CrossPath, Skip, ValueNorm};
use revela_train::inbatch::forward::{FirstStream, losses, streams};
use revela_train::inbatch::weights::inbatch_weights;
use safetensors::SafeTensors;
use serde::Deserialize;

/// Largest relative distance allowed.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    pooling: Pooling,
    attn_temperature: f64,
    v_norm: bool,
    dual_loss: bool,
    loss: f64,
    loss_plain: f64,
    loss_inbatch: f64,
    grad_norm_lm: f64,
    grad_norm_retriever: f64,
}

fn cases() -> Vec<PathBuf> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let dir = std::env::var("REVELA_PARITY_DIR").unwrap_or_else(|_| own.to_owned());
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("cannot read {dir}: {e}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.json").exists())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no golden cases in {dir}");
    cases
}

fn config(dir: &Path, name: &str) -> Arc<DecoderConfig> {
    let path = dir.join(name);
    Arc::new(DecoderConfig::parse(&std::fs::read(&path).unwrap(), &path).unwrap())
}

fn fill<M: Module>(module: M, path: &Path, device: &Device) -> M {
    Weights::read_file(path).unwrap().fill(module, Precision::F32, device).unwrap()
}

/// Token batches of a case, padded as they are stored.
fn batch(dir: &Path, kind: &str) -> TokenBatch {
    let bytes = std::fs::read(dir.join("inputs.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let [ids, mask] = ["input_ids", "attention_mask"].map(|name| {
        let tensor = file.tensor(&format!("{kind}_{name}")).unwrap();
        tensor.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect::<Vec<u32>>()
    });
    let rows = file.tensor(&format!("{kind}_input_ids")).unwrap().shape()[1];
    let lengths: Vec<usize> = mask.chunks(rows).map(|m| m.iter().sum::<u32>() as usize).collect();
    TokenBatch { ids, packing: Packing::padded_to(rows, &lengths) }
}

/// What a step gives, by the names of the expected file.
struct Quantities(Vec<(String, Vec<f32>)>);

impl Quantities {
    fn add<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        self.0.push((name.to_owned(), tensor.into_data().try_into_vec::<f32>().unwrap()));
    }
}

fn step(dir: &Path, case: &Case, run: Run, path: CrossPath, device: &Device) -> (Quantities, [f64; 3]) {
    let lm =
        fill(CausalLm::zeros(config(dir, "lm_config.json"), device), &dir.join("lm.safetensors"), device);
    let retriever = Decoder::zeros(config(dir, "retriever_config.json"), device);
    let retriever = fill(retriever, &dir.join("retriever.safetensors"), device);

    let embed = |kind: &str| {
        let batch = batch(dir, kind);
        normalize(case.pooling.pool(retriever.forward(&batch, run), &batch.packing, run))
    };
    let (passage, query) = (embed("passage"), embed("query"));
    let w = inbatch_weights(query.clone(), passage.clone(), case.attn_temperature);
    let value_norm = if case.v_norm { ValueNorm::Mean } else { ValueNorm::Off };
    let options = CrossOptions { value_norm, path, skip: Skip::Nothing };
    let tokens = batch(dir, "lm");
    let both = streams(&lm.model, &tokens, &w.weights, FirstStream::Whole, options, run);
    let logits = [both.plain.clone().unwrap(), both.inbatch.clone()].map(|h| lm.logits(h, run));
    let loss = losses(&lm, &tokens, both, run);
    let plain = loss.plain.unwrap();
    let total = if case.dual_loss { loss.inbatch.clone() + plain.clone() } else { loss.inbatch.clone() };

    let grads = total.backward();
    let mut got = Quantities(Vec::new());
    got.add("similarity", w.similarity.clone());
    got.add("inbatch_weights", w.weights.clone());
    got.add("passage_embeddings", passage);
    got.add("query_embeddings", query);
    let [logits_plain, logits_inbatch] = logits;
    got.add("logits_plain", logits_plain);
    got.add("logits_inbatch", logits_inbatch);
    for (prefix, parameters) in [("grad.lm.", named(&lm)), ("grad.retriever.", named(&retriever))] {
        for (name, parameter) in parameters {
            let name = format!("{prefix}{name}");
            // burn gives no gradient where nothing flowed; the reference gives zeros.
            match parameter {
                Parameter::Vector(t) => {
                    got.add(&name, t.grad(&grads).unwrap_or_else(|| t.inner().zeros_like()))
                }
                Parameter::Matrix(t) => {
                    got.add(&name, t.grad(&grads).unwrap_or_else(|| t.inner().zeros_like()))
                }
            }
        }
    }
    (got, [total, plain, loss.inbatch].map(|t| f64::from(t.into_scalar::<f32>())))
}

fn norm(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|v| v * v).sum::<f64>().sqrt()
}

fn check(dir: &Path, run: Run, path: CrossPath, device: &Device) {
    let case: Case = serde_json::from_slice(&std::fs::read(dir.join("case.json")).unwrap()).unwrap();
    let expected = Weights::read_file(&dir.join("expected.safetensors")).unwrap();
    let (got, losses) = step(dir, &case, run, path, device);
    let place = format!("{} ({run:?}, {path:?})", dir.file_name().unwrap().to_string_lossy());

    for (got, want) in losses.iter().zip([case.loss, case.loss_plain, case.loss_inbatch]) {
        assert!((got - want).abs() / want.abs() < TOLERANCE, "{place}: loss {got}, expected {want}");
    }
    let mut unseen: Vec<&str> = expected.names().collect();
    for (name, values) in &got.0 {
        let Some(want) = expected.get(name) else { panic!("{place}: nothing is expected of {name}") };
        unseen.retain(|n| n != name);
        assert_eq!(values.len(), want.data.len(), "{place}: {name}");
        let difference = norm(values.iter().zip(&want.data).map(|(a, b)| f64::from(a - b)));
        let distance = difference / norm(want.data.iter().map(|v| f64::from(*v))).max(1e-6);
        assert!(distance < TOLERANCE, "{place}: {name} differs by {distance:.1e}");
    }
    for (prefix, want) in [("grad.lm.", case.grad_norm_lm), ("grad.retriever.", case.grad_norm_retriever)] {
        let all = got.0.iter().filter(|(n, _)| n.starts_with(prefix)).flat_map(|(_, v)| v);
        let got = norm(all.map(|v| f64::from(*v)));
        assert!(
            (got - want).abs() / want.max(1e-6) < TOLERANCE,
            "{place}: {prefix} norm {got}, expected {want}"
        );
    }
    println!("{place}: {} quantities agree; without a counterpart here: {unseen:?}", got.0.len() + 5);
}

#[test]
fn fast_path() {
    for dir in cases() {
        let run = Run { kernels: Kernels::Fused, mode: Mode::Train };
        check(&dir, run, CrossPath::Fast, &Device::flex().autodiff());
    }
}

#[test]
fn plain_path() {
    for dir in cases() {
        let run = Run { kernels: Kernels::Composed, mode: Mode::Train };
        check(&dir, run, CrossPath::Materialised, &Device::flex().autodiff());
    }
}

#[test]
fn fast_path_under_gradient_checkpointing() {
    for dir in cases() {
        let run = Run { kernels: Kernels::Fused, mode: Mode::Train };
        check(&dir, run, CrossPath::Fast, &Device::flex().autodiff().gradient_checkpointing());
    }
}
