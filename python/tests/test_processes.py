"""Signals, forks and other processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import revela


def _search(path: Path, query: np.ndarray) -> list[str]:
    found, _ = revela.Collection.open(path, False).search_batch(query)
    return list(found[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_search(method: str, numbers: revela.Collection, rows: np.ndarray) -> None:
    # Threads are running here before the fork.
    here, _ = numbers.search_batch(rows[:1])
    with multiprocessing.get_context(method).Pool(2) as pool:
        there = pool.starmap(_search, [(numbers.path, rows[:1])] * 4, chunksize=1)
    assert there == [list(here[0])] * 4


def test_an_interruption_ends_a_build(tmp_path: Path) -> None:
    def endless():  # type: ignore[no-untyped-def]
        number = 0
        while True:
            yield {"id": str(number), "text": f"text number {number}"}
            number += 1

    # Where this was started in the background, interruptions are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        revela.Collection.build(tmp_path / "endless", endless())
    assert time.monotonic() - began < 60
    assert not (tmp_path / "endless" / "manifest.jsonl").exists()


def test_importing_needs_numpy_alone() -> None:
    script = """
        import sys
        import revela
        for name in ("torch", "tqdm", "pandas", "datasets", "mteb", "langchain_core"):
            assert name not in sys.modules, name
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
