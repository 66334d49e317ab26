"""Vectors of many shapes, which searches are measured on: rows and queries of each distribution, always the same ones.

    python benches/peers/distributions.py FOLDER [ROWS [NAME ..]]

writes FOLDER/NAME.npy and FOLDER/NAME.queries.npy: ROWS (60,000) rows and 1,000 queries each. The distributions and what they are
like stand in `DISTRIBUTIONS`. Where `COMPARED` says so vectors are compared by the dot product, else by the cosine.
Vectors of real texts come from elsewhere (`text_pieces.py` and an encoder, `lsa_vectors.py`).
"""

import pathlib
import sys

import numpy as np

QUERIES = 1000
COMPARED = {"lengths-dot": "dot"}


def clustered(r, n):
    """384 numbers, normal noise around 1,500 centres of very different popularity."""
    centres = r.standard_normal((1500, 384))
    popularity = r.dirichlet(np.full(1500, 0.7))
    return lambda m: centres[r.choice(1500, m, p=popularity)] + 0.6 * r.standard_normal((m, 384))


def nested(r, n):
    """256 numbers, noise around centres around centres around centres; each step half as far."""
    levels = [r.standard_normal((count, 256)) * 0.5**depth for depth, count in enumerate((20, 400, 4000))]

    def draw(m):
        leaf = r.integers(4000, size=m)
        return levels[2][leaf] + levels[1][leaf // 10] + levels[0][leaf // 200] + 0.1 * r.standard_normal((m, 256))

    return draw


def low(r, n):
    """256 numbers that follow from 12 through two layers of tanh."""
    first, second = r.standard_normal((12, 128)) / 12**0.5, r.standard_normal((128, 256)) / 128**0.5
    return lambda m: np.tanh(1.5 * np.tanh(r.standard_normal((m, 12)) @ first) @ second)


def sphere(r, n):
    """32 numbers, uniform on the sphere."""
    return lambda m: r.standard_normal((m, 32))


def copies(r, n):
    """128 numbers: half of the rows distinct, a quarter exact copies of few of them and a quarter near ones."""
    mixture = r.standard_normal((24, 128))
    distinct = r.standard_normal((n // 2, 24)) @ mixture + 0.5 * r.standard_normal((n // 2, 128))
    often = r.zipf(1.4, size=2 * n) % (n // 2)

    def draw(m):
        if m != n:
            return distinct[r.integers(n // 2, size=m)] + 0.1 * r.standard_normal((m, 128))
        exact, near = distinct[often[: n // 4]], distinct[often[n // 4 : n - n // 2]]
        near = near + 1e-3 * r.standard_normal(near.shape)
        return r.permutation(np.concatenate([distinct, exact, near]))

    return draw


def groups(r, n):
    """64 numbers: groups of 100 equal rows, as of a text that stands in a hundred documents."""
    mixture = r.standard_normal((12, 64))
    rows = r.standard_normal((n // 100, 12)) @ mixture + 0.1 * r.standard_normal((n // 100, 64))

    def draw(m):
        if m != n:
            return rows[r.integers(len(rows), size=m)] + 0.02 * r.standard_normal((m, 64))
        return r.permutation(np.repeat(rows, 100, 0))

    return draw


def lengths(r, n):
    """128 numbers around 300 centres, with lengths that differ a hundredfold."""
    centres = r.standard_normal((300, 128))

    def draw(m):
        rows = centres[r.integers(300, size=m)] + 0.8 * r.standard_normal((m, 128))
        return rows * np.exp(r.standard_normal((m, 1)))

    return draw


def lengths_dot(r, n):
    """As before with lengths that differ less, by the dot product."""
    centres = r.standard_normal((300, 128))

    def draw(m):
        rows = centres[r.integers(300, size=m)] + 0.8 * r.standard_normal((m, 128))
        return rows * np.exp(0.2 * r.standard_normal((m, 1)))

    return draw


def shifted(r, n):
    """384 numbers; queries share a part of the rows' directions and lie apart from them, as questions from code."""
    shared, apart = r.standard_normal((40, 384)), r.standard_normal((40, 384))
    centre = [3 * r.standard_normal(384) / 384**0.5 * 6 for _ in range(2)]

    def draw(m):
        query = m != n
        rows = r.standard_normal((m, 40)) @ shared * (0.7 if query else 1.0)
        rows += r.standard_normal((m, 40)) @ apart * (0.7 if query else 0.2)
        return rows + centre[query] + r.standard_normal((m, 384))

    return draw


def integers(r, n):
    """128 whole numbers from 0 to 218 like SIFT's: histograms of directions in 16 cells, clipped."""
    prototypes = r.gamma(0.6, 1.0, (600, 16, 8))

    def draw(m):
        mixed = prototypes[r.integers(600, size=m)] * 0.6 + prototypes[r.integers(600, size=m)] * 0.4
        rows = (mixed * r.gamma(3.0, 1 / 3, mixed.shape)).reshape(m, 128)
        rows = np.minimum(rows / np.linalg.norm(rows, axis=1, keepdims=True), 0.2)
        return np.minimum(np.rint(512 * rows / np.linalg.norm(rows, axis=1, keepdims=True)), 218)

    return draw


DISTRIBUTIONS = {
    "clustered": clustered,
    "nested": nested,
    "low": low,
    "sphere": sphere,
    "copies": copies,
    "groups": groups,
    "lengths": lengths,
    "lengths-dot": lengths_dot,
    "shifted": shifted,
    "integers": integers,
}


def main():
    folder, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60_000
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or DISTRIBUTIONS:
        draw = DISTRIBUTIONS[name](np.random.default_rng(sum(name.encode())), rows)
        np.save(folder / f"{name}.npy", draw(rows).astype(np.float32))
        np.save(folder / f"{name}.queries.npy", draw(QUERIES).astype(np.float32))


if __name__ == "__main__":
    main()
