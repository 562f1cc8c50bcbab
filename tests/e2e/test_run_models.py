"""Runs with a pair of models and with columns of numbers, on tiny models: the tables against a computation by hand."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from transformers import AutoModelForCausalLM, AutoTokenizer

from factories import make_model, make_sae, make_texts
from mosaic_sae.config.load import Loaded, load_experiment
from mosaic_sae.errors import ConfigError, SourceError
from mosaic_sae.pipeline.run import RunSummary, run
from mosaic_sae.probes.save import load_coefficients
from mosaic_sae.sources.load import load_examples

CONFIG = """
settings: {{base_save_dir: {folder}/stores, base_classify_dir: {folder}/results, shard_rows: 64, dtype: float32}}
models:
  - {{name: {folder}/base, layers: [2], sae: {{path: {folder}/sae}}}}
  - {{name: {folder}/twin, layers: [2], sae: {{path: {folder}/sae}}}}
  - {{name: {folder}/other, layers: [2], sae: {{path: {folder}/sae}}}}
transfer:
  models:
    - {{train: {folder}/base, test: {folder}/twin}}
    - {{train: {folder}/base, test: {folder}/other}}
datasets:
  - {{name: {folder}/toy.csv, text_field: text, label_field: label, id_field: id, numeric_fields: [length, noise]}}
classification_params:
  top_n_values: [sum]
  binarize_values: [null]
  classifiers: [logistic]
  baselines: [tfidf, dense_mean, columns, random_sae]
  penalties: [l2]
  c_values: [1.0]
  cv_folds: 2
  n_bootstrap: 200
