import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest

from mosaic_sae.errors import SourceError
from mosaic_sae.fsio import sha256_file
from mosaic_sae.sources import packaged
from mosaic_sae.sources.units import unit_keys

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = ["safety_prompts", "vader_sentiment"]


@pytest.fixture(scope="module")
def recipe():
    """The script that makes the data, as a module."""
    sys.path.insert(0, str(RECIPES))
    try:
        spec = importlib.util.spec_from_file_location("make_data", RECIPES / "make_data.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["make_data"] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(RECIPES))
        sys.modules.pop("make_data", None)


def columns(name: str) -> dict[str, list]:
    table = packaged.read_packaged(name)
    return {column: table.load(column) for column in table.names}


def test_names():
    assert packaged.packaged_names() == ["emoji_names", "emoji_pictures", "questions", *NAMES]
    with pytest.raises(SourceError, match=r"Unknown packaged dataset 'safety_prompt'\. Did you mean 'safety_prompts'"):
        packaged.read_packaged("safety_prompt")


@pytest.mark.parametrize("name", NAMES)
def test_file_is_the_one_on_the_card(name):
    card = packaged.load_card(name)
    path = packaged.FOLDER / card["file"]
    assert (sha256_file(path), path.stat().st_size) == (card["sha256"], card["bytes"])
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_on_the_card(name):
    card, data = packaged.load_card(name), columns(name)
    assert len(data["id"]) == len(set(data["id"])) == card["rows"]["kept"]
    assert card["rows"]["read"] - card["rows"]["conflicting_or_empty"] - card["rows"]["near_duplicates"] == card["rows"]["kept"]
    assert Counter(data["label"]) == card["labels"]
    assert Counter(f"{part}/{label}" for part, label in zip(data["split"], data["label"], strict=True)) == card["splits"]
    axis = "source" if name == "safety_prompts" else "domain"
    assert Counter(f"{part}/{label}" for part, label in zip(data[axis], data["label"], strict=True)) == card[axis]
    assert set(data["language"]) == {"en"}


@pytest.mark.parametrize("name", NAMES)
def test_no_text_twice_and_no_family_on_both_sides(name):
    data = columns(name)
    assert all(text and text == " ".join(text.split()) for text in data["text"])
    assert len(set(unit_keys(data["text"]))) == len(data["text"])
    sides: dict[str, set[str]] = {}
    for family, side in zip(data["family"], data["split"], strict=True):
        sides.setdefault(family, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert 0.17 < data["split"].count("test") / len(data["split"]) < 0.23


def test_pairs_and_documents_are_families():
    safety = columns("safety_prompts")
    of = dict(zip(safety["id"], safety["family"], strict=True))
    pairs = [name[:-2] for name in of if name.startswith("ref_") and name.endswith("-h") and f"{name[:-2]}-b" in of]
    assert len(pairs) > 140
    assert all(of[f"{pair}-h"] == of[f"{pair}-b"] for pair in pairs)
    vader = columns("vader_sentiment")
    documents: dict[str, set[str]] = {}
    for name, family in zip(vader["id"], vader["family"], strict=True):
        if name.startswith(("amazon", "nyt")):
            documents.setdefault(name.split("_")[0], set()).add(family)
    assert len(documents) > 700
    assert all(len(family) == 1 for family in documents.values())


def test_vader_labels_follow_the_scores():
    data = columns("vader_sentiment")
    assert all((label == "positive") == (score > 0) and abs(score) >= 1 for label, score in zip(data["label"], data["score"], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_licence_of_every_upstream_package_is_shipped(name):
    card = packaged.load_card(name)
    notices = (packaged.FOLDER / card["notices"]).read_text(encoding="utf-8")
    for one in card["upstream"]:
        section = notices.partition(f"\n{one['package']} {one['version']} ({one['licence']})\n")[2].partition("\n===== ")[0]
        assert "opyright" in section[:1500]
        assert ("Permission is hereby granted" if one["licence"] == "MIT" else "Redistribution and use") in section


def test_damaged_file_is_refused(tmp_path, monkeypatch):
    for file in packaged.FOLDER.glob("safety_prompts.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = tmp_path / "safety_prompts.json"
    card.write_text(card.read_text().replace(packaged.load_card("safety_prompts")["sha256"], "0" * 64))
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    with pytest.raises(SourceError, match="is damaged"):
        packaged.read_packaged("safety_prompts")


def test_examples_carry_the_licence(load):
    examples = load("packaged/safety_prompts", id_field="id", max_rows=100)
    assert len(examples) == 100
    assert (examples.provenance["kind"], examples.provenance["licence"]) == ("packaged", "BSD-3-Clause and MIT")
    with pytest.raises(SourceError, match="split_field"):
        load("packaged/safety_prompts", split="test")


def test_pins_of_the_recipe_are_those_on_the_cards(recipe):
    pinned = {one.package: (one.version, one.archive, one.sha256) for one in recipe.UPSTREAM}
    carded = {
        one["package"]: (one["version"], one["archive"], one["sha256"]) for name in NAMES for one in packaged.load_card(name)["upstream"]
    }
    assert carded == pinned


def test_similarity_counts_word_bigrams(recipe):
    # "a b c d" has ab bc cd; "a b c e" has ab bc ce: 2 shared of 4.
    texts = ["a b c d", "A, b: c e!", "x y", "x y", "solo", "SOLO", ":)", ":("]
    assert recipe.similar_pairs(texts, 0.5) == [(0, 1), (2, 3), (4, 5)]
    assert recipe.similar_pairs(texts, 0.51) == [(2, 3), (4, 5)]


def test_duplicates_and_families_by_hand(recipe):
    def row(name, text, label="l", item=None):
        return recipe.Row(name, text, label, "s", item or name)

    rows = [
        row("1", "one two three four"),
        row("2", "one two three four five"),  # 3 of 4 bigrams shared: a near duplicate of 1
        row("3", "one two three four!", "m"),  # like 1 with another label, not the same text: stays
        row("4", "both labels"),
        row("5", "Both  labels", "m"),
        row("6", "part of a document", item="d"),
        row("7", "quite another thing", item="d"),
    ]
    kept, counts = recipe.without_duplicates(rows)
    assert [one.id for one in kept] == ["1", "3", "6", "7"]
    assert counts == {"read": 7, "conflicting_or_empty": 2, "near_duplicates": 1, "kept": 4}
    assert recipe.families(kept) == ["1", "1", "6", "6"]
