"""The packaged dataset of emoji by name and by picture, and the recipe that makes it."""

import importlib.util
import io
import json
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from mosaic_sae.fsio import sha256_file
from mosaic_sae.sources import packaged
from mosaic_sae.sources.images import Picture, open_picture

Image = pytest.importorskip("PIL.Image")
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    for name in ("make_data", "shipped_files", "make_emoji_names", "make_emoji_pictures"):
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data() -> dict[str, list]:
    table = packaged.read_packaged("emoji_pictures")
    return {column: table.load(column) for column in table.names}


def test_file_and_counts_are_those_on_the_card(data) -> None:
    card = packaged.load_card("emoji_pictures")
    path = packaged.FOLDER / card["file"]
    assert (sha256_file(path), path.stat().st_size) == (card["sha256"], card["bytes"]) and card["bytes"] < 3_000_000
    assert len(set(data["id"])) == len(data["id"]) == 2 * card["emoji"]["kept"]
    assert Counter(data["label"]) == card["labels"] and len(card["labels"]) == 8
    notices = (packaged.FOLDER / card["notices"]).read_text(encoding="utf-8")
    assert all(
        words in notices for words in ("UNICODE LICENSE V3", "The MIT License (MIT)", "Apache License", "Noto Emoji", "were changed")
    )


def test_each_emoji_is_one_text_and_one_picture_with_the_split_of_its_names(data) -> None:
    kinds = [("text" if text else "") + ("image" if image else "") for text, image in zip(data["text"], data["image"], strict=True)]
    assert Counter(zip(data["emoji_id"], kinds, strict=True)) == {(one, kind): 1 for one in data["emoji_id"] for kind in ("text", "image")}
    assert len({image for image in data["image"] if image}) == len(data["image"]) / 2
    names = packaged.read_packaged("emoji_names")
    side = dict(zip(names.load("id"), zip(names.load("label"), names.load("family"), names.load("split"), strict=True), strict=True))
    mine = zip(data["emoji_id"], data["label"], data["family"], data["split"], strict=True)
    assert all(side[f"{emoji}/en"] == tuple(about) for emoji, *about in mine)


def test_pictures_show_what_their_names_say(data) -> None:
    picture = {emoji: image for emoji, image in zip(data["emoji_id"], data["image"], strict=True) if image}
    for emoji, name, colour in (("2764", "red heart", 0), ("1f49a", "green heart", 1), ("1f499", "blue heart", 2)):
        assert data["text"][data["id"].index(f"{emoji}/name")] == name
        image = open_picture(Picture(picture[emoji]))
        assert image.size == (64, 64) and image.getpixel((0, 0)) == (255, 255, 255)
        middle = image.getpixel((32, 32))
        assert max(range(3), key=lambda channel: middle[channel]) == colour


def test_rows_by_hand(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipe.emoji_rows.__globals__, "LANGUAGES", ("en",))

    def png(colour: tuple[int, ...], mode: str = "RGBA") -> bytes:
        file = io.BytesIO()
        Image.new(mode, (64, 64), colour).save(file, "PNG")
        return file.getvalue()

    def pack(archive, files: dict[str, bytes]) -> None:
        with tarfile.open(tmp_path / archive.file, "w:gz") as handle:
            for member, content in files.items():
                about = tarfile.TarInfo(f"package/{member}")
                about.size = len(content)
                handle.addfile(about, io.BytesIO(content))

    names = {"🐨": "koala", "🐻": "bear", "☂️": "umbrella", "#️⃣": "keycap: #", "🦊": "fox", "🔴": "red circle"}
    groups = {"🐨": "Animals", "🐻": "Animals", "☂": "Weather", "#⃣": "Symbols", "🦊": "Animals", "🔴": "Symbols"}
    annotations = {"annotations": {"annotations": {emoji: {"tts": [name]} for emoji, name in names.items()}}}
    pack(recipe.CLDR, {"annotations/en/annotations.json": json.dumps(annotations).encode()})
    pack(recipe.GROUPS, {"data-by-emoji.json": json.dumps({emoji: {"group": group} for emoji, group in groups.items()}).encode()})
    # The bear looks like the koala, the umbrella like the red circle of another group; half-transparent blue on white is light blue.
    pictures = {
        "1f428": png((90, 90, 90, 255)),
        "1f43b": png((90, 90, 90, 255)),
        "2602-fe0f": png((255, 0, 0, 255)),
        "0023-fe0f-20e3": png((0, 0, 255, 128)),
        "1f534": png((255, 0, 0), "RGB"),
    }
    known = [{"unified": code.upper(), "image": f"{code}.png", "has_img_google": True} for code in pictures]
    known.append({"unified": "1F98A", "image": "1f98a.png", "has_img_google": False})
    files = {f"img/google/64/{code}.png": picture for code, picture in pictures.items()}
    pack(recipe.PICTURES, {"emoji.json": json.dumps(known).encode(), **files})
    rows, counts = recipe.picture_rows(tmp_path)
    assert counts == {"read": 5, "conflicting": 2, "duplicates": 1, "kept": 2}
    assert {(row["id"], row["text"], row["label"], bool(row["image"])) for row in rows} == {
        ("1f428/name", "koala", "Animals", False),
        ("1f428/picture", None, "Animals", True),
        ("23-20e3/name", "keycap: #", "Symbols", False),
        ("23-20e3/picture", None, "Symbols", True),
    }
    light_blue = next(row["image"] for row in rows if row["id"] == "23-20e3/picture")
    assert open_picture(Picture(light_blue)).getpixel((5, 5)) == (127, 127, 255)
