"""Tiny tokenizers in the form that each model family publishes.

Each function returns (tokenizer, settings): a `tokenizers.Tokenizer` and the content of tokenizer_config.json.
"""

import io
import json
import math
import tempfile
from collections import Counter
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from texts import CORPUS

# What decoders since Llama 3 and Qwen2 split with, before byte-level BPE.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special(*texts):
    return [AddedToken(text, special=True, normalized=False) for text in texts]


def template(tokenizer, single, pair, names):
    ids = [(name, tokenizer.token_to_id(name)) for name in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def counted_words(normalizer, pre_tokenizer):
    """Words of the corpus and how often each occurs, the most frequent first."""
    texts = (normalizer.normalize_str(text) for text in CORPUS)
    words = Counter(word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text))
    return dict(sorted(words.items(), key=lambda item: (-item[1], item[0])))


def word_piece_vocabulary(size, normalizer):
    """Characters, endings and the most frequent words; the library's trainer breaks ties by chance."""
    words = counted_words(normalizer, pre_tokenizers.BertPreTokenizer())
    letters = sorted({letter for word in words for letter in word})
    endings = sorted({"##" + letter for word in words for letter in word[1:]} | {"##es", "##ing", "##er", "##and"})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *endings, *words]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens)) if i < size}


def word_piece(max_length, size=230, lowercase=True):
    """BERT and DistilBERT. Like all-MiniLM-L6-v2's file it asks for a cut and a padding of its own, which
    whoever reads it must not apply."""
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    vocabulary = word_piece_vocabulary(size, normalizer)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.add_special_tokens(special(*names))
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    tokenizer.post_processor = template(tokenizer, "[CLS]:0 $A:0 [SEP]:0", pair, ["[CLS]", "[SEP]"])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_truncation(max_length // 2)
    tokenizer.enable_padding(length=max_length // 2, pad_token="[PAD]")
    settings = {
        "do_lower_case": lowercase, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
        "cls_token": "[CLS]", "mask_token": "[MASK]", "tokenize_chinese_chars": True, "strip_accents": None,
        "tokenizer_class": "BertTokenizer", "model_max_length": max_length,
    }  # fmt: skip
    return tokenizer, settings


def byte_level(pre_tokenizer, names, size, normalizer=None, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special(*names),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def roberta(max_length, size=300):
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), names, size)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)
    settings = {
        "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "add_prefix_space": False, "errors": "replace",
        "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "mask_token": "<mask>", "trim_offsets": True,
        "model_max_length": max_length, "tokenizer_class": "RobertaTokenizer",
    }  # fmt: skip
    return tokenizer, settings


def precompiled_map():
    """A small character map in SentencePiece's compiled form: full width letters, a ligature, odd spaces."""
    pairs = [(chr(0xFF21 + i), chr(0x41 + i)) for i in range(26)] + [(chr(0xFF41 + i), chr(0x61 + i)) for i in range(26)]
    pairs += [("\ufb01", "fi"), ("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " ")]
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        points = lambda text: " ".join(f"{ord(c):X}" for c in text)
        rules.write_text("".join(f"{points(a)}\t{points(b)}\n" for a, b in pairs))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=150, hard_vocab_limit=False,
            normalization_rule_tsv=str(rules), minloglevel=2,
        )  # fmt: skip
    from sentencepiece import sentencepiece_model_pb2 as proto

    spec = proto.ModelProto.FromString(model.getvalue()).normalizer_spec
    return spec.precompiled_charsmap


def unigram_pieces(normalizer, size):
    """Special tokens, characters, beginnings and the most frequent words, with scores by how often they occur."""
    words = counted_words(normalizer, pre_tokenizers.Metaspace())
    counts = Counter(words)
    for word, count in words.items():
        counts.update({piece: count for piece in [*set(word), word[:2], word[:3], word[-2:]]})
    letters = sorted({letter for word in words for letter in word})
    others = sorted((piece for piece in counts if len(piece) > 1), key=lambda piece: (-counts[piece], piece))
    total = sum(counts.values())
    scored = [(piece, math.log(counts[piece] / total)) for piece in [*letters, *others]]
    return [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")] + scored[: size - 4]


def xlm_roberta(max_length, size=240):
    normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(precompiled_map()),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    tokenizer = Tokenizer(models.Unigram(unigram_pieces(normalizer, size), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(special("<s>", "<pad>", "</s>", "<unk>"))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    single, pair = "<s> $A </s>", "<s> $A </s> </s> $B </s>"
    tokenizer.post_processor = template(tokenizer, single, pair, ["<s>", "</s>"])
    tokenizer.decoder = decoders.Metaspace()
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False,
            "single_word": False}  # fmt: skip
    settings = {
        "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": mask, "pad_token": "<pad>",
        "sep_token": "</s>", "unk_token": "<unk>", "model_max_length": max_length,
        "tokenizer_class": "XLMRobertaTokenizer",
    }  # fmt: skip
    return tokenizer, settings


def modernbert(max_length, size=300):
    names = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = byte_level(cut, names, size, normalizer=normalizers.NFC())
    # Runs of spaces are tokens of their own, not special ones.
    tokenizer.add_tokens([AddedToken(" " * n, special=False, normalized=True) for n in (4, 3, 2)])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True, normalized=False)])
    single, pair = "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"
    tokenizer.post_processor = template(tokenizer, single, pair, ["[CLS]", "[SEP]"])
    settings = {
        "clean_up_tokenization_spaces": True, "cls_token": "[CLS]", "mask_token": "[MASK]",
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": max_length, "pad_token": "[PAD]",
        "sep_token": "[SEP]", "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]",
    }  # fmt: skip
    return tokenizer, settings


def words_then_bytes():
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3(max_length, size=300):
    """Puts a token at the start and none at the end; has no padding token."""
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"]
    tokenizer = byte_level(words_then_bytes(), [], size, ignore_merges=True)
    tokenizer.add_special_tokens(special(*names))
    start = template(tokenizer, f"{names[0]} $A", f"{names[0]} $A {names[0]} $B", names[:1])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), start])
    settings = {
        "bos_token": names[0], "eos_token": names[1], "clean_up_tokenization_spaces": True,
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": max_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    return tokenizer, settings


def qwen(max_length, size=300, appends_end=False):
    """Qwen2 adds no special token at all; the embedding models of Qwen3 end every text with one."""
    tokenizer = byte_level(words_then_bytes(), [], size, normalizer=normalizers.NFC())
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    if appends_end:
        end = template(tokenizer, "$A <|endoftext|>", "$A <|endoftext|> $B <|endoftext|>", ["<|endoftext|>"])
        processor = processors.Sequence([processor, end])
    tokenizer.post_processor = processor
    settings = {
        "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>" if appends_end else "<|endoftext|>", "errors": "replace",
        "model_max_length": max_length, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }  # fmt: skip
    return tokenizer, settings


def write(folder, tokenizer, settings):
    """tokenizer.json, tokenizer_config.json, special_tokens_map.json; for WordPiece also vocab.txt."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    written = json.dumps(settings, indent=1, ensure_ascii=False)
    # The huge length is a float in transformers and an integer in its files.
    (folder / "tokenizer_config.json").write_text(written.replace("1e+30", str(int(1e30))) + "\n")
    names = {k: v for k, v in settings.items() if k.endswith("_token") and v is not None}
    for value in names.values():
        if isinstance(value, dict):
            value.pop("__type", None)
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=1, ensure_ascii=False) + "\n")
    if settings["tokenizer_class"] == "BertTokenizer":
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        (folder / "vocab.txt").write_text("".join(token + "\n" for token, _ in vocabulary))
