"""Texts to vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import numpy as np

from . import _revela
from ._arrays import Vectors, as_float32, from_bytes
from ._progress import bars

Text = Union[str, Sequence[str]]

# What sentence-transformers calls the two sides of retrieval.
_NAMES = {"query": "query", "passage": "passage", "document": "passage", "corpus": "passage"}


class Encoder:
    """An encoder: a folder in sentence-transformers' layout (Revela's are), a PEFT adapter's, or a name on the hub.

    `device` is cpu or, where the extension was built so, cuda:N. `matmul` is f32, or bf16, which is faster where the
    processor has AVX-512 BF16. `dtype` is how weights are kept: f32 or bf16. `threads` is how many threads embed;
    None is one per core. An encoder is pickled by its path, and opened again where it is unpickled.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        device: str = "cpu",
        matmul: Literal["f32", "bf16"] = "f32",
        threads: Optional[int] = None,
        *,
        dtype: Literal["f32", "bf16"] = "f32",
    ) -> None:
        path = Path(path)
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}, but at least 1 is needed; None is one per core")
        self._inner = _revela.Encoder(path, device, matmul, dtype, threads or 0)
        # Another process may stand in another folder.
        self._arguments = (str(path.absolute() if path.exists() else path), device, matmul, threads, dtype)

    def __reduce__(self) -> Any:
        return _open, self._arguments

    def __repr__(self) -> str:
        return f"Encoder({self.path!r}, dimension={self.dimension}, max_seq_length={self.max_seq_length})"

    @property
    def path(self) -> str:
        """Where it was opened."""
        return self._arguments[0]

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        return self._inner.dimension

    def get_sentence_embedding_dimension(self) -> int:
        """Length of its vectors."""
        return self._inner.dimension

    @property
    def max_seq_length(self) -> int:
        """Longest sequence in tokens, special ones included; longer texts are cut at the end."""
        return self._inner.max_length

    @property
    def prompts(self) -> dict[str, str]:
        """What is put before queries and documents."""
        query, passage = self._inner.prompts
        return {"query": query, "document": passage}

    @property
    def similarity_fn_name(self) -> str:
        """By which similarity its vectors are compared: cosine or dot."""
        return self._inner.metric

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could get another vector."""
        return self._inner.fingerprint

    def encode(
        self,
        texts: Text,
        prompt_name: Optional[str] = None,
        batch_size: int = 32,
        normalize_embeddings: Optional[bool] = None,
        truncate_dim: Optional[int] = None,
        show_progress_bar: Optional[bool] = None,
        *,
        prompt: Optional[str] = None,
    ) -> Vectors:
        """Vectors of texts, f32: `[len(texts), dimension]`, or `[dimension]` for one str.

        `prompt_name` is query or document; `prompt` is put before texts instead; without either nothing is.
        `batch_size` is there for callers of sentence-transformers: batches are bounded by tokens, and texts of one
        length share one. `truncate_dim` keeps the first numbers. `normalize_embeddings` scales to length 1 after
        that; None leaves what the encoder gives, which mostly is of length 1. Bars are shown if asked for.
        """
        if prompt_name is not None and prompt is not None:
            raise ValueError("give prompt_name or prompt, not both")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but at least 1 is needed")
        if prompt_name is not None and prompt_name not in _NAMES:
            raise ValueError(f"no prompt is called {prompt_name!r}; known are query and document")
        single = isinstance(texts, str)
        listed = [texts] if single else _listed(texts)
        progress = bars(bool(show_progress_bar)) if len(listed) > 1 else None
        name = None if prompt_name is None else _NAMES[prompt_name]
        rows = from_bytes(self._inner.embed(listed, name, prompt or "", progress), self.dimension)
        rows = _shaped(rows, truncate_dim, normalize_embeddings)
        return rows[0] if single else rows

    def encode_query(self, texts: Text, **options: Any) -> Vectors:
        """As `encode`, with the prompt of queries."""
        return self.encode(texts, **{"prompt_name": "query", **options})

    def encode_document(self, texts: Text, **options: Any) -> Vectors:
        """As `encode`, with the prompt of documents."""
        return self.encode(texts, **{"prompt_name": "document", **options})

    def similarity(self, a: Any, b: Any) -> Vectors:
        """How alike vectors are, by the encoder's similarity: `[len(a), len(b)]`."""
        left, right = (as_float32(np.atleast_2d(np.asarray(rows)), "vectors", 2) for rows in (a, b))
        if left.shape[1] != right.shape[1]:
            raise ValueError(f"vectors of {left.shape[1]} and of {right.shape[1]} numbers cannot be compared")
        if self.similarity_fn_name == "cosine":
            left, right = _unit(left), _unit(right)
        return left @ right.T

    def count_tokens(self, texts: Sequence[str], prompt_name: Literal["query", "document"] = "document") -> int:
        """How many tokens texts have in all, prompts and special ones included, after cutting."""
        return self._inner.count_tokens(_listed(texts), _NAMES.get(prompt_name) == "query")

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `vector`, the vectors of the documents in `text`, to a batch of columns, as Ray Data's and Daft's
        `map_batches` hand them over."""
        texts = batch["text"]
        vectors = self.encode_document(texts.tolist() if hasattr(texts, "tolist") else list(texts))
        return {**batch, "vector": vectors}


def _open(path: str, device: str, matmul: Any, threads: Optional[int], dtype: Any) -> Encoder:
    return Encoder(path, device, matmul, threads, dtype=dtype)


def _listed(texts: Any) -> list[str]:
    if isinstance(texts, (bytes, Mapping)) or not hasattr(texts, "__iter__"):
        raise ValueError(f"texts are {type(texts).__name__}, not a str or a sequence of them")
    return texts if isinstance(texts, list) else list(texts)


def _shaped(rows: Vectors, truncate_dim: Optional[int], normalize: Optional[bool]) -> Vectors:
    if truncate_dim is not None:
        if truncate_dim < 1:
            raise ValueError(f"truncate_dim is {truncate_dim}, but at least 1 is needed")
        rows = np.ascontiguousarray(rows[:, :truncate_dim])
    return _unit(rows) if normalize else rows


def _unit(rows: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, np.float32(1), lengths)
