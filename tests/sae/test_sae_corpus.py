import importlib
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def recipe():
    """The script that makes the multilingual corpus, as a module."""
    sys.path.insert(0, str(RECIPES))
    try:
        yield importlib.import_module("make_multilingual_corpus")
    finally:
        sys.path.remove(str(RECIPES))
        for name in ("make_multilingual_corpus", "make_corpus", "corpus_upstream"):
            sys.modules.pop(name, None)


class OneTokenPerWord:
    def __call__(self, texts, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [text.split() for text in texts]}


def deb(path: Path, members: dict[str, bytes]) -> None:
    """Write a Debian package: an ar archive with an odd-sized control part before the data."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data.getvalue()}
    content = b"!<arch>\n"
    for name, part in parts.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(content)


def test_paragraphs_are_cut_between_sentences(recipe):
    chinese = "今天天气很好，我们去公园散步。他说：“明天见！”然后他就回家了。你明天有时间吗？我想请你吃一顿饭。"
    cut = list(recipe.pieces(chinese, "zh"))
    assert "".join(cut) == chinese
    assert len(cut) > 1
    assert all(text.endswith(("。", "？", "”")) for text in cut)

    english = [f"This is sentence number {word} of a rather long paragraph." for word in ("one", "two", "three", "four", "five")]
    cut = list(recipe.pieces("\n ".join(english), "en"))
    assert " ".join(cut) == " ".join(english)
    assert {text.count(".") for text in cut} <= {1, 2, 3}
    assert list(recipe.pieces("word " * 60 + "end.", "en")) == []  # one sentence longer than the longest text


@pytest.mark.parametrize(
    ("text", "language", "prose"),
    [
        ("Der Wald ist im Herbst besonders schön.", "de", True),
        ("The forest is especially beautiful in autumn.", "de", False),
        ("The forest is especially beautiful in autumn.", "en", True),
        ("秋の森はとても美しいです。", "ja", True),
        ("The forest is especially beautiful in autumn.", "ja", False),
        ("Откройте файл /etc/fstab и измените его.", "ru", False),
        ("Откройте файл и измените его.", "ru", True),
        ("Run apt --purge remove and wait for it to end.", "en", False),
        ("Der Benutzer $1 hat die Seite gelöscht.", "de", False),
        ("12 34 56 78 90 12 34 56 sind Zahlen", "de", False),
        ("Copyright 2005 by the authors of this guide", "en", False),
    ],
)
def test_prose(recipe, text, language, prose):
    assert recipe.is_prose(text, language) is prose


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("zh_CN", "zh"),
        ("zh-hans", "zh"),
        ("zh_TW", None),
        ("pt_BR", "pt"),
        ("C", "en"),
        ("cmn_hans", "zh"),
        ("de-formal", None),
        ("eo", None),
    ],
)
def test_language_codes(recipe, name, language):
    assert importlib.import_module("corpus_upstream").language_of(name) == language


def test_the_corpus_has_no_text_that_an_sae_is_judged_on(recipe, tmp_path, monkeypatch):
    page = '<page xmlns="http://projectmallard.org/1.0/"><p>{}</p><p>Press <keyseq><key>Alt</key><key>F2</key></keyseq> {}</p></page>'
    german = page.format("Der Wald ist im Herbst besonders schön. ", "und warten Sie eine kurze Zeit lang.")
    deb(tmp_path / "gnome-user-docs_1_all.deb", {"./usr/share/help/de/gnome-help/a.page": german.encode()})
    deb(
        tmp_path / "mediawiki_1_all.deb",
        {"./languages/i18n/de.json": json.dumps({"a": "Diese Seite wurde heute Morgen geändert."}).encode()},
    )
    with zipfile.ZipFile(tmp_path / "konlpy-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("konlpy/data/corpus/kolaw/constitution.txt", "모든 국민은 법 앞에 평등하다.\n")
    judged = tmp_path / "judged.parquet"
    pq.write_table(pa.table({"text": ["other"], "short": ["diese  Seite wurde heute morgen geändert."]}), judged)

    monkeypatch.setattr(recipe, "locate_model", lambda name: name)
    monkeypatch.setattr(recipe, "load_tokenizer", lambda located: OneTokenPerWord())
    recipe.main(tmp_path, tmp_path / "corpus.parquet", [judged])
    rows = pq.read_table(tmp_path / "corpus.parquet").to_pylist()
    assert {(row["text"], row["language"], row["source"]) for row in rows} == {
        ("Der Wald ist im Herbst besonders schön.", "de", "gnome-user-docs"),
        ("Press Alt+F2 und warten Sie eine kurze Zeit lang.", "de", "gnome-user-docs"),
        ("모든 국민은 법 앞에 평등하다.", "ko", "konlpy"),
    }


def test_sources_take_turns_until_the_tokens_are_reached(recipe):
    sources = {"large": [f"large text {n}" for n in range(1000)], "small": [f"small text {n}" for n in range(20)]}
    drawn = list(recipe.draw(sources, 300, OneTokenPerWord()))
    assert sum(count for _, _, count in drawn) == 300
    assert sum(source == "small" for source, _, _ in drawn) == 20  # 100 texts: all 20 of these, although they are 2 % of all
    assert len({text for _, text, _ in drawn}) == 100
