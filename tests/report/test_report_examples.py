"""Examples in the report: which ones, what is said of them, and what happens when their stores are gone."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from run_folders import make_run_folder

from mosaic_sae.explain.example import explain_example
from mosaic_sae.report import tables
from mosaic_sae.report.content import gather
from mosaic_sae.report.examples import choose
from mosaic_sae.report.write import write_report
from stored_point import StoredPoint, make_point, make_run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredPoint:
    return make_point(tmp_path_factory.mktemp("run"))


def test_which_examples_are_shown() -> None:
    rows = [
        # id, label, predicted, p_x, p_y, p_z
        ("a", "x", "x", 0.9, 0.1, 0.0),
        ("b", "x", "x", 0.7, 0.2, 0.1),
        ("c", "x", "x", 0.5, 0.3, 0.2),
        ("d", "x", "y", 0.2, 0.8, 0.0),
        ("e", "x", "y", 0.1, 0.9, 0.0),
        ("f", "y", "x", 0.95, 0.05, 0.0),
        ("g", "y", "y", 0.4, 0.6, 0.0),
        ("h", "z", "x", 0.6, 0.3, 0.1),
        ("i", "z", "z", 0.0, 0.0, 1.0),
        ("j", "z", "z", 0.3, 0.0, 0.7),
        ("k", "z", "z", 0.0, 0.2, 0.8),
    ]
    predictions = pd.DataFrame(rows, columns=["id", "label", "predicted", "p_x", "p_y", "p_z"])
    # x has five examples, z four, y two. Of x's three right ones b is the middle; of z's k. f and e are the surest mistakes of two classes.
    assert choose(predictions) == (["b", "k"], ["f", "e"])
    assert choose(predictions.sample(frac=1, random_state=0)) == (["b", "k"], ["f", "e"])
    assert choose(predictions[predictions["label"] == predictions["predicted"]])[1] == []
    assert choose(predictions[predictions["id"] == "d"]) == ([], ["d"])


def test_the_report_shows_what_the_explanations_say(stored: StoredPoint) -> None:
    run = make_run([stored])
    html, markdown = (path.read_text("utf-8") for path in write_report(run))
    for text in (html, markdown):
        assert "Decisions of the CV-best SAE probe: SAE (logistic), sum pooling, tiny, layer 2." in text
    right, wrong = choose(pd.read_parquet(stored.folder / "predictions.parquet"))
    assert right and wrong
    for name in right + wrong:
        found = explain_example(stored.base, stored.folder, name)
        assert f"Example <bdi>{name.replace('<', '&lt;').replace('>', '&gt;')}</bdi>" in html
        assert f"Example {name.replace('<', '&lt;').replace('>', '&gt;')}: predicted" in markdown
        strongest = found.latents[0]
        adds = f"{strongest.contribution:+.2f}".replace("-", "−")
        assert f'<td class="num">{adds}</td>' in html
        assert f"| {strongest.latent} | {strongest.value:.3g} | {adds} | {strongest.without[found.about]:.3f} |" in markdown
        assert f"the logit is {found.decision:+.2f}" in markdown
    assert not re.search(r"<(b|a)>", markdown) and "<b>" not in html
    assert html.count('class="mosaic-view"') == len(right + wrong)


def test_without_stores_the_report_says_so_and_the_rest_is_there(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    run = make_run([stored])
    (tmp_path / "stores").rename(tmp_path / "gone")
    html, markdown = (path.read_text("utf-8") for path in write_report(run))
    for text in (html, markdown):
        assert "They cannot be shown: The latents of point 0123456789abcdef were at" in text
        assert "SAE (logistic)" in text


def test_each_model_by_itself_has_the_points_that_win_without_the_others(tmp_path: Path) -> None:
    run = make_run_folder(tmp_path, 60)
    frame = pd.read_parquet(run / "results.parquet")
    assert gather(run).sections[0].by_model == []
    other = frame[frame["representation"] != "tfidf"].copy()
    other["fingerprint"] = [f"{name[:-2]}zz" for name in other["fingerprint"]]
    other["model"], other["cv_macro_f1"] = "second/model", other["cv_macro_f1"] - 0.1
    frame.loc[frame["representation"] == "tfidf", "model"] = None
    tables.mark_chosen(pd.concat([frame, other], ignore_index=True)).to_parquet(run / "results.parquet")
    section = gather(run).sections[0]
    assert [name for name, _ in section.by_model] == ["packaged/smollm2-135m-instruct", "second/model"]
    assert set(section.scores["model"].dropna()) == {"packaged/smollm2-135m-instruct"}
    for name, scores in section.by_model:
        assert set(scores["model"].dropna()) == {name} and "TF-IDF (logistic)" in set(scores["method"])
        best = scores[scores["method"] == "SAE (logistic)"].iloc[0]
        rows = pd.read_parquet(run / "results.parquet")
        same = rows[(rows["model"] == name) & (rows["dataset"] == section.dataset) & (rows["split"] == section.split)]
        same = same[(same["representation"] == "sae") & (same["classifier"] == "logistic")]
        assert best["cv_macro_f1"] == same["cv_macro_f1"].max()
    html, markdown = (path.read_text("utf-8") for path in write_report(run))
    assert "<caption>second/model</caption>" in html and "### second/model by itself" in markdown
