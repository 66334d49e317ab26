"""Other libraries' classes, with the libraries themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import revela


@pytest.fixture
def collection(tmp_path: Path, documents: list[dict[str, Any]], encoder: revela.Encoder) -> revela.Collection:
    return revela.Collection.build(tmp_path / "both", documents, encoder)


ASKED = "how do I read lines?"


def test_langchain(collection: revela.Collection, encoder: revela.Encoder, tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    from revela.integrations.langchain import RevelaEmbeddings, RevelaRetriever, RevelaVectorStore

    embeddings = RevelaEmbeddings(encoder)
    assert np.allclose(embeddings.embed_documents(["a", "b"]), encoder.encode_document(["a", "b"]))
    assert np.allclose(embeddings.embed_query("a"), encoder.encode_query("a"))
    where = {"equals": {"field": "kind", "value": "io"}}
    found = RevelaRetriever(collection=collection, k=2, where=where).invoke(ASKED)
    assert found[0].id == "fs" and found[0].metadata["year"] == 2020 and found[0].metadata["score"] > 0
    store = RevelaVectorStore.from_texts(["a file", "a socket"], embeddings, path=str(tmp_path / "store"))
    added = store.add_texts(["a database"], [{"kind": "data"}], ids=["db"])
    assert added == ["db"] and store.similarity_search("database", k=1)[0].metadata == {"kind": "data"}
    document, score = store.similarity_search_with_score("database", k=1)[0]
    assert document.id == "db" and score > 0
    assert store.get_by_ids(["db", "absent"])[0].page_content == "a database"
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("socket")[0].page_content == "a socket"
    near = store.similarity_search_by_vector(embeddings.embed_query("a database"), k=1)
    assert near[0].id == "db" and store.delete(["db"]) and store.get_by_ids(["db"]) == []


def test_llama_index(collection: revela.Collection, encoder: revela.Encoder) -> None:
    pytest.importorskip("llama_index.core")
    from revela.integrations.llama_index import RevelaEmbedding, RevelaRetriever

    embedding = RevelaEmbedding(encoder)
    assert np.allclose(embedding.get_text_embedding_batch(["a", "b"]), encoder.encode_document(["a", "b"]))
    assert np.allclose(embedding.get_query_embedding("a"), encoder.encode_query("a"))
    nodes = RevelaRetriever(collection, similarity_top_k=2).retrieve(ASKED)
    assert nodes[0].node.node_id == "fs" and nodes[0].node.metadata["kind"] == "io" and len(nodes) == 2


def test_haystack(collection: revela.Collection, encoder_path: Path) -> None:
    haystack = pytest.importorskip("haystack")
    from revela.integrations.haystack import RevelaRetriever

    from haystack.core import serialization

    # Later versions open classes only of modules that they were told to trust.
    trust = getattr(serialization, "allow_deserialization_module", None)
    if trust is not None:
        trust("revela.integrations.haystack")
    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", RevelaRetriever(str(collection.path), str(encoder_path), top_k=2))
    again = haystack.Pipeline.from_dict(pipeline.to_dict())
    documents = again.run({"retriever": {"query": ASKED}})["retriever"]["documents"]
    assert documents[0].id == "fs" and documents[0].meta["kind"] == "io" and len(documents) == 2


def test_dspy(collection: revela.Collection, encoder: revela.Encoder) -> None:
    dspy = pytest.importorskip("dspy")
    from revela.integrations.dspy import RevelaRetriever

    found = RevelaRetriever(collection, k=2)(ASKED)
    assert found.ids[0] == "fs" and len(found.passages) == 2
    embedder = dspy.Embedder(encoder.encode)
    assert np.allclose(embedder(["a", "b"]), encoder.encode(["a", "b"]), atol=1e-6)


def test_ranx_and_ir_measures_take_runs(tests_folder: Path) -> None:
    report = revela.evaluate(tests_folder, mode="bm25", metrics=["ndcg@10", "mrr@10"])
    judged: dict[str, dict[str, int]] = {}
    for line in (tests_folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    ir_measures = pytest.importorskip("ir_measures")
    said = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.RR @ 10], judged, report.run)
    assert said[ir_measures.nDCG @ 10] == pytest.approx(report["ndcg@10"], abs=1e-6)
    assert said[ir_measures.RR @ 10] == pytest.approx(report["mrr@10"], abs=1e-6)


def test_folders_of_ours_open_in_sentence_transformers(encoder_path: Path, tmp_path: Path) -> None:
    reference = pytest.importorskip("sentence_transformers")
    groups = _groups(tmp_path)
    settings = {"groups": groups, "retriever": encoder_path, "out": tmp_path / "run", "objective": "contrastive"}
    trained = revela.train({**settings, "steps": 1, "learning_rate": 1e-3}).encoder()
    rows = reference.SentenceTransformer(trained.path, device="cpu").encode(["a text", "another one"])
    assert np.abs(rows - trained.encode(["a text", "another one"])).max() < 1e-5
    assert not np.allclose(rows, revela.Encoder(encoder_path).encode(["a text", "another one"]), atol=1e-5)


def _groups(folder: Path) -> Path:
    with open(folder / "texts.jsonl", "w") as file:
        for number in range(40):
            text = f"Text number {number} tells of the {number % 7} things that a reader of files may want to know. " * 2
            file.write(json.dumps({"_id": str(number), "text": text}) + "\n")
    chunks = revela.chunk(folder / "texts.jsonl", folder / "chunks.jsonl", keep_all=True)
    return revela.group(chunks.path, folder / "groups.jsonl", group_size=4, policy="random", keep_all=True).path


def _mteb_task(folder: Path) -> Any:
    """A collection with judgements from disk as a task of MTEB's."""
    datasets = pytest.importorskip("datasets")
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    def lines(name: str) -> Any:
        rows = [json.loads(line) for line in open(folder / name)]
        return datasets.Dataset.from_list([{("id" if key == "_id" else key): row[key] for key in row} for row in rows])

    class FromDisk(AbsTaskRetrieval):
        ignore_identical_ids = True
        metadata = TaskMetadata(
            name="FromDisk",
            description="A collection with judgements from disk.",
            type="Retrieval",
            dataset={"path": str(folder), "revision": "1"},
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *_: Any, **__: Any) -> None:
            judged: dict[str, dict[str, int]] = {}
            for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
                query, document, grade = line.split("\t")
                judged.setdefault(query, {})[document] = int(grade)
            queries = lines("queries.jsonl").filter(lambda query: query["id"] in judged)
            split = {"corpus": lines("corpus.jsonl"), "queries": queries, "relevant_docs": judged, "top_ranked": None}
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return FromDisk()


def test_mteb_says_what_evaluate_says(tests_folder: Path, encoder: revela.Encoder) -> None:
    mteb = pytest.importorskip("mteb")
    from mteb.models.models_protocols import EncoderProtocol, SearchProtocol

    from revela.integrations.mteb import RevelaEncoder, RevelaSearch

    assert isinstance(RevelaEncoder(encoder), EncoderProtocol) and isinstance(RevelaSearch(), SearchProtocol)
    systems = {"dense": RevelaEncoder(encoder), "bm25": RevelaSearch(), "hybrid": RevelaSearch(encoder)}
    for mode, system in systems.items():
        said = mteb.evaluate(system, _mteb_task(tests_folder), cache=None).task_results[0]
        here = revela.evaluate(tests_folder, None if mode == "bm25" else encoder, mode=mode)  # type: ignore[arg-type]
        assert said.scores["test"][0]["ndcg_at_10"] == pytest.approx(here["ndcg@10"], abs=1e-5), mode
