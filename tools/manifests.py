"""Writes datasets/*.toml and the list of them in crates/revela-eval/src/catalog/entries.rs.

    python -m venv venv && venv/bin/pip install mteb
    venv/bin/python tools/manifests.py BEIR_README

Facts come from mteb's task metadata and descriptive statistics, and from the table in the README of
beir-cellar/beir (BEIR_README is that file). What neither states is left out.
"""

import pathlib
import re
import sys
from importlib.metadata import version

import mteb

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "datasets"
MTEB = f"mteb {version('mteb')}"
README = "the table in the README of github.com/beir-cellar/beir, October 2025"

# BEIR's name -> MTEB's task; the four sets without one are not public.
BEIR = {
    "msmarco": "MSMARCO", "trec-covid": "TRECCOVID", "nfcorpus": "NFCorpus", "bioasq": None, "nq": "NQ",
    "hotpotqa": "HotpotQA", "fiqa": "FiQA2018", "signal1m": None, "trec-news": None, "robust04": None,
    "arguana": "ArguAna", "webis-touche2020": "Touche2020", "cqadupstack": "CQADupstackRetrieval",
    "quora": "QuoraRetrieval", "dbpedia-entity": "DBPedia", "scidocs": "SCIDOCS", "fever": "FEVER",
    "climate-fever": "ClimateFEVER", "scifact": "SciFact",
}
COIR = {
    "apps": "AppsRetrieval", "cosqa": "CosQA", "synthetic-text2sql": "SyntheticText2SQL",
    "codesearchnet": "COIRCodeSearchNetRetrieval", "codesearchnet-ccr": "CodeSearchNetCCRetrieval",
    "codetrans-dl": "CodeTransOceanDL", "codetrans-contest": "CodeTransOceanContest",
    "stackoverflow-qa": "StackOverflowQA", "codefeedback-st": "CodeFeedbackST", "codefeedback-mt": "CodeFeedbackMT",
}
BRIGHT = {
    "biology": "Biology", "earth_science": "EarthScience", "economics": "Economics", "psychology": "Psychology",
    "robotics": "Robotics", "stackoverflow": "Stackoverflow", "sustainable_living": "SustainableLiving",
    "leetcode": "Leetcode", "pony": "Pony", "aops": "Aops", "theoremqa_questions": "TheoremQAQuestions",
    "theoremqa_theorems": "TheoremQATheorems",
}
FORUMS = ["android", "english", "gaming", "gis", "mathematica", "physics", "programmers", "stats", "tex", "unix",
          "webmasters", "wordpress"]


