"""Points side by side."""

import pandas as pd
import pytest
from page_reading import find, links_of, text_of, with_class
from run_folders import make_run_folder

from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from mosaic_sae.probes.bootstrap import paired_difference


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("compare"), 60)


@pytest.fixture(scope="module")
def frame(run):
    return pd.read_parquet(run / "results.parquet")


def page_of(run, points, more=""):
    return route(Library([run.parent]), "/compare", f"?points={','.join(points)}{more}")


def some(frame, split="holdout", dataset="safety_prompts", n=3):
    part = frame[(frame["split"] == split) & (frame["dataset"] == dataset) & frame["chosen"]]
    return part[part["representation"].isin(["sae", "tfidf", "dense_mean"])]["fingerprint"].tolist()[:n]


def test_without_points_it_says_how_to_pick_and_offers_some(run, frame):
    page = route(Library([run.parent]), "/compare", "")
    assert "Nothing is picked yet" in text_of(page)
    offers = [link for link in links_of(page) if "points=" in link]
    assert len(offers) == 3
    followed = route(Library([run.parent]), "/compare", offers[0].partition("?")[2])
    assert len(find(with_class(followed, "intervals")[0], "Tr")) == 9  # head and eight families


def test_differences_are_those_of_the_paired_bootstrap(run, frame):
    points = some(frame)
    page = page_of(run, points, f"&against={points[1]}")
    rows = frame.set_index("fingerprint")
    ours, theirs = (pd.read_parquet(run.parent / rows.loc[name, "path"] / "predictions.parquet") for name in (points[1], points[0]))
    columns = [ours["label"].tolist(), theirs["predicted"].tolist(), ours["predicted"].tolist(), ours["unit"].tolist()]
    expected = paired_difference(*columns, n_bootstrap=1000)
    table = with_class(page, "intervals")[1]
    first = text_of(find(table, "Tr")[1]).replace("−", "-")
    assert f"{expected.difference:+.3f} [{expected.low:.3f}, {expected.high:.3f}]" in first
    assert len(find(table, "Tr")) == 3
    assert "highlight" in find(with_class(page, "intervals")[0], "Tr")[2].className


def test_other_rows_and_missing_predictions_are_words(run, frame):
    here, other = some(frame)[0], some(frame, split="random")[0]
    unlisted = frame[~frame["chosen"] & (frame["split"] == "holdout")]["fingerprint"].iloc[0]
    assert "no predictions were kept" in text_of(page_of(run, [here, unlisted]))
    path = run.parent / frame.set_index("fingerprint").loc[other, "path"] / "predictions.parquet"
    pd.read_parquet(path).iloc[::-1].reset_index(drop=True).to_parquet(path)
    assert "tested on other rows or labels" in text_of(page_of(run, [here, other]))
    assert "tick another" in text_of(page_of(run, [here]))


def test_points_can_be_removed_and_unknown_ones_are_counted(run, frame):
    points = some(frame)
    page = page_of(run, [*points, "0" * 16])
    assert "1 of the 4 points asked for are not in the table" in text_of(page)
    removing = [link for link in find(page, "A") if text_of(link) == "Remove"]
    assert [link.href.count("%2C") for link in removing] == [1, 1, 1]
    assert "Nothing is picked" in text_of(page_of(run, ["0" * 16]))


def test_many_points_are_cut_with_words(run, frame):
    page = page_of(run, frame["fingerprint"].tolist())
    assert "The first 12 of 60 points are shown." in text_of(page)
