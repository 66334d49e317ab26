"""Does sentence-transformers read a model folder as Revela does?

    pip install sentence-transformers
    revela model embed --encoder DIR --input TEXTS.jsonl --kind passage --out VECTORS.npy
    python tools/check_sentence_transformers.py DIR TEXTS.jsonl VECTORS.npy --kind passage

Embeds the texts with sentence-transformers and compares. Prints JSON; ends with 1 if any number differs by more
than 1e-4 or any cosine is under 0.99999. Vectors from `embed` have length 1, and so do those they are compared with.
"""

import argparse

import numpy as np
from sentence_transformers import SentenceTransformer

from compare import finish, read_texts

# A kind's prompt may stand under any of these names; none of them means no prompt.
NAMES = {"query": ["query"], "passage": ["passage", "document"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("texts")
    parser.add_argument("vectors")
    parser.add_argument("--kind", choices=NAMES, help="put the model's prompt for this kind before each text")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    model = SentenceTransformer(args.folder, device="cpu", local_files_only=True)
    names = [name for name in NAMES.get(args.kind, []) if model.prompts.get(name)]
    prompt = model.prompts[names[0]] if names else ""
    vectors = model.encode(read_texts(args.texts), prompt=prompt, normalize_embeddings=True, batch_size=16)
    finish(np.load(args.vectors), vectors, args.tolerance, prompt=prompt, max_seq_length=model.max_seq_length)


main()
