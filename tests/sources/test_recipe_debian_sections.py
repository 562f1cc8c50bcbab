"""The recipe of debian_sections on a small index, row by row."""

import importlib
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    module = importlib.import_module("make_debian_sections")
    monkeypatch.setattr(module, "MIN_LANGUAGES", 2)
    yield module
    for name in ("make_debian_sections", "make_data", "data_upstream"):
        sys.modules.pop(name, None)


def index(folder: Path, name: str, stanzas: list[dict[str, str]]) -> None:
    text = "\n".join("".join(f"{key}: {value}\n" for key, value in stanza.items()) for stanza in stanzas)
    (folder / f"mirror_dists_stable_main_{name}").write_text(text, encoding="utf-8")


def package(name: str, section: str, short: str, **more: str) -> dict[str, str]:
    return {
        "Package": name,
        **more,
        "Description": f"{short}\n a longer text\n Section: not a field",
        "Description-md5": f"md5-{name}",
        "Section": section,
    }


def translated(language: str, texts: dict[str, str], md5: str = "") -> list[dict[str, str]]:
    return [
        {"Package": name, "Description-md5": md5 or f"md5-{name}", f"Description-{language}": f"{text}\n lang"}
        for name, text in texts.items()
    ]


def test_rows_by_hand(recipe, tmp_path: Path) -> None:
    index(
        tmp_path,
        "binary-amd64_Packages",
        [
            package("chess", "games", "play  chess"),
            package("chess-data", "games", "data of chess", Source="chess (1.0)"),
            package("mailer", "mail", "read mail"),
            package("library", "libs", "not wanted"),
            package("twin-a", "games", "same thing"),
            package("twin-b", "mail", "same thing"),
            package("known-in-one", "games", "one translation only"),
        ],
    )
    index(
        tmp_path, "i18n_Translation-de", translated("de", {"chess": "Schach spielen", "chess-data": "Schachdaten", "mailer": "read mail"})
    )
    index(
        tmp_path,
        "i18n_Translation-fr",
        translated("fr", {"chess": "jouer aux échecs", "chess-data": "données", "mailer": "lire", "twin-a": "pareil", "twin-b": "pareil"}),
    )
    index(
        tmp_path,
        "i18n_Translation-pt%5fBR",
        translated("pt_BR", {"chess": "jogar xadrez", "twin-a": "a", "twin-b": "b", "known-in-one": "uma"}),
    )
    index(tmp_path, "i18n_Translation-pt", translated("pt", {"chess": "xadrez", "mailer": "ler correio"}))
    index(tmp_path, "i18n_Translation-it", translated("it", {"chess": "vecchio"}, md5="of an older description"))
    rows, counts = recipe.debian_rows(tmp_path)
    found = {row["id"]: row["text"] for row in rows}
    # German has no translation of mailer, only the English again; Italian none of today's description; pt_BR comes before pt.
    assert found == {
        "chess/en": "play chess", "chess/de": "Schach spielen", "chess/fr": "jouer aux échecs", "chess/pt": "jogar xadrez",
        "chess-data/en": "data of chess", "chess-data/de": "Schachdaten", "chess-data/fr": "données",
        "mailer/en": "read mail", "mailer/fr": "lire", "mailer/pt": "ler correio",
        "twin-a/pt": "a", "twin-b/pt": "b",
    }  # fmt: skip
    # The twins have one name and two sections in English and in French.
    assert counts == {"read": 16, "conflicting": 4, "duplicates": 0, "kept": 12}
    one = next(row for row in rows if row["id"] == "chess-data/fr")
    assert (one["label"], one["language"], one["source"]) == ("games", "fr", "chess")
    sides = {(row["source"], row["split"]) for row in rows}
    assert len(sides) == len({source for source, _ in sides}) == 4


def test_a_folder_without_lists_is_said_to_be_one(recipe, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no file"):
        recipe.debian_rows(tmp_path)
