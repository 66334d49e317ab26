"""Does PEFT read an adapter as Revela does, and is a merged model the same as base and adapter?

    pip install torch transformers peft
    revela model merge .. --out MERGED
    python tools/check_peft.py BASE ADAPTER MERGED [TEXTS.jsonl]

Loads base and adapter with PEFT and the merged folder with transformers, and compares the last hidden states of all
tokens. Fails also where PEFT does not find every tensor of the adapter, or the adapter changes nothing.
"""

import argparse
import sys
import warnings

import torch
import transformers
from peft import PeftConfig, PeftModel
from safetensors import safe_open

from compare import finish, read_texts

TEXTS = [
    "moon",
    "The quick brown fox jumps over the lazy dog.",
    "def mean(values):\n    return sum(values) / len(values)",
    "Der Zug fährt über die Brücke. " * 8,
]


def load_base(folder, task):
    kind = transformers.AutoModelForCausalLM if task == "CAUSAL_LM" else transformers.AutoModel
    return kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()


def load_adapter(base, adapter):
    """PEFT only warns where tensors are missing; here that is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = PeftModel.from_pretrained(base, adapter).eval()
    with safe_open(f"{adapter}/adapter_model.safetensors", "pt") as file:
        stored = len(file.keys())
    used = sum("lora_" in name for name, _ in model.named_parameters())
    if stored != used:
        sys.exit(f"the adapter's file has {stored} tensors, PEFT's model {used}")
    return model


def states(model, sequences):
    with torch.no_grad():
        outputs = [model(input_ids=torch.tensor([ids]), output_hidden_states=True) for ids in sequences]
    return torch.cat([output.hidden_states[-1][0] for output in outputs])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("merged")
    parser.add_argument("texts", nargs="?")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.base, local_files_only=True)
    base = load_base(args.base, PeftConfig.from_pretrained(args.adapter).task_type)
    limit = min(tokenizer.model_max_length, base.config.max_position_embeddings, 512)
    texts = read_texts(args.texts) if args.texts else TEXTS
    sequences = [tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts]
    sequences = [ids for ids in sequences if ids]
    before = states(base, sequences)
    both = states(load_adapter(base, args.adapter), sequences)
    change = float((both - before).abs().max())
    if change == 0.0:
        sys.exit("the adapter changes nothing")
    # transformers' AutoModel drops an output embedding, so that either kind of merged folder is read.
    merged = states(load_base(args.merged, None), sequences)
    finish(merged, both, args.tolerance, adapter_changes=change)


main()
