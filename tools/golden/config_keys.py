"""The keys and defaults of transformers' configuration classes, and the keys of PEFT's, as a golden file.

    pip install torch transformers peft
    python tools/golden/config_keys.py

Writes crates/revela-model/tests/golden/config_keys.json: `versions`; `families`, for each `model_type` the keys of its
class with their defaults; `adapter`, those of a LoRA adapter; `rope_theta`, the base that each decoder assumes.
"""

import dataclasses
import json
from pathlib import Path

import peft
import transformers

ROOT = Path(__file__).resolve().parents[2] / "crates/revela-model/tests/golden"
CLASSES = {
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "xlm-roberta": transformers.XLMRobertaConfig,
    "distilbert": transformers.DistilBertConfig,
    "modernbert": transformers.ModernBertConfig,
    "llama": transformers.LlamaConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
}


def keys(config_class):
    """What the class takes, and what it writes beside that."""
    fields = {f.name: f.default for f in dataclasses.fields(config_class) if f.default is not dataclasses.MISSING}
    fields |= {f.name: None for f in dataclasses.fields(config_class) if f.name not in fields}
    written = config_class().to_dict()
    values = {**{name: None for name in written}, **fields}
    plain = lambda value: value if isinstance(value, (bool, int, float, str, list, dict)) else None
    return {name: plain(value) for name, value in sorted(values.items())}


if __name__ == "__main__":
    decoders = ("llama", "qwen2", "qwen3")
    adapter = {k: v for k, v in peft.LoraConfig().to_dict().items()}
    adapter["peft_type"] = "LORA"
    golden = {
        "versions": {"transformers": transformers.__version__, "peft": peft.__version__},
        "families": {name: keys(config_class) for name, config_class in CLASSES.items()},
        "rope_theta": {name: CLASSES[name]().rope_parameters["rope_theta"] for name in decoders},
        "adapter": adapter,
    }
    path = ROOT / "config_keys.json"
    path.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    print({name: len(entries) for name, entries in golden["families"].items()}, len(adapter))
