"""Make the text for a multilingual SAE."""

from __future__ import annotations

import argparse
import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_upstream import LANGUAGES, paragraphs
from make_corpus import DATA, draw_order, normal_form, tables

from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import load_tokenizer

MAX_LENGTH = 96  # tokens; the recipe cuts there
ENGLISH, OTHERS = 950_000, 85_000  # tokens drawn at most for English, and for each other language

SCRIPTS = {  # letters of a language that is not written in Latin
    **dict.fromkeys(("ar", "fa"), "\u0600-\u06ff"),
    **dict.fromkeys(("bg", "ru", "uk"), "\u0400-\u04ff"),
    "bn": "\u0980-\u09ff",
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "ja": "\u3040-\u30ff\u3400-\u9fff",
    "ko": "\uac00-\ud7af",
    "ta": "\u0b80-\u0bff",
    "th": "\u0e00-\u0e7f",
    "zh": "\u3400-\u9fff",
}
LONGEST = {"ja": 130, "zh": 110, "ko": 130, "th": 220, "hi": 220, "ta": 200, "bn": 200, "ar": 220, "fa": 220, "he": 200}  # characters
ENGLISH_WORDS = frozenset([
    "the",
    "of",
    "and",
    "to",
    "is",
    "you",
    "with",
    "for",
    "that",
    "this",
    "be",
    "are",
    "it",
    "on",
    "from",
    "your",
    "not",
    "can",
    "or",
    "an",
    "as",
    "by",
    "if",
    "when",
])
# Markup, placeholders, paths, addresses, options, code, menus; and legal notices.
NOT_PROSE = re.compile(
    r"https?:|www\.|\w[/\\]\w+[/\\]|(?:^|\s)/\w|[{}<>|\\^~`_=#$@*\[\]©•▸→]|%\w|%\(|(?:^|\s)--?\w|\s[-–]\s.*\s[-–]\s|\w\.\w+\.\w|\(\d?\)"
    r"|copyright|licen[cs]|e-?mail:|LibreOffice 7",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?…؟।])\s+|(?<=[.!?…][\"'”»’)])\s+|(?<=[。！？])(?![」』”）])|(?<=[。！？][」』”）])")


def clean(text: str) -> str:
    """Resolve entities, drop inline tags and invisible marks, collapse white space."""
    text = re.sub(r"</?[a-z]+[^<>]{0,80}>", " ", html.unescape(text))
    return " ".join(unicodedata.normalize("NFC", re.sub("[\u200b\u200e\u200f\u00ad\ufeff]", "", text)).split())


def is_prose(text: str, language: str) -> bool:
    """Whether ``text`` looks like a sentence of ``language``: enough letters of its script, no markup, no code."""
    if NOT_PROSE.search(text) or len(text) < (8 if language in {"ja", "zh", "ko"} else 20):
        return False
    letters = sum(unicodedata.category(character)[0] in "LM" for character in text)
    if letters < 0.75 * len(text.replace(" ", "")) or sum(map(str.isupper, text)) > 0.3 * letters:
        return False
    if language in SCRIPTS:
        return len(re.findall(f"[{SCRIPTS[language]}]", text)) > 0.6 * letters
    words = re.findall(r"\w+", text.casefold())
    return len(words) > 3 and (language == "en" or sum(word in ENGLISH_WORDS for word in words) < 0.15 * len(words))


def pieces(paragraph: str, language: str) -> Iterator[str]:
    """Cut a paragraph into texts of one to three sentences that keep within the longest length."""
    sentences = SENTENCE_END.split(clean(paragraph))
    joint = "" if language in {"ja", "zh"} else " "
    longest = LONGEST.get(language, 280)
    while sentences:
        size = 1 + int(draw_order(sentences[0])[:4], 16) % 3
        text = joint.join(sentences[:size]).strip()
        while size > 1 and len(text) > longest:
            size -= 1
            text = joint.join(sentences[:size]).strip()
        sentences = sentences[size:]
        if len(text) <= longest and is_prose(text, language):
            yield text


def evaluation_texts(files: list[Path]) -> set[str]:
    """Normal forms of all texts in the tables that an SAE is judged on."""
    seen = set()
    for file in files:
        table = pq.read_table(file)
        for column in {"text", "short"} & set(table.column_names):
            seen.update(normal_form(text) for text in table[column].to_pylist() if text)
    return seen


def candidates(folder: Path, seen: set[str]) -> dict[str, dict[str, list[str]]]:
    """Language -> source -> distinct texts that are not in ``seen``, which is added to."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(language: str, source: str, text: str) -> None:
        key = normal_form(text)
        if key not in seen:
            seen.add(key)
            found[language][source].append(text)

    for wheel in folder.glob("sae_probes-*.whl"):
        for name, texts in tables(wheel):
            for text in sorted(set(texts), key=draw_order)[:600]:
                add("en", f"sae-probes/{name}", text)
    for language, source, paragraph in paragraphs(folder):
        for text in pieces(paragraph, language):
            add(language, source, text)
    return found


def draw(sources: dict[str, list[str]], n_tokens: int, tokenizer) -> Iterator[tuple[str, str, int]]:
    """Yield (source, text, tokens), taking one text from each source in turn until ``n_tokens`` are reached."""
    queues = {name: sorted(texts, key=draw_order, reverse=True) for name, texts in sorted(sources.items())}
    while queues and n_tokens > 0:
        batch = [(name, texts.pop()) for name, texts in queues.items() for _ in range(min(50, len(texts)))]
        queues = {name: texts for name, texts in queues.items() if texts}
        batch.sort(key=lambda row: draw_order(row[1]))
        counts = [min(len(ids), MAX_LENGTH - 1) for ids in tokenizer([text for _, text in batch], add_special_tokens=False)["input_ids"]]
        for (name, text), count in zip(batch, counts, strict=True):
            if n_tokens > 0:
                n_tokens -= count
                yield name, text, count


def main(folder: Path, out: Path, exclude: list[Path]) -> None:
    """Write the corpus as one parquet file with columns text, language, source, in a fixed mixed order."""
    seen = evaluation_texts([*sorted(DATA.glob("*.parquet")), *exclude])
    tokenizer = load_tokenizer(locate_model("packaged/gemma-3-270m"))
    found = candidates(folder, seen)
    rows = [
        (text, language, source.split("/")[0], count)
        for language in LANGUAGES
        for source, text, count in draw(found[language], ENGLISH if language == "en" else OTHERS, tokenizer)
    ]
    rows.sort(key=lambda row: draw_order(row[0]))
    pq.write_table(pa.table(dict(zip(("text", "language", "source"), list(zip(*rows, strict=True))[:3], strict=True))), out)
    tokens: Counter[tuple[str, str]] = Counter()
    for _, language, source, count in rows:
        tokens[language, source] += count
    for language in LANGUAGES:
        parts = {source: n for (code, source), n in tokens.items() if code == language}
        print(f"{language} {sum(parts.values()):8,}  " + ", ".join(f"{source} {n:,}" for source, n in sorted(parts.items())))
    print(f"{len(rows):,} texts, {tokens.total():,} tokens -> {out}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--exclude", type=Path, nargs="*", default=[], help="more tables whose texts must not occur")
    options = arguments.parse_args()
    main(options.folder, options.out, options.exclude)
