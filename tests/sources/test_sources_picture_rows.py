"""Datasets with pictures: every source of them, texts beside them, bad ones, and what counts as the same picture."""

import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import SourceError
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.images import Picture, open_picture
from mosaic_sae.sources.picture_cells import to_pictures
from mosaic_sae.sources.splits import make_split
from mosaic_sae.sources.units import duplicate_units, unit_keys

Image = pytest.importorskip("PIL.Image")


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """cat/1.png, cat/2.png, dog/3.png; shades 1, 2 and 3."""
    for shade, name in ((1, "cat"), (2, "cat"), (3, "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name / f"{shade}.png").write_bytes(png(shade))
    return tmp_path / "pets"


@pytest.fixture
def of(load):
    """Load a dataset of pictures."""
    return lambda name, **keys: load(str(name), **{"text_field": None, "image_field": "image"} | keys)


def shades(examples: Examples) -> list[int | None]:
    return [picture and open_picture(picture).getpixel((0, 0))[0] for picture in examples.pictures]


def test_sub_folders_are_classes(folder: Path, of) -> None:
    (folder / "cat" / "notes.txt").write_text("no picture")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "9.png").write_bytes(png(9))
    examples = of(folder, id_field="file_name")
    assert examples.ids == ["cat/1.png", "cat/2.png", "dog/3.png"]
    assert (shades(examples), examples.labels) == ([1, 2, 3], ["cat", "cat", "dog"])
    assert examples.texts == [""] * 3 and examples.modalities == ["image"] * 3 and examples.splits is None


def test_first_folders_may_be_sides_of_a_split(folder: Path, tmp_path: Path, of) -> None:
    for side in ("train", "test"):
        shutil.copytree(folder, tmp_path / "both" / side)
    examples = of(tmp_path / "both", split_field="split")
    assert Counter(zip(examples.splits, examples.labels, strict=True)) == {
        (side, label): n for side in ("train", "test") for label, n in (("cat", 2), ("dog", 1))
    }


def test_a_table_beside_the_pictures(folder: Path, of, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "metadata.csv").write_text("file_name,kind,label\ndog/3.png,007,big\ncat/1.png,008,small\n")
    examples = of(folder, group_field="kind")
    assert (shades(examples), examples.labels, examples.groups) == ([3, 1], ["big", "small"], ["007", "008"])
    assert "1 pictures are not named in metadata.csv and left out (first: cat/2.png)" in caplog.text
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": "cat/2.png", "n": 5}\n{"file_name": "dog/3.png", "n": 6}\n')
    examples = of(folder)  # the class comes from the folder where the table has none
    assert (shades(examples), examples.labels) == ([2, 3], ["cat", "dog"])
    (folder / "metadata.jsonl").write_text('{"file": "cat/2.png"}\n')
    with pytest.raises(SourceError, match="lacks the column 'file_name'"):
        of(folder)


def test_a_table_in_each_side(folder: Path, tmp_path: Path, of) -> None:
    for side, shade, label in (("train", 11, "a"), ("train", 12, "b"), ("test", 13, "b")):
        (tmp_path / "two" / side).mkdir(parents=True, exist_ok=True)
        (tmp_path / "two" / side / f"{shade}.png").write_bytes(png(shade))
        with (tmp_path / "two" / side / "metadata.csv").open("a") as handle:
            handle.write(("" if handle.tell() else "file_name,label\n") + f"{shade}.png,{label}\n")
    examples = of(tmp_path / "two", split_field="split")
    assert list(zip(shades(examples), examples.labels, examples.splits, strict=True)) == [
        (11, "a", "train"), (12, "b", "train"), (13, "b", "test"),
    ]  # fmt: skip


def test_folders_without_classes_or_pictures(tmp_path: Path, of) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").write_bytes(png(1))
    with pytest.raises(SourceError, match=r"label_field names 'label', which is no column.*Columns: file_name, image\."):
        of(tmp_path / "flat")
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=r"neither one saved by datasets .* nor one of pictures"):
        of(tmp_path / "none")
    with pytest.raises(SourceError, match="is a folder of pictures, which has no split"):
        of(tmp_path / "flat", split="train")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_paths_are_relative_to_the_table(folder: Path, write, of, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image": "pets/cat/1.png", "label": "x"}, {"image": str(folder / "dog" / "3.png"), "label": "y"}]
    path = write(f"t.{suffix}", rows)
    monkeypatch.chdir("/")
    assert shades(of(path)) == [1, 3]


def test_bytes_and_records_in_parquet(tmp_path: Path, folder: Path, of) -> None:
    pq.write_table(pa.table({"image": [png(5), png(6)], "label": ["x", "y"]}), tmp_path / "raw.parquet")
    assert shades(of(tmp_path / "raw.parquet")) == [5, 6]
    records = [{"bytes": png(7), "path": "gone.png"}, {"bytes": None, "path": "pets/cat/2.png"}]
    pq.write_table(pa.table({"image": records, "label": ["x", "y"]}), tmp_path / "records.parquet")
    assert shades(of(tmp_path / "records.parquet")) == [7, 2]


def test_image_features_of_datasets_are_not_decoded(tmp_path: Path, folder: Path, of) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    paths = [str(folder / "cat" / "1.png"), {"bytes": png(8), "path": None}, {"bytes": b"broken", "path": None}]
    datasets.Dataset.from_dict({"image": paths, "label": [0, 1, 1]}, features=features).save_to_disk(str(tmp_path / "saved"))
    examples = of(tmp_path / "saved", on_bad_rows="skip")
    assert (shades(examples), examples.labels) == ([1, 8], ["cat", "dog"])
    assert examples.skipped[0].reason == "unreadable picture (not an image that Pillow can read (it begins with b'broken'))"


def test_a_text_a_picture_or_both(write, of) -> None:
    (Path(write("x", b"")).parent / "1.png").write_bytes(png(1))
    rows = [
        {"text": "only a text", "image": "", "label": "a"},
        {"text": "", "image": "1.png", "label": "b"},
        {"text": "both", "image": "1.png", "label": "a"},
        {"text": " ", "image": " ", "label": "a"},
    ]
    path = write("t.csv", rows)
    with pytest.raises(SourceError, match=r"1 rows cannot be used\. neither text nor picture: 1 \(3\)\."):
        of(path, text_field="text")
    examples = of(path, text_field="text", on_bad_rows="skip")
    assert (examples.texts, examples.modalities) == (["only a text", "", "both"], ["text", "image", "image"])
    assert shades(examples) == [None, 1, 1]
    assert [row.reason for row in of(path, on_bad_rows="skip").skipped] == ["no picture"] * 2  # without text_field, a text is not read


def test_bad_pictures_are_listed_with_their_reasons(folder: Path, of) -> None:
    (folder / "cat" / "2.png").write_bytes(b"")
    (folder / "dog" / "4.jpg").write_bytes(b"hello")
    with pytest.raises(SourceError) as error:
        of(folder, id_field="file_name")
    assert str(error.value).startswith(
        f"dataset '{folder}': 2 rows cannot be used. unreadable picture: 2 (cat/2.png: the file is empty;"
        " dog/4.jpg: not an image that Pillow can read (it begins with b'hello')). Mend them"
    )
    examples = of(folder, id_field="file_name", on_bad_rows="skip")
    assert examples.ids == ["cat/1.png", "dog/3.png"] and [row.id for row in examples.skipped] == ["cat/2.png", "dog/4.jpg"]
    assert examples.provenance["rows_skipped"] == 2


def test_a_missing_file_and_what_is_no_picture(write, of) -> None:
    path = write("t.csv", [{"image": "a.png", "label": "x"}, {"image": "b.png", "label": "y"}])
    with pytest.raises(SourceError, match=r"unreadable picture: 2 \(0: no such file: .*a\.png; 1: no such file"):
        of(path)
    with pytest.raises(SourceError, match="column 'c' holds int values, not pictures"):
        to_pictures([3], None, "column 'c'")
    with pytest.raises(SourceError, match="column 'c' holds addresses, which are not fetched"):
        to_pictures(["https://example.org/a.png"], None, "column 'c'")
    assert to_pictures([None, float("nan"), "", {"bytes": None, "path": None}], None, "c") == [None] * 4


def test_content_decides_the_fingerprint_and_texts_alone_keep_theirs(folder: Path, tmp_path: Path, write, of, load) -> None:
    rows = [{"image": (folder / name).read_bytes(), "label": name[:3]} for name in ("cat/1.png", "cat/2.png", "dog/3.png")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    first = of(folder).fingerprint
    assert of(tmp_path / "t.parquet").fingerprint == first
    (folder / "cat" / "2.png").write_bytes(png(4))
    assert of(folder).fingerprint != first
    # As it was computed before there were pictures.
    texts = load(write("t.csv", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]))
    assert texts.fingerprint == "0c8763ccab1a736a"
    assert texts.pictures is None and texts.modalities == ["text", "text"]


def test_equal_pictures_are_one_unit_and_equal_questions_are_not() -> None:
    one, other = Picture(png(1)), Picture(png(2))
    units = unit_keys(["what is it?", "what is it?", "is it red?", "what is it?", ""], None, [one, other, Picture(png(1)), None, other])
    assert units[0] == units[2] and units[1] == units[4] and len(set(units)) == 3
    assert unit_keys(["a", "A"]) == unit_keys(["a", " a "], None, [None, None])  # texts: as before
    grouped = unit_keys(["koala", "", "bear"], ["1", "1", "2"], [None, one, None])
    assert grouped[0] == grouped[1] != grouped[2]


def test_splits_keep_copies_of_a_picture_together(of, tmp_path: Path) -> None:
    rows = [{"image": png(shade // 2), "label": "ab"[shade % 4 // 2]} for shade in range(80)]  # every picture twice
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    examples = of(tmp_path / "t.parquet")
    split = make_split(examples, SplitSpec(), 0.25, 3)
    tested = {examples.pictures[row].sha256 for row in split.test}
    assert len(split.test) == 20 and len(tested) == 10
    assert not tested & {examples.pictures[row].sha256 for row in split.train}
    assert len(set(duplicate_units(examples))) == 40


def test_a_sample_depends_on_pictures_and_not_on_their_order(of, tmp_path: Path) -> None:
    rows = [{"image": png(shade), "label": "ab"[shade % 2]} for shade in range(40)]
    chosen = []
    for name, order in (("one", range(40)), ("other", range(39, -1, -1))):
        pq.write_table(pa.Table.from_pylist([rows[row] for row in order]), tmp_path / f"{name}.parquet")
        examples = of(tmp_path / f"{name}.parquet", max_rows=10)
        assert Counter(examples.labels) == {"a": 5, "b": 5}
        chosen.append(set(shades(examples)))
    assert chosen[0] == chosen[1] != set(range(10))


def test_hashes_are_of_bytes(folder: Path, of) -> None:
    examples = of(folder)
    assert examples.keys == [f"\x1f{Picture(png(shade)).sha256}" for shade in (1, 2, 3)]
    assert np.unique(examples.keys).size == 3
