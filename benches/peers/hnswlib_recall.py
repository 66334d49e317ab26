"""Recall against speed of hnswlib, in the same shape as `revela index bench --json`.

    pip install hnswlib numpy
    python benches/peers/hnswlib_recall.py BASE.npy QUERIES.npy [EF_CONSTRUCTION] > OUT.json

Vectors have length 1. Two threads build, one searches; truth is exact search with numpy.
"""

import json
import sys
import time

import hnswlib
import numpy as np

K = 10


def measured(index, queries, truth, ef):
    index.set_ef(ef)
    labels, _ = index.knn_query(queries, K)
    recall = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(labels, truth)]))
    wall, cpu, asked = time.time(), time.process_time(), 0
    while time.process_time() - cpu < 1.0:
        index.knn_query(queries, K)
        asked += len(queries)
    wall, cpu = time.time() - wall, time.process_time() - cpu
    return {"ef": ef, "recall": recall, "queries_per_second": asked / wall, "queries_per_cpu_second": asked / cpu}


def main():
    base, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
    ef_construction = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    truth = np.argpartition(-(queries @ base.T), K, axis=1)[:, :K]
    index = hnswlib.Index("ip", base.shape[1])
    wall, cpu = time.time(), time.process_time()
    index.init_index(len(base), ef_construction=ef_construction, M=16)
    index.set_num_threads(2)
    index.add_items(base)
    report = {
        "peer": f"hnswlib {hnswlib.__version__ if hasattr(hnswlib, '__version__') else ''}".strip(),
        "ef_construction": ef_construction,
        "build_seconds": time.time() - wall,
        "build_cpu_seconds": time.process_time() - cpu,
    }
    index.set_num_threads(1)
    report["points"] = [measured(index, queries, truth, ef) for ef in [10, 16, 32, 64, 128, 256, 512]]
    print(json.dumps(report, indent=1))


main()
