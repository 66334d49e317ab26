"""Collections: built, changed, searched."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import revela


def ids(hits: list[revela.Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_words_are_found_with_all_that_is_known(words: revela.Collection) -> None:
    assert len(words) == 5 and words.dimension is None and "fs" in words and "absent" not in words
    hits = words.search("read lines of a file", k=2)
    assert hits[0].id == "fs" and hits[0].rank == 1 and hits[0].title == "Files"
    assert hits[0].metadata == {"kind": "io", "year": 2020}
    assert "<table>" in hits._repr_html_() and "Files" in hits._repr_html_()
    assert pickle.loads(pickle.dumps(hits[0])) == hits[0]


def test_conditions_and_ids_narrow(words: revela.Collection) -> None:
    where = {"equals": {"field": "kind", "value": "algorithm"}}
    assert set(ids(words.search("a", mode="bm25", where=where))) <= {"sort", "hash"}
    assert ids(words.search("list key", where=where)) != []
    late = {"range": {"field": "year", "least": 2022}}
    assert set(ids(words.search("socket list query file key", where=late))) == {"net", "sort"}
    assert ids(words.search("socket list query", ids=["db"])) == ["db"]


def test_what_is_added_and_deleted_is_seen_at_once(words: revela.Collection) -> None:
    words.add([{"_id": 7, "text": "Parse a regular expression."}, "a bare text about parsing"])
    assert len(words) == 7
    assert ids(words.search("parse"))[0] in {"7", "6"}
    assert words.get("7") == {"id": "7", "title": "", "text": "Parse a regular expression.", "metadata": {}}
    assert words.get(["fs", "absent"])[1] is None
    with pytest.raises(ValueError, match="occurs twice"):
        words.add([{"id": "fs", "text": "again"}])
    words.add([{"id": "fs", "text": "again"}], duplicates="last-wins")
    assert words.get("fs")["text"] == "again" and len(words) == 7
    assert words.delete(["fs", "absent"]) == 1 and words.delete("net") == 1
    assert len(words) == 5 and words.compact() and not words.compact()
    words.verify()


def test_another_object_sees_changes_after_refresh(words: revela.Collection) -> None:
    other = revela.Collection.open(words.path)
    assert not other.refresh()
    words.delete("fs")
    assert len(other) == 5 and other.refresh() and len(other) == 4


def test_vectors_are_found_exactly(numbers: revela.Collection, rows: np.ndarray) -> None:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found, scores = numbers.search_batch(rows[:50], k=5)
    assert found.shape == scores.shape == (50, 5) and scores.dtype == np.float32
    similar = unit[:50] @ unit.T
    best = np.argsort(-similar, axis=1)[:, :5]
    assert (found == best.astype(str)).all()
    assert np.allclose(scores, np.take_along_axis(similar, best, axis=1), atol=1e-5)
    hits = numbers.search(rows[3], k=5)
    assert ids(hits) == list(found[3]) and [hit.score for hit in hits] == [float(score) for score in scores[3]]
    assert np.allclose(numbers.vectors(["3", "5"]), unit[[3, 5]], atol=1e-6)
    once, single = numbers.search_batch(rows[:50], k=5, threads=1)
    assert (once == found).all() and (single == scores).all()


def test_where_there_are_fewer_none_and_nan_stand(words: revela.Collection) -> None:
    found, scores = words.search_batch(["socket", "nothing of the kind xyzzy"], k=3, mode="bm25")
    assert found.shape == (2, 3) and found[0, 0] == "net" and found[1, 2] is None and np.isnan(scores[1, 2])
    none, _ = words.search_batch([], k=3)
    assert none.shape == (0, 3)


def test_texts_may_bring_vectors(tmp_path: Path, documents: list[dict[str, Any]]) -> None:
    vectors = np.eye(5, 8, dtype=np.float64)
    both = revela.Collection.build(tmp_path / "both", iter(documents), vectors=vectors, metric="dot")
    assert both.dimension == 8 and both.search(vectors[2])[0].id == "db"
    assert both.search("socket")[0].id == "net"
    hits = both.search("socket", vector=vectors[0], k=2, mode="hybrid")
    assert set(ids(hits)) == {"net", "fs"}
    both.add([{"id": "x", "text": "new", "metadata": {}}], vectors=[[0, 0, 0, 0, 0, 0, 0, 2]])
    assert both.search(np.eye(8)[7], k=1)[0].score == 2
    with pytest.raises(ValueError, match="7 dimensions where 8 are needed"):
        both.add([{"id": "y", "text": "new"}], vectors=np.ones((1, 7)))
    for count in (4, 6):
        with pytest.raises(ValueError, match="vectors"):
            revela.Collection.build(tmp_path / str(count), documents, vectors=np.ones((count, 8)))


def test_tables_are_documents(tmp_path: Path, documents: list[dict[str, Any]]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 2], "text": ["read a file", "a socket"], "year": [2020, float("nan")]})
    table = revela.Collection.build(tmp_path / "frame", frame)
    assert table.get("1")["metadata"] == {"year": 2020.0} and table.get("2")["metadata"] == {}
    arrow = pytest.importorskip("pyarrow").Table.from_pylist(documents)
    assert revela.Collection.build(tmp_path / "arrow", arrow).get("net")["metadata"]["kind"] == "io"
    dataset = pytest.importorskip("datasets").Dataset.from_list(documents)
    assert len(revela.Collection.build(tmp_path / "dataset", dataset)) == 5


def test_documents_are_asked_for_on_the_thread_that_brought_them(tmp_path: Path) -> None:
    base = sqlite3.connect(":memory:")
    base.execute("create table documents (id text, body text)")
    base.executemany("insert into documents values (?, ?)", ((str(n), f"text number {n}") for n in range(2000)))
    found = base.execute("select id, body from documents")
    built = revela.Collection.build(tmp_path / "sqlite", ({"id": id, "text": body} for id, body in found))
    assert len(built) == 2000


def test_errors_of_an_iterator_come_through(tmp_path: Path) -> None:
    def failing() -> Any:
        yield {"id": "a", "text": "b"}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        revela.Collection.build(tmp_path / "failing", failing())
    assert not (tmp_path / "failing" / "manifest.jsonl").exists()


def test_bad_input_is_said(tmp_path: Path, numbers: revela.Collection, words: revela.Collection) -> None:
    bad: list[tuple[Any, str]] = [
        (np.full(32, np.nan), "NaN"),
        (np.ones(31), "31 dimensions where 32 are needed"),
        (np.zeros(32), "zero"),
        (np.ones((2, 32)), "1 dimension"),
        (np.array(["a"] * 32), "real numbers"),
        (np.ones(32, dtype=complex), "real numbers"),
        ([[1], [1, 2]], "no array"),
        (None, "a text, a vector, or both"),
    ]
    for query, said in bad:
        with pytest.raises(ValueError, match=said):
            numbers.search(query)
    with pytest.raises(ValueError, match="NaN"):
        numbers.search_batch(np.full((3, 32), np.inf))
    with pytest.raises(ValueError):
        numbers.search("a text where there are none")
    with pytest.raises(ValueError, match="k"):
        numbers.search(np.ones(32), k=0)
    with pytest.raises(ValueError, match="mode is"):
        words.search("a", mode="fuzzy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="predicate"):
        words.search("a", where={"like": 1})
    with pytest.raises(ValueError, match="surrogates"):
        words.search("\ud800")
    documents: list[tuple[Any, str]] = [
        ([{"id": "a", "text": 3}], "text of document 0 is int"),
        ([{"id": "a"}], "missing"),
        ([{"id": 1.5, "text": "b"}], "id of document 0"),
        ([{"id": "a", "text": "\udc00"}], "document 0.*surrogates"),
        ([{"id": "a", "text": "b", "metadata": {"x": float("nan")}}], "metadata of document 0"),
        ([3], "document 0 is int"),
        ("text", "documents are a str"),
        (3, "documents are a int"),
    ]
    for number, (rows, said) in enumerate(documents):
        with pytest.raises(ValueError, match=said):
            revela.Collection.build(tmp_path / f"bad{number}", rows)
    with pytest.raises(ValueError, match="unknown option"):
        revela.Collection.build(tmp_path / "bad", [], analyzer="code")
    with pytest.raises(ValueError, match="codings|coding"):
        revela.Collection.build(tmp_path / "bad", [], coding="int4")
    with pytest.raises(ValueError, match="shape"):
        revela.Collection.build(tmp_path / "bad", vectors=np.ones(3))
    with pytest.raises(revela.RevelaError, match="already exists"):
        revela.Collection.build(words.path, [])
    with pytest.raises(revela.RevelaError, match="absent"):
        revela.Collection.open(tmp_path / "absent")


def test_views_of_any_kind_are_taken(numbers: revela.Collection, rows: np.ndarray) -> None:
    found = ids(numbers.search(rows[3]))
    for same in (rows[3].astype(np.float64), rows[3].tolist(), np.repeat(rows[3], 2)[::2], rows.T[:, 3]):
        assert ids(numbers.search(same)) == found
    batch, _ = numbers.search_batch(np.asfortranarray(rows[:4]))
    assert (batch == numbers.search_batch(rows[:4])[0]).all()
    assert numbers.search_batch(np.empty((0, 32), dtype=np.float32))[0].shape == (0, 10)


def test_nothing_is_an_empty_collection(tmp_path: Path) -> None:
    empty = revela.Collection.build(tmp_path / "empty", [])
    assert len(empty) == 0 and empty.search("anything") == []
    bare = revela.Collection.build(tmp_path / "bare", vectors=np.empty((0, 4), dtype=np.float32))
    assert len(bare) == 0 and bare.search(np.ones(4)) == []


def test_a_closed_collection_says_so(words: revela.Collection) -> None:
    with words as open_words:
        assert open_words.search("socket")
    for use in (lambda: words.search("socket"), lambda: len(words), lambda: words.add([]), words.refresh):
        with pytest.raises(ValueError, match="is closed"):
            use()
    assert "closed" in repr(words)


def test_a_collection_is_pickled_by_its_path(words: revela.Collection) -> None:
    again = pickle.loads(pickle.dumps(words))
    assert again.search("socket") == words.search("socket")


def test_threads_search_while_one_adds(numbers: revela.Collection, rows: np.ndarray) -> None:
    expected, _ = numbers.search_batch(rows[:200], k=1)
    wrong: list[Any] = []
    done = threading.Event()
    searched = [0] * 4

    def search(number: int) -> None:
        while not done.is_set():
            for query in range(200):
                if numbers.search(rows[query], k=1)[0].id != expected[query, 0]:
                    wrong.append(query)
                searched[number] += 1

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        # Opposite directions: never the nearest of what is asked for.
        numbers.add(vectors=-rows[number * 100 : number * 100 + 100] * 0 - 1, ids=[f"n{number}-{i}" for i in range(100)])
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and min(searched) > 0 and len(numbers) == 2500
