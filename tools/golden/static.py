"""Two tiny static encoders with their embeddings, as golden files.

    pip install torch transformers sentence-transformers safetensors
    python tools/golden/static.py

- static: as sentence-transformers 6 saves a StaticEmbedding with a Normalize after it, and a prompt for queries. Its
  tokenizer puts tokens around texts, which a static encoder leaves away.
- static-cut: as Model2Vec writes one: the table is called `embeddings` and stored as f16, a config.json of its own
  lies beside it, there is no Normalize; tokenizer.json cuts texts.

Beside each: cases.json (`texts`) and expected.safetensors, embeddings of the texts alone (`plain`), after the prompt
`query`, and as passages, for which there is no prompt, each `[texts, dimension]`.
"""

import json
import shutil

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

import tiny_tokenizers
from models import LENGTH, ROOT
from texts import CASES

PROMPTS = {"query": "query: "}
TEXTS = [case for case in CASES if case.strip()]


def empty(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def table(seed, rows, width):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def plain():
    folder = empty("static")
    tokenizer, _ = tiny_tokenizers.word_piece(LENGTH, size=250, lowercase=True)
    weights = table(21, tokenizer.get_vocab_size(), 12)
    first = StaticEmbedding(tokenizer, embedding_weights=weights.numpy())
    SentenceTransformer(modules=[first, Normalize()], prompts=PROMPTS).save(str(folder), create_model_card=False)
    return folder


def cut():
    folder = empty("static-cut")
    tokenizer, _ = tiny_tokenizers.word_piece(LENGTH, size=250, lowercase=True)
    tokenizer.enable_truncation(7)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file({"embeddings": table(22, tokenizer.get_vocab_size(), 10).half()}, str(folder / "model.safetensors"))
    write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=2))
    write("config.json", {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": 10, "normalize": False})
    write("modules.json", [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}])
    return folder


def embed(folder):
    # Where the table is stored as f16, its means are taken in f32.
    model = SentenceTransformer(str(folder), device="cpu").float()
    encode = lambda **options: torch.tensor(model.encode(TEXTS, convert_to_numpy=True, **options)).float().contiguous()
    query = {"prompt_name": "query"} if model.prompts.get("query") else {}
    found = {"plain": encode(), "query": encode(**query), "passage": encode()}
    save_file(found, str(folder / "expected.safetensors"))
    (folder / "cases.json").write_text(json.dumps({"texts": TEXTS}, ensure_ascii=False, indent=1))


for folder in (plain(), cut()):
    embed(folder)
    (folder / "README.md").unlink(missing_ok=True)
