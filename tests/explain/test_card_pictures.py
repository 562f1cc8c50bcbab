"""Cards of latents in a dataset with pictures: which rows are distinct, and what is shown of them."""

from pathlib import Path

from card_stores import COLUMNS, make

from mosaic_sae.app.evidence_view import card_view
from mosaic_sae.explain.card_maker import CardMaker

RED, BLUE = "data:image/jpeg;base64,UkVE", "data:image/jpeg;base64,QkxVRQ=="


def pictured(folder: Path) -> CardMaker:
    """Rows 0, 3 and 4, on which latent 3 fires with 8, 6 and 7, are pictures without a text; 0 and 4 are the same one."""
    return make(folder, columns=COLUMNS | {"text": ["", "the cake big", "", "", ""], "picture": [RED, None, None, BLUE, RED]})


def test_rows_without_texts_are_told_apart_by_their_pictures(tmp_path: Path) -> None:
    shown = pictured(tmp_path).card(3)["examples"]
    assert [(example["id"], example["picture"]) for example in shown] == [("a", RED), ("d", BLUE)]


def test_a_text_has_no_picture(tmp_path: Path) -> None:
    assert [example.get("picture") for example in pictured(tmp_path).card(9)["examples"] if example["id"] == "b"] == [None]
    assert all("picture" not in example for example in make(tmp_path / "texts").card(3)["examples"])


def test_the_app_shows_them(tmp_path: Path) -> None:
    shown = str(card_view(pictured(tmp_path).card(3)))
    assert shown.count("Img(") == 2 and RED in shown
