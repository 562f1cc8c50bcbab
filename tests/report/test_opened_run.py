"""A run as an object: what it finds, what it says when it does not, and what a notebook shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mosaic_sae
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.example import explain_example
from mosaic_sae.report.opened_run import Run
from stored_point import StoredPoint, make_point, make_run, write_cards

CARD = {
    "top_tokens": [{"piece": " <b>", "count": 3, "mean": 1.5}],
    "examples": [
        {"id": "e<1>", "label": "<a>", "value": 2.0, "pieces": [" the", " <b>"], "acts": [0.0, 2.0], "at": 1, "cut": [False, False]}
    ],
    "by_class": {"<a>": 0.5, "<b>": 0.25},
    "density_examples": 0.4,
    "density_tokens": 0.1,
    "max": 2.0,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredPoint:
    return make_point(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def run(stored: StoredPoint) -> Run:
    tree = make_point(stored.base.parent, "tree", fingerprint="fedcba9876543210")
    write_cards(stored.base, stored.stores, {"3": CARD, "4": CARD})
    return mosaic_sae.open_run(make_run([stored, tree]))


def test_results_and_points(run: Run, stored: StoredPoint) -> None:
    assert sorted(run.results["fingerprint"]) == ["0123456789abcdef", "fedcba9876543210"]
    best = run.results.sort_values("cv_macro_f1").iloc[-1]["fingerprint"]
    assert run.point().info["fingerprint"] == run.point("best", "d<i>", "random").info["fingerprint"] == best
    point = run.point("012")
    assert point.folder == stored.folder
    assert point.predictions["label"].tolist() == [stored.labels[row] for row in sorted(stored.split.test)]
    assert len(point.latents) > 2 and set(point.latents["latent"]) >= {3, 4}
    assert run.transfer is None and run.latent_shift is None
    pd.DataFrame({"gap": [0.5]}).to_parquet(run.folder / "transfer.parquet")
    assert run.transfer["gap"].tolist() == [0.5]


def test_explanations_of_the_best_and_of_any_point(run: Run, stored: StoredPoint) -> None:
    assert run.explain("e<9>", "01") == explain_example(stored.base, stored.folder, "e<9>")
    assert run.explain("e<9>", about="<a>") == run.point().explain(9, "<a>")
    assert run.explain("e<9>", "fe").path


def test_a_latent_without_a_saved_card_gets_one_from_the_stores(run: Run, stored: StoredPoint) -> None:
    fires = stored.features[:, [7]].toarray()[:, 0] > 0
    assert run.latent(7).card["n_examples"] == fires.sum()
    assert run.latent(3).card == CARD | {"name": None}


def test_what_does_not_exist_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run folder"):
        mosaic_sae.open_run(tmp_path)
    with pytest.raises(MosaicError, match="no point begins with 'abc'"):
        run.point("abc")
    with pytest.raises(MosaicError, match=r"2 points begin with '': .*give more digits"):
        run.point("")
    with pytest.raises(MosaicError, match=r"no SAE probe on dataset x, split any\. Its datasets and splits: d<i>, random"):
        run.point(dataset="x")
    with pytest.raises(MosaicError, match=r"no example 'e' in the datasets of the run toy \(d<i>\)"):
        run.explain("e")
    with pytest.raises(MosaicError, match="24"):
        run.latent(24)


def test_everything_shows_itself_and_text_stays_text(run: Run) -> None:
    shown = [run, run.point("01"), run.latent(3), run.explain("e<9>")]
    for thing in shown:
        page = thing._repr_html_()
        assert page.startswith("<style>") and page.count("<div") == page.count("</div>") > 0
        assert "<b>" not in page and "<a>" not in page and "<i>" not in re.sub(r"<i style", "", page)
    assert "d&lt;i&gt;" in shown[0]._repr_html_() and "SAE (logistic)" in shown[0]._repr_html_()
    assert "fires on: &#x27; &lt;b&gt;&#x27;" in shown[1]._repr_html_()
    latent = shown[2]._repr_html_()
    assert '<span class="fire peak" style="--a:100">&lt;b&gt;</span>' in latent
    assert "&lt;a&gt;</bdi> 50.0 %" in latent and "In 40.0 % of examples" in latent


def test_importing_the_package_stays_light() -> None:
    code = "import sys, mosaic_sae; print([name for name in ('numpy', 'pandas', 'torch', 'mosaic_sae.report') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
