"""Vector search beside faiss, hnswlib, usearch and hnsw_rs: on the same vectors and machine, in turn, each in its own process.

    pip install numpy faiss-cpu hnswlib usearch
    cargo build --release -p revela-index --examples
    python benches/peers/vector_search.py BASE.npy QUERIES.npy FOLDER [ROUNDS [NAME ..]] > RESULT.json

Vectors have length 1; truth is exact search with numpy. Every system builds once with 2 threads (FOLDER keeps what was
built, so that a second run only searches), then ROUNDS times (3) each in turn is asked, or those that are named, then with one
thread only; medians count. "curves" has for each
system [ef, recall, queries per second, queries per CPU second], of one thread and of two; "at" what follows for three
recalls (between two points, on a line through the logarithms). "open" is from the start of the process to the first
answer, and the same without what starting the interpreter and importing takes; memory is in kilobytes: [before, after
opening and the first answer, after 1,000 queries], resident and of those what belongs to no file.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

K, M, EF_CONSTRUCTION, THREADS, SECONDS = 10, 16, 200, 2, 0.2
EFS = [10, 13, 16, 20, 24, 32, 48, 64, 80, 96, 128, 192, 256]
TARGETS = [0.90, 0.95, 0.99]
MEASURE = pathlib.Path(__file__).resolve().parents[2] / "target/release/examples/measure"
GRAPH = ["structure=graph"]
OURS = {"revela int8": GRAPH, "revela f16": [*GRAPH, "dtype=f16"], "revela f32": [*GRAPH, "coding=none"]}
# Programs instead of modules: the example that measures each, and what it is told to build.
PROGRAMS = {name: (MEASURE, options) for name, options in OURS.items()}
PROGRAMS["hnsw_rs"] = (MEASURE.with_name("measure_hnsw_rs"), [])


class Hnswlib:
    def __init__(self, dim):
        import hnswlib

        self.index = hnswlib.Index("ip", dim)

    def build(self, rows, path):
        self.index.init_index(len(rows), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.set_num_threads(THREADS)
        self.index.add_items(rows)
        self.index.save_index(path)

    def load(self, path):
        self.index.load_index(path)

    def search(self, queries, ef, threads):
        self.index.set_ef(max(ef, K))
        self.index.set_num_threads(threads)
        return self.index.knn_query(queries, K)[0]


class Faiss:
    """Flat; or 8 bits per number, alone or with the full vectors of the best 3 K compared after it."""

    def __init__(self, dim, kind):
        import faiss

        self.faiss, self.kind = faiss, kind
        metric = faiss.METRIC_INNER_PRODUCT
        if kind == "flat":
            self.index = self.graph = faiss.IndexHNSWFlat(dim, M, metric)
        else:
            self.index = self.graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, M, metric)
        if kind == "refine":
            self.index = faiss.IndexRefineFlat(self.graph)

    def build(self, rows, path):
        self.faiss.omp_set_num_threads(THREADS)
        self.graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.train(rows)
        self.index.add(rows)
        self.faiss.write_index(self.index, path)

    def load(self, path):
        self.index = self.faiss.read_index(path, getattr(self.faiss, "IO_FLAG_MMAP_IFC", 0))
        self.graph = self.index
        if self.kind == "refine":
            self.index.k_factor = 3
            self.graph = self.faiss.downcast_index(self.index.base_index)

    def search(self, queries, ef, threads):
        self.faiss.omp_set_num_threads(threads)
        self.graph.hnsw.efSearch = ef
        return self.index.search(queries, K)[1]


class Usearch:
    def __init__(self, dim, kind):
        from usearch.index import Index

        options = dict(connectivity=M, expansion_add=EF_CONSTRUCTION)
        self.index = Index(ndim=dim, metric="ip", dtype=kind, **options)

    def build(self, rows, path):
        import numpy as np

        self.index.add(np.arange(len(rows)), rows, threads=THREADS)
        self.index.save(path)

    def load(self, path):
        self.index.view(path)

    def search(self, queries, ef, threads):
        self.index.expansion_search = ef
        return self.index.search(queries, K, threads=threads).keys


PEERS = {
    "hnswlib": Hnswlib,
    "faiss HNSW flat": lambda dim: Faiss(dim, "flat"),
    "faiss HNSW SQ8": lambda dim: Faiss(dim, "sq8"),
    "faiss HNSW SQ8 + refine": lambda dim: Faiss(dim, "refine"),
    "usearch f32": lambda dim: Usearch(dim, "f32"),
    "usearch f16": lambda dim: Usearch(dim, "f16"),
    "usearch i8": lambda dim: Usearch(dim, "i8"),
}


def memory():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return [int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon")]


def child(what, name, path, base, queries, truth, threads):
    """One peer's part, in a process of its own; prints a line of JSON."""
    import numpy as np

    queries = np.load(queries)
    peer = PEERS[name](queries.shape[1])
    if what == "build":
        rows = np.load(base)
        wall, cpu = time.time(), time.process_time()
        peer.build(rows, path)
        report = {"seconds": time.time() - wall, "cpu_seconds": time.process_time() - cpu}
        report["bytes_per_vector"] = os.path.getsize(path) / len(rows)
    elif what == "open":
        before, wall = memory(), time.time()
        peer.load(path)
        peer.search(queries[:1], 64, 1)
        seconds = time.time() - wall
        print(json.dumps({"first": True}), flush=True)
        after = memory()
        for query in range(1000):
            peer.search(queries[query % len(queries)][None], 64, 1)
        report = {"open_and_first_seconds": seconds, "kb_before_first_thousand": [before, after, memory()]}
    else:
        peer.load(path)
        truth = np.load(truth)
        report = [point(peer, queries, truth, ef, int(threads)) for ef in EFS]
    print(json.dumps(report), flush=True)


