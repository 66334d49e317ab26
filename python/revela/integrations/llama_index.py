"""LlamaIndex: an embedding and a retriever."""

from __future__ import annotations

from typing import Any, Optional

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ..collection import Collection, Mode
from ..encoder import Encoder


class RevelaEmbedding(BaseEmbedding):
    """An encoder; queries and documents get their own prompts."""

    _encoder: Encoder = PrivateAttr()

    def __init__(self, encoder: Encoder, **options: Any) -> None:
        super().__init__(model_name=encoder.path, **options)
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        return "RevelaEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._encoder.encode_query(query).tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._encoder.encode_document(text).tolist()

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.encode_document(texts).tolist()


class RevelaRetriever(BaseRetriever):
    """What a collection finds."""

    def __init__(
        self,
        collection: Collection,
        similarity_top_k: int = 10,
        mode: Mode = "auto",
        where: Optional[dict[str, Any]] = None,
        **options: Any,
    ) -> None:
        self._collection, self._k, self._mode, self._where = collection, similarity_top_k, mode, where
        super().__init__(**options)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._collection.search(query_bundle.query_str, self._k, self._mode, self._where)
        return [
            NodeWithScore(node=TextNode(id_=hit.id, text=hit.text, metadata=hit.metadata), score=hit.score)
            for hit in hits
        ]
