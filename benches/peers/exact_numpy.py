"""Exact scoring of many queries: Revela's flat search beside numpy, each on two threads, in turn.

    pip install numpy
    cargo build --release -p revela-index --example flat_scan
    python benches/peers/exact_numpy.py target/release/examples/flat_scan [ROWS QUERIES DIM K REPEATS]

"product" is numpy's matrix product alone (all scores in memory), "product+top" adds choosing the k best.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = "2"
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = THREADS

import numpy as np  # noqa: E402  (the variables above must be set before)


def unit(rng, rows, dim):
    data = rng.normal(size=(rows, dim)).astype(np.float32)
    return data / np.linalg.norm(data, axis=1, keepdims=True)


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def best(scores, k):
    """Ids of the k best of each row, best first, equal ones by id."""
    some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.take_along_axis(scores, some, axis=1)
    return np.take_along_axis(some, np.lexsort((some, -order), axis=1), axis=1)


def main(program, rows=100_000, queries=1_000, dim=384, k=1000, repeats=5):
    rng = np.random.default_rng(1)
    documents, asked = unit(rng, int(rows), int(dim)), unit(rng, int(queries), int(dim))
    k, figures = int(k), {"revela": [], "product": [], "product+top": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("rows.npy", "queries.npy")]
        for path, data in zip(paths, (documents, asked)):
            np.save(path, data)
        for _ in range(int(repeats)):
            line = subprocess.run([program, *paths, str(k)], check=True, capture_output=True, text=True).stdout
            ours = json.loads(line)
            figures["revela"].append(ours)
            scores, first = timed(lambda: asked @ documents.T)
            ids, second = timed(lambda: best(scores, k))
            figures["product"].append(first)
            figures["product+top"].append({key: first[key] + second[key] for key in first})
    # Sums in another order differ in their last bits, which may swap the last of the k.
    differ = abs(int(ids.sum()) - ours["ids"]) / ids.sum()
    print(f"sums of the ids found differ by {differ:.1e}; instruction set {ours['set']}")
    for name, runs in figures.items():
        median = {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu")}
        print(f"{name:12} {median['wall']:.3f} s wall, {median['cpu']:.3f} s of CPU, medians of {len(runs)}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