def point(peer, queries, truth, ef, threads):
    found = peer.search(queries, ef, threads)
    recall = sum(len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found, truth)) / truth.size
    wall, cpu, asked = time.time(), time.process_time(), 0
    while asked == 0 or time.process_time() - cpu < SECONDS:
        peer.search(queries, ef, threads)
        asked += len(queries)
    return [recall, asked / (time.time() - wall), asked / (time.process_time() - cpu)]


def command(what, name, folder, base, queries, threads=1):
    path = str(folder / name.replace(" ", "-"))
    if name not in PROGRAMS:
        words = ["child", what, name, path, base, queries, folder / "truth.npy", threads]
        return [sys.executable, __file__, *map(str, words)]
    program, options = PROGRAMS[name]
    if what == "build":
        return [str(program), "build", base, path, *options]
    if what == "open":
        return [str(program), "open", path, queries]
    efs = ",".join(map(str, EFS))
    return list(map(str, [program, "curve", path, queries, folder / "truth.npy", efs, threads, SECONDS]))


def ask(*args):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS))
    run = subprocess.run(command(*args), capture_output=True, text=True, env=environment)
    if run.returncode != 0:
        sys.exit(f"{args}: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def opened(name, folder, base, queries):
    """Seconds until the first answer, measured from outside, and what the process says of itself."""
    start = time.time()
    process = subprocess.Popen(command("open", name, folder, base, queries), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    seconds = time.time() - start
    report = json.loads(process.stdout.read())
    process.wait()
    kilobytes = report.get("kb_before_first_thousand")
    if kilobytes is None:
        before, _, *after = report["kb_before_opened_first_thousand"]
        kilobytes = [before, *after]
    return seconds, report["open_and_first_seconds"], kilobytes


def at(points, recall, column):
    """What a curve gives at a recall; nothing where it does not get there."""
    import math

    points = sorted(points, key=lambda point: point[1])
    for low, high in zip(points, points[1:]):
        if low[1] <= recall <= high[1] and high[1] > low[1]:
            share = (recall - low[1]) / (high[1] - low[1])
            return round(math.exp((1 - share) * math.log(low[column]) + share * math.log(high[column])))
    return points[0][column] if points and points[0][1] >= recall else None


def main():
    import numpy as np

    base, queries, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    folder.mkdir(exist_ok=True)
    rows, asked = np.load(base, mmap_mode="r"), np.load(queries)
    np.save(folder / "truth.npy", np.argsort(-(asked @ rows.T), axis=1)[:, :K].astype(np.int32))
    turns = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    names = sys.argv[5:] or [*PROGRAMS, *PEERS]
    built = folder / "built.json"
    builds = json.loads(built.read_text()) if built.exists() else {}
    for name in names:
        if name not in builds:
            builds[name] = ask("build", name, folder, base, queries)
            built.write_text(json.dumps(builds))
            print("built", name, builds[name], file=sys.stderr, flush=True)
    result = {"rows": list(rows.shape), "queries": len(asked), "k": K, "m": M, "ef_construction": EF_CONSTRUCTION}
    result["rounds"] = turns
    result["build"], result["open"], result["curves"], result["at"] = builds, {}, {}, {}
    opens = {name: [opened(name, folder, base, queries) for _ in range(5)] for name in names}
    for name in names:
        seconds, inside, kilobytes = zip(*opens[name])
        report = {"process_seconds": statistics.median(seconds), "seconds": statistics.median(inside)}
        result["open"][name] = report | {"kb": kilobytes[-1]}
    for threads in (1,) if sys.argv[5:] else (1, THREADS):
        rounds = {name: [] for name in names}
        for number in range(turns):
            for name in names:
                rounds[name].append(ask("curve", name, folder, base, queries, threads))
            print("threads", threads, "round", number, file=sys.stderr, flush=True)
        for name in names:
            medians = [[ef, *map(statistics.median, zip(*of_ef))] for ef, *of_ef in zip(EFS, *rounds[name])]
            result["curves"].setdefault(name, {})[str(threads)] = medians
            column = 3 if threads == 1 else 2
            figures = {str(recall): at(medians, recall, column) for recall in TARGETS}
            result["at"].setdefault(name, {})["per_cpu_second" if threads == 1 else "two_threads"] = figures
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(*sys.argv[2:])
    else:
        main()
