"""A stand-in for `revela serve`, for work on the search page without building the server.

It serves crates/revela-serve/ui under the server's headers and answers the routes that the page asks, over this
repository's own texts: `docs` (prose, every mode), `sources` (code, every mode), `plain` (no vectors). Its rankings are
real but simple: BM25, a cosine of hashed trigrams in place of an encoder, and reciprocal rank fusion.

    python3 tools/page/mock_server.py --port 8080 [--key KEY]
"""

import argparse
import json
import math
import re
import uuid
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "crates" / "revela-serve" / "ui"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Refused(Exception):
    def __init__(self, status, code, message, **headers):
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


COMMON = set("a an and are as at be by do for how i in is it not of on or that the this to what with".split())


def words(text):
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in COMMON]


def trigrams(text):
    padded = f" {' '.join(words(text))} "
    return Counter(zlib.crc32(padded[i : i + 3].encode()) % 4096 for i in range(len(padded) - 2))


def cosine(a, b):
    dot = sum(count * b[key] for key, count in a.items() if key in b)
    return dot / math.sqrt((sum(v * v for v in a.values()) * sum(v * v for v in b.values())) or 1)


class Collection:
    def __init__(self, name, analyser, modes, files, size):
        self.name, self.analyser, self.modes = name, analyser, modes
        self.passages = {}
        for path in files:
            document = path.relative_to(ROOT).as_posix()
            for ordinal, text in enumerate(chunks(path.read_text("utf-8"), size)):
                self.passages[f"{document}#{ordinal}"] = (title(document, text), text)
        self.terms = {key: Counter(words(f"{name} {text}")) for key, (name, text) in self.passages.items()}
        self.grams = {key: trigrams(text) for key, (_, text) in self.passages.items()}
        self.frequency = Counter(term for terms in self.terms.values() for term in terms)

    def facts(self):
        dense = "dense" in self.modes
        return {
            "name": self.name, "passages": len(self.passages), "deleted": 0, "shards": 1 if dense else 0,
            "dimension": 4096 if dense else None, "metric": "cosine" if dense else None, "texts": True,
            "analyser": self.analyser, "encoder": "hashed-trigrams:4096" if dense else None, "modes": self.modes,
            "writable": False, "bytes": sum(len(text.encode()) for _, text in self.passages.values()),
        }

    def rank(self, query, mode):
        """Every passage with a score above zero, best first; ties by id."""
        if mode == "hybrid":
            fused = Counter()
            for part in ("dense", "bm25"):
                for place, (key, _) in enumerate(self.rank(query, part)[:100], 1):
                    fused[key] += 1 / (60 + place)
            scores = fused
        elif mode == "dense":
            wanted = trigrams(query)
            scores = {key: cosine(wanted, grams) for key, grams in self.grams.items()}
        else:
            scores = {key: self.bm25(words(query), terms) for key, terms in self.terms.items()}
        return sorted(((key, score) for key, score in scores.items() if score > 0), key=lambda hit: (-hit[1], hit[0]))

    def bm25(self, query, terms):
        mean = sum(sum(t.values()) for t in self.terms.values()) / len(self.terms)
        norm = 1.2 * (0.25 + 0.75 * sum(terms.values()) / mean)
        total = 0.0
        for term in query:
            df, tf = self.frequency[term], terms[term]
            total += math.log(1 + (len(self.terms) - df + 0.5) / (df + 0.5)) * tf * 2.2 / (tf + norm)
        return total

    def snippet(self, query, text, length):
        """The window with most of the query's words, cut at spaces; marks count code points."""
        wanted = set(words(query))
        found = [m for m in re.finditer(r"[^\W_]+", text) if m.group().lower() in wanted]
        start = max((m.start() for m in found), default=0,
                    key=lambda s: len({m.group().lower() for m in found if s <= m.start() and m.end() <= s + length}))
        piece = text[start : start + length]
        if start + length < len(text) and " " in piece:
            piece = piece[: piece.rindex(" ")]
        marks = [[m.start() - start, m.end() - start] for m in found if m.start() >= start and m.end() <= start + len(piece)]
        return {"text": piece, "marks": marks}


def chunks(text, size):
    """Paragraphs, joined until they reach the size."""
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph
        if len(piece) >= size:
            yield piece
            piece = ""
    if piece:
        yield piece


def title(document, text):
    heading = re.search(r"^#+ (.+)$|^\*\*(.+?)\*\*", text, re.M)
    return next(filter(None, heading.groups())) if heading and document.endswith(".md") else document


