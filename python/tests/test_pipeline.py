"""From raw text to a trained retriever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

import revela

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    chunks = revela.chunk(ROOT / "docs", folder / "chunks.jsonl", kind="text", size=60)
    assert chunks.chunks > 20
    grouped = revela.group(chunks.path, folder / "groups.jsonl", group_size=4, analyser="prose")
    assert grouped.groups > 4
    return grouped.path


def test_chunks_and_groups_are_the_programs(groups: Path, program: Callable[..., str], tmp_path: Path) -> None:
    chunks = tmp_path / "chunks.jsonl"
    program("data", "chunk", "--input", ROOT / "docs", "--kind", "text", "--size", 60, "--out", chunks)
    program("data", "group", "--chunks", chunks, "--group-size", 4, "--analyser", "prose", "--out", tmp_path / "groups.jsonl")
    assert chunks.read_bytes() == (groups.parent / "chunks.jsonl").read_bytes()
    assert (tmp_path / "groups.jsonl").read_bytes() == groups.read_bytes()


def _settings(groups: Path, encoder: Path, out: Path, **more: Any) -> dict[str, Any]:
    return {"groups": groups, "retriever": encoder, "out": out, "objective": "contrastive", "steps": 3, **more}


def test_steps_are_told_and_the_retriever_is_kept(
    groups: Path, encoder: revela.Encoder, encoder_path: Path, tests_folder: Path, tmp_path: Path
) -> None:
    records: list[dict[str, Any]] = []
    settings = _settings(groups, encoder_path, tmp_path / "run", eval_data=tests_folder, eval_split="test")
    trained = revela.train(settings, records.append)
    assert trained.finished and trained.score is not None and trained.best.is_dir()
    assert [record["step"] for record in records if record["record"] == "step"] == [1, 2, 3]
    assert {record["record"] for record in records} == {"step", "evaluation"}
    assert trained.encoder().dimension == encoder.dimension
    logged = [json.loads(line) for line in open(tmp_path / "run" / "log.jsonl")][1:]
    assert logged == records


def test_a_run_that_was_ended_goes_on(groups: Path, encoder_path: Path, tmp_path: Path) -> None:
    def refuse(record: dict[str, Any]) -> None:
        raise RuntimeError("enough")

    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="enough"):
        revela.train(_settings(groups, encoder_path, run, steps=3), refuse)
    records: list[dict[str, Any]] = []
    assert revela.train(resume=run, on_step=records.append).finished
    assert records[-1]["step"] == 3 and records[0]["step"] > 1


def test_settings_that_make_no_sense_are_said(groups: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    bad: list[tuple[dict[str, Any], str]] = [
        (_settings(groups, tmp_path, out, stepps=3), "stepps"),
        (_settings(groups, tmp_path, out, steps=-3), "steps"),
        ({"out": out, "steps": 1}, "setting"),
    ]
    for settings, said in bad:
        with pytest.raises(ValueError, match=said):
            revela.train(settings)
    with pytest.raises(ValueError, match="one of them"):
        revela.train()
    for options, said in (({"unit": "tokens"}, "tokenizer"), ({"size": 0}, "size"), ({"keep": ["x"]}, "unknown reason")):
        with pytest.raises(ValueError, match=said):
            revela.chunk(ROOT / "docs", tmp_path / "chunks.jsonl", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown policy"):
        revela.group(groups.parent / "chunks.jsonl", tmp_path / "g.jsonl", policy="best")  # type: ignore[arg-type]
    with pytest.raises(revela.RevelaError, match="absent"):
        revela.chunk(tmp_path / "absent", tmp_path / "chunks.jsonl")


def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    script = ROOT / "python" / "examples" / "from_raw_text.py"
    arguments = [sys.executable, script, ROOT / "docs", "encoder-code", tmp_path / "out", "2"]
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "before" in done.stdout and done.stdout.rstrip().splitlines()[-1].startswith("3 ")
