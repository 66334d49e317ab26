"""How building, opening and searching grow with the number of vectors.

    pip install numpy
    cargo build --release -p revela-index --example measure
    python benches/peers/vector_growth.py FOLDER RESULT [ROWS ..]

Vectors have 128 numbers: normal noise around 2,000 centres, of length 1 (seed 0). ROWS are 10000, 100000 and 1000000
unless given. RESULT.json gets for each number of rows: what building took and its largest resident memory, the curve of
[ef, recall@10, queries per second, queries per CPU second] of one thread with 1,000 queries, and what opening and a
thousand searches at ef 64 leave in memory; RESULT.svg shows microseconds of CPU time per query at recall@10 0.95 and
0.99, and the memory that belongs to no file.
"""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np

from vector_search import MEASURE, at

DIM, CENTRES, QUERIES, K, SECONDS = 128, 2000, 1000, 10, 0.3
EFS = [10, 16, 24, 32, 48, 64, 96, 160, 256, 400]
RECALLS = [0.95, 0.99]


def points(rows):
    """The same rows whatever their number, and queries that are none of them."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIM), dtype=np.float32)
    made = []
    for count, kind in ((QUERIES, 2), (rows, 1)):
        noise = np.random.default_rng(kind)
        x = centres[noise.integers(CENTRES, size=count)] + noise.standard_normal((count, DIM), dtype=np.float32)
        made.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    return made


def truth(queries, rows, block=100_000):
    """Numbers of the K nearest rows, best first."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    ids = np.zeros((len(queries), K), np.int32)
    for first in range(0, len(rows), block):
        scores = np.hstack([best, queries @ rows[first : first + block].T])
        names = np.arange(first, first + scores.shape[1] - K, dtype=np.int32)
        names = np.hstack([ids, np.broadcast_to(names, (len(queries), len(names)))])
        top = np.argsort(-scores, axis=1)[:, :K]
        best, ids = np.take_along_axis(scores, top, 1), np.take_along_axis(names, top, 1)
    return ids


def ask(*words):
    run = subprocess.run([MEASURE, *map(str, words)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{words}: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def measured(folder, count):
    queries, rows = points(count)
    names = {name: folder / f"{name}.npy" for name in ("rows", "queries", "truth")}
    np.save(names["rows"], rows)
    np.save(names["queries"], queries)
    np.save(names["truth"], truth(queries, rows))
    del rows
    collection = folder / "collection"
    shutil.rmtree(collection, ignore_errors=True)
    build = ask("build", names["rows"], collection, "structure=graph")
    build["rows_per_cpu_second"] = count / build["cpu_seconds"]
    opened = ask("open", collection, names["queries"])
    curve = ask("curve", collection, names["queries"], names["truth"], ",".join(map(str, EFS)), 1, SECONDS)
    curve = [[ef, *point] for ef, point in zip(EFS, curve)]
    result = {"rows": count, "build": build, "open": opened, "curve": curve}
    result["queries_per_cpu_second_at"] = {str(recall): at(curve, recall, 3) for recall in RECALLS}
    shutil.rmtree(collection)
    for path in names.values():
        os.remove(path)
    return result


def svg(results):
    """Lines over the number of rows, both axes logarithmic."""
    lines = {}
    for result in results:
        for recall, rate in result["queries_per_cpu_second_at"].items():
            if rate:
                lines.setdefault(f"µs per query, recall {recall}", []).append((result["rows"], 1e6 / rate))
        before, *_, after = result["open"]["kb_before_opened_first_thousand"]
        lines.setdefault("kB of own memory", []).append((result["rows"], max(after[1] - before[1], 1)))
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    left, right = math.log10(min(xs)), max(math.log10(max(xs)), math.log10(min(xs)) + 1)
    place = lambda x, y: (  # noqa: E731
        60 + 440 * (math.log10(x) - left) / (right - left),
        330 - 300 * (math.log10(y) - low) / (high - low),
    )
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 370" font-family="sans-serif" font-size="12">']
    out.append('<rect width="700" height="370" fill="white"/>')
    for power in range(low, high + 1):
        y = place(min(xs), 10**power)[1]
        out.append(f'<path d="M60 {y:.0f}H500" stroke="#ddd"/><text x="52" y="{y + 4:.0f}" text-anchor="end">{10**power:g}</text>')
    for x in sorted(set(xs)):
        out.append(f'<text x="{place(x, 10**low)[0]:.0f}" y="350" text-anchor="middle">{x:,} vectors</text>')
    for (name, line), colour in zip(lines.items(), ("#0b6e99", "#b3471d", "#555555", "#2d7d46")):
        spots = [place(*point) for point in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = spots[-1]
        out.append(f'<text x="{x + 8:.0f}" y="{y + 4:.0f}" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    folder, result = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    results = []
    for count in map(int, sys.argv[3:] or (10_000, 100_000, 1_000_000)):
        results.append(measured(folder, count))
        result.with_suffix(".json").write_text(json.dumps({"dim": DIM, "k": K, "sizes": results}, indent=1) + "\n")
        result.with_suffix(".svg").write_text(svg(results))
        print(count, results[-1]["build"], results[-1]["queries_per_cpu_second_at"], flush=True)


main()
