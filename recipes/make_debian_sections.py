r"""Make the dataset ``debian_sections``: one-line descriptions of Debian's packages in 15 languages, labelled with their section.

    mkdir -p lists/partial
    apt-get -o Dir::State::Lists="$PWD/lists" -o Acquire::GzipIndexes=false \
        -o Acquire::Languages="en,cs,da,de,es,fr,it,ja,ko,pl,pt_BR,pt,ru,sk,uk,zh_CN" update
    python recipes/make_debian_sections.py lists debian_sections.parquet
    mosaic run recipes/debian.yaml

apt-get asks the archives that the machine is set up for; ``-o Dir::Etc::SourceList=FILE -o Dir::Etc::SourceParts=-`` names others
(a line such as "deb MIRROR bookworm main"). Nothing is installed, and the machine's own lists stay as they are. The dataset is made
here and not shipped, because Debian states no licence for the translations as a whole.

A row is the first line of one package's description in one language. Translations are parallel: ``source``, the source package,
ties together the translations and the sister packages of one item (``group_field``) and decides the split.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from make_data import TEST_SHARE, clean, share

from mosaic_sae.fsio import write_with
from mosaic_sae.sources.units import normal_text

NAME = "debian_sections"
SECTIONS = ("admin", "games", "graphics", "mail", "net", "science", "sound", "text")
# Each language with the names of its files; of several, the first that has a translation is used.
LANGUAGES = {
    **{language: (language,) for language in ["cs", "da", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "sk", "uk"]},
    "pt": ("pt_BR", "pt"),
    "zh": ("zh_CN", "zh"),
}
MIN_LANGUAGES = 8  # that a package is translated into, besides English, so that most pairs of languages share most items


@dataclass(frozen=True)
class Package:
    """What the index of packages says of one package."""

    name: str
    section: str
    source: str
    short: str
    md5: str
    """Of the English description that translations are made from."""


def stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yield the stanzas of an index: the first line of each field, by its name."""
    fields: dict[str, str] = {}
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            if not line.strip():
                if fields:
                    yield fields
                fields = {}
            elif line[0] not in " \t":
                name, _, value = line.partition(":")
                fields[name] = value.strip()
    if fields:
        yield fields


def packages(lists: Path) -> dict[str, Package]:
    """Read the packages of the wanted sections, by name; of one that several archives have, the first."""
    found: dict[str, Package] = {}
    for path in sorted(lists.glob("*_main_binary-*_Packages")):
        for one in stanzas(path):
            name, short, section = one["Package"], clean(one.get("Description", "")), one.get("Section", "")
            if section in SECTIONS and short and "Description-md5" in one:
                source = one.get("Source", name).split()[0]
                found.setdefault(name, Package(name, section, source, short, one["Description-md5"]))
    if not found:
        raise SystemExit(
            f"{lists} holds no file *_main_binary-*_Packages with packages of {', '.join(SECTIONS)}; see the first lines of this file."
        )
    return found


def translations(lists: Path, language: str) -> dict[tuple[str, str], str]:
    """Read the one-line descriptions of a language, by package and MD5 of the English description."""
    found: dict[tuple[str, str], str] = {}
    for name in LANGUAGES[language]:
        files = [path for spelt in (name, name.replace("_", "%5f")) for path in sorted(lists.glob(f"*_main_i18n_Translation-{spelt}"))]
        for path in files:
            for one in stanzas(path):
                found.setdefault((one["Package"], one["Description-md5"]), clean(one.get(f"Description-{name}", "")))
    return found


def debian_rows(lists: Path) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Return the rows (id, text, label, language, split, source) and how many were read, left out and kept."""
    index = packages(lists)
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for language in LANGUAGES:
        for (name, md5), short in translations(lists, language).items():
            package = index.get(name)
            # An entry that repeats the English is not translated; one of another description is out of date.
            if package and md5 == package.md5 and short and normal_text(short) != normal_text(package.short):
                texts[name][language] = short
    rows = [
        {"id": f"{name}/{language}", "text": short, "label": index[name].section, "language": language, "source": index[name].source}
        for name, translated in texts.items()
        if len(translated) >= MIN_LANGUAGES
        for language, short in {"en": index[name].short, **translated}.items()
    ]
    labels: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        labels[row["language"], normal_text(row["text"])].add(row["label"])
    agreed = [row for row in rows if len(labels[row["language"], normal_text(row["text"])]) == 1]
    first: dict[tuple[str, str], dict[str, str]] = {}
    for row in sorted(agreed, key=lambda row: (share(row["source"]), row["id"])):
        first.setdefault((row["language"], normal_text(row["text"])), row)
    kept = [row | {"split": "test" if share(f"{NAME}:{row['source']}") < TEST_SHARE else "train"} for row in first.values()]
    return kept, {"read": len(rows), "conflicting": len(rows) - len(agreed), "duplicates": len(agreed) - len(kept), "kept": len(kept)}


def main() -> None:
    """Make the dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path, help="folder with apt's lists")
    parser.add_argument("out", type=Path, help="parquet file to write")
    arguments = parser.parse_args()
    rows, counts = debian_rows(arguments.lists)
    table = pa.Table.from_pylist(rows).select(["id", "text", "label", "language", "split", "source"])
    write_with(arguments.out, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {json.dumps(counts)}")
    for column in ("label", "language"):
        parts = Counter((row[column], row["split"]) for row in rows)
        names = sorted({name for name, _ in parts})
        print(f"{column}: " + ", ".join(f"{name} {parts[name, 'train']:,}/{parts[name, 'test']:,}" for name in names))


if __name__ == "__main__":
    main()
