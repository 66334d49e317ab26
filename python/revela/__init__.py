"""Revela: train dense retrievers from raw text, index, search, evaluate.

    import revela
    encoder = revela.Encoder("models/minilm")
    collection = revela.Collection.build("notes.collection", [{"id": "a", "text": "..."}], encoder)
    for hit in collection.search("what was it?", k=5):
        print(hit.rank, hit.id, hit.score, hit.text)
"""

from ._revela import Hit, RevelaError, __version__
from .collection import Collection, Hits
from .encoder import Encoder
from .evaluation import Comparison, Report, compare, evaluate
from .pipeline import Chunked, Grouped, Trained, chunk, group, train

__all__ = [
    "Chunked",
    "Collection",
    "Comparison",
    "Encoder",
    "Grouped",
    "Hit",
    "Hits",
    "Report",
    "RevelaError",
    "Trained",
    "__version__",
    "chunk",
    "compare",
    "evaluate",
    "group",
    "train",
]
