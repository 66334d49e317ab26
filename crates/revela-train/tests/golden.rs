//! Every quantity of one training step against golden cases computed by the method's released code.
//!
//! A case is a folder with both models, the inputs and the expected losses, embeddings, weights, logits
//! and gradients. `REVELA_PARITY_DIR` makes the tests run all cases of another folder instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use revela_model::Packing;
use revela_model::causal_lm::CausalLm;
use revela_model::config::DecoderConfig;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::embedding_model::EmbeddingModel;
use revela_model::kernels::Kernels;
use revela_model::layers::Run;
use revela_model::params::named;
use revela_model::pooling::Pooling;
use revela_model::weights::{Precision, Weights};
use revela_train::gradients::GradientSet;
use revela_train::inbatch::forward::{FirstStream, ReadChunks, first_stream, second_stream};
use revela_train::inbatch::reading::{Form, ReadOptions, Reading, Skip, ValueNorm};
use revela_train::inbatch::weights::{InBatchWeights, Own, inbatch_weights};
use revela_train::objective::Activations;
use revela_train::objective::embedding::{EmbedOptions, embed};
use revela_train::objective::language::{LanguageOptions, LossTerms, PlainLoss};
use revela_train::objective::revela::{Pairing, RevelaBatch, RevelaOptions, step};
use safetensors::SafeTensors;
use serde::Deserialize;

/// Largest relative distance allowed.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    pooling: Pooling,
    attn_temperature: f64,
    v_norm: bool,
    #[serde(default)]
    reading: CaseReading,
    dual_loss: bool,
    loss: f64,
    loss_plain: f64,
    loss_inbatch: f64,
    grad_norm_lm: f64,
    grad_norm_retriever: f64,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum CaseReading {
    #[default]
    Published,
    Joint,
}

impl Case {
    fn reading(&self) -> Reading {
        match (self.reading, self.v_norm) {
            (CaseReading::Joint, _) => Reading::Joint,
            (CaseReading::Published, true) => Reading::Published(ValueNorm::Mean),
            (CaseReading::Published, false) => Reading::Published(ValueNorm::Off),
        }
    }
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

    /// burn gives no gradient where nothing flowed; the reference gives zeros.
    fn gradients<M: Module>(&mut self, prefix: &str, module: &M, set: &GradientSet) {
        for (name, parameter) in named(module) {
            let gradient = set.get(&name).cloned().unwrap_or_else(|| parameter.flat().zeros_like());
            let name = name.trim_start_matches("backbone.");
            self.add(&format!("{prefix}{name}"), gradient);
        }
    }
}

struct Models {
    lm: CausalLm,
    retriever: EmbeddingModel,
    batch: RevelaBatch,
}

fn models(dir: &Path, device: &Device) -> Models {
    let lm = CausalLm::zeros(config(dir, "lm_config.json"), device);
    let retriever = Decoder::zeros(config(dir, "retriever_config.json"), device);
    Models {
        lm: fill(lm, &dir.join("lm.safetensors"), device),
        retriever: fill(retriever, &dir.join("retriever.safetensors"), device).into(),
        batch: RevelaBatch {
            readers: batch(dir, "lm"),
            read: batch(dir, "lm"),
            passage: batch(dir, "passage"),
            query: batch(dir, "query"),
        },
    }
}

fn options(case: &Case, run: Run, form: Form, skip: Skip, activations: Activations) -> RevelaOptions {
    let language = LanguageOptions {
        terms: if case.dual_loss { LossTerms::Both } else { LossTerms::InBatch },
        plain: PlainLoss::Compute,
        read: ReadOptions { reading: case.reading(), form, skip },
        activations,
        run,
    };
    let embed = EmbedOptions { pooling: case.pooling, activations, run };
    RevelaOptions { tau: case.attn_temperature, hard: 0.0, embed, language }
}

/// The whole step as one graph, as the method is written down.
struct Forward {
    passage: Tensor<2>,
    query: Tensor<2>,
    weights: InBatchWeights,
    hidden: [Tensor<2>; 2],
    total: Tensor<1>,
    losses: [Tensor<1>; 2],
}

fn forward(m: &Models, options: &RevelaOptions) -> Forward {
    let passage = embed(&m.retriever, &m.batch.passage, &options.embed);
    let query = embed(&m.retriever, &m.batch.query, &options.embed);
    let weights = inbatch_weights(query.clone(), passage.clone(), options.tau, Own::Hidden);
    let taken = weights.taken_by(options.language.read.reading);
    let (hidden, total, losses) = language(m, &taken, options);
    Forward { passage, query, weights, hidden, total, losses }
}

