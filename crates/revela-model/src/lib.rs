//! Decoders as language models and as retrievers: read, made, run and written.
//!
//! You hand in a folder in Hugging Face's layout (Llama, Qwen2), or sizes for a model made from nothing; you get
//! an [`Encoder`](encoder::Encoder) that turns texts into vectors of unit length, or a
//! [`LanguageModel`](language_model::LanguageModel).
//!
//! | you want | use |
//! | --- | --- |
//! | vectors of texts | [`encoder::Encoder`], through [`Embedder`](revela_base::embed::Embedder) |
//! | how relevant passages are to a query, read together | [`reranking::RerankingModel`], through [`Reranker`](revela_base::rerank::Reranker) |
//! | a language model and its tokenizer as a folder | [`language_model::LanguageModel`] |
//! | a tokenizer of your own texts | [`tokenizer::TextTokenizer::train`] |
//! | low-rank adapters in PEFT's layout | [`lora`] |
//! | to run a decoder's layers in your own order | [`decoder::Decoder`] and its layers' three steps |
//!
//! From the bottom up: [`cpu`] holds matrix products and vector functions for `f32` on the CPU, [`op`] joins a
//! hand-written backward pass to burn's autodiff, [`kernels`] are the differentiable functions of a decoder, each
//! once fused for the CPU and once composed of burn's own operations for every other device, [`layers`],
//! [`decoder`] and [`causal_lm`] are the model, and the rest reads and writes it.
//!
//! Sequences of different lengths are one tensor `[rows, features]`; a [`Packing`] says which rows belong to
//! which sequence. Without padding, no time is spent on it.

pub mod adapter;
pub mod bert;
pub mod bert_config;
pub mod causal_lm;
pub mod config;
pub mod config_keys;
pub mod contract;
pub mod cpu;
pub mod decoder;
pub mod device;
pub mod embedding_model;
pub mod encoder;
mod error;
mod fields;
pub mod hub;
pub mod hugging_face;
pub mod init;
pub mod kernels;
pub mod keys;
pub mod language_model;
pub mod layers;
pub mod lora;
pub mod model_config;
pub mod modern_bert;
pub mod modern_bert_config;
mod names;
pub mod op;
mod packing;
pub mod params;
pub mod pooling;
pub mod reranking;
mod sentence_transformers;
pub mod settings;
pub mod shipped;
pub mod static_embedding;
pub mod testing;
mod token_batches;
pub mod tokenizer;
pub mod weights;

pub use error::{ModelError, Result};
pub use packing::Packing;
