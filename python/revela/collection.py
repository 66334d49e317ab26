"""Collections: folders that can be searched by words, by meaning, or both."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import numpy as np

from . import _documents, _revela
from ._arrays import Vectors, as_float32, from_bytes
from ._progress import bars
from ._revela import Hit
from .encoder import Encoder

Mode = Literal["auto", "dense", "bm25", "hybrid"]
Path_ = Union[str, "os.PathLike[str]"]

# What `Collection.build` may be told beside documents, with what counts where it is not.
_OPTIONS: dict[str, Any] = {
    "analyser": "prose",
    "metric": None,
    "duplicates": "refuse",
    "shard_rows": 1_000_000,
    "dtype": "f32",
    "coding": "int8",
    "structure": "auto",
    "m": 16,
    "ef_construction": 100,
    "target_recall": 0.99,
    "order": "parallel",
    "seed": 42,
    "chunker": None,
}


class Hits(list):  # type: ignore[type-arg]
    """Hits, best first; a table in notebooks."""

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("rank", "score", "id", "text"))
        return f"<table><tr>{head}</tr>{''.join(map(_table_row, self))}</table>"


def _table_row(hit: Hit) -> str:
    text = f"{hit.title} {hit.text}".strip()
    text = text[:200] + ("…" if len(text) > 200 else "")
    cells = (str(hit.rank), f"{hit.score:.4f}", html.escape(hit.id), html.escape(text))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


class Collection:
    """A folder of passages that can be searched. Open one with `Collection.open`, make one with `Collection.build`.

    What is open is a snapshot: what other processes change is seen after `refresh`, what this object changes at
    once. Any number of threads may search at the same time, also while one adds. A collection is pickled by its path.
    """

    def __init__(self, inner: _revela.Collection, path: Path_, encoder: Optional[Encoder]) -> None:
        self._inner, self._path, self.encoder = inner, Path(path), encoder

    @classmethod
    def open(cls, path: Path_, encoder: Union[Encoder, Path_, None, Literal[False]] = None) -> Collection:
        """Opens a folder. `encoder` embeds queries; None is the folder `encoder` beside the collection, where there
        is one, as for `revela search`; False is none."""
        beside = Path(path).with_name("encoder")
        if encoder is None and beside.is_dir():
            encoder = beside
        used = _encoder(encoder)
        return cls(_revela.Collection.open(Path(path), used and used._inner), path, used)

    @classmethod
    def build(
        cls,
        path: Path_,
        docs: Any = None,
        encoder: Union[Encoder, Path_, None] = None,
        vectors: Any = None,
        *,
        ids: Optional[Sequence[str]] = None,
        show_progress_bar: Optional[bool] = None,
        **options: Any,
    ) -> Collection:
        """Makes a new folder.

        `docs` is an iterable of dicts (`id` or `_id`, `text`, perhaps `title` and `metadata`; without `metadata` all
        other fields are that), of strings, a DataFrame, an Arrow table or a `datasets.Dataset`. It is gone through once,
        and what is in memory is bounded. With `encoder` passages are embedded. `vectors`, `[rows, dimension]`, are
        taken instead of embedding; with `encoder` they are its own. Without `docs` the collection holds vectors and
        `ids` (else row numbers). A build that was killed is started again with the same arguments.

        Options are those of `revela index build`: analyser (prose or code), metric (cosine or dot), duplicates (refuse
        or last-wins), shard_rows, dtype (f32 or f16), coding (int8 or none), structure (auto, flat or graph), m,
        ef_construction, target_recall, order (parallel or serial), seed, chunker.
        """
        unknown = sorted(options.keys() - _OPTIONS.keys())
        if unknown:
            raise ValueError(f"unknown option {unknown[0]}; known are {', '.join(_OPTIONS)}")
        used = _encoder(encoder)
        if docs is None and vectors is None:
            raise ValueError("give docs, vectors, or both")
        dimension = None if vectors is None else _dimension(vectors)
        rows = _documents.rows(docs, vectors) if docs is not None else _bare(vectors, ids, 0)
        inner = _revela.Collection.build(
            Path(path),
            rows,
            used and used._inner,
            dimension,
            docs is not None,
            json.dumps({**_OPTIONS, **options}),
            bars(show_progress_bar),
        )
        return cls(inner, path, used)

    def __reduce__(self) -> Any:
        return Collection.open, (self._path.absolute(), self.encoder or False)

    def __repr__(self) -> str:
        if self._inner.closed:
            return f"Collection({str(self._path)!r}, closed)"
        return f"Collection({str(self._path)!r}, passages={len(self)}, dimension={self._inner.dimension})"

    def __len__(self) -> int:
        return len(self._inner)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and id in self._inner

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def dimension(self) -> Optional[int]:
        """Length of its vectors; None where it has none."""
        return self._inner.dimension

    def close(self) -> None:
        """Lets go of its files. Searches that are under way end as usual, later ones raise ValueError."""
        self._inner.close()

    def refresh(self) -> bool:
        """Looks at what other processes have changed; whether they had."""
        return self._inner.refresh()

    def info(self) -> dict[str, Any]:
        """What the collection is, as `revela index info --json` says."""
        return self._inner.info()

    def verify(self, show_progress_bar: Optional[bool] = None) -> None:
        """Reads every byte and compares it with the checksums; raises RevelaError for the first damage."""
        self._inner.verify(bars(show_progress_bar))

    def add(
        self,
        docs: Any = None,
        vectors: Any = None,
        *,
        ids: Optional[Sequence[str]] = None,
        duplicates: Literal["refuse", "last-wins"] = "refuse",
        show_progress_bar: Optional[bool] = None,
    ) -> None:
        """Adds documents, vectors or both, of the forms that `build` takes. With last-wins they replace what has
        the same id. All of it is added, or nothing."""
        if docs is None and vectors is None:
            raise ValueError("give docs, vectors, or both")
        if vectors is not None and _dimension(vectors) != self.dimension is not None:
            raise ValueError(f"the vectors have {_dimension(vectors)} dimensions where {self.dimension} are needed")
        first = sum(shard["rows"] for shard in self.info()["shards"])
        rows = _documents.rows(docs, vectors, first) if docs is not None else _bare(vectors, ids, first)
        self._inner.add(rows, vectors is not None, duplicates, bars(show_progress_bar))

    def delete(self, ids: Union[str, Iterable[str]]) -> int:
        """Deletes passages; ids that are not there are ignored. Returns how many there were."""
        return self._inner.delete([ids] if isinstance(ids, str) else list(ids))

    def compact(self, show_progress_bar: Optional[bool] = None) -> bool:
        """Gives back the room of deleted passages and joins small shards; whether anything changed."""
        return self._inner.compact(bars(show_progress_bar))

    def get(self, ids: Union[str, Iterable[str]]) -> Any:
        """The passage of an id as a dict (id, title, text, metadata), None where there is none; a list for several."""
        if isinstance(ids, str):
            return self._inner.get(ids)
        return [self._inner.get(id) for id in ids]

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """The stored vectors of passages, `[len(ids), dimension]`: of length 1 under cosine similarity."""
        return from_bytes(self._inner.vectors(list(ids)), self.dimension or 1)

    def search(
        self,
        query: Any = None,
        k: int = 10,
        mode: Mode = "auto",
        where: Optional[Mapping[str, Any]] = None,
        *,
        vector: Any = None,
        ids: Optional[Iterable[str]] = None,
        ef: int = 64,
        recall: Optional[float] = None,
        exact: bool = False,
        depth: int = 100,
    ) -> Hits:
        """The `k` best passages for a text or a vector, or for both (`vector=`, made elsewhere).

        `mode` is dense, bm25, hybrid (both, by reciprocal rank fusion over the first `depth` of each), or auto: hybrid
        where the query and the collection allow it, else what they allow. `where` is a condition on metadata, such
        as {"equals": {"field": "language", "value": "en"}}; `ids` are all that may be found. `ef` is how many candidates
        a walk through a graph keeps; `recall` asks for a share of the nearest instead, `exact` for all of them.
        """
        text = query if isinstance(query, str) else None
        if text is None and query is not None:
            vector = query
        data = None if vector is None else as_float32(vector, "a query's vector", 1).tobytes()
        return Hits(self._inner.search(text, data, _options(k, mode, where, ids, ef, recall, exact, depth)))

    def search_batch(
        self,
        queries: Any = None,
        k: int = 10,
        mode: Mode = "auto",
        where: Optional[Mapping[str, Any]] = None,
        *,
        vectors: Any = None,
        ids: Optional[Iterable[str]] = None,
        ef: int = 64,
        recall: Optional[float] = None,
        exact: bool = False,
        depth: int = 100,
        threads: int = 0,
        show_progress_bar: bool = False,
    ) -> tuple[np.ndarray[Any, Any], Vectors]:
        """Ids (dtype object) and scores (f32) of the best passages for many queries, both `[len(queries), k]`.

        Queries are strings or `[rows, dimension]` of vectors, or strings with `vectors` beside them. Texts are not
        read. Where a collection has fewer than `k` passages, None and NaN stand. `threads=0` is one per core.
        """
        texts = list(queries) if queries is not None and _are_texts(queries) else None
        if texts is None and queries is not None:
            vectors = queries
        rows = None if vectors is None else as_float32(vectors, "the queries' vectors", 2)
        if texts is not None and rows is not None and len(texts) != len(rows):
            raise ValueError(f"there are {len(texts)} queries but {len(rows)} vectors")
        if k < 1 or threads < 0:
            raise ValueError(f"k is {k} and threads {threads}, but k is at least 1 and threads 0")
        found, scores = self._inner.search_batch(
            texts,
            None if rows is None else rows.tobytes(),
            0 if rows is None else rows.shape[1],
            _options(k, mode, where, ids, ef, recall, exact, depth),
            threads,
            bars(show_progress_bar),
        )
        named = np.empty(len(found), dtype=object)
        named[:] = found
        return named.reshape(-1, k), from_bytes(scores, k)


def _encoder(encoder: Any) -> Optional[Encoder]:
    if encoder is None or encoder is False or isinstance(encoder, Encoder):
        return encoder or None
    return Encoder(encoder)


def _options(
    k: int,
    mode: str,
    where: Optional[Mapping[str, Any]],
    ids: Optional[Iterable[str]],
    ef: int,
    recall: Optional[float],
    exact: bool,
    depth: int,
) -> tuple[Any, ...]:
    if k < 0 or ef < 0 or depth < 0:
        raise ValueError(f"k is {k}, ef {ef} and depth {depth}, but none may be negative")
    predicate = None if where is None else json.dumps(where)
    return k, mode, predicate, None if ids is None else list(ids), ef, recall, exact, depth


def _are_texts(queries: Any) -> bool:
    if isinstance(queries, str):
        raise ValueError("queries are one str; give a list of them, or ask `search`")
    if isinstance(queries, np.ndarray):
        return queries.dtype.kind in "OU" and queries.ndim == 1
    return len(queries) == 0 or isinstance(queries[0], str)


def _dimension(vectors: Any) -> int:
    shape = np.shape(vectors)
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"vectors have the shape {shape}, but must have two dimensions, rows and numbers")
    return shape[1]


def _bare(vectors: Any, ids: Optional[Sequence[str]], first: int) -> Iterator[_documents.Row]:
    """Rows of vectors alone."""
    if ids is not None and len(ids) != len(vectors):
        raise ValueError(f"there are {len(ids)} ids for {len(vectors)} vectors")
    for number, vector in enumerate(vectors):
        id = str(first + number) if ids is None else ids[number]
        yield id, "", "", None, as_float32(vector, f"vector {number}", 1).tobytes()