def load():
    prose = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
    code = sorted((ROOT / "crates" / "revela-base" / "src").rglob("*.rs"))
    every = ["dense", "bm25", "hybrid"]
    kinds = [("docs", "prose", every, prose, 420), ("sources", "code", every, code, 700), ("plain", "prose", ["bm25"], prose, 420)]
    return {name: Collection(name, *rest) for name, *rest in kinds}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    collections, key = {}, None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer(self.post)

    def answer(self, route):
        request_id = uuid.uuid4().hex[:12]
        try:
            status, kind, body, headers = 200, *route(urlsplit(self.path)), {}
        except Refused as refused:
            error = {"code": refused.code, "message": str(refused), "request_id": request_id}
            status, kind, body, headers = refused.status, "application/json", json.dumps({"error": error}), refused.headers
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        for name, value in {"content-type": f"{kind}; charset=utf-8", "content-length": len(data),
                            "content-security-policy": POLICY, "x-content-type-options": "nosniff",
                            "x-request-id": request_id, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def get(self, url):
        if url.path == "/" or url.path.startswith("/ui/"):
            return self.page(url.path.removeprefix("/ui") if url.path != "/" else "/index.html")
        self.check_key()
        if url.path == "/v1/collections":
            return "application/json", json.dumps({"collections": [c.facts() for c in self.collections.values()]})
        if url.path.startswith("/v1/documents/"):
            wanted = parse_qs(url.query).get("collection", [None])[0]
            return self.document(self.collection(wanted), unquote(url.path.removeprefix("/v1/documents/")))
        raise Refused(404, "not_found", f"There is nothing at {url.path}.")

    def page(self, path):
        file = UI / path.lstrip("/")
        if file.parent != UI or not file.is_file():
            raise Refused(404, "not_found", f"There is no file {path}.")
        return TYPES[file.suffix], file.read_bytes()

    def check_key(self):
        if self.key and self.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, "unauthorized", "A key is needed: Authorization: Bearer KEY.")

    def collection(self, name):
        found = self.collections.get(name or next(iter(self.collections)))
        if found is None:
            raise Refused(404, "not_found", f"There is no collection {name!r}; /v1/collections lists them.")
        return found

    def document(self, collection, key):
        if key not in collection.passages:
            raise Refused(404, "not_found", f"There is no passage {key!r} in {collection.name!r}.")
        document, ordinal = key.rsplit("#", 1)
        beside = [f"{document}#{int(ordinal) + step}" for step in (-1, 1)]
        previous, following = (one if one in collection.passages else None for one in beside)
        heading, text = collection.passages[key]
        return "application/json", json.dumps({
            "id": key, "title": heading, "text": text, "collection": collection.name,
            "context": {"document": document, "position": int(ordinal), "previous": previous, "next": following}})

    def post(self, url):
        self.check_key()
        try:
            body = json.loads(self.body)
        except ValueError as error:
            raise Refused(400, "invalid_request", f"The body is no JSON: {error}") from error
        if url.path == "/v1/search":
            return "application/json", json.dumps(self.search(body))
        raise Refused(404, "not_found", f"There is nothing at {url.path}.")

    def search(self, body):
        collection = self.collection(body.get("collection"))
        query, k, mode = body["query"], body.get("k", 10), body.get("mode", "auto")
        mode = collection.modes[-1] if mode == "auto" else mode
        if mode not in collection.modes:
            raise Refused(422, "unsupported", f"{collection.name!r} has no vectors; ask with mode bm25.")
        if not 1 <= k <= 1000:
            raise Refused(400, "invalid_request", f"k must be between 1 and 1000, not {k}.")
        prefix = body.get("filter", {}).get("prefix", "")
        found = [hit for hit in collection.rank(query, mode) if hit[0].startswith(prefix)][:k]
        length = body.get("snippet", {}).get("length", 200)
        hits = [{"rank": rank, "id": key, "score": score, "title": collection.passages[key][0],
                 "text": collection.passages[key][1] if body.get("include_text", True) else "",
                 "snippet": collection.snippet(query, collection.passages[key][1], length)}
                for rank, (key, score) in enumerate(found, 1)]
        embed, search = (0.0 if mode == "bm25" else 2.41), {"dense": 0.38, "bm25": 0.62, "hybrid": 0.97}[mode]
        took = {"embed_ms": embed, "search_ms": search, "total_ms": round(embed + search + 0.27, 3)}
        return {"collection": collection.name, "mode": mode, "hits": hits, "took": took}


def serve(port=0, key=None):
    """A server on loopback, not yet running; its port stands in `server_address`."""
    handler = type("Bound", (Handler,), {"collections": load(), "key": key})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--key", help="answer 401 without this key")
    arguments = parser.parse_args()
    server = serve(arguments.port, arguments.key)
    print(f"http://127.0.0.1:{server.server_address[1]}/")
    server.serve_forever()
