"""A run with a split of kind language on a tiny model: from a csv with a language column to the transfer tables and the report."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from factories import make_sae, make_texts
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.errors import ConfigError
from mosaic_sae.pipeline.plan import make_plan
from mosaic_sae.pipeline.run import RunSummary, run
from mosaic_sae.report.content import gather
from mosaic_sae.report.terminal import print_summary

CONFIG = """
settings: {{base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, shard_rows: 64}}
models:
  - name: {model}
    layers: [1, 2]
    sae: {{path: "{folder}/sae_{{layer}}"}}
datasets:
  - name: {folder}/toy.csv
    text_field: text
    label_field: label
    id_field: id
    language_field: language
    group_field: item
    splits:
      - kind: random
      - {{kind: language, min_train: 20, train_shares: [0.5, 1.0]}}
classification_params:
  top_n_values: [sum]
  binarize_values: [null]
  classifiers: [logistic]
  baselines: [majority, shuffled_labels, tfidf, dense_mean]
  cv_folds: 2
  n_bootstrap: 200
"""


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Languages xx and yy say each item in other words, zz in those of yy; vv has too few items to be trained on."""
    folder = tmp_path_factory.mktemp("languages")
    texts, labels = make_texts(400, seed=1)
    # Translations have one label.
    bad, good = ([text for text, label in zip(texts, labels, strict=True) if label == one] for one in ("bad", "good"))
    with (folder / "toy.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "text", "label", "language", "item"])
        for item in range(60):
            of_class, label = (good, "good") if item % 3 else (bad, "bad")
            xx, yy = of_class.pop(), of_class.pop()
            said = {"xx": xx, "yy": yy, "zz": yy} | ({"vv": of_class.pop()} if item < 12 else {})
            rows.writerows([f"{item}{language}", text, label, language, item] for language, text in said.items())
    path = folder / "toy.yaml"
    path.write_text(CONFIG.format(folder=folder, model=tiny_model))
    for layer in (1, 2):
        make_sae(folder / f"sae_{layer}", layer=layer, seed=layer)
    return load_experiment(path)


@pytest.fixture(scope="module")
def summary(loaded: Loaded) -> RunSummary:
    return run(loaded)


@pytest.fixture(scope="module")
def cells(summary: RunSummary) -> pd.DataFrame:
    """Of the CV-chosen points."""
    assert summary.failed == []
    table = pd.read_parquet(summary.run_folder / "transfer.parquet")
    return table[table["selection"] == "chosen"]


def test_every_pair_is_there_for_every_method_and_share(cells: pd.DataFrame) -> None:
    assert set(cells["representation"]) == {"sae", "tfidf", "dense_mean", "majority"}
    for _, part in cells.groupby("representation"):
        pairs = list(part[["train_domain", "share", "test_domain"]].itertuples(index=False, name=None))
        assert len(pairs) == len(set(pairs)) == 3 * 2 * 4
    assert cells[cells["share"] == 1]["n_train"].nunique() == 1
    assert cells[cells["test_domain"] == "vv"]["gap"].isna().all()
    assert cells[cells["test_domain"] != "vv"]["gap"].notna().all()


def test_a_cell_is_the_score_of_that_languages_test_rows(summary: RunSummary, cells: pd.DataFrame) -> None:
    for row in cells[cells["representation"] == "sae"].itertuples():
        answers = pd.read_parquet(summary.run_folder.parent / row.path / "predictions.parquet")
        part = answers[answers["id"].str.endswith(row.test_domain)]
        assert row.n_test == len(part)
        assert row.macro_f1 == pytest.approx(f1_score(part["label"], part["predicted"], average="macro", zero_division=0))


def test_each_layer_has_a_matrix_of_its_own(summary: RunSummary, cells: pd.DataFrame) -> None:
    table = pd.read_parquet(summary.run_folder / "transfer.parquet")
    layers = table[table["selection"] == "layer"]
    assert layers.groupby(["representation", "layer"]).size().to_dict() == {
        (name, layer): 3 * 2 * 4 for name in ("sae", "dense_mean") for layer in (1, 2)
    }
    # The better layer by CV in the training language is the chosen one.
    columns = ["representation", "train_domain", "share"]
    best = layers.groupby(columns)["cv_macro_f1"].max()
    chosen = cells[cells["layer"].notna()].groupby(columns)["cv_macro_f1"].first()
    assert chosen.to_dict() == pytest.approx(best.to_dict())
    own = layers[(layers["train_domain"] == layers["test_domain"])]
    assert own["gap"].abs().max() == 0
    (transfer,) = gather(summary.run_folder).transfers
    assert [(one.method, one.layer) for one in transfer.by_layer] == [
        ("SAE (logistic)", 1), ("SAE (logistic)", 2), ("Mean hidden state (logistic)", 1), ("Mean hidden state (logistic)", 2)
    ]  # fmt: skip


def test_equal_languages_transfer_without_a_gap(cells: pd.DataFrame) -> None:
    scores = cells.set_index(["representation", "share", "train_domain", "test_domain"])
    columns = ["macro_f1", "macro_f1_low", "macro_f1_high", "gap"]
    for representation, share in {(name, share) for name, share, *_ in scores.index}:
        for train in ("xx", "yy", "zz"):
            same = [scores.loc[(representation, share, train, test), columns] for test in ("yy", "zz")]
            assert same[0].tolist() == pytest.approx(same[1].tolist(), abs=1e-9)
        assert scores.loc[(representation, share, "yy", "zz"), ["gap", "gap_low", "gap_high"]].abs().max() < 1e-9


def test_latents_are_followed_through_every_language(summary: RunSummary) -> None:
    shift = pd.read_parquet(summary.run_folder / "latent_shift.parquet")
    for _, part in shift.groupby(["train_domain", "label", "latent"]):
        assert sorted(part["domain"]) == ["vv", "xx", "yy", "zz"] and part["kind"].nunique() == 1
    own = shift[shift["train_domain"] == shift["domain"]]
    assert np.allclose(own["weight"], own["weight_here"])
    # yy and zz hold the same texts.
    twins = shift.pivot_table(index=["train_domain", "label", "latent"], columns="domain", values="density_class")
    assert np.allclose(twins["yy"], twins["zz"])


def test_the_report_sums_languages_up(summary: RunSummary, capsys: pytest.CaptureFixture[str]) -> None:
    content = gather(summary.run_folder)
    assert [section.split for section in content.sections] == ["random"]
    (transfer,) = content.transfers
    assert transfer.matrices[0].method == "SAE (logistic)"
    assert [language for language, _ in transfer.matrices[0].rows] == ["xx", "yy", "zz"]
    assert [point.share for point in transfer.curve if point.method == "SAE (logistic)"] == [0.5, 1.0]
    for name in ("report.html", "report.md"):
        text = (summary.run_folder / name).read_text()
        assert "Trained on xx, SAE features" in text and "Latents that carry over" in text and "language xx 50%" not in text
    print_summary(summary.run_folder)
    said = capsys.readouterr().out
    assert "transfer" in said and "Trained on zz" in said and "language yy" not in said
    record = json.loads((summary.run_folder / "run.json").read_text())
    assert record["datasets"][0]["splits"]["language xx"]["notes"]["not_trained_on"]["vv"].endswith("min_train (20)")


def test_a_second_run_does_nothing_and_writes_the_same_tables(loaded: Loaded, summary: RunSummary) -> None:
    assert {point.action for point in make_plan(loaded)} == {"skip"}
    before = pd.read_parquet(summary.run_folder / "transfer.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(run(loaded).run_folder / "transfer.parquet"), before)


def test_a_split_that_cannot_be_made_is_told_before_anything_is_computed(loaded: Loaded, tmp_path: Path) -> None:
    elsewhere = [f"settings.base_save_dir={tmp_path / 'stores'}", f"settings.base_classify_dir={tmp_path / 'results'}"]
    few = load_experiment(loaded.path, [*elsewhere, "datasets.0.splits.1.min_train=1000"])
    # The random split can be made: its points are run, the others fail, and the plan says why.
    planned = {(point.key["split"], point.action): point.reason for point in make_plan(few)}
    assert set(planned) == {("random", "run"), ("language", "fail")}
    assert "fewer than min_train (1,000)" in planned["language", "fail"]
    nothing = load_experiment(loaded.path, [*elsewhere, "datasets.0.splits=[{kind: language, min_train: 1000}]"])
    with pytest.raises(ConfigError, match=r"no language can be trained on.*Lower min_train"):
        run(nothing)
    assert not (tmp_path / "stores").exists()
