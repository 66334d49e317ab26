//! What is known of the keys of config.json, for each family.
//!
//! `tests/golden/config_keys.json` holds the keys and defaults of transformers' own configuration classes; a test
//! compares these lists with it.

use crate::keys::{Key, Keys, Role};

use Role::{Decides, Idle, Only};

const NO: Role = Only(&["false"]);

/// Of any model: what transformers' configurations have in common, in its versions 4 and 5.
const COMMON: &[Key] = &[
    ("model_type", Decides),
    // What a file says of itself and its origin.
    ("_attn_implementation", Idle),
    ("_attn_implementation_autoset", Idle),
    ("_attn_implementation_internal", Idle),
    ("_commit_hash", Idle),
    ("_flash_attn_2_enabled", Idle),
    ("_name_or_path", Idle),
    ("_num_labels", Idle),
    // Of a library of adapters, which lie in files of their own.
    ("adapters", Idle),
    ("architectures", Idle),
    ("attn_implementation", Idle),
    // Code of the repository's own, which is not run.
    ("auto_map", Idle),
    ("custom_pipelines", Idle),
    ("dtype", Idle),
    ("export_model_type", Idle),
    ("finetuning_task", Idle),
    ("language", Idle),
    ("license", Idle),
    ("name", Idle),
    ("tf_legacy_loss", Idle),
    ("torch_dtype", Idle),
    ("torchscript", Idle),
    ("transformers.js_config", Idle),
    ("transformers_version", Idle),
    ("unsloth_fixed", Idle),
    ("unsloth_version", Idle),
    ("use_bfloat16", Idle),
    // How it is trained.
    ("gradient_checkpointing", Idle),
    ("initializer_range", Idle),
    ("tie_weights_", Idle),
    // What is given back beside hidden states, and heads.
    ("chunk_size_feed_forward", Idle),
    ("classifier_dropout", Idle),
    ("id2label", Idle),
    ("label2id", Idle),
    ("num_labels", Idle),
    ("output_attentions", Idle),
    ("output_hidden_states", Idle),
    ("output_past", Idle),
    ("problem_type", Idle),
    ("return_dict", Idle),
    ("sbert_ce_default_activation_function", Idle),
    ("sentence_transformers", Idle),
    ("summary_activation", Idle),
    ("summary_first_dropout", Idle),
    ("summary_proj_to_labels", Idle),
    ("summary_type", Idle),
    ("summary_use_proj", Idle),
    ("task_specific_params", Idle),
    ("use_cache", Idle),
    // How text is generated.
    ("bad_words_ids", Idle),
    ("begin_suppress_tokens", Idle),
    ("bos_token_id", Idle),
    ("cls_token_id", Idle),
    ("decoder_start_token_id", Idle),
    ("diversity_penalty", Idle),
    ("do_sample", Idle),
    ("early_stopping", Idle),
    ("encoder_no_repeat_ngram_size", Idle),
    ("eos_token_id", Idle),
    ("exponential_decay_length_penalty", Idle),
    ("forced_bos_token_id", Idle),
    ("forced_eos_token_id", Idle),
    ("length_penalty", Idle),
    ("mask_token_id", Idle),
    ("max_length", Idle),
    ("min_length", Idle),
    ("no_repeat_ngram_size", Idle),
    ("num_beam_groups", Idle),
    ("num_beams", Idle),
    ("num_return_sequences", Idle),
    ("output_scores", Idle),
    ("prefix", Idle),
    ("remove_invalid_values", Idle),
    ("repetition_penalty", Idle),
    ("return_dict_in_generate", Idle),
    ("sep_token_id", Idle),
    ("suppress_tokens", Idle),
    ("temperature", Idle),
    ("top_k", Idle),
    ("top_p", Idle),
    ("typical_p", Idle),
    ("unk_token_id", Idle),
    // Another architecture, or other numbers than the files'.
    ("add_cross_attention", NO),
    ("compression_config", Only(&[])),
    ("cross_attention_hidden_size", Only(&[])),
    ("is_encoder_decoder", NO),
    ("pruned_heads", Only(&["{}"])),
    ("quantization_config", Only(&[])),
    ("tie_encoder_decoder", NO),
];

