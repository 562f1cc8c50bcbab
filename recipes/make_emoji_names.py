"""Make the packaged dataset ``emoji_names``: the names of emoji in 33 languages, labelled with their Unicode group.

    npm pack cldr-annotations-full@48.2.0 unicode-emoji-json@0.9.0
    python recipes/make_emoji_names.py FOLDER             write the files that ship with the package
    python recipes/make_emoji_names.py FOLDER --check     write nothing; fail unless they come out byte for byte

FOLDER holds the downloads; their SHA-256 is pinned below, and nothing of theirs is installed or executed.
The bytes of a parquet file depend on the pyarrow version, which the card records.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from make_data import SAME_FAMILY, TEST_SHARE, Row, clean, families, share
from shipped_files import make_or_check

from mosaic_sae.fsio import sha256_file, write_json, write_text, write_with
from mosaic_sae.sources.units import normal_text

NAME = "emoji_names"
# fmt: off
LANGUAGES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id",
    "it", "ja", "ko", "nl", "pl", "pt", "ro", "ru", "sv", "sw", "ta", "th", "tr", "uk", "vi", "zh",
)
# fmt: on


@dataclass(frozen=True)
class Archive:
    """One pinned npm package."""

    package: str
    version: str
    licence: str
    sha256: str

    @property
    def file(self) -> str:
        """File name that ``npm pack`` gives it."""
        return f"{self.package}-{self.version}.tgz"

    @property
    def fetch(self) -> str:
        """Command that downloads it."""
        return f"npm pack {self.package}@{self.version}"

    def read(self, folder: Path, member: str) -> bytes:
        """Read one file of the package."""
        with tarfile.open(folder / self.file) as archive:
            handle = archive.extractfile(f"package/{member}")
            if handle is None:
                raise SystemExit(f"{self.file}: {member} is not a file")
            return handle.read()


CLDR = Archive("cldr-annotations-full", "48.2.0", "Unicode-3.0", "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1")
GROUPS = Archive("unicode-emoji-json", "0.9.0", "MIT", "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401")

_PERSON = re.compile(r"\b(?:person|people|man|men|woman|women)\b:?", re.IGNORECASE)
CARD: dict[str, Any] = {
    "title": "Names of emoji in 33 languages, by Unicode group",
    "how": [
        "text is CLDR's short name of the emoji (the one that is read aloud) in the row's language; label is its Unicode group.",
        "Flags are left out, because their names are those of countries; so is an emoji without a name in English.",
        "A name that emoji of different groups share in one language is left out there; of those of one group the first keeps it.",
        f"A family is all languages of one emoji, and of emoji whose English names, without words for person, man and woman, have a"
        f" Jaccard similarity of word bigrams of at least {SAME_FAMILY}; its hash puts it in test (about {TEST_SHARE:.0%}) or train.",
        "Emoji are in the order of a hash of their code points, the languages of each together; the head of the file is a fair sample.",
    ],
    "known_problems": [
        "Names are one to five words long, and some groups are conventions: is a globe with meridians a place or a symbol?",
        "Some names are loan words or letters that are equal in many languages (a ribbon, ABC): they help any classifier to transfer.",
        "Names were translated by volunteers from English, so that they follow it more closely than free text would.",
    ],
}


def emoji_rows(folder: Path) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Return the rows (id, text, label, language, emoji, family) and how many were read, left out and kept."""
    groups = {_bare(emoji): about["group"] for emoji, about in json.loads(GROUPS.read(folder, "data-by-emoji.json")).items()}
    names: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        found = json.loads(CLDR.read(folder, f"annotations/{language}/annotations.json"))["annotations"]["annotations"]
        names[language] = {_bare(emoji): clean(about["tts"][0]) for emoji, about in found.items() if about.get("tts")}
    emoji = [one for one in names["en"] if one in groups and groups[one] != "Flags"]
    plain = [Row(_code(one), _PERSON.sub("", names["en"][one]).strip() or names["en"][one], "", "", _code(one)) for one in emoji]
    family = dict(zip(emoji, families(plain), strict=True))
    rows = [
        {"id": f"{_code(one)}/{language}", "text": names[language][one], "label": groups[one], "language": language, "emoji": one}
        for one in emoji
        for language in LANGUAGES
        if one in names[language]
    ]
    labels: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        labels[row["language"], normal_text(row["text"])].add(row["label"])
    agreed = [row for row in rows if len(labels[row["language"], normal_text(row["text"])]) == 1]
    first: dict[tuple[str, str], dict[str, str]] = {}
    for row in agreed:
        first.setdefault((row["language"], normal_text(row["text"])), row)
    kept = [row | {"family": family[row["emoji"]]} for row in first.values()]
    counts = {"read": len(rows), "conflicting": len(rows) - len(agreed), "duplicates": len(agreed) - len(kept), "kept": len(kept)}
    return sorted(kept, key=lambda row: (share(_code(row["emoji"])), row["language"])), counts


def _bare(emoji: str) -> str:
    """Return an emoji without the selector that asks for its coloured form, which the two packages do not write alike."""
    return emoji.replace("\ufe0f", "")


def _code(emoji: str) -> str:
    return "-".join(f"{ord(character):x}" for character in emoji)


def write(folder: Path, out: Path) -> None:
    """Write the table, its card and the licences."""
    rows, counts = emoji_rows(folder)
    for row in rows:
        row["split"] = "test" if share(f"{NAME}:{row['family']}") < TEST_SHARE else "train"
    table = pa.Table.from_pylist(rows).select(["id", "text", "label", "language", "split", "emoji", "family"])
    path = out / f"{NAME}.parquet"
    write_with(path, lambda temporary: pq.write_table(table, temporary, compression="zstd", compression_level=19))
    notices = [f"The texts and labels of {NAME}.parquet come from the packages below, each under the licence that follows its name.\n"]
    for archive in (CLDR, GROUPS):
        text = archive.read(folder, "LICENSE").decode("utf-8").strip()
        notices.append(f"{'=' * 100}\n{archive.package} {archive.version} ({archive.licence})\n{'=' * 100}\n\n{text}\n")
    notices.append("unicode-emoji-json takes the groups from Unicode's emoji-test.txt, which is under the first of these licences.")
    write_text(out / f"{NAME}.LICENSES.txt", "\n".join(line.rstrip() for line in "\n".join(notices).splitlines()) + "\n")
    card = CARD | {
        "schema": 1,
        "name": NAME,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        "made_by": "recipes/make_emoji_names.py",
        "made_with": f"pyarrow {pa.__version__}",
        "rows": counts,
        "labels": dict(Counter(row["label"] for row in rows)),
        "languages": dict(sorted(Counter(row["language"] for row in rows).items())),
        "splits": dict(sorted(Counter(f"{row['split']}/{row['label']}" for row in rows).items())),
        "families": len({row["family"] for row in rows}),
        "licence": " and ".join(sorted({CLDR.licence, GROUPS.licence})),
        "notices": f"{NAME}.LICENSES.txt",
        "upstream": [
            {"package": one.package, "version": one.version, "archive": one.file, "sha256": one.sha256, "licence": one.licence}
            for one in (CLDR, GROUPS)
        ],
    }
    write_json(out / f"{NAME}.json", card)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {counts}")


if __name__ == "__main__":
    make_or_check(__doc__, (CLDR, GROUPS), write)
