"""Writes tests/golden/{metrics,statistics}.json: what other people's programs say.

    python -m venv venv && venv/bin/pip install -r tools/requirements.txt
    venv/bin/python tools/golden.py

metrics.json: random judgements and runs with many ties, and each query's values from trec_eval's own
code (pytrec_eval) where trec_eval has the metric, from ir-measures for judged@k, and from the
definitions in BEIR (Thakur et al. 2021) for hole@k and r_cap@k.
statistics.json: paired samples with the p-values of scipy and the Holm correction of statsmodels.
"""

import json
import math
import pathlib

import ir_measures
import numpy as np
import pytrec_eval
from scipy import stats
from statsmodels.stats.multitest import multipletests

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
CUTOFFS = [1, 3, 5, 10, 20, 100]

# Our name -> trec_eval's name. mrr@k is trec_eval's recip_rank of the first k results.
TREC = {"ndcg": "ndcg", "map": "map", "mrr": "recip_rank", "r_precision": "Rprec"}
TREC |= {f"ndcg@{k}": f"ndcg_cut_{k}" for k in CUTOFFS}
TREC |= {f"map@{k}": f"map_cut_{k}" for k in CUTOFFS}
TREC |= {f"precision@{k}": f"P_{k}" for k in CUTOFFS}
TREC |= {f"recall@{k}": f"recall_{k}" for k in CUTOFFS}
TREC |= {f"success@{k}": f"success_{k}" for k in CUTOFFS}


def trec_measures():
    depths = ",".join(map(str, CUTOFFS))
    return {"ndcg", "map", "recip_rank", "Rprec"} | {
        f"{name}.{depths}" for name in ("ndcg_cut", "map_cut", "P", "recall", "success")
    }


def trec_order(results):
    """trec_eval's ranking: single-precision score descending, then id descending by bytes."""
    by_id = sorted(results.items(), key=lambda item: item[0].encode(), reverse=True)
    return [d for d, _ in sorted(by_id, key=lambda item: -np.float32(item[1]))]


def without_ties(run, depth):
    """The first `depth` results of each query with scores that leave no ties."""
    return {q: {d: float(depth - i) for i, d in enumerate(trec_order(r)[:depth])} for q, r in run.items()}


def values(qrels, run):
    run = {q: r for q, r in run.items() if q in qrels}
    out = {q: {} for q in run}
    trec = pytrec_eval.RelevanceEvaluator(qrels, trec_measures()).evaluate(run)
    for q, row in trec.items():
        for ours, theirs in TREC.items():
            out[q][ours] = row[theirs]
    annotated = {d for judged in qrels.values() for d in judged}
    for k in CUTOFFS:
        top = without_ties(run, k)
        rr = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(top)
        judged = ir_measures.parse_measure(f"Judged@{k}")
        some = {q: r for q, r in top.items() if r}
        for m in ir_measures.iter_calc([judged], {q: qrels[q] for q in some}, some):
            out[m.query_id][f"judged@{k}"] = m.value
        for q in run:
            out[q][f"mrr@{k}"] = rr[q]["recip_rank"]
            out[q].setdefault(f"judged@{k}", 0.0)
            relevant = [d for d, grade in qrels[q].items() if grade > 0]
            hits = len([d for d in relevant if d in top[q]])
            out[q][f"r_cap@{k}"] = hits / min(len(relevant), k) if relevant else 0.0
            out[q][f"hole@{k}"] = len([d for d in top[q] if d not in annotated]) / k
    return out


def collection(rng, queries, pool, judged, grades, retrieved, scores):
    qrels, run = {}, {}
    docs = [f"d{i}" for i in range(pool)]
    for number in range(queries):
        q = f"q{number}"
        some = rng.choice(docs, size=int(rng.integers(1, judged + 1)), replace=False)
        qrels[q] = {str(d): int(rng.choice(grades)) for d in some}
        found = rng.choice(docs, size=int(rng.integers(0, retrieved + 1)), replace=False)
        run[q] = {str(d): float(s) for d, s in zip(found, scores(rng, len(found)))}
    return qrels, run


