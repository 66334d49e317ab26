"""Makes tiny random models of every family with transformers, and what they compute, as golden files.

    pip install torch transformers tokenizers sentencepiece safetensors
    python tools/golden/models.py [FAMILY ..]

Each folder under crates/revela-model/tests/golden is a model folder in the form in which the family is published
(names, prefixes, unused heads, older keys of config.json), plus

- cases.json: `max_length`, and per case `text` and `ids`;
- expected.safetensors: `hidden` `[all ids, d]`, the last hidden states of the cases one after another, and the
  vectors `mean`, `cls`, `last` `[cases, d]`, each of length 1.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers.utils import logging
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import tiny_tokenizers
from texts import CASES

ROOT = Path(__file__).resolve().parents[2] / "crates/revela-model/tests/golden"
LENGTH = 48


def randomize(model, seed):
    """Weights large enough that attention is uneven and every bias and scale matters."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda shape, scale: torch.randn(shape, generator=generator) * scale
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif value.ndim == 1:
                value.copy_(normal(value.shape, 0.2))
            elif "embed" in name or "tok_" in name:
                value.copy_(normal(value.shape, 0.6))
            else:
                value.copy_(normal(value.shape, 1.3 / value.shape[1] ** 0.5))
    return model.eval()


def save(model, folder, shard="1GB"):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        if old.is_file():
            old.unlink()
    model.save_pretrained(folder, max_shard_size=shard)


def edit_config(folder, **changes):
    """Sets keys of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    config = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(config, indent=1) + "\n")


def edit_tensors(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def sizes(hidden=32, layers=2, heads=4, inner=56):
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


def bert(folder):
    """As all-MiniLM-L6-v2: no prefix, a pooler that nothing uses, a buffer of positions among the tensors."""
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH)
    config = transformers.BertConfig(
        **sizes(), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, layer_norm_eps=1e-12
    )
    save(randomize(transformers.BertModel(config), 1), folder)
    positions = torch.arange(64).unsqueeze(0)
    edit_tensors(folder, lambda t: {**t, "embeddings.position_ids": positions})
    edit_config(folder, position_embedding_type="absolute", dtype=None)
    return tokenizer, settings


def bert_old_names(folder):
    """As bert-base-uncased: prefix `bert.`, `cls.` heads, norms named gamma and beta; and a tanh form of GELU."""
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH)
    config = transformers.BertConfig(
        **sizes(hidden=24, heads=3), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH,
        hidden_act="gelu_new", layer_norm_eps=1e-3,
    )  # fmt: skip
    save(randomize(transformers.BertForPreTraining(config), 2), folder)
    older = lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    edit_tensors(folder, lambda t: {older(name): value for name, value in t.items()})
    edit_config(folder, dtype=None, architectures=["BertForMaskedLM"], layer_norm_eps=1e-3)
    return tokenizer, settings


def roberta(folder):
    """As roberta-base: prefix `roberta.`, an `lm_head`, no pooler; positions begin at 2."""
    tokenizer, settings = tiny_tokenizers.roberta(LENGTH)
    config = transformers.RobertaConfig(
        **sizes(hidden=24, heads=3, inner=40), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH + 2, type_vocab_size=1,
        layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    save(randomize(transformers.RobertaForMaskedLM(config), 3), folder)
    edit_config(folder, dtype=None)
    return tokenizer, settings


def xlm_roberta(folder):
    """As the multilingual embedding models: no prefix, with a pooler."""
    tokenizer, settings = tiny_tokenizers.xlm_roberta(LENGTH)
    config = transformers.XLMRobertaConfig(
        **sizes(inner=40), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH + 2, type_vocab_size=1,
        layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    save(randomize(transformers.XLMRobertaModel(config), 4), folder)
    edit_config(folder, dtype=None, position_embedding_type="absolute", torch_dtype="float32")
    return tokenizer, settings


def distilbert(folder):
    """As distilbert-base-uncased: prefix `distilbert.`, `vocab_*` heads, no token types, sizes under other names."""
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH)
    config = transformers.DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, dim=32, n_layers=2, n_heads=4, hidden_dim=56
    )
    save(randomize(transformers.DistilBertForMaskedLM(config), 5), folder)
    edit_config(folder, dtype=None, tie_weights_=True)
    settings["tokenizer_class"] = "DistilBertTokenizer"
    return tokenizer, settings


def modernbert(folder):
    """As ModernBERT-base: prefix `model.`, `head.` and `decoder.`; layers 0 and 3 attend to all, 1 and 2 to 4 tokens
    on each side; no biases. Both rotary bases in the older keys."""
    tokenizer, settings = tiny_tokenizers.modernbert(LENGTH)
    id_of = tokenizer.token_to_id
    config = transformers.ModernBertConfig(
        **sizes(hidden=24, layers=4, heads=3, inner=28), vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64, global_attn_every_n_layers=3, local_attention=8, pad_token_id=id_of("[PAD]"),
        cls_token_id=id_of("[CLS]"), sep_token_id=id_of("[SEP]"), bos_token_id=id_of("[CLS]"),
        eos_token_id=id_of("[SEP]"),
    )  # fmt: skip
    save(randomize(transformers.ModernBertForMaskedLM(config), 6), folder)
    edit_config(
        folder, dtype=None, layer_types=None, rope_parameters=None, global_rope_theta=160000.0, local_rope_theta=100.0,
        global_attn_every_n_layers=3, position_embedding_type="absolute", torch_dtype="float32",
    )  # fmt: skip
    return tokenizer, settings


LLAMA3 = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 16,
    "rope_type": "llama3",
}


def llama(folder, shard="1GB", tied=False):
    """As Llama 3.2 (prefix `model.`, stretched rotary frequencies in the older keys), untied and so with `lm_head`."""
    tokenizer, settings = tiny_tokenizers.llama3(LENGTH)
    config = transformers.LlamaConfig(
        **sizes(hidden=24, inner=40), num_key_value_heads=2, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64,
        rms_norm_eps=1e-5, bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"), tie_word_embeddings=tied,
        eos_token_id=tokenizer.token_to_id("<|end_of_text|>"),
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    save(randomize(model, 7), folder, shard)
    edit_config(folder, dtype=None, rope_parameters=None, rope_theta=500.0, rope_scaling=LLAMA3, torch_dtype="float32")
    return tokenizer, settings


def qwen2(folder):
    """As Qwen2.5: tied, biases on queries, keys and values; more embeddings than tokens; in shards; its tokenizer
    names no length limit."""
    tokenizer, settings = tiny_tokenizers.qwen(1e30)
    config = transformers.Qwen2Config(
        **sizes(inner=40), num_key_value_heads=2, vocab_size=tokenizer.get_vocab_size() + 9, max_position_embeddings=LENGTH,
        rms_norm_eps=1e-6, tie_word_embeddings=True,
    )  # fmt: skip
    save(randomize(transformers.Qwen2ForCausalLM(config), 8), folder, shard="60KB")
    older = {"dtype": None, "layer_types": None, "rope_parameters": None, "rope_theta": 1000.0}
    edit_config(folder, **older, use_sliding_window=False, sliding_window=16, max_window_layers=1)
    return tokenizer, settings


def qwen3(folder):
    """As Qwen3-Embedding: no prefix, no `lm_head`, heads wider than hidden / heads, norms of queries and keys."""
    tokenizer, settings = tiny_tokenizers.qwen(LENGTH, appends_end=True)
    config = transformers.Qwen3Config(
        **sizes(inner=32), num_key_value_heads=2, head_dim=12, vocab_size=tokenizer.get_vocab_size() + 3,
        max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 2000.0},
    )  # fmt: skip
    save(randomize(transformers.Qwen3Model(config), 9), folder)
    settings["padding_side"] = "left"
    return tokenizer, settings


FAMILIES = {
    "bert": bert,
    "bert-old-names": bert_old_names,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "distilbert": distilbert,
    "modernbert": modernbert,
    "llama": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
}


def token_ids(folder, max_length):
    """Ids by tokenizer.json alone, cut to max_length with the special tokens kept."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return [tokenizer.encode(text).ids for text in CASES]


