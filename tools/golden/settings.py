"""What sentence-transformers computes when one setting of a folder is another, as a golden file.

    pip install torch transformers sentence-transformers safetensors
    python tools/golden/settings.py

Each row takes a tiny model of tests/golden, changes files of it, and embeds a few texts. Writes
crates/revela-model/tests/golden/settings.json: `texts`, and per row `name`, `base`, `edits` (per file: `set` keys,
`write` a whole document, `delete`), `metric`, and the vectors `query` and `passage`, `[texts, dimension]` each.

`query` are those of `encode_query` where the folder names a prompt for queries, else those of `encode`, which puts the
default prompt before texts; `passage` likewise with `encode_document`.
"""

import json
import shutil
import tempfile
from pathlib import Path

import transformers
from sentence_transformers import SentenceTransformer, __version__

from models import ROOT

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Où est l'élève? ÜBER die Brücke",
    "東京 の 天気 sun",
    "moon moon, " * 40 + "the end is what is cut off",
]

KIND = "sentence_transformers.models."
BERT = "sentence-old"


def modules(*kinds):
    """modules.json for these modules after the transformer, each in the folder of the base that it has."""
    folders = {"Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "9_Normalize"}
    paths = [("Transformer", "")] + [(kind, folders[kind]) for kind in kinds]
    return [{"idx": i, "name": str(i), "path": path, "type": KIND + kind} for i, (kind, path) in enumerate(paths)]


def pooled(mode, **changes):
    """A decoder without sentence-transformers' files gets them."""
    return {
        "modules.json": {"write": modules("Pooling", "Normalize")},
        "1_Pooling/config.json": {"write": {"embedding_dimension": 0, "pooling_mode": mode}},
        "config_sentence_transformers.json": {"write": {"prompts": {}}},
        "config.json": {"set": changes},
    }


def prompts(prompts, **more):
    return {"config_sentence_transformers.json": {"write": {"prompts": prompts, **more}}}


def length(**settings):
    return {"sentence_bert_config.json": {"write": settings}}


NAMED = {"s2p": "query: the sun "}
LIMIT = {"tokenizer_config.json": {"set": {"model_max_length": 20}}}

ROWS = [
    ("prompts: query and document", BERT, prompts({"query": "the sun ", "document": "a moon "})),
    ("prompts: passage beside an empty document", BERT, prompts({"query": "", "passage": "a moon ", "document": ""})),
    ("default_prompt_name", BERT, prompts(NAMED, default_prompt_name="s2p")),
    ("default_prompt_name beside a prompt for queries", BERT, prompts({**NAMED, "query": ""}, default_prompt_name="s2p")),
    ("similarity_fn_name: none", BERT, prompts({})),
    ("similarity_fn_name: cosine", BERT, prompts({}, similarity_fn_name="cosine")),
    ("similarity_fn_name: dot", BERT, prompts({}, similarity_fn_name="dot")),
    ("max_seq_length", BERT, length(max_seq_length=12)),
    ("max_seq_length before model_max_length", BERT, {**length(max_seq_length=30), **LIMIT}),
    ("max_seq_length above the tokenizer file's cut", BERT, length(max_seq_length=40)),
    ("model_max_length where no length is stated", BERT, {**length(do_lower_case=False), **LIMIT}),
    ("model_max_length without any file of lengths", BERT, {"sentence_bert_config.json": {"delete": True}, **LIMIT}),
    ("no length anywhere", BERT, {**length(do_lower_case=False), "tokenizer_config.json": {"set": {"model_max_length": None}}}),
    ("an older name of the file of lengths", BERT, {
        "sentence_bert_config.json": {"delete": True}, "sentence_xlnet_config.json": {"write": {"max_seq_length": 9}}}),
    ("two files of lengths", BERT, {
        **length(max_seq_length=15), "sentence_roberta_config.json": {"write": {"max_seq_length": 9}}}),
    ("do_lower_case of the file of lengths", BERT, length(max_seq_length=24, do_lower_case=True)),
    ("do_lower_case of tokenizer_config.json", BERT, {
        **length(max_seq_length=24), "tokenizer_config.json": {"set": {"do_lower_case": True}}}),
    ("do_lower_case false of tokenizer_config.json", "sentence-new", {"tokenizer_config.json": {"set": {"do_lower_case": False}}}),
    ("do_lower_case not said", BERT, {**length(max_seq_length=24), "tokenizer_config.json": {"set": {"do_lower_case": None}}}),
    ("strip_accents", "sentence-new", {"tokenizer_config.json": {"set": {"strip_accents": False}}}),
    ("tokenize_chinese_chars", "sentence-new", {"tokenizer_config.json": {"set": {"tokenize_chinese_chars": False}}}),
    ("tokenizer_class of config.json: another class", BERT, {
        **length(max_seq_length=24), "config.json": {"set": {"tokenizer_class": "PreTrainedTokenizerFast"}},
        "tokenizer_config.json": {"set": {"tokenizer_class": None, "do_lower_case": True}}}),
    ("tokenizer_class of config.json: BERT's class", BERT, {
        **length(max_seq_length=24), "tokenizer_config.json": {"set": {"tokenizer_class": None, "do_lower_case": True}},
        "config.json": {"set": {"model_type": "roberta", "pad_token_id": 0, "tokenizer_class": "BertTokenizer"}}}),
    ("modules: Normalize, Dense", BERT, {"modules.json": {"write": modules("Pooling", "Normalize", "Dense")}}),
    ("modules: Dense, Normalize", BERT, {"modules.json": {"write": modules("Pooling", "Dense", "Normalize")}}),
    ("modules: Normalize, Dense, Normalize", BERT, {"modules.json": {"write": modules("Pooling", "Normalize", "Dense", "Normalize")}}),
    ("modules: Dense alone", BERT, {"modules.json": {"write": modules("Pooling", "Dense")}}),
    ("pooling_mode: cls", BERT, {"1_Pooling/config.json": {"write": {"embedding_dimension": 16, "pooling_mode": "cls"}}}),
    ("pooling_mode: lasttoken", BERT, {"1_Pooling/config.json": {"write": {"embedding_dimension": 16, "pooling_mode": "lasttoken"}}}),
    ("pooling_mode_mean_tokens", BERT, {"1_Pooling/config.json": {"write": {
        "word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}}}),
    ("pooling: nothing said", BERT, {"1_Pooling/config.json": {"write": {"word_embedding_dimension": 16}}}),
    ("activation_function: ReLU", BERT, {"2_Dense/config.json": {"set": {"activation_function": "torch.nn.modules.activation.ReLU"}}}),
    ("activation_function: GELU", BERT, {"2_Dense/config.json": {"set": {"activation_function": "torch.nn.modules.activation.GELU"}}}),
    ("activation_function not said", BERT, {"2_Dense/config.json": {"set": {"activation_function": None}}}),
    ("layer_norm_eps", BERT, {"config.json": {"set": {"layer_norm_eps": 0.1}}}),
    ("hidden_act", BERT, {"config.json": {"set": {"hidden_act": "relu"}}}),
    ("is_causal: qwen3", "qwen3", pooled("mean", is_causal=False)),
    ("is_causal: qwen2", "qwen2", pooled("lasttoken", is_causal=False)),
    ("is_causal: llama", "llama", pooled("mean", is_causal=False)),
    ("an end by the last step alone: qwen3", "qwen3", pooled("lasttoken")),
    ("no end token: qwen2", "qwen2", pooled("lasttoken")),
    ("no end token: llama", "llama", pooled("lasttoken")),
    ("add_eos_token false: qwen3", "qwen3", {
        **pooled("lasttoken"), "tokenizer_config.json": {"set": {"add_eos_token": False, "add_bos_token": False}}}),
    ("rope_theta", "qwen2", pooled("mean", rope_theta=77.0)),
    ("rope_theta not said", "qwen2", pooled("mean", rope_theta=None)),
    ("rms_norm_eps", "qwen2", pooled("mean", rms_norm_eps=0.3)),
    ("rope_scaling", "llama", pooled("mean", rope_scaling=None)),
    ("local_rope_theta not said", "modernbert", pooled("mean", local_rope_theta=None)),
    ("global_rope_theta not said", "modernbert", pooled("mean", global_rope_theta=None)),
    ("local_attention", "modernbert", pooled("mean", local_attention=4)),
    ("global_attn_every_n_layers", "modernbert", pooled("mean", global_attn_every_n_layers=2)),
    ("layer_types", "modernbert", pooled("mean", layer_types=["sliding_attention"] * 3 + ["full_attention"])),
    ("hidden_activation", "modernbert", pooled("mean", hidden_activation="silu")),
    ("norm_eps", "modernbert", pooled("mean", norm_eps=0.2)),
]  # fmt: skip


def apply(folder, edits):
    for name, edit in edits.items():
        path = folder / name
        if edit.get("delete"):
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        document = edit["write"] if "write" in edit else json.loads(path.read_text())
        for key, value in edit.get("set", {}).items():
            document.pop(key, None)
            if value is not None:
                document[key] = value
        path.write_text(json.dumps(document))


def row(name, base, edits):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        shutil.copytree(ROOT / base, folder)
        apply(folder, edits)
        model = SentenceTransformer(str(folder), device="cpu")
        if model.tokenizer.pad_token is None:
            model.tokenizer.pad_token = model.tokenizer.eos_token
        path = folder / "config_sentence_transformers.json"
        named = json.loads(path.read_text()).get("prompts", {}) if path.exists() else {}
        passage = next((n for n in ("document", "passage", "corpus") if named.get(n)), None)
        call = dict(batch_size=1)
        query = model.encode_query(TEXTS, **call) if "query" in named else model.encode(TEXTS, **call)
        if passage is not None:
            document = model.encode(TEXTS, prompt_name=passage, **call)
        elif {"document", "passage", "corpus"} & set(named):
            document = model.encode_document(TEXTS, **call)
        else:
            document = model.encode(TEXTS, **call)
        plain = lambda rows: [[round(float(x), 6) for x in vector] for vector in rows]
        return {"name": name, "base": base, "edits": edits, "metric": model.similarity_fn_name,
                "query": plain(query), "passage": plain(document)}  # fmt: skip


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rows = [row(*entry) for entry in ROWS]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in rows)
    versions = {"sentence_transformers": __version__, "transformers": transformers.__version__}
    head = json.dumps({"versions": versions, "texts": TEXTS}, ensure_ascii=False)[:-1]
    (ROOT / "settings.json").write_text(f'{head}, "rows": [\n{lines}\n]}}\n')
    print(len(rows), "rows")
