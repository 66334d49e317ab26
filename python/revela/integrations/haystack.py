"""Haystack: a retriever as a component."""

from __future__ import annotations

from typing import Any, Optional

from haystack import Document, component, default_from_dict, default_to_dict

from ..collection import Collection, Mode


@component
class RevelaRetriever:
    """What the collection at `path` finds; it is opened when the pipeline warms up or first runs."""

    def __init__(
        self,
        path: str,
        encoder: Optional[str] = None,
        top_k: int = 10,
        mode: Mode = "auto",
        filters: Optional[dict[str, Any]] = None,
    ) -> None:
        self.path, self.encoder, self.top_k, self.mode, self.filters = path, encoder, top_k, mode, filters
        self._collection: Optional[Collection] = None

    def warm_up(self) -> None:
        if self._collection is None:
            self._collection = Collection.open(self.path, self.encoder)

    def to_dict(self) -> dict[str, Any]:
        return default_to_dict(
            self,
            path=self.path,
            encoder=self.encoder,
            top_k=self.top_k,
            mode=self.mode,
            filters=self.filters,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RevelaRetriever:
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: Optional[int] = None, filters: Optional[dict[str, Any]] = None
    ) -> dict[str, list[Document]]:
        """`filters` is a condition as `Collection.search` has it in `where`."""
        self.warm_up()
        assert self._collection is not None
        hits = self._collection.search(query, top_k or self.top_k, self.mode, filters or self.filters)
        documents = [Document(id=hit.id, content=hit.text, meta=hit.metadata, score=hit.score) for hit in hits]
        return {"documents": documents}
