"""Tiny random rerankers of every form with their scores, as golden files.

    pip install torch transformers sentence-transformers sentencepiece safetensors
    python tools/golden/rerankers.py [NAME ..]

Each folder under crates/revela-model/tests/golden/rerankers is a model folder in the form in which such models are
published, with cases.json beside it: `cases`, each with `query`, `passage` and `score`.

- Cross-encoders: the score is that of sentence-transformers' CrossEncoder.predict.
- qwen3-yes-no: the score is that of Qwen3-Reranker's published code: of the two logits after the prompt, the share of
  "yes" (https://huggingface.co/Qwen/Qwen3-Reranker-0.6B, arXiv:2506.05176).
- llama-likelihood: the mean log-likelihood of the query's tokens when the model reads the passage before it, by
  transformers' logits. The texts are put together as `revela_model::reranking::likelihood` does.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from sentence_transformers import CrossEncoder

import tiny_tokenizers
from models import LENGTH, edit_config, edit_tensors, randomize, save, sizes
from models import ROOT as GOLDEN
from texts import CORPUS, LONG

ROOT = GOLDEN / "rerankers"

PAIRS = [
    ("how far is the moon?", "the moon is 384,400 km from the earth."),
    ("how far is the moon?", "Rivers carry sand and stones from the mountains down to the sea."),
    ("", "the cat sleeps in the sun."),
    ("what is the answer", ""),
    ("", ""),
    ("Où est l'élève?", "L'été à la plage était déjà fini."),
    ("fn norm(row: &[f32])", "let vectors: Vec<f32> = rows.iter().map(|row| row.norm()).collect();"),
    ("sun", LONG),
    (LONG, "sun"),
    (LONG, " ".join([LONG] * 3)),
    (" ".join([LONG] * 2), LONG + " " + CORPUS[1]),
]


def one_label(folder, **changes):
    """As published files have it: a single label and its name."""
    label = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    edit_config(folder, dtype=None, torch_dtype="float32", **label, **changes)


def bert(folder):
    """As ms-marco-MiniLM: logits as they are, by the older key; a buffer of positions; token types of pairs."""
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH)
    config = transformers.BertConfig(
        **sizes(hidden=16, heads=2, inner=24), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, num_labels=1
    )
    save(randomize(transformers.BertForSequenceClassification(config), 21), folder)
    positions = torch.arange(64).unsqueeze(0)
    edit_tensors(folder, lambda t: {**t, "bert.embeddings.position_ids": positions})
    one_label(folder, sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")
    return tokenizer, settings


def bert_saved(folder):
    """As sentence-transformers 6 saves it, with a list of modules and an activation in a file of its own."""
    with tempfile.TemporaryDirectory() as source:
        tokenizer, settings = tiny_tokenizers.word_piece(40)
        config = transformers.BertConfig(
            **sizes(hidden=16, heads=2, inner=24), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, num_labels=1
        )
        save(randomize(transformers.BertForSequenceClassification(config), 22), Path(source))
        tiny_tokenizers.write(Path(source), tokenizer, settings)
        model = CrossEncoder(source, device="cpu", activation_fn=torch.nn.Identity())
        model.save_pretrained(str(folder), create_model_card=False)


def roberta(folder):
    """As the English RoBERTa rerankers: the activation in the newer key of config.json."""
    tokenizer, settings = tiny_tokenizers.roberta(LENGTH)
    config = transformers.RobertaConfig(
        **sizes(hidden=16, heads=2, inner=24), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH + 2,
        type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=1,
    )  # fmt: skip
    save(randomize(transformers.RobertaForSequenceClassification(config), 23), folder)
    sentence = {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0.dev0"}
    one_label(folder, sentence_transformers=sentence)
    return tokenizer, settings


def xlm_roberta(folder):
    """As BGE's rerankers: nothing is said of an activation."""
    tokenizer, settings = tiny_tokenizers.xlm_roberta(LENGTH)
    config = transformers.XLMRobertaConfig(
        **sizes(hidden=16, heads=2, inner=24), vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH + 2,
        type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=1,
    )  # fmt: skip
    save(randomize(transformers.XLMRobertaForSequenceClassification(config), 24), folder)
    one_label(folder, classifier_dropout=None)
    return tokenizer, settings


def distilbert(folder):
    tokenizer, settings = tiny_tokenizers.word_piece(LENGTH)
    config = transformers.DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, dim=16, n_layers=2, n_heads=2, hidden_dim=24,
        num_labels=1,
    )  # fmt: skip
    save(randomize(transformers.DistilBertForSequenceClassification(config), 25), folder)
    one_label(folder)
    settings["tokenizer_class"] = "DistilBertTokenizer"
    return tokenizer, settings


