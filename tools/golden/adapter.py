"""A tiny PEFT adapter for the golden Llama, and what base and adapter compute together.

    pip install torch transformers peft safetensors
    python tools/golden/adapter.py

Writes llama-adapter beside the folder llama that models.py made: as published retrievers are, of task type
FEATURE_EXTRACTION, on all linear layers; plus cases.json and expected.safetensors as models.py describes them.
"""

import json
import shutil

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

from models import ROOT, expected

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def base():
    return transformers.AutoModel.from_pretrained(ROOT / "llama", dtype=torch.float32)


def main():
    folder = ROOT / "llama-adapter"
    shutil.rmtree(folder, ignore_errors=True)
    config = LoraConfig(task_type="FEATURE_EXTRACTION", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=TARGETS)
    adapted = get_peft_model(base(), config)
    generator = torch.Generator().manual_seed(21)
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_" in name:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text())
    settings["base_model_name_or_path"] = "../llama"
    # PEFT keeps a set; sorted, the file is the same each time.
    settings["target_modules"] = sorted(settings["target_modules"])
    path.write_text(json.dumps(settings, indent=2) + "\n")
    shutil.copy(ROOT / "llama/tokenizer.json", folder)
    both = PeftModel.from_pretrained(base(), folder).eval()
    hidden = expected(folder, both)
    (folder / "tokenizer.json").unlink()
    print(f"llama-adapter: hidden {list(hidden.shape)}, std {hidden.std():.3f}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    main()
