"""Pooling by threshold, and models, layers and widths."""

import pandas as pd
import pytest
from page_reading import find, links_of, text_of, with_class
from run_folders import make_run_folder

from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("study"), 200)  # some points of the made-up grid are at a second layer


@pytest.fixture(scope="module")
def frame(run):
    return pd.read_parquet(run / "results.parquet")


def page_of(run, search=""):
    return route(Library([run.parent]), "/study", search)


def test_each_cell_has_both_scores_and_leads_to_its_point(run, frame):
    page = page_of(run, "?dataset=safety_prompts&split=holdout&method=sae.tree")
    rows = frame[(frame["dataset"] == "safety_prompts") & (frame["split"] == "holdout")]
    rows = rows[(rows["representation"] == "sae") & (rows["classifier"] == "tree")]
    best = rows[rows["chosen"]].iloc[0]
    here = rows[rows["layer"] == best["layer"]]
    table = with_class(page, "study")[0]
    assert sorted(link.split("/")[2].split("?")[0] for link in links_of(table)) == sorted(here["fingerprint"])
    cell = next(cell for cell in find(table, "Td") if best["fingerprint"] in "".join(links_of(cell)))
    assert "chosen" in cell.className
    assert cell.style["--a"] == 100 or here["cv_macro_f1"].max() > best["cv_macro_f1"]
    assert f"CV {best['cv_macro_f1']:.3f} ± 0.012" in text_of(cell)
    assert f"test {best['macro_f1']:.3f} [{best['macro_f1_low']:.3f}, {best['macro_f1_high']:.3f}]" in text_of(cell)
    assert [text_of(head) for head in find(find(table, "Thead"), "Th")] == ["Pooling", "values", "≥ 1"]


def test_layers_are_drawn_with_the_best_point_of_each(run, frame):
    page = page_of(run, "?dataset=safety_prompts&split=random")
    rows = frame[(frame["dataset"] == "safety_prompts") & (frame["split"] == "random") & (frame["representation"] == "sae")]
    rows = rows[rows["classifier"] == "logistic"]
    best = rows.sort_values("cv_macro_f1", ascending=False).drop_duplicates("layer").sort_values("layer")
    assert len(best) == 3
    figure = find(page, "Graph")[0].figure
    assert list(figure.data[0].x) == best["layer"].tolist()
    assert list(figure.data[0].y) == pytest.approx(best["macro_f1"].tolist())
    assert set(best["fingerprint"]) <= {link.split("/")[2].split("?")[0] for link in links_of(with_class(page, "intervals")[-1])}


def test_a_reading_can_be_chosen(run, frame):
    page = page_of(run)
    reading = next(link for link in links_of(page) if "reading=" in link and "~16~" in link)
    table = with_class(page_of(run, reading.partition("?")[2]), "study")[0]
    shown = {link.split("/")[2].split("?")[0] for link in links_of(table)}
    assert set(frame.set_index("fingerprint").loc[sorted(shown), "layer"]) == {16}


def test_one_layer_and_no_sae_are_words(tmp_path):
    run = make_run_folder(tmp_path, 60)
    assert "No model was read at more than one layer" in text_of(page_of(run))
    frame = pd.read_parquet(run / "results.parquet")
    frame[frame["representation"] == "tfidf"].to_parquet(run / "results.parquet")
    text = text_of(page_of(run))
    assert "No SAE points" in text
    assert "No SAE probe was fitted here" in text


def test_the_verdict_is_that_of_the_report(run):
    assert "No clear winner" in text_of(page_of(run, "?dataset=safety_prompts&split=holdout"))