def modernbert(folder, pooling="mean", bias=False, activation="gelu", seed=26):
    """As the rerankers made of ModernBERT; the mean of the states, or the first one."""
    tokenizer, settings = tiny_tokenizers.modernbert(LENGTH)
    id_of = tokenizer.token_to_id
    config = transformers.ModernBertConfig(
        **sizes(hidden=16, layers=3, heads=2, inner=20), vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64, global_attn_every_n_layers=2, local_attention=8, pad_token_id=id_of("[PAD]"),
        cls_token_id=id_of("[CLS]"), sep_token_id=id_of("[SEP]"), bos_token_id=id_of("[CLS]"),
        eos_token_id=id_of("[SEP]"), num_labels=1, classifier_pooling=pooling, classifier_bias=bias,
        classifier_activation=activation,
    )  # fmt: skip
    save(randomize(transformers.ModernBertForSequenceClassification(config), seed), folder)
    one_label(folder)
    return tokenizer, settings


def modernbert_cls(folder):
    return modernbert(folder, pooling="cls", bias=True, activation="relu", seed=27)


def qwen3_yes_no(folder):
    tokenizer, settings = tiny_tokenizers.qwen(600)
    tokenizer.add_tokens(["yes", "no"])
    config = transformers.Qwen3Config(
        **sizes(hidden=16, heads=2, inner=20), num_key_value_heads=1, head_dim=8, vocab_size=tokenizer.get_vocab_size() + 3,
        max_position_embeddings=600, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 2000.0},
    )  # fmt: skip
    save(randomize(transformers.Qwen3ForCausalLM(config), 28), folder)
    edit_config(folder, dtype=None, torch_dtype="float32")
    settings["padding_side"] = "left"
    return tokenizer, settings


def llama_likelihood(folder):
    tokenizer, settings = tiny_tokenizers.llama3(LENGTH)
    config = transformers.LlamaConfig(
        **sizes(hidden=16, heads=2, inner=20), num_key_value_heads=1, vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        tie_word_embeddings=False, eos_token_id=tokenizer.token_to_id("<|end_of_text|>"),
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    save(randomize(transformers.LlamaForCausalLM(config), 29), folder)
    edit_config(folder, dtype=None, torch_dtype="float32")
    return tokenizer, settings


def cross_encoder_scores(folder):
    model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    scores = model.predict(PAIRS, batch_size=4)
    alone = [model.predict([pair])[0] for pair in PAIRS]
    assert abs(torch.tensor(alone) - torch.tensor(scores)).max() < 2e-5
    return [float(score) for score in scores]


INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def yes_no_scores(folder):
    """The published way, one pair at a time: prompt, what is asked, cut to what is left, and the prompt's end."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")
    ids_of = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    prefix, suffix = ids_of(PREFIX), ids_of(SUFFIX)
    room = 600 - len(prefix) - len(suffix)
    scores = []
    for query, passage in PAIRS:
        body = ids_of(f"<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {passage}")[:room]
        with torch.no_grad():
            logits = model(torch.tensor([prefix + body + suffix])).logits[0, -1]
        scores.append(float(torch.softmax(logits[[no, yes]], 0)[1]))
    print("tokens of the prompt:", len(prefix), len(suffix))
    return scores


def likelihood_scores(folder, longest=64):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    bare = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    between = bare("\nQuery:")
    scores = []
    for query, passage in PAIRS:
        asked = bare(" " + query.strip())[: (longest - len(between)) // 2] if query.strip() else []
        read = tokenizer("Passage: " + passage)["input_ids"][: longest - len(between) - len(asked)]
        if not asked:
            scores.append(0.0)
            continue
        ids = torch.tensor([read + between + asked])
        with torch.no_grad():
            logs = torch.log_softmax(model(ids).logits[0], 1)
        start = len(read) + len(between)
        scores.append(float(sum(logs[start + i - 1, token] for i, token in enumerate(asked)) / len(asked)))
    return scores


KINDS = {
    "bert": (bert, cross_encoder_scores),
    "bert-saved": (bert_saved, cross_encoder_scores),
    "roberta": (roberta, cross_encoder_scores),
    "xlm-roberta": (xlm_roberta, cross_encoder_scores),
    "distilbert": (distilbert, cross_encoder_scores),
    "modernbert": (modernbert, cross_encoder_scores),
    "modernbert-cls": (modernbert_cls, cross_encoder_scores),
    "qwen3-yes-no": (qwen3_yes_no, yes_no_scores),
    "llama-likelihood": (llama_likelihood, likelihood_scores),
}


def make(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build, score = KINDS[name]
    if made := build(folder):
        tiny_tokenizers.write(folder, *made)
        (folder / "vocab.txt").unlink(missing_ok=True)
    scores = score(folder)
    cases = [{"query": q, "passage": p, "score": s} for (q, p), s in zip(PAIRS, scores)]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "cases.json").write_text(f'{{"cases": [\n{lines}\n]}}\n')
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{name}: {min(scores):.4f} to {max(scores):.4f}, {size / 1000:.0f} kB")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or KINDS:
        make(name)
