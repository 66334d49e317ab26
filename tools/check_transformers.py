"""Does transformers read a plain model folder (no modules.json) as Revela does?

    pip install torch transformers
    revela model embed --encoder DIR --input TEXTS.jsonl --kind passage --out VECTORS.npy
    python tools/check_transformers.py DIR TEXTS.jsonl VECTORS.npy --pooling mean --prefix 'passage: '

Loads the folder with AutoModel, pools and normalises the last hidden states, and compares. Fails also where the
folder lacks a tensor (a pooler apart) or has one that the model does not know.
"""

import argparse
import sys

import numpy as np
import torch
import transformers

from compare import finish, read_texts

POOLINGS = {"mean": lambda rows: rows.mean(0), "cls": lambda rows: rows[0], "last": lambda rows: rows[-1]}


def load(folder):
    model, found = transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, local_files_only=True
    )
    missing = [name for name in found["missing_keys"] if "pooler" not in name]
    if missing or found["unexpected_keys"] or found["mismatched_keys"]:
        sys.exit(f"the tensors do not fit: missing {missing}, unexpected {found['unexpected_keys']}, "
                 f"of another shape {found['mismatched_keys']}")  # fmt: skip
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("texts")
    parser.add_argument("vectors")
    parser.add_argument("--pooling", choices=POOLINGS, required=True)
    parser.add_argument("--prefix", default="", help="put before each text")
    parser.add_argument("--end", help="a token to append where the tokenizer does not")
    parser.add_argument("--max-length", type=int, help="tokens; by default what the tokenizer's files say")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    model = load(args.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.folder, local_files_only=True)
    limit = args.max_length or min(tokenizer.model_max_length, model.config.max_position_embeddings)
    end = [] if args.end is None else [tokenizer.convert_tokens_to_ids(args.end)]
    vectors = []
    for text in read_texts(args.texts):
        ids = tokenizer(args.prefix + text, truncation=True, max_length=limit - len(end))["input_ids"]
        ids += [] if ids[-1:] == end else end
        with torch.no_grad():
            rows = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(POOLINGS[args.pooling](rows), dim=0).numpy())
    finish(np.load(args.vectors), np.stack(vectors), args.tolerance, max_length=limit)


main()