"""


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("models")
    for name in ("base", "twin"):
        shutil.copytree(tiny_model, folder / name)
    make_model(folder / "other", seed=1)
    make_sae(folder / "sae")
    texts, labels = make_texts(160, seed=2)
    noise = np.random.default_rng(0).normal(size=len(texts))
    with (folder / "toy.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "text", "label", "length", "noise"])
        rows.writerows([i, text, labels[i], len(text), noise[i]] for i, text in enumerate(texts))
    path = folder / "toy.yaml"
    path.write_text(CONFIG.format(folder=folder))
    return load_experiment(path)


@pytest.fixture(scope="module")
def summary(loaded: Loaded) -> RunSummary:
    done = run(loaded)
    assert done.failed == []
    return done


@pytest.fixture(scope="module")
def cells(summary: RunSummary) -> pd.DataFrame:
    table = pd.read_parquet(summary.run_folder / "model_transfer.parquet")
    return table.assign(test=[Path(name).name for name in table["test_model"]])


def test_on_an_identical_model_the_cell_is_the_score_in_the_domain(cells: pd.DataFrame) -> None:
    twin = cells[cells["test"] == "twin"]
    assert set(twin["representation"]) == {"sae", "random_sae", "dense_mean"}
    assert twin["macro_f1"].tolist() == twin["in_domain"].tolist() == twin["own"].tolist()
    assert twin[["gap", "gap_low", "gap_high"]].abs().max().max() == 0


def test_on_another_model_the_cell_is_what_its_weights_give_there(summary: RunSummary, cells: pd.DataFrame) -> None:
    row = cells[(cells["test"] == "other") & (cells["representation"] == "sae")].iloc[0]
    base, folder = summary.run_folder.parent, summary.run_folder.parent.parent
    home = pd.read_parquet(base / row["path"] / "predictions.parquet")
    texts = pd.read_csv(folder / "toy.csv", dtype=str).set_index("id")["text"]
    tokenizer, model = AutoTokenizer.from_pretrained(folder / "other"), AutoModelForCausalLM.from_pretrained(folder / "other").eval()
    sae = load_file(folder / "sae" / "sae_weights.safetensors")
    probe = load_coefficients(base / row["path"] / "coefficients.safetensors")
    answers = []
    for name in home["id"]:
        ids = torch.tensor([[1, *tokenizer(texts[name]).input_ids]])
        with torch.inference_mode():
            states = model(ids, output_hidden_states=True).hidden_states[3][0, 1:].numpy()
        before = (states - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
        pooled = np.where(before > sae["threshold"], before, 0).sum(0)
        decision = (pooled[probe.latents] / probe.scale) @ probe.weights[0] + probe.intercept[0]
        answers.append(probe.classes[int(decision > 0)])
    assert row["macro_f1"] == pytest.approx(f1_score(home["label"], answers, average="macro"), abs=1e-12)
    assert row["in_domain"] == pytest.approx(f1_score(home["label"], home["predicted"], average="macro"))
    assert row["macro_f1_low"] <= row["macro_f1"] <= row["macro_f1_high"] and row["macro_f1"] != row["in_domain"]
    assert row["gap"] == pytest.approx(row["macro_f1"] - row["own"]) and row["gap_low"] <= row["gap"] <= row["gap_high"]


def test_columns_of_numbers_are_a_baseline_alone_and_together(summary: RunSummary) -> None:
    table = pd.read_parquet(summary.run_folder / "results.parquet").set_index("representation")
    assert {"column length", "column noise", "columns"} <= set(table.index) and pd.isna(table.loc["columns", "model"])
    folder = summary.run_folder.parent.parent
    data = pd.read_csv(folder / "toy.csv", dtype={"id": str}).set_index("id")
    answers = pd.read_parquet(folder / "results" / table.loc["column length", "path"] / "predictions.parquet").set_index("id")
    train = data.drop(answers.index)
    mean, sd = train["length"].mean(), train["length"].std(ddof=0)
    model = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-8).fit(((train[["length"]] - mean) / sd).to_numpy(), train["label"])
    wanted = model.predict(((data.loc[answers.index, ["length"]] - mean) / sd).to_numpy())
    assert answers["predicted"].tolist() == wanted.tolist()
    assert table.loc["column length", "macro_f1"] == pytest.approx(f1_score(answers["label"], wanted, average="macro"))
    # Longer texts hold a bad word more often; noise does not.
    assert table.loc["column length", "macro_f1"] > table.loc["column noise", "macro_f1"]


def test_numbers_change_no_store(loaded: Loaded, tmp_path: Path) -> None:
    entry = loaded.experiment.datasets[0]
    without = load_examples(entry.model_copy(update={"numeric_fields": []}), 0)
    assert load_examples(entry, 0).fingerprint == without.fingerprint and without.numbers == {}
    table = tmp_path / "odd.csv"
    table.write_text("id,text,label,length\na,one,x,1\nb,two,y,\nc,three,y,inf\nd,four,y,4\n")
    odd = entry.model_copy(update={"name": str(table), "numeric_fields": ["length"]})
    with pytest.raises(SourceError, match=r"2 rows cannot be used\. no number in 'length': 2 \(b, c\)"):
        load_examples(odd, 0)
    assert load_examples(odd.model_copy(update={"on_bad_rows": "skip"}), 0).numbers == {"length": [1.0, 4.0]}


def test_the_report_shows_both(summary: RunSummary) -> None:
    for name in ("report.html", "report.md"):
        text = (summary.run_folder / name).read_text()
        assert "Across models" in text and "The gap is to the classifier that was trained on" in text and "column length" in text


def test_features_that_do_not_mean_the_same_are_refused(loaded: Loaded) -> None:
    text = loaded.text
    folder = loaded.path.parent
    make_sae(folder / "other_sae", seed=3)
    make_sae(folder / "sae_1", layer=1)
    for old, new, reason in [
        (f"other, layers: [2], sae: {{path: {folder}/sae}}", f"other, layers: [2], sae: {{path: {folder}/other_sae}}", "same sae: block"),
        (
            f"other, layers: [2], sae: {{path: {folder}/sae}}",
            f"other, layers: [1], sae: {{path: {folder}/sae_1}}",
            r"not read at blocks\.2\.",
        ),
    ]:
        path = folder / "changed.yaml"
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=reason):
            run(load_experiment(path))
    path.write_text(text.replace(f"test: {folder}/twin", f"test: {folder}/twine"))
    with pytest.raises(ConfigError, match=r"transfer\.models\.0\.test: .* is not in models"):
        load_experiment(path)
    path.write_text(text.replace("numeric_fields: [length, noise]", "numeric_fields: []"))
    with pytest.raises(ConfigError, match="columns needs numeric_fields"):
        load_experiment(path)
