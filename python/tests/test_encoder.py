"""Encoders: equal to the program and to sentence-transformers, and what they say of bad input."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import revela

TEXTS = ["Read a file line by line.", "Sockets", "", "Sort a list of numbers in place. " * 40, "naïve café 日本語"]


def test_vectors_have_the_shape_that_was_asked_for(encoder: revela.Encoder) -> None:
    rows = encoder.encode(TEXTS)
    assert rows.shape == (5, encoder.get_sentence_embedding_dimension()) and rows.dtype == np.float32
    assert rows.flags.writeable and rows.flags.c_contiguous
    assert encoder.encode(TEXTS[0]).shape == (encoder.dimension,)
    assert np.allclose(encoder.encode(TEXTS[0]), rows[0], atol=1e-6)
    assert encoder.encode([]).shape == (0, encoder.dimension)
    assert encoder.encode((text for text in TEXTS[:2])).shape[0] == 2  # type: ignore[arg-type]
    assert np.allclose(encoder.encode(np.array(TEXTS[:2])), rows[:2], atol=1e-6)  # type: ignore[arg-type]
    short = encoder.encode(TEXTS[:2], truncate_dim=16, normalize_embeddings=True)
    assert short.shape == (2, 16) and np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert np.allclose(short[0], rows[0, :16] / np.linalg.norm(rows[0, :16]), atol=1e-6)


def test_prompts_are_put_before_texts(encoder: revela.Encoder) -> None:
    plain = encoder.encode(["query: sockets"])
    assert np.array_equal(encoder.encode(["sockets"], prompt="query: "), plain)
    asked = encoder.prompts["query"] + "sockets"
    assert np.array_equal(encoder.encode_query(["sockets"]), encoder.encode([asked]))
    with pytest.raises(ValueError, match="no prompt is called"):
        encoder.encode(["a"], prompt_name="clustering")
    with pytest.raises(ValueError, match="not both"):
        encoder.encode(["a"], prompt_name="query", prompt="a")


def test_similarity_is_the_encoders(encoder: revela.Encoder) -> None:
    rows = encoder.encode(["read a file", "read files", "cook rice"])
    similar = encoder.similarity(rows[0], rows)
    assert similar.shape == (1, 3) and similar[0, 0] == pytest.approx(1, abs=1e-5)
    assert similar[0, 1] > similar[0, 2]


def test_an_encoder_is_pickled_by_its_path(encoder: revela.Encoder) -> None:
    again = pickle.loads(pickle.dumps(encoder))
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(TEXTS), encoder.encode(TEXTS))


def test_a_batch_of_columns_gets_vectors(encoder: revela.Encoder) -> None:
    batch = encoder({"id": np.array(["a", "b"]), "text": np.array(TEXTS[:2], dtype=object)})
    assert set(batch) == {"id", "text", "vector"}
    assert np.array_equal(batch["vector"], encoder.encode_document(TEXTS[:2]))


def test_bad_input_is_said(encoder: revela.Encoder, encoder_path: Path, tmp_path: Path) -> None:
    bad: list[tuple[Any, str]] = [
        (["a", 3], "text 1 is int"),
        ([None], "text 0 is NoneType"),
        ([b"a"], "text 0 is bytes"),
        (3, "texts are int"),
        (b"a", "texts are bytes"),
        (["a", "\ud800"], "text 1.*surrogates"),
        ("\udfff", "surrogates"),
    ]
    for texts, said in bad:
        with pytest.raises(ValueError, match=said):
            encoder.encode(texts)
    with pytest.raises(ValueError, match="unknown device"):
        revela.Encoder(encoder_path, device="tpu")
    with pytest.raises(ValueError, match="threads"):
        revela.Encoder(encoder_path, threads=0)
    with pytest.raises(ValueError, match="f64"):
        revela.Encoder(encoder_path, matmul="f64")  # type: ignore[arg-type]
    with pytest.raises(revela.RevelaError):
        revela.Encoder(tmp_path)


def test_bars_show_what_is_done(encoder: revela.Encoder, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    encoder.encode(["a text"] * 20, show_progress_bar=True)
    assert "embedding" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_vectors_are_the_programs_bit_for_bit(
    kind: str, encoder: revela.Encoder, encoder_path: Path, program: Callable[..., str], tmp_path: Path
) -> None:
    texts = [text for text in TEXTS if text] * 5
    with open(tmp_path / "texts.jsonl", "w") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"_id": str(number), "text": text}) + "\n")
    out = tmp_path / "rows.npy"
    program("model", "embed", "--encoder", encoder_path, "--input", tmp_path / "texts.jsonl", "--kind", kind, "--out", out)
    assert np.array_equal(np.load(out), encoder.encode(texts, prompt_name=kind))


def test_vectors_are_those_of_sentence_transformers(encoder: revela.Encoder, encoder_path: Path) -> None:
    reference = pytest.importorskip("sentence_transformers").SentenceTransformer(str(encoder_path), device="cpu")
    rows = reference.encode(TEXTS, convert_to_numpy=True)
    assert np.abs(rows - encoder.encode(TEXTS)).max() < 1e-5
    assert reference.get_sentence_embedding_dimension() == encoder.get_sentence_embedding_dimension()
    assert reference.max_seq_length == encoder.max_seq_length
    assert np.abs(reference.similarity(rows, rows).numpy() - encoder.similarity(rows, rows)).max() < 1e-5
