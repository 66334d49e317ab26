"""What tests share: an encoder, documents, collections, and the program to compare with."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import revela

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS: list[dict[str, Any]] = [
    {"id": "fs", "title": "Files", "text": "Read a file line by line.", "metadata": {"kind": "io", "year": 2020}},
    {"id": "net", "text": "Open a socket and listen for connections.", "metadata": {"kind": "io", "year": 2022}},
    {"id": "db", "text": "Run a query against a database.", "metadata": {"kind": "data", "year": 2021}},
    {"id": "sort", "text": "Sort a list of numbers in place.", "metadata": {"kind": "algorithm", "year": 2024}},
    {"id": "hash", "text": "Look a key up in a hash table.", "metadata": {"kind": "algorithm", "year": 2019}},
]


@pytest.fixture(scope="session")
def encoder_path() -> Path:
    """all-MiniLM-L6-v2 in sentence-transformers' layout; `REVELA_MINILM_DIR` says where."""
    path = os.environ.get("REVELA_MINILM_DIR")
    if not path:
        pytest.skip("REVELA_MINILM_DIR is not set")
    return Path(path)


@pytest.fixture(scope="session")
def encoder(encoder_path: Path) -> revela.Encoder:
    return revela.Encoder(encoder_path)


@pytest.fixture
def documents() -> list[dict[str, Any]]:
    return [dict(document) for document in DOCUMENTS]


@pytest.fixture
def words(tmp_path: Path, documents: list[dict[str, Any]]) -> revela.Collection:
    """Texts without vectors."""
    return revela.Collection.build(tmp_path / "words", documents)


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((2000, 32), dtype=np.float32)


@pytest.fixture
def numbers(tmp_path: Path, rows: np.ndarray) -> revela.Collection:
    """Vectors without texts."""
    return revela.Collection.build(tmp_path / "numbers", vectors=rows)


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Runs the program and gives back what it printed."""
    path = Path(os.environ.get("REVELA_PROGRAM", ROOT / "target" / "debug" / "revela"))
    if not path.exists():
        pytest.skip(f"{path} is not built")

    def run(*arguments: Any) -> str:
        done = subprocess.run([path, "--quiet", *map(str, arguments)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def tests_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with judgements, in BEIR's layout."""
    folder = tmp_path_factory.mktemp("beir")
    (folder / "qrels").mkdir()
    with open(folder / "corpus.jsonl", "w") as file:
        for document in DOCUMENTS:
            line = {"_id": document["id"], "title": document.get("title", ""), "text": document["text"]}
            file.write(json.dumps(line) + "\n")
    queries = {"q1": "how to read lines of a file", "q2": "listen on a socket", "q3": "sorting numbers"}
    with open(folder / "queries.jsonl", "w") as file:
        for id, text in queries.items():
            file.write(json.dumps({"_id": id, "text": text}) + "\n")
    judged = "query-id\tcorpus-id\tscore\nq1\tfs\t1\nq2\tnet\t1\nq3\tsort\t2\nq3\thash\t1\n"
    (folder / "qrels" / "test.tsv").write_text(judged)
    return folder
