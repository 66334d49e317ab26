"""From a folder of texts to a retriever that was trained on it, measured, and put to work.

    python from_raw_text.py TEXTS ENCODER OUT [STEPS]
"""

import json
import sys
from pathlib import Path

import revela

texts, encoder, out = map(Path, sys.argv[1:4])
steps = int(sys.argv[4]) if len(sys.argv) > 4 else 200
out.mkdir(parents=True)

# Chunks; of every tenth one the first ten words ask for the rest, and it is not trained on.
lines = (out / "all.jsonl", out / "train.jsonl")
revela.chunk(texts, lines[0], kind="text", size=80)
chunks = [line for line in map(json.loads, open(lines[0])) if "_id" in line]
held_out = out / "held-out"
(held_out / "qrels").mkdir(parents=True)
with open(held_out / "corpus.jsonl", "w") as corpus, open(held_out / "queries.jsonl", "w") as queries:
    with open(held_out / "qrels" / "test.tsv", "w") as judged, open(lines[1], "w") as train:
        judged.write("query-id\tcorpus-id\tscore\n")
        for number, chunk in enumerate(chunks):
            words, asked = chunk["text"].split(), number % 10 == 0
            text = " ".join(words[10:]) if asked else chunk["text"]
            corpus.write(json.dumps({"_id": str(number), "text": text}) + "\n")
            if asked:
                queries.write(json.dumps({"_id": f"q{number}", "text": " ".join(words[:10])}) + "\n")
                judged.write(f"q{number}\t{number}\t1\n")
            else:
                train.write(json.dumps({"_id": str(number), "text": text}) + "\n")

revela.chunk(lines[1], out / "chunks.jsonl", size=80)
revela.group(out / "chunks.jsonl", out / "groups.jsonl", group_size=4, analyser="prose")
settings = {"groups": out / "groups.jsonl", "retriever": encoder, "out": out / "run", "objective": "contrastive"}
settings |= {"steps": steps, "batch_groups": 4, "learning_rate": 2e-5, "eval_data": held_out, "eval_split": "test"}
trained = revela.train(settings).encoder()

before = revela.evaluate(held_out, revela.Encoder(encoder), name="before")
after = revela.evaluate(held_out, trained, name="after")
print(revela.compare(before, after))
documents = (json.loads(line) for line in open(held_out / "corpus.jsonl"))
collection = revela.Collection.build(out / "collection", documents, trained)
for hit in collection.search("how is a model trained?", k=3):
    print(hit.rank, f"{hit.score:.4f}", " ".join(hit.text.split())[:80])
