"""A run with a split of kind modality on a tiny LLaVA: rows with a text and rows with a picture, to the transfer tables and the report."""

import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from factories import make_sae, make_texts
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.pipeline.plan import make_plan
from mosaic_sae.pipeline.run import RunSummary, run
from vision_models import TINY, make_vision_model

Image = pytest.importorskip("PIL.Image")
N_ITEMS = 60
CONFIG = """
settings: {{model_type: vlm, base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, shard_rows: 64}}
models:
  - name: {model}
    layers: [1]
    sae: {{path: "{folder}/sae"}}
datasets:
  - name: {folder}/toy.parquet
    text_field: text
    image_field: image
    label_field: label
    id_field: id
    group_field: item
    splits: [{{kind: random}}, {{kind: modality, min_train: 10}}]
classification_params:
  top_n_values: [sum]
  binarize_values: [null]
  classifiers: [logistic]
  baselines: [majority, tfidf, dense_mean, vision_tower, pixels]
  c_values: [1.0]
  cv_folds: 2
  n_bootstrap: 200
"""


def picture(shade: int, bad: bool) -> bytes:
    """A little rectangle, red if bad and green if good, each its own shade."""
    file = io.BytesIO()
    Image.new("RGB", (5, 7), (100 + shade, 0, 0) if bad else (0, 100 + shade, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("modality")
    texts, labels = make_texts(400, seed=1)
    of = {name: [text for text, label in zip(texts, labels, strict=True) if label == name] for name in ("bad", "good")}
    rows = []
    for item in range(N_ITEMS):
        label = "good" if item % 3 else "bad"
        rows.append({"id": f"{item}text", "text": of[label].pop(), "image": None, "label": label, "item": str(item)})
        rows.append({"id": f"{item}image", "text": None, "image": picture(item, label == "bad"), "label": label, "item": str(item)})
    pq.write_table(pa.Table.from_pylist(rows), folder / "toy.parquet")
    model = make_vision_model(folder / "llava", TINY[0])
    (folder / "toy.yaml").write_text(CONFIG.format(folder=folder, model=model))
    make_sae(folder / "sae", layer=1)
    return load_experiment(folder / "toy.yaml")


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
        "sae": every,
        "dense_mean": every,
        "majority": every,
        "tfidf": {("text", "text")},
        "pixels": {("image", "image")},
        "vision_tower": {("image", "image")},
    }
    scores = table.set_index(["representation", "train_domain", "test_domain"])
    assert scores.loc[("pixels", "image", "image"), "macro_f1"] == 1.0  # red and green
    assert scores.loc[("pixels", "image", "image"), "n_test"] == scores.loc[("tfidf", "text", "text"), "n_test"] == N_ITEMS / 5
    for row in table[table["representation"].isin(["sae", "dense_mean"])].itertuples():
        answers = pd.read_parquet(summary.run_folder.parent / row.path / "predictions.parquet")
        part = answers[answers["id"].str.endswith(row.test_domain)]
        assert row.n_test == len(part) == N_ITEMS / 5
        assert row.macro_f1 == pytest.approx(f1_score(part["label"], part["predicted"], average="macro", zero_division=0))
    assert scores.loc[("sae", "image", "image"), "gap"] == 0
    shift = pd.read_parquet(summary.run_folder / "latent_shift.parquet")
    assert set(shift["domain"]) == {"image", "text"} and set(shift["by"]) == {"modality"}


def test_what_a_baseline_cannot_read_is_said(loaded: Loaded, summary: RunSummary, caplog: pytest.LogCaptureFixture) -> None:
    said = json.loads((summary.run_folder / "run.json").read_text())["datasets"][0]["baselines_left_out"]
    assert said == [
        "TF-IDF reads texts only: left out of random, modality image; tested on those alone in modality text.",
        "Vision tower reads pictures only: left out of random, modality text; tested on those alone in modality image.",
        "Pixels reads pictures only: left out of random, modality text; tested on those alone in modality image.",
    ]
    caplog.clear()
    plan = make_plan(loaded)
    assert said[0] in caplog.text and {point.action for point in plan} == {"skip"}
    assert {point.key["split"] for point in plan if point.key["representation"] == "pixels"} == {"modality image"}


def test_the_report_shows_the_pictures_that_latents_are_strongest_in(summary: RunSummary) -> None:
    shift = pd.read_parquet(summary.run_folder / "latent_shift.parquet")
    active = shift[shift["strongest_text"].notna() | shift["strongest_picture"].notna()]
    for row in active.itertuples():
        assert pd.notna(row.strongest_picture) == (row.domain == "image") and pd.notna(row.strongest_text) == (row.domain == "text")
    page = (summary.run_folder / "report.html").read_text()
    assert "Trained on texts, SAE features" in page and "Trained on images, SAE features" in page
    assert "modality text 50%" not in page
