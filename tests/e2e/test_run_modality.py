"""A run with a split of kind modality on a tiny model: rows with a text and rows with a picture, to the transfer tables and the report."""

import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factories import make_sae, make_texts
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.config.schema import DatasetEntry, SplitSpec
from mosaic_sae.pipeline.plan import make_plan
from mosaic_sae.pipeline.run import RunSummary, run

Image = pytest.importorskip("PIL.Image")
N_ITEMS = 60
CONFIG = """
settings: {{base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, shard_rows: 64}}
tokens: {{bos: include}}
models:
  - name: {model}
    layers: [1]
    sae: {{path: "{folder}/sae"}}
datasets:
  - {{name: {folder}/toy.parquet, text_field: text, label_field: label, id_field: id, group_field: item}}
classification_params:
  top_n_values: [sum]
  binarize_values: [null]
  classifiers: [logistic]
  baselines: [majority, tfidf, dense_mean]
  c_values: [1.0]
  cv_folds: 2
  n_bootstrap: 200
"""


def picture(shade: int, bad: bool) -> bytes:
    """A little square, red if bad and green if good, each its own shade."""
    file = io.BytesIO()
    Image.new("RGB", (5, 7), (100 + shade, 0, 0) if bad else (0, 100 + shade, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("modality")
    texts, labels = make_texts(400, seed=1)
    of = {name: [text for text, label in zip(texts, labels, strict=True) if label == name] for name in ("bad", "good")}
    rows = []
    for item in range(N_ITEMS):
        label = "good" if item % 3 else "bad"
        rows.append({"id": f"{item}text", "text": of[label].pop(), "image": None, "label": label, "item": str(item)})
        rows.append({"id": f"{item}image", "text": None, "image": picture(item, label == "bad"), "label": label, "item": str(item)})
    pq.write_table(pa.Table.from_pylist(rows), folder / "toy.parquet")
    (folder / "toy.yaml").write_text(CONFIG.format(folder=folder, model=tiny_model))
    make_sae(folder / "sae", layer=1)
    found = load_experiment(folder / "toy.yaml")
    # The tiny model reads texts alone: a row with a picture is an empty text to it. What is tested here are rows, splits and tables.
    splits = [SplitSpec(), SplitSpec(kind="modality", min_train=10)]
    entry = DatasetEntry(**found.experiment.datasets[0].model_dump() | {"image_field": "image", "splits": splits})
    params = found.experiment.classification_params
    params = params.model_copy(update={"baselines": [*params.baselines, "pixels"]})
    return Loaded(
        **found.__dict__ | {"experiment": found.experiment.model_copy(update={"datasets": [entry], "classification_params": params})}
    )


@pytest.fixture(scope="module")
def summary(loaded: Loaded) -> RunSummary:
    return run(loaded)


def test_each_method_has_the_cells_of_what_it_reads(summary: RunSummary) -> None:
    assert summary.failed == []
    table = pd.read_parquet(summary.run_folder / "transfer.parquet")
    assert set(table["by"]) == {"modality"}
    pairs = {
        name: {tuple(pair) for pair in part[["train_domain", "test_domain"]].to_numpy()} for name, part in table.groupby("representation")
    }
    every = {(train, test) for train in ("image", "text") for test in ("image", "text")}
    assert pairs == {
        "sae": every, "dense_mean": every, "majority": every, "tfidf": {("text", "text")}, "pixels": {("image", "image")},
    }  # fmt: skip
    scores = table.set_index(["representation", "train_domain", "test_domain"])
    assert scores.loc[("pixels", "image", "image"), "macro_f1"] == 1.0  # red and green
    assert scores.loc[("pixels", "image", "image"), "n_test"] == scores.loc[("tfidf", "text", "text"), "n_test"] == N_ITEMS / 5
    # Empty texts look alike: what is trained on texts gives all pictures, 4 bad and 8 good ones, one answer; macro F1 is half that
    # of the class answered, 8/20 or 4/16.
    found = scores.loc[("sae", "text", "image"), "macro_f1"]
    assert min(abs(found - 0.4), abs(found - 0.25)) < 1e-9
    assert scores.loc[("sae", "image", "image"), "gap"] == 0
    shift = pd.read_parquet(summary.run_folder / "latent_shift.parquet")
    assert set(shift["domain"]) == {"image", "text"} and set(shift["by"]) == {"modality"}


def test_what_a_baseline_cannot_read_is_said(loaded: Loaded, summary: RunSummary, caplog: pytest.LogCaptureFixture) -> None:
    said = json.loads((summary.run_folder / "run.json").read_text())["datasets"][0]["baselines_left_out"]
    assert said == [
        "TF-IDF reads texts only: left out of random, modality image; tested on those alone in modality text.",
        "Pixels reads pictures only: left out of random, modality text; tested on those alone in modality image.",
    ]
    caplog.clear()
    plan = make_plan(loaded)
    assert said[0] in caplog.text and {point.action for point in plan} == {"skip"}
    assert {point.key["split"] for point in plan if point.key["representation"] == "pixels"} == {"modality image"}
