"""DSPy: a retriever to call. An encoder needs no adapter: `dspy.Embedder(encoder.encode)`."""

from __future__ import annotations

from typing import Any, Optional

import dspy

from ..collection import Collection, Mode


class RevelaRetriever:
    """What a collection finds, as a prediction with passages, ids and scores."""

    def __init__(
        self,
        collection: Collection,
        k: int = 3,
        mode: Mode = "auto",
        where: Optional[dict[str, Any]] = None,
    ) -> None:
        self.collection, self.k, self.mode, self.where = collection, k, mode, where

    def __call__(self, query: str, k: Optional[int] = None) -> dspy.Prediction:
        hits = self.collection.search(query, k or self.k, self.mode, self.where)
        return dspy.Prediction(
            passages=[hit.text for hit in hits],
            ids=[hit.id for hit in hits],
            scores=[hit.score for hit in hits],
        )