def hidden_states(model, ids, side):
    """Of one padded batch; each sequence alone must give the same."""
    width = max(map(len, ids))
    # A padding id that a position offset of RoBERTa knows; elsewhere any id does.
    pad = model.config.pad_token_id if model.config.pad_token_id is not None else 0
    before = [width - len(row) if side == "left" else 0 for row in ids]
    padded = torch.full((len(ids), width), pad)
    mask = torch.zeros_like(padded)
    for row, start, sequence in zip(range(len(ids)), before, ids):
        padded[row, start : start + len(sequence)] = torch.tensor(sequence)
        mask[row, start : start + len(sequence)] = 1
    with torch.no_grad():
        states = model(input_ids=padded, attention_mask=mask).last_hidden_state
        rows = [states[i, start : start + len(s)] for i, (start, s) in enumerate(zip(before, ids))]
        for row, sequence in zip(rows, ids):
            alone = model(input_ids=torch.tensor([sequence])).last_hidden_state[0]
            assert torch.allclose(row, alone, atol=2e-5), (row - alone).abs().max()
    return [row.contiguous() for row in rows]


def expected(folder, model, side="right", max_length=LENGTH):
    """Writes cases.json and expected.safetensors."""
    pairs = [(text, ids) for text, ids in zip(CASES, token_ids(folder, max_length)) if ids]
    rows = hidden_states(model, [ids for _, ids in pairs], side)
    unit = lambda vectors: torch.nn.functional.normalize(torch.stack(vectors), dim=1)
    tensors = {
        "hidden": torch.cat(rows),
        "mean": unit([row.mean(0) for row in rows]),
        "cls": unit([row[0] for row in rows]),
        "last": unit([row[-1] for row in rows]),
    }
    save_file(tensors, folder / "expected.safetensors")
    cases = [{"text": text, "ids": ids} for text, ids in pairs]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "cases.json").write_text(f'{{"max_length": {max_length}, "cases": [\n{lines}\n]}}\n')
    return tensors["hidden"]


def check_tokenizer(folder):
    """Says where transformers' own tokenizer class gives other ids than tokenizer.json."""
    cases = json.loads((folder / "cases.json").read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for case in cases["cases"]:
        ids = tokenizer(case["text"], truncation=True, max_length=cases["max_length"])["input_ids"]
        if ids != case["ids"]:
            print(f"{folder.name}: {type(tokenizer).__name__} differs on {case['text']!r}\n {ids}\n {case['ids']}")


def make(name):
    folder = ROOT / name
    tokenizer, settings = FAMILIES[name](folder)
    tiny_tokenizers.write(folder, tokenizer, settings)
    model, loading = transformers.AutoModel.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not loading["missing_keys"] or all("pooler" in key for key in loading["missing_keys"]), loading
    hidden = expected(folder, model, settings.get("padding_side", "right"))
    check_tokenizer(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{name}: hidden {list(hidden.shape)}, std {hidden.std():.3f}, {size / 1000:.0f} kB")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for family in sys.argv[1:] or FAMILIES:
        make(family)