/// Of encoders with learned positions.
const LEARNED_POSITIONS: &[Key] = &[
    ("max_position_embeddings", Decides),
    ("position_embedding_type", Only(&["\"absolute\""])),
    ("tie_word_embeddings", Idle),
    // Counts where tokenizer_config.json names none.
    ("tokenizer_class", Decides),
    ("vocab_size", Decides),
    // Some decoders read both ways under this key; encoders always do.
    ("is_causal", NO),
    ("use_bidirectional_attention", Only(&["true"])),
];

/// Of BERT, RoBERTa and XLM-RoBERTa.
const BERT_LIKE: &[Key] = &[
    ("attention_probs_dropout_prob", Idle),
    // Of the first multilingual BERT's file.
    ("directionality", Idle),
    ("hidden_act", Decides),
    ("hidden_dropout_prob", Idle),
    ("hidden_size", Decides),
    ("intermediate_size", Decides),
    ("is_decoder", NO),
    ("layer_norm_eps", Decides),
    ("num_attention_heads", Decides),
    ("num_hidden_layers", Decides),
    ("pooler_fc_size", Idle),
    ("pooler_num_attention_heads", Idle),
    ("pooler_num_fc_layers", Idle),
    ("pooler_size_per_head", Idle),
    ("pooler_type", Idle),
    ("type_vocab_size", Decides),
];

/// What follows the padding id is the first position.
const FROM_PADDING: &[Key] = &[("pad_token_id", Decides)];

/// Padding is masked.
const ANY_PADDING: &[Key] = &[("pad_token_id", Idle)];

const DISTIL_BERT: &[Key] = &[
    ("activation", Decides),
    ("attention_dropout", Idle),
    ("dim", Decides),
    ("dropout", Idle),
    ("hidden_dim", Decides),
    ("is_decoder", NO),
    ("n_heads", Decides),
    ("n_layers", Decides),
    ("qa_dropout", Idle),
    ("seq_classif_dropout", Idle),
    // Whatever they are made by, positions stand in the file of weights.
    ("sinusoidal_pos_embds", Idle),
];

const MODERN_BERT: &[Key] = &[
    ("attention_bias", Decides),
    ("attention_dropout", Idle),
    ("classifier_activation", Idle),
    ("classifier_bias", Idle),
    ("classifier_pooling", Idle),
    ("decoder_bias", Idle),
    ("deterministic_flash_attn", Idle),
    ("embedding_dropout", Idle),
    ("global_attn_every_n_layers", Decides),
    ("global_rope_theta", Decides),
    ("hidden_activation", Decides),
    ("hidden_size", Decides),
    ("initializer_cutoff_factor", Idle),
    ("intermediate_size", Decides),
    ("is_causal", NO),
    ("is_decoder", NO),
    ("layer_norm_eps", Idle),
    ("layer_types", Decides),
    ("local_attention", Decides),
    ("local_rope_theta", Decides),
    ("max_position_embeddings", Decides),
    ("mlp_bias", Decides),
    ("mlp_dropout", Idle),
    ("norm_bias", Decides),
    ("norm_eps", Decides),
    ("num_attention_heads", Decides),
    ("num_hidden_layers", Decides),
    // Positions are rotary whatever it says.
    ("position_embedding_type", Idle),
    ("reference_compile", Idle),
    ("repad_logits_with_grad", Idle),
    ("rope_parameters", Decides),
    ("rope_scaling", Only(&[])),
    ("sparse_pred_ignore_index", Idle),
    ("sparse_prediction", Idle),
    ("tie_word_embeddings", Idle),
    ("tokenizer_class", Decides),
    ("use_bidirectional_attention", Only(&["true"])),
    ("vocab_size", Decides),
];

