"""Two tiny sentence-transformers models with their embeddings, as golden files.

    pip install torch transformers sentence-transformers safetensors
    python tools/golden/sentence.py

- sentence-new: as sentence-transformers 6 saves it: mean pooling, a Dense layer with tanh, Normalize, prompts; the
  length limit stands in tokenizer_config.json.
- sentence-old: the layout of most published models (versions 2 to 5): flags for the pooling, `max_seq_length` and
  `do_lower_case` in sentence_bert_config.json; first token, a Dense layer without activation or bias, no Normalize.

Beside each model: cases.json (`texts`) and expected.safetensors with the embeddings of the texts alone (`plain`) and
after the prompts `query` and `passage`, each `[texts, dimension]`.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer

import tiny_tokenizers
from models import LENGTH, ROOT, edit_config, randomize, save, sizes
from texts import CASES

LIMIT = 24
PROMPTS = {"query": "query: ", "passage": "passage: "}


def base(folder, seed, lowercase):
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH, size=250, lowercase=lowercase)
    config = transformers.BertConfig(
        **sizes(hidden=16, heads=2, inner=24), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64
    )
    save(randomize(transformers.BertModel(config), seed), folder)
    tiny_tokenizers.write(folder, tokenizer, settings)


def random_dense(outputs, seed, **options):
    dense = Dense(16, outputs, **options)
    randomize(dense, seed)
    return dense


def empty(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def new():
    folder = empty("sentence-new")
    with tempfile.TemporaryDirectory() as source:
        base(Path(source), 11, lowercase=True)
        first = Transformer(source, max_seq_length=LIMIT)
    dense = random_dense(20, 12, activation_function=torch.nn.Tanh())
    modules = [first, Pooling(16, pooling_mode="mean"), dense, Normalize()]
    SentenceTransformer(modules=modules, prompts=PROMPTS).save(str(folder), create_model_card=False)
    return folder


def old():
    folder = empty("sentence-old")
    # A cased tokenizer, so that lower-casing before it is seen.
    base(folder, 13, lowercase=False)
    edit_config(folder, dtype=None)
    dense = random_dense(12, 14, bias=False, activation_function=torch.nn.Identity())
    write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=2))
    (folder / "1_Pooling").mkdir()
    (folder / "2_Dense").mkdir()
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    module = lambda i, path, kind: {
        "idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}",
    }  # fmt: skip
    write("modules.json", [module(i, path, kind) for i, (path, kind) in enumerate(kinds)])
    pooling = {f"pooling_mode_{kind}": kind == "cls_token" for kind in ("cls_token", "mean_tokens", "max_tokens")}
    write("1_Pooling/config.json", {"word_embedding_dimension": 16, **pooling})
    identity = "torch.nn.modules.linear.Identity"
    write(
        "2_Dense/config.json",
        {"in_features": 16, "out_features": 12, "bias": False, "activation_function": identity},
    )
    save_file({"linear.weight": dense.linear.weight.data}, folder / "2_Dense/model.safetensors")
    write("sentence_bert_config.json", {"max_seq_length": LIMIT, "do_lower_case": True})
    versions = {"sentence_transformers": "2.2.2", "transformers": "4.28.1", "pytorch": "2.0.0"}
    write("config_sentence_transformers.json", {"__version__": versions, "prompts": PROMPTS})
    return folder


def check_tokens(folder, model):
    """What was embedded must be what tokenizer.json says, of lower-cased text where asked for."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LIMIT)
    for text in CASES:
        ids = model.preprocess([text])["input_ids"][0].tolist()
        given = text.lower() if folder.name == "sentence-old" else text
        assert ids == tokenizer.encode(given).ids, text


def expected(folder):
    model = SentenceTransformer(str(folder), device="cpu")
    check_tokens(folder, model)
    embed = lambda **options: torch.from_numpy(model.encode(CASES, **options))
    vectors = {"plain": embed(), **{name: embed(prompt_name=name) for name in PROMPTS}}
    save_file({name: rows.contiguous() for name, rows in vectors.items()}, folder / "expected.safetensors")
    (folder / "cases.json").write_text(json.dumps({"texts": CASES}, indent=1, ensure_ascii=False) + "\n")
    length = vectors["plain"].norm(dim=1)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder.name}: {list(vectors['plain'].shape)}, lengths {length.min():.3f} to {length.max():.3f}, {size} bytes")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for make in (new, old):
        expected(make())
