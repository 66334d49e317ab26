"""Cuts real texts into pieces of about 64 tokens, whose vectors searches are measured on.

    python benches/peers/text_pieces.py BASE.jsonl QUERIES.jsonl COUNT SOURCE [SOURCE ..]
    revela model embed --encoder MODEL --input BASE.jsonl --kind passage --out BASE.npy [--matmul bf16]

A source is a corpus in BEIR's layout or a folder of .rs and .md files. COUNT pieces become the base, 1,000 others
queries: drawn from all sources, equal texts once.
"""

import json
import pathlib
import random
import re
import sys

WORDS = 36


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


def write(path, pieces):
    with open(path, "w", encoding="utf-8") as out:
        for number, text in enumerate(pieces):
            print(json.dumps({"_id": str(number), "text": text}), file=out)


def main():
    base, queries, count, *sources = sys.argv[1:]
    everything = sorted(set(pieces(sources)))
    random.Random(0).shuffle(everything)
    write(queries, everything[:1000])
    write(base, everything[1000 : 1000 + int(count)])
    print(len(everything), "pieces, of which", min(int(count), len(everything) - 1000), "are the base")


main()
