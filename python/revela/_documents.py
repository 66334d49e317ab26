"""Documents of any form, one at a time, as the compiled part takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from ._arrays import as_float32

Row = tuple[str, str, str, Optional[str], Optional[bytes]]

# Under which names a document's parts come; the first that is there counts.
_ID, _TITLE, _TEXT = ("_id", "id"), ("title",), ("text", "content")
_KNOWN = {*_ID, *_TITLE, *_TEXT, "metadata", "vector"}

# Rows of an Arrow table that become Python objects together.
_ARROW_BLOCK = 512


def records(documents: Any) -> Iterator[Any]:
    """The documents one at a time: of a DataFrame, an Arrow table, a `datasets.Dataset`, or anything iterable."""
    if hasattr(documents, "to_batches"):
        for batch in documents.to_batches(max_chunksize=_ARROW_BLOCK):
            yield from batch.to_pylist()
    elif hasattr(documents, "itertuples") and hasattr(documents, "columns"):
        names = [str(name) for name in documents.columns]
        for values in documents.itertuples(index=False, name=None):
            yield {name: _plain(value) for name, value in zip(names, values)}
    elif isinstance(documents, (str, bytes, Mapping)) or not isinstance(documents, Iterable):
        raise ValueError(
            f"documents are a {type(documents).__name__}; give an iterable of dicts with id and text, "
            "a DataFrame, an Arrow table or a datasets.Dataset"
        )
    else:
        yield from documents


def _plain(value: Any) -> Any:
    """A cell of a DataFrame without numpy's types and without NaN, which stands for nothing there."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def rows(documents: Any, vectors: Any = None, first: int = 0) -> Iterator[Row]:
    """What the compiled part takes of documents. Vectors may stand beside them; strings are texts, and documents
    without an id are numbered from `first` on."""
    beside = None if vectors is None else iter(vectors)
    for number, document in enumerate(records(documents)):
        if isinstance(document, str):
            document = {"text": document}
        if not isinstance(document, Mapping):
            raise ValueError(f"document {number} is {type(document).__name__}, not a dict or str")
        vector = document.get("vector") if beside is None else _next(beside, number)
        yield _row(document, number, first, vector)
    if beside is not None and next(beside, None) is not None:
        raise ValueError(f"there are more vectors than the {number + 1 if 'number' in locals() else 0} documents")


def _next(beside: Iterator[Any], number: int) -> Any:
    for vector in beside:
        return vector
    raise ValueError(f"there are only {number} vectors, but more documents")


def _row(document: Mapping[str, Any], number: int, first: int, vector: Any) -> Row:
    text = _field(document, _TEXT)
    if not isinstance(text, str):
        raise ValueError(f"the text of document {number} is {_kind(text)}, not str")
    title = _field(document, _TITLE)
    if title is not None and not isinstance(title, str):
        raise ValueError(f"the title of document {number} is {_kind(title)}, not str")
    numbers = None if vector is None else as_float32(vector, f"the vector of document {number}", 1).tobytes()
    return _id(document, number, first), title or "", text, _metadata(document, number), numbers


def _field(document: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((document[name] for name in names if document.get(name) is not None), None)


def _id(document: Mapping[str, Any], number: int, first: int) -> str:
    found = _field(document, _ID)
    if found is None:
        return str(first + number)
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        raise ValueError(f"the id of document {number} is {found!r}, but must be a string that is not empty, or an int")
    return str(found)


def _metadata(document: Mapping[str, Any], number: int) -> Optional[str]:
    """The field `metadata`; without it, every field that is no part of a document."""
    metadata = document.get("metadata")
    if metadata is None:
        metadata = {name: value for name, value in document.items() if name not in _KNOWN and value is not None}
    if not isinstance(metadata, Mapping):
        raise ValueError(f"the metadata of document {number} are {_kind(metadata)}, not a dict")
    if not metadata:
        return None
    try:
        return json.dumps(metadata, allow_nan=False, default=_jsonable)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the metadata of document {number} are no JSON: {error}") from None


def _jsonable(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _kind(value: Any) -> str:
    return "missing" if value is None else type(value).__name__