def readme_table(path):
    """BEIR's name -> its row: title, queries, corpus, archive, md5."""
    rows = {}
    for line in open(path, encoding="utf-8"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 10 and cells[2].startswith("``"):
            link = re.search(r"\((https://\S+\.zip)\)", cells[8])
            md5 = re.search(r"``([0-9a-f]{32})``", cells[9])
            rows[cells[2].strip("`")] = {
                "title": cells[0], "queries": int(cells[5].replace(",", "")), "corpus": cells[6],
                "archive": (link.group(1), md5.group(1)) if link and md5 else None,
            }
    return rows


def count(statistics, part):
    """Descriptive statistics state totals and averages; newer ones the count itself."""
    if f"num_{part}" in statistics:
        return statistics[f"num_{part}"]
    texts = statistics[f"{part}_text_statistics"]
    return round(texts["total_text_length"] / texts["average_text_length"])


def prompt(metadata):
    given = metadata.prompt
    return given.get("query") if isinstance(given, dict) else given


def text(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def mteb_fields(name, split, with_counts=True):
    metadata = mteb.get_task(name).metadata
    fields, licence = {}, metadata.license
    if licence and licence != "not specified":
        fields["licence"] = text(licence)
    statistics = (metadata.descriptive_stats or {}).get(split)
    if with_counts and statistics:
        fields["documents"] = count(statistics, "documents")
        fields["queries"] = count(statistics, "queries")
    if prompt(metadata):
        fields["query-prompt"] = text(prompt(metadata))
    if getattr(mteb.get_task(name), "ignore_identical_ids", False):
        fields["self-matches"] = text("drop")
    assert metadata.main_score == "ndcg_at_10"
    return metadata, fields


def table(head, pairs):
    return [head] + [f"{key} = {value}" for key, value in pairs.items() if value is not None]


def languages(metadata):
    given = metadata.eval_langs
    flat = given if isinstance(given, list) else sorted({lang for each in given.values() for lang in each})
    return "[" + ", ".join(map(text, flat)) + "]"


def hub(metadata, part=None, subset=None):
    dataset = metadata.dataset
    pairs = {"part": part and text(part), "repo": text(dataset["path"]), "revision": text(dataset["revision"]),
             "subset": subset and text(subset)}
    return table("\n[[hub]]", pairs)


def write(name, head, tables):
    lines = [f"{key} = {value}" for key, value in head.items()] + [line for part in tables for line in part]
    (OUT / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def header(name, title, benchmark, split, fields, sources):
    return {"name": text(name), "title": text(title), "benchmark": text(benchmark), "split": text(split),
            "metric": text("ndcg@10"), **fields, "sources": "[" + ", ".join(map(text, sources)) + "]"}


def beir(rows):
    for name, task in BEIR.items():
        row = rows[name]
        if name == "msmarco":
            # BEIR publishes MS MARCO beside its 18 zero-shot sets, on which models are not trained.
            continue
        tables, sources, fields = [], [f"name, archive and checksum: {README}"], {}
        if task is None:
            fields = {"queries": row["queries"], "documents-about": text(row["corpus"])}
            sources = [f"queries and documents: {README}, which also says that the set is not public"]
        elif name == "cqadupstack":
            fields = {"documents-about": text(row["corpus"]), "queries": row["queries"],
                      "average": text("mean of the 12 forums, each measured on its own"),
                      "parts": "[" + ", ".join(map(text, FORUMS)) + "]"}
            for forum in FORUMS:
                part, licence = mteb_fields(f"CQADupstack{forum.capitalize()}Retrieval", "test", False)
                tables.append(hub(part, part=forum))
                fields.update({key: licence[key] for key in ("licence", "query-prompt", "self-matches") if key in licence})
            tables.append(table("\n[mteb]", {"task": text(task), "languages": languages(part)}))
            sources += [f"queries and documents: {README}", f"licence, prompt, parts and hub: {MTEB}"]
        else:
            metadata, fields = mteb_fields(task, "test")
            tables = [hub(metadata), table("\n[mteb]", {"task": text(task), "languages": languages(metadata)})]
            sources.append(f"licence, counts, prompt, self-matches and hub: {MTEB}")
        if row["archive"]:
            url, md5 = row["archive"]
            tables.append(table("\n[archive]", {"url": text(url), "md5": text(md5)}))
        write(name, header(name, row["title"], "BEIR", "test", fields, sources), tables)


def coir():
    for name, task in COIR.items():
        metadata, fields = mteb_fields(task, "test", not name.startswith("codesearchnet"))
        tables = [hub(metadata)]
        if name.startswith("codesearchnet"):
            parts = metadata.hf_subsets
            tables = [hub(metadata, part=part, subset=part) for part in parts]
            fields["average"] = text("mean of the 6 programming languages, each measured on its own")
            fields["parts"] = "[" + ", ".join(map(text, parts)) + "]"
        tables.append(table("\n[mteb]", {"task": text(task), "languages": languages(metadata)}))
        sources = [f"licence, counts, parts and hub: {MTEB}", "membership: the README of github.com/CoIR-team/coir, June 2025"]
        write(name, header(name, metadata.name, "CoIR", "test", fields, sources), tables)


def bright():
    for domain, title in BRIGHT.items():
        task = f"Bright{title}Retrieval"
        metadata, fields = mteb_fields(task, "standard")
        sources = [f"licence, counts, prompt and hub: {MTEB}",
                   "domains and excluded ids: run.py of github.com/xlang-ai/BRIGHT, September 2025"]
        name = "bright-" + domain.replace("_", "-")
        tables = [hub(metadata), table("\n[mteb]", {"task": text(task), "languages": languages(metadata)})]
        write(name, header(name, f"BRIGHT {domain}", "BRIGHT", domain, fields, sources), tables)


def entries():
    def rows(folder, up):
        names = sorted(path.stem for path in folder.glob("*.toml"))
        return [f'    ("{name}", include_str!("{up}/{name}.toml")),' for name in names]

    up = "../../../../datasets"
    lines = ["//! The files of `datasets/`, as tools/manifests.py found them.", "",
             "/// Tasks: name and content of their files.", "pub(super) const TASKS: &[(&str, &str)] = &[",
             *rows(OUT, up), "];", "", "/// Published figures.",
             "pub(super) const PUBLISHED: &[(&str, &str)] = &[", *rows(OUT / "published", f"{up}/published"), "];"]
    path = ROOT / "crates" / "revela-eval" / "src" / "catalog" / "entries.rs"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    beir(readme_table(sys.argv[1]))
    coir()
    bright()
    entries()
