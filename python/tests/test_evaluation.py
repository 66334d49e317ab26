"""Figures: equal to the program's, and what reports are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

import revela


def test_bm25_is_measured_and_kept(tests_folder: Path, tmp_path: Path) -> None:
    report = revela.evaluate(tests_folder, mode="bm25", metrics=["ndcg@10", "mrr@10"])
    assert set(report.metrics) == {"ndcg@10", "mrr@10"} and report["mrr@10"] == 1.0
    assert set(report.per_query["ndcg@10"]) == {"q1", "q2", "q3"}
    low, high = report.intervals["ndcg@10"]
    assert low <= report["ndcg@10"] <= high
    assert next(iter(report.run["q1"])) == "fs"
    assert "ndcg@10" in report._repr_html_() and "bm25" in repr(report)
    report.save(tmp_path / "bm25.json")
    again = revela.Report.read(tmp_path / "bm25.json")
    assert again.metrics == report.metrics and again.run is None and again.name == "bm25"


def test_a_run_and_a_function_are_retrievers(tests_folder: Path) -> None:
    run = {"q1": {"fs": 1.0}, "q2": {"db": 2.0, "net": 1.0}, "q3": {"sort": 1.0, "hash": 0.5}}
    report = revela.evaluate(tests_folder, run, metrics=["mrr@10"])
    assert report["mrr@10"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert report.run == run

    def first(texts: list[str], depth: int) -> list[dict[str, float]]:
        assert len(texts) == 3 and depth >= 1000
        return [run["q1"], run["q2"], run["q3"]]

    assert revela.evaluate(tests_folder, first, metrics=["mrr@10"]).metrics == report.metrics
    with pytest.raises(ValueError, match="answered 0 of 3"):
        revela.evaluate(tests_folder, lambda texts, depth: [])
    for bad, said in (({"q1": {"fs": float("nan")}}, "finite"), ({"other": {"fs": 1.0}}, "none of the 3"), (3, "no retriever")):
        with pytest.raises(ValueError, match=said):
            revela.evaluate(tests_folder, bad)  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_said(tests_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        revela.evaluate(tests_folder, mode="bm25", metrics=["accuracy"])
    with pytest.raises(ValueError, match="no split"):
        revela.evaluate(tests_folder, mode="bm25", split="dev")
    with pytest.raises(ValueError, match="not a test collection"):
        revela.evaluate(tmp_path, mode="bm25")
    with pytest.raises(ValueError, match="need an encoder"):
        revela.evaluate(tests_folder, mode="dense")


def test_systems_are_compared(tests_folder: Path) -> None:
    good = revela.evaluate(tests_folder, mode="bm25")
    bad = revela.evaluate(tests_folder, {"q1": {"db": 1.0}, "q2": {"net": 1.0}, "q3": {"fs": 1.0}})
    rows = revela.compare(good, bad)
    assert rows[0]["system"] == "run" and rows[0]["baseline"] == "bm25" and rows[0]["queries"] == 3
    assert rows[0]["difference"] == pytest.approx(bad["ndcg@10"] - good["ndcg@10"])
    assert "bm25" in repr(rows) and "<pre>" in rows._repr_html_()
    with pytest.raises(ValueError, match="has no values"):
        revela.compare(good, bad, metrics=["recall@5"])


def _figures(program: Callable[..., str], out: Path, *flags: Any) -> dict[str, Any]:
    program("eval", *flags, "--no-cache", "--json", out)
    return json.loads(out.read_text())


def test_figures_are_the_programs(
    tests_folder: Path, encoder: revela.Encoder, encoder_path: Path, program: Callable[..., str], tmp_path: Path
) -> None:
    for mode in ("dense", "bm25", "hybrid"):
        flags = ["--encoder", encoder_path] if mode != "bm25" else []
        said = _figures(program, tmp_path / f"{mode}.json", "--data", tests_folder, "--mode", mode, "--exact", *flags)
        report = revela.evaluate(tests_folder, encoder, mode=mode)  # type: ignore[arg-type]
        assert report.metrics == said["metrics"] and report.per_query == said["per_query"]


def test_a_collection_is_measured_as_the_program_does(
    tests_folder: Path, encoder: revela.Encoder, encoder_path: Path, program: Callable[..., str], tmp_path: Path
) -> None:
    documents = map(json.loads, open(tests_folder / "corpus.jsonl"))
    collection = revela.Collection.build(tmp_path / "collection", documents, encoder)
    flags = ("--collection", collection.path, "--encoder", encoder_path, "--mode", "hybrid", "--data", tests_folder)
    said = _figures(program, tmp_path / "said.json", *flags)
    report = revela.evaluate(tests_folder, collection, mode="hybrid")
    assert report.metrics == said["metrics"] and report.per_query == said["per_query"]


def test_hits_are_the_programs(
    tests_folder: Path, encoder: revela.Encoder, encoder_path: Path, program: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "collection"
    program("index", "build", "--input", tests_folder / "corpus.jsonl", "--encoder", encoder_path, "--out", path)
    collection = revela.Collection.open(path, encoder)
    for mode in ("dense", "bm25", "hybrid"):
        said = program("search", path, "a file of numbers", "--encoder", encoder_path, "--mode", mode, "--json")
        hits = json.loads(said)["hits"]
        found = collection.search("a file of numbers", mode=mode)  # type: ignore[arg-type]
        assert [(hit.id, hit.rank, hit.text) for hit in found] == [(h["id"], h["rank"], h["text"]) for h in hits]
        assert [hit.score for hit in found] == pytest.approx([h["score"] for h in hits], abs=0, rel=1e-7)
        ids, scores = collection.search_batch(["a file of numbers"], k=len(found), mode=mode)  # type: ignore[arg-type]
        assert list(ids[0]) == [hit.id for hit in found] and list(scores[0]) == [hit.score for hit in found]
