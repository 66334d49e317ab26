"""Which files of a package are worth learning from, and what is left of their text."""

import hashlib
import re
import zlib
from pathlib import PurePosixPath

CODE = set("rs py pyi java js mjs cjs jsx ts mts cts tsx go c h cc cpp cxx hh hpp hxx ipp inl cs".split())
PROSE = set("md markdown rst txt".split())

SMALLEST, LARGEST = 300, 300_000

# Copies of other packages, what a build left, and what tests only feed to the code.
FOLDERS = re.compile(
    r"(^|/)(_?vendor(ed)?|third[-_]?party|externals?|extern|node_modules|bower_components|dist|build|target"
    r"|static|assets|locales?|fixtures?|test[-_]?(data|files|cases|suites?|assets|resources)|testing_data"
    r"|snapshots?|__snapshots__|corpus|corpora|golden|expected|baseline_images|sample_data|tests?|__tests__"
    r"|bindings|generated|migrations)/",
    re.I,
)
TESTS = re.compile(r"(^|/)(test_[^/]*|[^/]*_tests?|conftest)\.\w+$", re.I)
MINIFIED = re.compile(r"(\.min\.|[-.]bundle\.|_pb2|\.pb\.|_generated\.|\.gen\.)", re.I)
# Lists of names and of changes are prose in form only.
PAPERS = re.compile(
    r"(^|/)(licen[cs]e|copying|notice|authors|contributors|credits|changelog|changes|history|news|releases?"
    r"|whatsnew|release[-_]?notes|security|code_of_conduct|requirements|sources|top_level|entry_points|cmakelists"
    r"|record|third[-_]?party)[^/]*\.(md|markdown|rst|txt)$"
    r"|(^|/)(whatsnew|changelogs?|release[-_]?notes|licenses?|newsfragments)/"
    r"|\.(egg|dist)-info/",
    re.I,
)
GENERATED = re.compile(
    r"@generated|do not (edit|modify)|don't edit|(auto(matically)?|machine)[- ]?generated|generated (by|from|with|using|code)",
    re.I,
)
HEADER = re.compile(r"\A(#![^\n]*\n)?\s*(/\*.*?\*/|((//|#|--|;)[^\n]*\n)+|<!--.*?-->)\s*", re.S)
LEGAL = re.compile(r"copyright|licen[cs]e|spdx", re.I)
# A file may stand under other terms than its package.
COPYLEFT = re.compile(r"\b(A|L)?GPL|general\s+public\s+licen[cs]e|mozilla\s+public|\bMPL\b|creative\s+commons", re.I)
WORD = re.compile(r"[^\W\d_]{2,}")


def unwanted_name(path: str) -> str | None:
    """Why a file is left out by its name alone."""
    suffix = PurePosixPath(path).suffix.lstrip(".").lower()
    if suffix not in CODE and suffix not in PROSE:
        return "other type"
    if FOLDERS.search(path) or TESTS.search(path):
        return "copy, build or test"
    if MINIFIED.search(path):
        return "machine-written"
    return "list or licence" if PAPERS.search(path) else None


def without_header(text: str) -> str:
    """Without a licence that stands before everything else: it would be learnt by heart."""
    found = HEADER.match(text)
    while found and LEGAL.search(found[0]):
        text = text[found.end() :]
        found = HEADER.match(text)
    return text


def unwanted_text(path: str, text: str) -> str | None:
    """Why a file is left out by its text."""
    if GENERATED.search(text[:3000]):
        return "machine-written"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    visible = sum(map(len, lines))
    if len(text) < SMALLEST or not lines:
        return "too short"
    prose = PurePosixPath(path).suffix.lstrip(".").lower() in PROSE
    if visible / len(lines) > (600 if prose else 90) or (not prose and max(map(len, lines)) > 1500):
        return "minified or data"
    letters = sum(map(len, WORD.findall(text)))
    digits = sum(map(text.count, "0123456789"))
    # Code is two thirds letters; tables of numbers, of escapes and of codes are not.
    if letters < 0.5 * visible or digits > 0.15 * visible:
        return "minified or data"
    if len(text.encode("ascii", "ignore")) < 0.95 * len(text):
        return "another script"
    if len(lines) > 40 and len(set(lines)) < 0.45 * len(lines):
        return "repetitive"
    # Text packs to a third or a quarter; what packs to a tenth was written by a loop.
    packed = len(zlib.compress(text.encode(), 6)) / len(text.encode())
    return "repetitive" if len(text) > 4000 and packed < 0.12 else None


def fingerprint(text: str) -> bytes:
    """Equal for texts that differ only in white space."""
    return hashlib.sha256(" ".join(text.split()).encode()).digest()


def useful(path: str, data: bytes) -> tuple[str | None, str]:
    """A file's text, or none and why."""
    if not SMALLEST <= len(data) <= LARGEST:
        return None, "size"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "not UTF-8"
    if "\0" in text:
        return None, "not UTF-8"
    if COPYLEFT.search(text[:3000]):
        return None, "other licence"
    text = without_header(text.replace("\r\n", "\n"))
    why = unwanted_text(path, text)
    return (None, why) if why else (text, "")
