from pathlib import Path

import datasets
import pytest

from mosaic_sae.errors import SourceError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data, "test": data.select([1, 0])}).save_to_disk(tmp_path / "two")
    return tmp_path


def test_saved_dataset_keeps_class_names(saved, load):
    examples = load(str(saved / "one"), on_bad_rows="skip")
    assert (examples.labels, examples.texts) == (["yes", "no"], ["a", "b"])
    assert [(one.id, one.reason) for one in examples.skipped] == [("2", "missing label")]
    assert examples.provenance["kind"] == "saved"


def test_saved_dataset_equals_the_same_rows_in_a_file(saved, load, write):
    rows = [{"text": "b", "label": "no"}, {"text": "a", "label": "yes"}]
    assert load(str(saved / "two"), split="test").fingerprint == load(write("a.csv", rows)).fingerprint


def test_saved_splits_are_named_when_there_are_several(saved, load):
    with pytest.raises(SourceError, match=r"several splits: train, test\. Name one"):
        load(str(saved / "two"))
    with pytest.raises(SourceError, match=r"no split 'tset'\. Did you mean 'test'"):
        load(str(saved / "two"), split="tset")
    with pytest.raises(SourceError, match="holds one dataset"):
        load(str(saved / "one"), split="test")


def test_other_folder(tmp_path, load):
    with pytest.raises(SourceError, match=r"is a folder, but neither one saved by datasets .* nor one of pictures.*\.parquet"):
        load(str(tmp_path))


def test_damaged_saved_folder(saved, load):
    next((saved / "one").glob("*.arrow")).unlink()
    with pytest.raises(SourceError, match="cannot be read as a saved dataset"):
        load(str(saved / "one"))


def test_missing_file_names_the_nearest_and_asks_no_hub(write, load, tmp_path, monkeypatch):
    monkeypatch.setattr("mosaic_sae.sources.load.read_hub", lambda *_: pytest.fail("asked the hub"))
    write("reviews.csv", "text,label\na,x\n")
    with pytest.raises(SourceError, match=r"no such file.*Did you mean '.*reviews\.csv'"):
        load(str(tmp_path / "review.csv"))
    with pytest.raises(SourceError, match=r"Files there that could be read: reviews\.csv"):
        load(str(tmp_path / "xyz.parquet"))
    with pytest.raises(SourceError, match="The folder does not exist either"):
        load(str(tmp_path / "nowhere" / "a.jsonl"))
    monkeypatch.chdir(tmp_path)
    for name in ("reviews.tsv", "./reviews", "~/no such folder", "a/b/c"):
        with pytest.raises(SourceError, match="no such file"):
            load(name)


def test_relative_path_wins_over_the_hub(write, load, tmp_path, monkeypatch):
    write("a.csv", "text,label\na,x\nb,y\n")
    monkeypatch.chdir(tmp_path)
    assert load("a.csv").texts == ["a", "b"]


@pytest.mark.parametrize("name", ["two words", "a/b c", "né/a", "-x"])
def test_name_that_cannot_be_on_the_hub(load, name):
    with pytest.raises(SourceError, match="no name on the Hugging Face hub could be spelled like that"):
        load(name)


@pytest.mark.parametrize(("key", "value"), [("split", "test"), ("config_name", "default"), ("revision", "main")])
def test_keys_that_mean_nothing_for_a_file_are_refused(write, load, key, value):
    with pytest.raises(SourceError, match=f"is a file, which has no {key} \\('{value}'\\). Remove {key}"):
        load(write("a.csv", "text,label\na,x\nb,y\n"), **{key: value})


def test_empty_config_name_is_none(write, load):
    assert load(write("a.csv", "text,label\na,x\nb,y\n"), config_name="").texts == ["a", "b"]
