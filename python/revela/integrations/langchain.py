"""LangChain: embeddings, a retriever and a vector store."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict

from .._revela import Hit
from ..collection import Collection, Mode
from ..encoder import Encoder


class RevelaEmbeddings(Embeddings):
    """An encoder; queries and documents get their own prompts."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encoder.encode_document(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.encoder.encode_query(text).tolist()


class RevelaRetriever(BaseRetriever):
    """What a collection finds; a document's metadata holds the score beside its own."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    collection: Collection
    k: int = 4
    mode: Mode = "auto"
    where: Optional[dict[str, Any]] = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        hits = self.collection.search(query, self.k, self.mode, self.where)
        return [_document(hit, score=hit.score) for hit in hits]


class RevelaVectorStore(VectorStore):
    """A collection; texts are embedded by its encoder, and searched for by `mode`."""

    def __init__(self, collection: Collection, mode: Mode = "auto") -> None:
        self.collection, self.mode = collection, mode

    @property
    def embeddings(self) -> Optional[Embeddings]:
        encoder = self.collection.encoder
        return None if encoder is None else RevelaEmbeddings(encoder)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Optional[list[dict[str, Any]]] = None,
        *,
        ids: Optional[list[str]] = None,
        path: Optional[str] = None,
        mode: Mode = "auto",
        **options: Any,
    ) -> RevelaVectorStore:
        """Builds the collection at `path`; `embedding` is a RevelaEmbeddings."""
        if path is None:
            raise ValueError("a collection is a folder; name one with path")
        if not isinstance(embedding, RevelaEmbeddings):
            raise ValueError(f"a {type(embedding).__name__} is no RevelaEmbeddings")
        documents = _rows(texts, metadatas, ids)
        return cls(Collection.build(Path(path), documents, embedding.encoder, **options), mode)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Optional[list[dict[str, Any]]] = None,
        *,
        ids: Optional[list[str]] = None,
        **_: Any,
    ) -> list[str]:
        """Adds texts; one with an id that is there replaces what had it."""
        documents = _rows(texts, metadatas, ids)
        self.collection.add(documents, duplicates="last-wins")
        return [document["id"] for document in documents]

    def delete(self, ids: Optional[list[str]] = None, **_: Any) -> Optional[bool]:
        if ids is None:
            raise ValueError("name the ids to delete")
        self.collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        found = (passage for passage in self.collection.get(list(ids)) if passage is not None)
        return [Document(id=p["id"], page_content=p["text"], metadata=p["metadata"]) for p in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Optional[dict[str, Any]] = None, **_: Any
    ) -> list[tuple[Document, float]]:
        """`filter` is a condition as `Collection.search` has it in `where`."""
        hits = self.collection.search(query, k, self.mode, filter)
        return [(_document(hit), hit.score) for hit in hits]

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **options)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **_: Any) -> list[Document]:
        return [_document(hit) for hit in self.collection.search(embedding, k, "dense")]


def _document(hit: Hit, **more: Any) -> Document:
    title = {"title": hit.title} if hit.title else {}
    return Document(id=hit.id, page_content=hit.text, metadata={**title, **hit.metadata, **more})


def _rows(
    texts: Iterable[str], metadatas: Optional[list[dict[str, Any]]], ids: Optional[list[str]]
) -> list[dict[str, Any]]:
    texts = list(texts)
    ids = ids or [str(uuid.uuid4()) for _ in texts]
    metadatas = metadatas or [{} for _ in texts]
    if not len(texts) == len(ids) == len(metadatas):
        raise ValueError(f"there are {len(texts)} texts, {len(ids)} ids and {len(metadatas)} metadatas")
    return [{"id": id, "text": text, "metadata": data} for id, text, data in zip(ids, texts, metadatas)]
