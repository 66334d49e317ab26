"""From raw text to a trained retriever: chunks, groups, training."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

from . import _revela
from ._progress import bars
from .encoder import Encoder

Path_ = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Chunked:
    """A chunk file that was written."""

    path: Path
    chunks: int
    unread: str
    """What could not be read or was no text, in a sentence; empty where everything was read."""
    left_out: list[str]
    """What was left out as not worth learning from, reason by reason."""


@dataclasses.dataclass(frozen=True)
class Grouped:
    """A group file that was written."""

    path: Path
    groups: int
    copies: int
    """Neighbours that were passed over as copies."""
    unrelated: int
    """Places that no neighbour filled."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that has ended."""

    run: Path
    finished: bool
    """Whether it came to its end; if not, `train(resume=run)` goes on with it."""
    score: Optional[float]
    """The best held-out score, where there was an evaluation."""
    stage: Optional[str]
    step: Optional[int]

    @property
    def best(self) -> Path:
        """The folder of the retriever that was kept."""
        return self.run / "best"

    def encoder(self, **options: Any) -> Encoder:
        """Opens the retriever that was kept."""
        return Encoder(self.best, **options)


def chunk(
    input: Path_,
    out: Path_,
    *,
    kind: Optional[Literal["jsonl", "text", "code"]] = None,
    format: str = "text",
    unit: Literal["words", "tokens"] = "words",
    tokenizer: Optional[Path_] = None,
    size: int = 120,
    overlap: int = 0,
    min_size: int = 16,
    drop_small: bool = False,
    skip_bad: bool = False,
    max_bytes: Optional[int] = None,
    follow_links: bool = False,
    show_progress_bar: Optional[bool] = None,
    **quality: Any,
) -> Chunked:
    """Cuts a corpus, a folder of text or code or a file of JSON lines, into a chunk file, as `revela data chunk` does
    with flags of these names. `quality` is what is worth learning from: keep, keep_all, min_words, near_copy,
    max_share, max_document_share."""
    options = {
        "kind": kind,
        "format": format,
        "unit": unit,
        "tokenizer": None if tokenizer is None else os.fspath(tokenizer),
        "size": size,
        "overlap": overlap,
        "min_size": min_size,
        "drop_small": drop_small,
        "skip_bad": skip_bad,
        "max_bytes": max_bytes,
        "follow_links": follow_links,
        "quality": _quality(quality),
    }
    done = _revela.chunk(Path(input), Path(out), json.dumps(options), bars(show_progress_bar))
    return Chunked(Path(out), *done)


def group(
    chunks: Path_,
    out: Path_,
    *,
    policy: Literal["random", "document", "mixed", "bm25"] = "bm25",
    group_size: int = 16,
    documents: int = 4,
    passes: int = 1,
    analyser: Literal["code", "prose"] = "code",
    seed: int = 42,
    show_progress_bar: Optional[bool] = None,
    **quality: Any,
) -> Grouped:
    """Groups a chunk file into a file of training groups, as `revela data group` does with flags of these names."""
    options = {
        "policy": policy,
        "group_size": group_size,
        "documents": documents,
        "passes": passes,
        "analyser": analyser,
        "seed": seed,
        "quality": _quality(quality),
    }
    done = _revela.group(Path(chunks), Path(out), json.dumps(options), bars(show_progress_bar))
    return Grouped(Path(out), *done)


def train(
    config: Union[Mapping[str, Any], Path_, None] = None,
    on_step: Optional[Callable[[dict[str, Any]], None]] = None,
    *,
    resume: Optional[Path_] = None,
    threads: int = 0,
    show_progress_bar: Optional[bool] = None,
) -> Trained:
    """Trains a retriever, as `revela train` does.

    `config` is a TOML file, or a dict with the same keys: the flags' names with underscores, and perhaps `stage`, a
    list of dicts. `resume` goes on with a run instead. `on_step` is given every record of the log as a dict, steps
    and evaluations, as it is written; what it raises ends the run after that step. Whatever ends a run early, Ctrl-C
    too, leaves a checkpoint.
    """
    if (config is None) == (resume is None):
        raise ValueError("give config or resume, one of them")
    if resume is not None:
        text, run = None, Path(resume)
    else:
        text = _toml(config) if isinstance(config, Mapping) else Path(config).read_text(encoding="utf-8")
        run = None
    done = _revela.train_run(text, run, threads, on_step, bars(show_progress_bar))
    return Trained(Path(done["run"]), done["finished"], done.get("score"), done.get("stage"), done.get("step"))


_QUALITY = ("keep", "keep_all", "min_words", "near_copy", "max_share", "max_document_share")


def _quality(given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(given.keys() - set(_QUALITY))
    if unknown:
        raise ValueError(f"unknown option {unknown[0]}; of what is worth learning from there are {', '.join(_QUALITY)}")
    return {"keep": [], "keep_all": False, **{name: given.get(name) for name in _QUALITY[2:]}, **given}


def _toml(config: Mapping[str, Any]) -> str:
    """A configuration as TOML, of which it needs plain values and the list of stages alone."""
    lines = [f"{key} = {_value(value)}" for key, value in config.items() if key != "stage" and value is not None]
    for stage in config.get("stage", ()):
        lines.append("[[stage]]")
        lines += [f"{key} = {_value(value)}" for key, value in stage.items() if value is not None]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (str, bool, int, float)):
        # JSON's strings, numbers and flags are TOML's, too.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise ValueError(f"{value!r} cannot stand in a configuration")