/// Hidden states and losses of both streams, and the total.
fn language(
    m: &Models,
    taken: &Tensor<2>,
    options: &RevelaOptions,
) -> ([Tensor<2>; 2], Tensor<1>, [Tensor<1>; 2]) {
    let LanguageOptions { run, read: how, terms, .. } = options.language;
    let (layers, plain) = first_stream(&m.lm.model, &m.batch.read, FirstStream::Whole, run);
    let read = ReadChunks { packing: m.batch.read.packing.clone(), layers: &layers };
    let inbatch = second_stream(&m.lm.model, &m.batch.read, &read, taken, how, run);
    let hidden = [plain.unwrap(), inbatch];
    let [plain, inbatch] = hidden.clone().map(|h| m.lm.loss(h, &m.batch.read, run));
    let total = match terms {
        LossTerms::InBatch => inbatch.clone(),
        LossTerms::Both => inbatch.clone() + plain.clone(),
    };
    (hidden, total, [plain, inbatch])
}

/// Every quantity, and the losses: total, plain, in-batch.
fn quantities(m: &Models, options: &RevelaOptions) -> (Quantities, [f64; 3]) {
    let f = forward(m, options);
    let mut grads = f.total.backward();
    let mut got = Quantities(Vec::new());
    got.add("similarity", f.weights.similarity.clone());
    got.add("inbatch_weights", f.weights.weights());
    got.add("passage_embeddings", f.passage);
    got.add("query_embeddings", f.query);
    let [plain, inbatch] = f.hidden.map(|h| m.lm.logits(h, options.language.run));
    got.add("logits_plain", plain);
    got.add("logits_inbatch", inbatch);
    got.gradients("grad.lm.", &m.lm, &GradientSet::take(&m.lm, &mut grads));
    got.gradients("grad.retriever.", &m.retriever, &GradientSet::take(&m.retriever, &mut grads));
    let (dw, ds) = weight_gradients(m, options);
    got.add("grad_inbatch_weights", dw);
    got.add("grad_similarity", ds);
    let [plain, inbatch] = f.losses;
    (got, [f.total, plain, inbatch].map(|t| f64::from(t.into_scalar::<f32>())))
}

/// Gradients of the weights and the similarities, which the single graph does not keep: the weights become
/// a leaf of the language model's graph, and their gradient goes on through the softmax.
fn weight_gradients(m: &Models, options: &RevelaOptions) -> (Tensor<2>, Tensor<2>) {
    let vectors = |texts: &TokenBatch| embed(&m.retriever, texts, &options.embed).inner().autodiff();
    let similarity = vectors(&m.batch.query).matmul(vectors(&m.batch.passage).transpose()).require_grad();
    let unit = Tensor::<2>::eye(similarity.dims()[0], &similarity.device());
    // <row i of S, unit j> = S[i, j]: the weights as a function of a leaf.
    let w = inbatch_weights(similarity.clone(), unit, options.tau, Own::Hidden).weights();
    let leaf = w.clone().inner().autodiff().require_grad();
    let taken = match options.language.read.reading {
        // Nothing flows into weights of zero, whose logarithm has no gradient.
        Reading::Joint => {
            leaf.clone().mask_fill(leaf.clone().equal_elem(0.0), 1.0).log()
                + leaf.clone().equal_elem(0.0).float().mul_scalar(f32::MIN)
        }
        Reading::Published(_) => leaf.clone(),
    };
    let dw = leaf.grad(&language(m, &taken, options).1.backward()).unwrap();
    let ds = similarity.grad(&(w * dw.clone().autodiff()).sum().backward()).unwrap();
    (dw, ds)
}

fn norm(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|v| v * v).sum::<f64>().sqrt()
}

fn relative(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference = norm(got.iter().zip(want).map(|(a, b)| f64::from(a - b)));
    difference / norm(want.iter().map(|v| f64::from(*v))).max(1e-6)
}

