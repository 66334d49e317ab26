#!/usr/bin/env python3
"""Embeds through a running server with other people's clients, and compares what comes back.

    pip install openai                                   # needed
    pip install langchain-openai llama-index-embeddings-openai-like   # looked at where they are installed
    revela serve COLLECTION --encoder DIR &
    python tools/openai_client.py http://127.0.0.1:8080 [KEY] [COMMAND]

The OpenAI client asks for base64 unless told otherwise; it must give the same vectors as floats, as a request
made by hand. Where COMMAND is given, such as `revela model embed --encoder DIR`, they must be what it computes too.
Exits with 1 when anything differs.
"""

import json
import math
import pathlib
import shlex
import subprocess
import sys
import tempfile
import urllib.request

import openai

TEXTS = ["read a file line by line", "open a socket and listen", "Größe und Schlüssel 🔑", "x " * 300]


def by_hand(url, key, path, body=None):
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers)) as answer:
        return json.load(answer)


def same(name, found, expected):
    """Vectors that went through different batches may differ in the last bits."""
    worst = max(abs(a - b) for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True))
    print(f"{name}: largest difference {worst:.1e}")
    assert worst < 1e-5, name


def computed(command):
    """What the program computes of the texts, without a server."""
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        lines, out = pathlib.Path(folder, "texts.jsonl"), pathlib.Path(folder, "rows.npy")
        lines.write_text("".join(json.dumps({"_id": str(n), "text": t}) + "\n" for n, t in enumerate(TEXTS)))
        flags = ["--kind", "passage", "--input", lines, "--out", out, "--quiet"]
        subprocess.run(shlex.split(command) + flags, check=True)
        return numpy.load(out).tolist()


def check_openai(url, key, model, expected):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
    assert [one.id for one in client.models.list()] == [model]
    for name, more in {"base64 (the client's default)": {}, "floats": {"encoding_format": "float"}}.items():
        answer = client.embeddings.create(model=model, input=TEXTS, **more)
        same(f"openai, {name}", [one.embedding for one in answer.data], expected)
        assert [one.index for one in answer.data] == list(range(len(TEXTS)))
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    one = client.embeddings.create(model=model, input=TEXTS[0])
    same("openai, a single string", [one.data[0].embedding], expected[:1])
    query = client.embeddings.create(model=model, input=TEXTS, extra_body={"input_type": "query"})
    suffix = client.embeddings.create(model=f"{model}:query", input=TEXTS)
    same("openai, queries", [one.embedding for one in query.data], [one.embedding for one in suffix.data])
    for wrong, error in [({"model": "gpt"}, openai.NotFoundError), ({"dimensions": 3}, openai.BadRequestError)]:
        try:
            client.embeddings.create(**{"model": model, "input": "a", **wrong})
        except error as refused:
            print(f"openai, refused: {refused.message}")
        else:
            raise AssertionError(f"{wrong} must be refused")


def check_langchain(url, key, model, expected):
    try:
        from langchain_openai import OpenAIEmbeddings
    except ImportError:
        return print("langchain-openai is not installed")
    # Otherwise it tokenizes with OpenAI's vocabulary, which is not the encoder's.
    client = OpenAIEmbeddings(base_url=f"{url}/v1", api_key=key, model=model, check_embedding_ctx_length=False)
    same("langchain", client.embed_documents(TEXTS), expected)
    same("langchain, one", [client.embed_query(TEXTS[0])], expected[:1])


def check_llama_index(url, key, model, expected):
    try:
        from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    except ImportError:
        return print("llama-index-embeddings-openai-like is not installed")
    client = OpenAILikeEmbedding(model_name=model, api_base=f"{url}/v1", api_key=key)
    # It replaces line ends by spaces and cuts nothing else.
    same("llama-index", client.get_text_embedding_batch(TEXTS), expected)


def main():
    url, key, command, *_ = [*sys.argv[1:], None, None]
    url, key = url.rstrip("/"), key or "none"
    model = by_hand(url, key, "/v1/models")["data"][0]["id"]
    answer = by_hand(url, key, "/v1/embeddings", {"model": model, "input": TEXTS})
    expected = [one["embedding"] for one in answer["data"]]
    assert all(abs(math.hypot(*row) - 1) < 1e-4 for row in expected), "vectors have length 1"
    if command:
        same("revela model embed", computed(command), expected)
    for check in (check_openai, check_langchain, check_llama_index):
        check(url, key, model, expected)


main()
