"""The packaged dataset of emoji names, and its own split as a split of kind language."""

import importlib.util
import json
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.fsio import sha256_file
from mosaic_sae.sources import packaged
from mosaic_sae.sources.domains import domain_splits
from mosaic_sae.sources.units import normal_text

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    for name in ("make_data", "shipped_files", "make_emoji_names"):
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data() -> dict[str, list]:
    table = packaged.read_packaged("emoji_names")
    return {column: table.load(column) for column in table.names}


def test_file_and_counts_are_those_on_the_card(data) -> None:
    card = packaged.load_card("emoji_names")
    path = packaged.FOLDER / card["file"]
    assert (sha256_file(path), path.stat().st_size) == (card["sha256"], card["bytes"]) and card["bytes"] < 1_000_000
    assert len(set(data["id"])) == len(data["id"]) == card["rows"]["kept"]
    assert Counter(data["label"]) == card["labels"] and Counter(data["language"]) == card["languages"]
    assert len(card["languages"]) == 33 and len(card["labels"]) == 8
    notices = (packaged.FOLDER / card["notices"]).read_text(encoding="utf-8")
    assert all(
        words in notices for words in ("UNICODE LICENSE V3", "Copyright © 2004-2026 Unicode, Inc.", "The MIT License (MIT)", "Mu-An Chiou")
    )


def test_no_name_twice_in_a_language_and_no_family_on_both_sides(data) -> None:
    names = Counter((language, normal_text(text)) for language, text in zip(data["language"], data["text"], strict=True))
    assert max(names.values()) == 1
    sides = {pair[0]: set() for pair in zip(data["family"], data["split"], strict=True)}
    for family, emoji, side in zip(data["family"], data["emoji"], data["split"], strict=True):
        sides[family].add(side)
        sides.setdefault(emoji, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    of = {(emoji, language): family for emoji, language, family in zip(data["emoji"], data["language"], data["family"], strict=True)}
    assert of["👩‍🏭", "sw"] == of["👨‍🏭", "en"] and of["🐨", "ja"] != of["👨‍🏭", "en"]


def test_it_parts_into_languages_of_one_size(load) -> None:
    examples = load("packaged/emoji_names", id_field="id", language_field="language", group_field="family", split_field="split")
    made = domain_splits(examples, SplitSpec(kind="language", min_train=500), 0.2, 42)
    assert len(made) == 33 and len({len(split.rows.train) for split in made}) == 1 and len(made[0].rows.train) > 1100
    # Names that are equal in several languages are of one emoji nearly always; few rows are lost to what is not.
    assert made[0].rows.notes.get("left_out_of_train", 0) < 0.02 * len(examples)


def test_rows_by_hand(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "LANGUAGES", ("de", "en"))
    names = {
        "en": {
            "🐨": "koala",
            "👩‍🏭": "woman factory worker",
            "👨‍🏭": "man factory worker",
            "🇩🇪": "flag: Germany",
            "☂️": "umbrella",
            "🌂": "closed umbrella",
        },
        "de": {"🐨": "Koala", "👩‍🏭": "Arbeiterin", "☂️": "Schirm", "🌂": "schirm", "😀": "grinsend"},
    }
    groups = {"🐨": "Animals", "👩‍🏭": "People", "👨‍🏭": "People", "🇩🇪": "Flags", "☂": "Weather", "🌂": "Clothes", "😀": "Smileys"}

    def pack(archive, files: dict[str, object]) -> None:
        with tarfile.open(tmp_path / archive.file, "w:gz") as handle:
            for member, content in files.items():
                path = tmp_path / "member"
                path.write_text(json.dumps(content))
                handle.add(path, f"package/{member}")

    pack(recipe.GROUPS, {"data-by-emoji.json": {emoji: {"group": group} for emoji, group in groups.items()}})
    annotations = {language: {emoji: {"tts": [name]} for emoji, name in found.items()} for language, found in names.items()}
    members = {f"annotations/{one}/annotations.json": {"annotations": {"annotations": found}} for one, found in annotations.items()}
    pack(recipe.CLDR, members)
    rows, counts = recipe.emoji_rows(tmp_path)
    # Two umbrellas have one name in German and two groups; flags and what has no English name are no rows.
    assert counts == {"read": 9, "conflicting": 2, "duplicates": 0, "kept": 7}
    assert {row["text"] for row in rows if row["language"] == "de"} == {"Koala", "Arbeiterin"}
    family = {row["text"]: row["family"] for row in rows}
    assert family["Arbeiterin"] == family["woman factory worker"] == family["man factory worker"] != family["koala"]
    assert next(row for row in rows if row["text"] == "umbrella") == {
        "id": "2602/en", "text": "umbrella", "label": "Weather", "language": "en", "emoji": "☂", "family": family["umbrella"],
    }  # fmt: skip
