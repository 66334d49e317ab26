"""What the checks of this folder share: reading texts and comparing rows of numbers."""

import json
import sys

import numpy as np


def read_texts(path):
    """The `text` (with a `title` before it, where there is one) of each line of a JSON-lines file."""
    lines = [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]
    return [" ".join(part for part in (line.get("title"), line["text"]) if part) for line in lines]


def finish(given, reference, max_difference, min_cosine=0.99999, **more):
    """Prints how far two matrices of rows are apart, and ends the program with 1 if that is too far."""
    given, reference = np.asarray(given, np.float64), np.asarray(reference, np.float64)
    if given.shape != reference.shape:
        sys.exit(f"shapes differ: given {given.shape}, reference {reference.shape}")
    lengths = np.linalg.norm(given, axis=1) * np.linalg.norm(reference, axis=1)
    cosine = (given * reference).sum(axis=1) / np.maximum(lengths, 1e-30)
    difference = np.abs(given - reference)
    worst = int(difference.max(axis=1).argmax())
    # Written so that a NaN fails.
    equal = bool(difference.max() <= max_difference and cosine.min() >= min_cosine)
    report = {"rows": len(given), "columns": given.shape[1], "max_abs_difference": float(difference.max())}
    report.update(min_cosine=float(cosine.min()), worst_row=worst, equal=equal, **more)
    print(json.dumps(report, indent=1))
    sys.exit(0 if equal else 1)
