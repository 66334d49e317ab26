"""The texts that train the tiny tokenizers, and those whose states are stored."""

CORPUS = [
    "The quick brown fox jumps over the lazy dog while the cat sleeps in the sun.",
    "A retriever finds the passage that answers a question, and nothing else.",
    "Rivers carry sand and stones from the mountains down to the sea.",
    "def mean(values): return sum(values) / len(values)",
    "for (int i = 0; i < n; i++) { total += row[i]; }",
    "The library was built in 1897, burned in 1944 and opened again in 1951.",
    "Der Zug fährt über die Brücke; die Straße ist naß und grün.",
    "L'été à la plage était déjà fini, mais où étaient les élèves?",
    "検索は文書を見つける。東京の天気は晴れです。",
    "Поиск находит нужный документ среди многих других.",
    "What is the boiling point of water at sea level? It is 100 degrees.",
    "let vectors: Vec<f32> = rows.iter().map(|row| row.norm()).collect();",
    "The mean of the states of all tokens stands for the text.",
    "She sells sea shells; the shells she sells are sea shells, I am sure.",
    "query: how far is the moon? passage: the moon is 384,400 km from the earth.",
]

LONG = (
    "The river carries sand to the sea, and the sea carries the shells to the beach; "
    "what is found in the sand is the answer to the question that the cat asked in the sun."
)

# The last is longer than any length limit of the tiny models, so that cutting is part of the contract.
CASES = [
    "sun",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "  Two   spaces, a\ttab and a\nline end ",
    "Où est l'élève? ÜBER die Brücke",
    "東京 の 天気 ﬁne Ｆｕｌｌ",
    "fn norm(row: &[f32]) -> f32 { 0.5 }",
    LONG,
    " ".join([LONG] * 4),
]
