"""Systems on collections with judgements, and one system against another."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

from . import _revela
from ._progress import bars
from .collection import Collection, Mode, _options
from .encoder import Encoder

Run = Mapping[str, Mapping[str, float]]
# Texts of queries and how many documents are wanted for each; for each query, scores of documents.
Function = Callable[[list[str], int], Sequence[Mapping[str, float]]]

METRICS = ("ndcg@10", "recall@100", "mrr@10", "map")


class Report:
    """What a system scored: a table in notebooks."""

    def __init__(self, inner: _revela.Report, name: str) -> None:
        self._inner, self.name = inner, name

    @classmethod
    def read(cls, path: Union[str, os.PathLike[str]], name: Optional[str] = None) -> Report:
        """Reads a file that `save` or `revela eval --json` wrote; it holds no run."""
        return cls(_revela.Report.read(Path(path)), name or Path(path).stem)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the file that `revela eval --json` writes, which `revela eval compare` reads."""
        self._inner.save(Path(path))

    @property
    def metrics(self) -> dict[str, float]:
        """The mean over the queries, by metric."""
        return self._inner.metrics

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95% bootstrap intervals of the means; empty for a report that was read."""
        return self._inner.intervals

    @property
    def per_query(self) -> dict[str, dict[str, float]]:
        """The value of each query by its id, by metric."""
        return self._inner.per_query

    @property
    def run(self) -> Optional[dict[str, dict[str, float]]]:
        """Scores by query and document, as ranx and ir-measures take them; None for a report that was read."""
        return self._inner.run

    @property
    def settings(self) -> dict[str, Any]:
        """What was measured and how."""
        return self._inner.settings

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    def __repr__(self) -> str:
        values = ", ".join(f"{metric}={mean:.4f}" for metric, mean in self.metrics.items())
        return f"Report({self.name}: {values}; {self._inner.queries[0]} queries)"

    def _repr_html_(self) -> str:
        rows = []
        for metric, mean in self.metrics.items():
            low, high = self.intervals.get(metric, (float("nan"), float("nan")))
            interval = f"{low:.4f} to {high:.4f}" if low == low else ""
            rows.append(f"<tr><td>{html.escape(metric)}</td><td>{mean:.4f}</td><td>{interval}</td></tr>")
        scored, missing = self._inner.queries
        title = f"{html.escape(self.name)}: {scored} queries" + (f", {missing} not answered" if missing else "")
        head = "<tr><th>metric</th><th>mean</th><th>95% interval</th></tr>"
        return f"<table><caption>{title}</caption>{head}{''.join(rows)}</table>"


class Comparison(list):  # type: ignore[type-arg]
    """Rows of a comparison as dicts; prints as the table of `revela eval compare`."""

    def __init__(self, rows: list[dict[str, Any]], table: str) -> None:
        super().__init__(rows)
        self._table = table

    def __repr__(self) -> str:
        return self._table

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._table)}</pre>"


def evaluate(
    data: Union[str, os.PathLike[str]],
    retriever: Union[Encoder, Collection, Run, Function, None] = None,
    *,
    split: str = "test",
    subset: Optional[str] = None,
    mode: Optional[Mode] = None,
    metrics: Sequence[str] = METRICS,
    depth: int = 1000,
    analyser: Literal["prose", "code"] = "prose",
    self_matches: Optional[Literal["keep", "drop"]] = None,
    ef: int = 64,
    exact: bool = False,
    name: Optional[str] = None,
    show_progress_bar: Optional[bool] = None,
) -> Report:
    """Measures a retriever on a collection with judgements.

    `data` is a folder in BEIR's, the Hugging Face hub's or BRIGHT's layout. The retriever is

    - an Encoder: exact search with its vectors (mode dense, the default), or that and BM25 (hybrid); figures are
      those of `revela eval --exact`;
    - None with mode bm25;
    - a Collection of the data: what it finds by `mode`, as `revela eval --collection` says;
    - a function that is given the queries' texts and a depth, and returns scores of documents for each;
    - a run: a dict of dicts, scores by query and document.

    `depth` is how many results per query count; `self_matches` whether a document counts whose id is the query's
    (drop, as in BEIR's evaluation, unless said otherwise).
    """
    make = bars(show_progress_bar)
    tests = _revela.TestCollection(Path(data), split, subset, self_matches, list(metrics), depth, make)
    if retriever is None or isinstance(retriever, Encoder):
        mode = mode or ("bm25" if retriever is None else "dense")
        if mode == "auto":
            mode = "bm25" if retriever is None else "hybrid"
        inner = tests.measure(retriever and retriever._inner, mode, analyser, make)
        return Report(inner, name or mode)
    if isinstance(retriever, Collection):
        deep = tests.search_depth
        options = _options(deep, mode or "auto", None, None, ef, None, exact, deep)
        inner = tests.measure_collection(retriever._inner, options, make)
        return Report(inner, name or retriever.path.name)
    if callable(retriever):
        name = name or getattr(retriever, "__name__", type(retriever).__name__)
        queries = tests.queries()
        found = list(retriever([text for _, text in queries], tests.search_depth))
        if len(found) != len(queries):
            raise ValueError(f"the function answered {len(found)} of {len(queries)} queries")
        retriever = {id: scores for (id, _), scores in zip(queries, found)}
    if not isinstance(retriever, Mapping):
        raise ValueError(f"a {type(retriever).__name__} is no retriever: give an Encoder, a Collection, a function or a run")
    plain = {query: {id: float(score) for id, score in scores.items()} for query, scores in retriever.items()}
    return Report(tests.measure_run(plain, name or "run"), name or "run")


def compare(
    a: Report,
    b: Report,
    *others: Report,
    metrics: Sequence[str] = ("ndcg@10",),
    intersect: bool = False,
) -> Comparison:
    """Whether systems are better than the first, by paired tests over the queries: a row for each and each metric.
    `intersect` compares on the queries that both have, where these differ."""
    reports = [a, b, *others]
    names = _distinct([report.name for report in reports])
    rows, table = _revela.compare(names, [report._inner for report in reports], list(metrics), intersect)
    return Comparison(rows, table)


def _distinct(names: list[str]) -> list[str]:
    """Names of which no two are the same."""
    return [f"{name} ({number + 1})" if names.count(name) > 1 else name for number, name in enumerate(names)]
