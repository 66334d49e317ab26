"""What the encoders of this folder share: their flags, batches sorted by length, the clock and the report.

A peer is a class with `name`, `settings` (what it runs with) and `encode(ids, mask)` from two int64 matrices
`[texts, width]` to last hidden states `[texts, width, d]`, all numpy. Cutting into tokens, pooling and normalising are
part of the time measured; loading the model is not.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path


def arguments(description, **more):
    """Parses flags; also fixes the number of threads, so it must run before numpy or torch are imported."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder in sentence-transformers' layout, with mean pooling and Normalize")
    parser.add_argument("texts", help="JSON lines with `text`, and perhaps `title`")
    parser.add_argument("--batch", type=int, default=32, help="texts per batch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, help="only the first texts")
    parser.add_argument("--out", help="write the vectors as .npy")
    for flag, options in more.items():
        parser.add_argument(f"--{flag}", **options)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    return args


def read_texts(args):
    lines = [json.loads(line) for line in open(args.texts, encoding="utf-8") if line.strip()]
    texts = [" ".join(part for part in (line.get("title"), line["text"]) if part) for line in lines]
    return texts[: args.limit]


def read_tokenizer(folder):
    """tokenizer.json, cut to the model's max_seq_length and not padded."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"])
    return tokenizer


def encode_all(peer, tokenizer, texts, batch):
    """Vectors `[texts, d]` in the order of the texts."""
    import numpy as np

    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    vectors = None
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        padded = np.zeros((len(rows), len(ids[rows[0]])), np.int64)
        mask = np.zeros_like(padded)
        for at, row in enumerate(rows):
            padded[at, : len(ids[row])] = ids[row]
            mask[at, : len(ids[row])] = 1
        weights = mask.astype(np.float32)
        weights = weights / weights.sum(1, keepdims=True)
        means = (weights[:, None] @ peer.encode(padded, mask))[:, 0]
        if vectors is None:
            vectors = np.empty((len(ids), means.shape[1]), np.float32)
        vectors[rows] = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return vectors


def measure(args, peer, run=None):
    """Encodes a few texts to warm up, then all of them once, and prints JSON.

    `run(texts)` gives vectors; by default it goes through `encode_all`.
    """
    texts, tokenizer = read_texts(args), read_tokenizer(args.model)
    run = run or (lambda some: encode_all(peer, tokenizer, some, args.batch))
    run(texts[: 2 * args.batch])
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = run(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts))
    if args.out:
        import numpy as np

        np.save(args.out, vectors)
    report = {
        "peer": peer.name, "settings": peer.settings, "texts": len(texts), "tokens": tokens, "threads": args.threads,
        "batch": args.batch, "seconds": wall, "cpu_seconds": cpu, "texts_per_second": len(texts) / wall,
        "tokens_per_second": tokens / wall,
        "peak_memory_bytes": peak,
    }  # fmt: skip
    json.dump(report, sys.stdout, indent=1)
    print()