fn check(dir: &Path, run: Run, form: Form, device: &Device) {
    let case: Case = serde_json::from_slice(&std::fs::read(dir.join("case.json")).unwrap()).unwrap();
    let expected = Weights::read_file(&dir.join("expected.safetensors")).unwrap();
    let (got, losses) =
        quantities(&models(dir, device), &options(&case, run, form, Skip::Nothing, Activations::Keep));
    let place = format!("{} ({run:?}, {form:?})", dir.file_name().unwrap().to_string_lossy());

    for (got, want) in losses.iter().zip([case.loss, case.loss_plain, case.loss_inbatch]) {
        assert!((got - want).abs() / want.abs() < TOLERANCE, "{place}: loss {got}, expected {want}");
    }
    let mut unseen: Vec<&str> = expected.names().collect();
    for (name, values) in &got.0 {
        let want = expected.get(name).unwrap_or_else(|| panic!("{place}: nothing is expected of {name}"));
        unseen.retain(|n| n != name);
        let distance = relative(values, &want.data);
        assert!(distance < TOLERANCE, "{place}: {name} differs by {distance:.1e}");
    }
    assert!(unseen.is_empty(), "{place}: not compared: {unseen:?}");
    for (prefix, want) in [("grad.lm.", case.grad_norm_lm), ("grad.retriever.", case.grad_norm_retriever)] {
        let all = got.0.iter().filter(|(n, _)| n.starts_with(prefix)).flat_map(|(_, v)| v);
        let got = norm(all.map(|v| f64::from(*v)));
        assert!(
            (got - want).abs() / want.max(1e-6) < TOLERANCE,
            "{place}: {prefix} norm {got}, expected {want}"
        );
    }
    println!("{place}: {} quantities agree", got.0.len() + 5);
}

#[test]
fn fast_path() {
    for dir in cases() {
        let run = Run { kernels: Kernels::Fused, ..Run::training(0) };
        check(&dir, run, Form::Fast, &Device::flex().autodiff());
    }
}

#[test]
fn plain_path() {
    for dir in cases() {
        let run = Run { kernels: Kernels::Composed, ..Run::training(0) };
        check(&dir, run, Form::Materialised, &Device::flex().autodiff());
    }
}

/// What training uses: small weights skipped, in one graph or in pieces, with and without checkpointing.
#[test]
fn training_step() {
    for dir in cases() {
        let case: Case = serde_json::from_slice(&std::fs::read(dir.join("case.json")).unwrap()).unwrap();
        let expected = Weights::read_file(&dir.join("expected.safetensors")).unwrap();
        let run = Run { kernels: Kernels::Fused, ..Run::training(0) };
        let skip = ReadOptions::from(case.reading()).skip;
        let devices = [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()];
        let ways = [1, 3, 100].map(|chunks| Activations::Recompute { chunks });
        for (device, activations) in
            devices.iter().flat_map(|d| ways.into_iter().chain([Activations::Keep]).map(move |a| (d, a)))
        {
            let m = models(&dir, device);
            let options = options(&case, run, Form::Fast, skip, activations);
            let (result, _) = step(&m.lm, &m.retriever, &m.batch, &Pairing::Same, &options);
            let place = format!("{} ({activations:?})", dir.file_name().unwrap().to_string_lossy());
            assert!((result.loss - case.loss).abs() / case.loss < TOLERANCE, "{place}: loss {}", result.loss);
            let mut got = Quantities(Vec::new());
            got.gradients("grad.lm.", &m.lm, &result.lm);
            got.gradients("grad.retriever.", &m.retriever, &result.retriever);
            for (name, values) in &got.0 {
                let distance = relative(values, &expected.get(name).unwrap().data);
                assert!(distance < TOLERANCE, "{place}: {name} differs by {distance:.1e}");
            }
        }
    }
}

/// Products of rounded operands give the same training step but for what rounding takes away.
#[test]
fn products_in_bf16() {
    for dir in cases() {
        let case: Case = serde_json::from_slice(&std::fs::read(dir.join("case.json")).unwrap()).unwrap();
        let expected = Weights::read_file(&dir.join("expected.safetensors")).unwrap();
        let run = Run { kernels: Kernels::Mixed, ..Run::training(0) };
        let m = models(&dir, &Device::flex().autodiff());
        let options =
            options(&case, run, Form::Fast, ReadOptions::from(case.reading()).skip, Activations::Keep);
        let (result, _) = step(&m.lm, &m.retriever, &m.batch, &Pairing::Same, &options);
        let place = dir.file_name().unwrap().to_string_lossy();
        let of_loss = (result.loss - case.loss).abs() / case.loss;
        let mut got = Quantities(Vec::new());
        got.gradients("grad.lm.", &m.lm, &result.lm);
        let distances = got.0.iter().map(|(name, v)| relative(v, &expected.get(name).unwrap().data));
        let worst = distances.fold(0.0, f64::max);
        println!(
            "{place}: loss differs by {of_loss:.1e}, the language model's gradients by up to {worst:.1e}"
        );
        assert!(of_loss < 1e-3 && worst < 0.05, "{place}: loss {of_loss:.1e}, gradients {worst:.1e}");
    }
}
