"""Makes vectors of real texts without a model: TF-IDF and a truncated SVD of overlapping windows of 40 words.

    pip install numpy scikit-learn
    python benches/peers/lsa_vectors.py BASE.npy QUERIES.npy CORPUS.jsonl [CORPUS.jsonl ..]

The corpora are in BEIR's layout. 1,000 windows become queries, up to 100,000 others the base; 384 numbers each, of
length 1, equal vectors once.
"""

import json
import re
import sys

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def windows(paths):
    for path in paths:
        for line in open(path, encoding="utf-8"):
            document = json.loads(line)
            text = (document.get("title", "") + " " + document["text"]).strip()
            words = re.findall(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]", text)
            for start in range(0, len(words), 28):
                window = words[start : start + 40]
                if len(window) >= 12:
                    yield " ".join(window)


def main():
    base, queries, *corpora = sys.argv[1:]
    terms = TfidfVectorizer(sublinear_tf=True, min_df=3, token_pattern=r"[A-Za-z]{2,}")
    counts = terms.fit_transform(list(windows(corpora)))
    rows = TruncatedSVD(384, n_iter=2, random_state=0).fit_transform(counts).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.unique((rows / np.maximum(lengths, 1e-3))[lengths[:, 0] > 1e-3], axis=0)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    np.save(queries, rows[:1000])
    np.save(base, rows[1000:101000])


main()
