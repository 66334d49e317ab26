"""MTEB 2: an encoder, and whole systems, so that hybrid search gets figures, too."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
from mteb.models.model_meta import ModelMeta
from mteb.types import PromptType

from ..collection import Collection, Mode
from ..encoder import Encoder


class RevelaEncoder:
    """An encoder as `mteb.evaluate` takes it (`EncoderProtocol`); queries and documents get their own prompts."""

    def __init__(self, model_name: Any, revision: Optional[str] = None, **options: Any) -> None:
        self.encoder = model_name if isinstance(model_name, Encoder) else Encoder(model_name, **options)
        self._revision = revision

    @property
    def mteb_model_meta(self) -> ModelMeta:
        return _meta(self.encoder, self._revision or self.encoder.fingerprint, "dense")

    def encode(self, inputs: Any, *, prompt_type: Optional[PromptType] = None, **_: Any) -> np.ndarray[Any, Any]:
        texts = [text for batch in inputs for text in batch["text"]]
        names = {PromptType.query: "query", PromptType.document: "document", None: None}
        return self.encoder.encode(texts, prompt_name=names[prompt_type])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray[Any, Any]:
        return self.encoder.similarity(np.asarray(embeddings1), np.asarray(embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray[Any, Any]:
        left, right = np.atleast_2d(np.asarray(embeddings1)), np.atleast_2d(np.asarray(embeddings2))
        return np.array([self.encoder.similarity(a, b)[0, 0] for a, b in zip(left, right)], dtype=np.float32)


class RevelaSearch:
    """A collection that is built of each task's corpus and searched (`SearchProtocol`).

    `mode` is dense, bm25 or hybrid; without an encoder it is bm25. Collections stand in a temporary folder, which goes
    with this object.
    """

    def __init__(
        self,
        encoder: Optional[Encoder] = None,
        mode: Optional[Mode] = None,
        analyser: Literal["prose", "code"] = "prose",
    ) -> None:
        self.encoder, self.analyser = encoder, analyser
        self.mode: Mode = mode or ("bm25" if encoder is None else "hybrid")
        self._folder = tempfile.TemporaryDirectory(prefix="revela-mteb-")
        self._collection: Optional[Collection] = None
        self._count = 0

    @property
    def mteb_model_meta(self) -> ModelMeta:
        revision = "none" if self.encoder is None else self.encoder.fingerprint
        return _meta(self.encoder, revision, self.mode)

    def index(self, corpus: Any, **_: Any) -> None:
        if self._collection is not None:
            self._collection.close()
        self._count += 1
        path = Path(self._folder.name) / str(self._count)
        encoder = None if self.mode == "bm25" else self.encoder
        columns = [name for name in ("id", "title", "text") if name in corpus.column_names]
        self._collection = Collection.build(path, corpus.select_columns(columns), encoder, analyser=self.analyser)

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Optional[dict[str, list[str]]] = None, **_: Any
    ) -> dict[str, dict[str, float]]:
        if self._collection is None:
            raise ValueError("nothing was indexed; call index before search")
        names, texts = list(queries["id"]), list(queries["text"])
        if top_ranked is not None:
            return {name: self._rank(text, top_k, top_ranked[name]) for name, text in zip(names, texts)}
        found, scores = self._collection.search_batch(texts, top_k, self.mode, depth=top_k, exact=True)
        return {
            name: {id: float(score) for id, score in zip(ids, row) if id is not None}
            for name, ids, row in zip(names, found, scores)
        }

    def _rank(self, text: str, top_k: int, ids: list[str]) -> dict[str, float]:
        assert self._collection is not None
        hits = self._collection.search(text, top_k, self.mode, ids=ids, depth=top_k, exact=True)
        return {hit.id: hit.score for hit in hits}


def _meta(encoder: Optional[Encoder], revision: str, mode: str) -> ModelMeta:
    known: dict[str, Any] = {"name": f"revela/{mode}", "revision": revision}
    if encoder is not None:
        known["name"] = f"revela/{Path(encoder.path).name}-{mode}"
        known |= {"embed_dim": encoder.dimension, "max_tokens": encoder.max_seq_length}
    return ModelMeta.create_empty(known)