/// Of all decoders.
const DECODER: &[Key] = &[
    ("attention_dropout", Idle),
    ("head_dim", Decides),
    ("hidden_act", Only(&["\"silu\""])),
    ("hidden_size", Decides),
    ("intermediate_size", Decides),
    ("is_causal", Decides),
    // They are decoders whatever it says.
    ("is_decoder", Idle),
    ("max_position_embeddings", Decides),
    ("num_attention_heads", Decides),
    ("num_hidden_layers", Decides),
    ("num_key_value_heads", Decides),
    ("rms_norm_eps", Decides),
    ("rope_parameters", Decides),
    ("rope_scaling", Decides),
    ("rope_theta", Decides),
    // Only of the language model's output.
    ("tie_word_embeddings", Decides),
    // Their special tokens are those of tokenizer_config.json, whatever the class.
    ("tokenizer_class", Idle),
    ("use_bidirectional_attention", NO),
    ("vocab_size", Decides),
];

const LLAMA: &[Key] = &[
    ("attention_bias", Decides),
    // Where the file was converted from (SmolLM).
    ("is_llama_config", Idle),
    ("mlp_bias", NO),
    // Sums in slices, which are the same sums.
    ("pretraining_tp", Idle),
    ("rope_interleaved", NO),
    ("use_sliding_window", NO),
    ("layer_types", Decides),
];

/// Of Qwen2 and Qwen3. Windows are used only where `use_sliding_window` or `layer_types` ask for them.
const QWEN: &[Key] = &[
    ("layer_types", Decides),
    ("max_window_layers", Idle),
    ("mlp_bias", NO),
    ("sliding_window", Idle),
    ("use_mrope", NO),
    ("use_sliding_window", NO),
];

/// Queries, keys and values always have one.
const QWEN2: &[Key] = &[("attention_bias", Idle)];

const QWEN3: &[Key] = &[("attention_bias", Decides)];

/// The keys of config.json that are known for a family, by its `model_type`.
pub fn of_family(model_type: &str) -> Option<Keys> {
    Some(match model_type {
        "bert" => Keys(&[COMMON, LEARNED_POSITIONS, BERT_LIKE, ANY_PADDING]),
        "roberta" | "xlm-roberta" => Keys(&[COMMON, LEARNED_POSITIONS, BERT_LIKE, FROM_PADDING]),
        "distilbert" => Keys(&[COMMON, LEARNED_POSITIONS, DISTIL_BERT, ANY_PADDING]),
        "modernbert" => Keys(&[COMMON, MODERN_BERT, ANY_PADDING]),
        "llama" => Keys(&[COMMON, DECODER, LLAMA, ANY_PADDING]),
        "qwen2" => Keys(&[COMMON, DECODER, QWEN, QWEN2, ANY_PADDING]),
        "qwen3" => Keys(&[COMMON, DECODER, QWEN, QWEN3, ANY_PADDING]),
        _ => return None,
    })
}

/// Keys of `rope_parameters` or `rope_scaling` of a decoder.
pub const ROPE: Keys = Keys(&[&[
    ("factor", Decides),
    ("high_freq_factor", Decides),
    ("low_freq_factor", Decides),
    ("original_max_position_embeddings", Decides),
    ("partial_rotary_factor", Only(&["1"])),
    ("rope_theta", Decides),
    ("rope_type", Decides),
    ("type", Decides),
]]);

/// Keys of `rope_parameters` of one kind of layer of ModernBERT.
pub const PLAIN_ROPE: Keys = Keys(&[&[
    ("partial_rotary_factor", Only(&["1"])),
    ("rope_theta", Decides),
    ("rope_type", Only(&["\"default\""])),
    ("type", Only(&["\"default\""])),
]]);