def metric_cases():
    rng = np.random.default_rng(20261121)
    ties = lambda rng, n: rng.integers(0, 4, size=n)
    single = lambda rng, n: 0.1 + 1e-10 * rng.integers(0, 100, size=n)
    halves = lambda rng, n: np.round(rng.normal(size=n), 1)
    normal = lambda rng, n: rng.normal(size=n)
    yield "binary, scores with many ties", collection(rng, 20, 60, 8, [1], 60, ties)
    yield "graded, zeros judged, many ties", collection(rng, 20, 60, 30, [0, 1, 2, 3], 60, ties)
    yield "negative grades", collection(rng, 12, 40, 20, [-1, 0, 1, 4], 40, ties)
    yield "scores equal in single precision only", collection(rng, 8, 40, 8, [0, 1, 2], 40, single)
    yield "some ties, deep", collection(rng, 10, 400, 150, [0, 1, 2, 10], 300, halves)
    yield "no ties", collection(rng, 10, 120, 10, [0, 1], 120, normal)
    yield "few results, few relevant", collection(rng, 20, 12, 3, [0, 1], 4, ties)
    qrels, run = collection(rng, 6, 20, 5, [1, 2], 20, ties)
    run["stranger"] = {"d1": 1.0}
    del run["q0"]
    yield "a query without results and one without judgements", (qrels, run)
    ids = ["z", "é", "Z", "d10", "d9", "d", "日本", "0", "00", "~"]
    yield "ids ordered by bytes", ({"q": {i: 1 + n % 3 for n, i in enumerate(ids[::2])}}, {"q": dict.fromkeys(ids, 0.5)})


def write_metrics():
    cases = []
    for name, (qrels, run) in metric_cases():
        cases.append({"name": name, "qrels": qrels, "run": run, "values": values(qrels, run)})
    write("metrics.json", {"programs": "pytrec_eval-terrier 0.5.11, ir-measures 0.4.3", "cases": cases})


def paired(a, b, exact):
    t = stats.ttest_rel(b, a)
    difference = b - a
    test = lambda x, axis: np.mean(x, axis=axis)
    kwargs = {"n_resamples": np.inf} if exact else {"n_resamples": 200_000, "rng": np.random.default_rng(1)}
    randomisation = stats.permutation_test((difference,), test, permutation_type="samples", vectorized=True, batch=1000, **kwargs)
    interval = stats.bootstrap((difference,), np.mean, n_resamples=100_000, method="percentile",
                               batch=1000, rng=np.random.default_rng(2)).confidence_interval
    return {
        "a": a.tolist(), "b": b.tolist(),
        "t": float(t.statistic), "p_t": float(t.pvalue),
        "randomisation_is_exact": exact, "p_randomisation": float(randomisation.pvalue),
        "low": float(interval.low), "high": float(interval.high),
        "cohens_d": float(np.mean(difference) / np.std(difference, ddof=1)),
        "wins": int(np.sum(difference > 1e-9)), "ties": int(np.sum(abs(difference) <= 1e-9)),
        "losses": int(np.sum(difference < -1e-9)),
    }


def write_statistics():
    rng = np.random.default_rng(7)
    samples = []
    for n, effect, grain in [(5, 0.1, 0.25), (8, 0.2, 0.01), (12, 0.05, 0.1), (50, 0.03, 0.01), (225, 0.02, 0.001),
                             (300, 0.0, 0.05), (300, 0.15, 0.001)]:
        a = np.round(rng.beta(0.6, 0.6, size=n) / grain) * grain
        b = np.clip(np.round((a + rng.normal(effect, 0.2, size=n)) / grain) * grain, 0, 1)
        samples.append(paired(a, b, n <= 12))
    tails = []
    for freedom in (1, 2, 4, 29, 299, 4999):
        for t in (0.0, 1e-3, 0.5, 1.96, 4.0, 12.0, 35.0):
            tails.append([t, freedom, float(2 * stats.t.sf(t, freedom))])
    holm = []
    for p in ([0.01, 0.04, 0.03, 0.005], [0.5], [0.9, 0.8, 0.02], [0.001] * 4, rng.uniform(size=12).tolist()):
        holm.append({"raw": p, "adjusted": multipletests(p, method="holm")[1].tolist()})
    sample = rng.normal(size=101)
    quantiles = [[q, float(np.quantile(sample, q))] for q in (0.0, 0.025, 0.1, 0.333, 0.5, 0.975, 1.0)]
    write("statistics.json", {
        "programs": "scipy 1.17.1, statsmodels, numpy", "paired": samples, "t_tails": tails, "holm": holm,
        "quantiles": {"sample": sample.tolist(), "values": quantiles},
    })


def write(name, value):
    assert not any(isinstance(v, float) and math.isnan(v) for v in value.values())
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_metrics()
    write_statistics()
