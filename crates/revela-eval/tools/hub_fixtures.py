"""Writes tests/fixtures/: tiny data sets in the layouts of the Hugging Face hub.

    python -m venv venv && venv/bin/pip install pyarrow
    venv/bin/python tools/hub_fixtures.py

The texts are made up. pyarrow writes the Parquet files as the hub's own tools do: Snappy or Zstandard,
several row groups, lists of strings.
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def write(path, columns, compression="snappy", group=None):
    path = OUT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression=compression, row_group_size=group)


def documents(first, last):
    numbers = range(first, last)
    return {
        "_id": [f"d{n}" for n in numbers],
        "partition": ["train"] * len(numbers),
        "title": ["" if n % 2 else f"title {n}" for n in numbers],
        "text": [f"def function_{n}(): return {n}  # ünï" for n in numbers],
        "meta_information": pa.array([{"url": str(n)} for n in numbers]),
    }


def coir():
    """CoIR: parts of the corpus, `queries` of all splits, judgements under `data`."""
    write("coir/corpus/corpus-00000-of-00002.parquet", documents(0, 7), group=3)
    write("coir/corpus/corpus-00001-of-00002.parquet", documents(7, 10), "zstd")
    queries = {"_id": ["q1", "q2", "q3"], "partition": ["test", "test", "train"], "text": ["one", "two", "three"]}
    write("coir/queries/queries-00000-of-00001.parquet", queries)
    test = {"query-id": ["q1", "q2", "q2"], "corpus-id": ["d1", "d2", "d9"], "score": [1, 1, 2]}
    write("coir/data/test-00000-of-00001.parquet", test)
    train = {"query-id": ["q3"], "corpus-id": ["d3"], "score": [1]}
    write("coir/data/train-00000-of-00001.parquet", train)


def numbered():
    """Ids as whole numbers, `id` for `_id`, grades as fractions, every part by split, one subset."""
    for split, first in (("test", 0), ("dev", 100)):
        ids = list(range(first, first + 5))
        write(f"numbered/go-corpus/{split}-00000-of-00001.parquet", {"id": ids, "text": [f"text {i}" for i in ids]}, "zstd")
        write(f"numbered/go-queries/{split}-00000-of-00001.parquet", {"id": [7], "text": [f"{split}?"]})
        judged = {"query_id": [7, 7], "corpus_id": ids[:2], "score": [1.0, 2.0]}
        write(f"numbered/go-qrels/{split}-00000-of-00001.parquet", judged)


def bright():
    """BRIGHT: a domain a split, excluded ids, a long setting."""
    texts = pa.table({"id": ["a/1.txt", "a/2.txt", "b/1.txt"], "content": ["first", "second", "third"]})
    long = pa.table({"id": ["a", "b"], "content": ["first second", "third"]})
    strings = pa.list_(pa.string())
    examples = pa.table({
        "query": ["why?", "how?"],
        "reasoning": ["because", "so"],
        "id": ["0", "1"],
        "excluded_ids": pa.array([["N/A"], ["b/1.txt"]], strings),
        "gold_ids_long": pa.array([["a"], ["a"]], strings),
        "gold_ids": pa.array([["a/1.txt", "a/2.txt"], ["a/2.txt"]], strings),
        "gold_answer": ["yes", "no"],
    })
    for folder, table in (("documents", texts), ("long_documents", long), ("examples", examples)):
        (OUT / "bright" / folder).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, OUT / "bright" / folder / "biology-00000-of-00001.parquet")


if __name__ == "__main__":
    coir()
    numbered()
    bright()
