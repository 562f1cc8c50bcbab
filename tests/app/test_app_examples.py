"""The page of examples: which are listed, and what an explanation says, against the saved classifier."""

import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from page_reading import find, links_of, text_of, walk, with_class

from mosaic_sae import fsio
from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from stored_point import LATENTS, make_point, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A logistic probe and a tree of the same folder of results."""
    tmp = tmp_path_factory.mktemp("examples")
    stored = [make_point(tmp, "tree", "max", fingerprint="f" * 16), make_point(tmp, "logistic", "sum")]
    run = make_run(stored)
    return stored, run, Library([run.parent])


def predictions_of(stored):
    frame = pd.read_parquet(stored.folder / "predictions.parquet")
    return frame.assign(confidence=frame[["p_<a>", "p_<b>"]].max(axis=1))


def page_of(made, query="", tree=False):
    stored, _, library = made
    return route(library, "/examples", f"?point={stored[not tree].folder.name.rsplit('-', 1)[1]}{query}")


def ids(page):
    return [text_of(find(row, "A")[0]) for row in find(with_class(page, "examples"), "Tr")[1:]]


def cells(page, panel):
    rows = find(next(part for part in find(page, "Section") if getattr(part, "id", None) == panel), "Tr")[1:]
    return [[text_of(cell) for cell in row.children] for row in rows]


def number(text):
    return float(text.replace("−", "-"))


def test_examples_are_filtered_and_sorted(made):
    frame = predictions_of(made[0][1])
    ranked = frame.sort_values("confidence", ascending=False, kind="stable")
    assert ids(page_of(made)) == ranked["id"].tolist()[:25]
    assert ids(page_of(made, "&page=2")) == ranked["id"].tolist()[25:]
    assert ids(page_of(made, "&sort=order")) == frame["id"].tolist()[:25]
    wrong = ranked[ranked["label"] != ranked["predicted"]]
    assert 0 < len(wrong) < 25
    assert ids(page_of(made, "&show=wrong")) == wrong["id"].tolist()
    missed = wrong[(wrong["label"] == "<a>") & (wrong["predicted"] == "<b>")]
    assert ids(page_of(made, "&show=wrong&class=<a>&predicted=<b>")) == missed["id"].tolist()
    texts = pd.read_parquet(made[0][1].stores.examples).set_index("id")["text"]
    with_bomb = [name for name in ranked["id"] if "bomb" in texts[name]]
    assert len(with_bomb) > 0
    assert ids(page_of(made, "&q=BOMB")) == with_bomb[:25]
    assert ids(page_of(made, f"&q={ranked['id'].iloc[3]}")) == [ranked["id"].iloc[3]]
    assert "No example matches" in text_of(page_of(made, "&q=nothing+of+the+kind"))


def test_contributions_and_switches_are_those_of_the_classifier(made):
    stored = made[0][1]
    row = int(stored.split.test[-1])
    page = page_of(made, f"&id=e<{row}>")
    lines = cells(page, "contributions")
    value = float(stored.classifier.decision_function(stored.features[[row]])[0])
    logit = value if stored.classifier.predict(stored.features[[row]])[0] == "<b>" else -value
    assert number(lines[-1][3]) == pytest.approx(logit, abs=6e-4)
    assert sum(number(line[3]) for line in lines[:-1]) == pytest.approx(logit, abs=6e-4 * len(lines))
    off = [int(line[0]) for line in lines[:2]]
    x = stored.features[[row]].toarray()
    x[0, off] = 0
    expected = stored.classifier.predict_proba(sp.csr_array(x))[0]
    switched = page_of(made, f"&id=e<{row}>&off={off[0]},{off[1]},x,99,-1")
    np.testing.assert_allclose([float(line[2]) for line in cells(switched, "without")], expected, atol=6e-4)
    assert f"Latents {off[0]}, {off[1]} switched off" in text_of(switched)
    assert sum("✕ switched off" in line[-1] for line in cells(switched, "contributions")) == 2
    # One switch more, and one back on again, are one link away.
    assert any(f"off={off[1]}" in link and f"off={off[0]}" not in link for link in links_of(switched))
    assert f"/latent/{LATENTS}/{off[0]}?run=toy" in links_of(page)


def test_the_tokens_of_one_latent_are_those_on_which_it_fires(made):
    stored, library = made[0][1], made[2]
    row = int(stored.split.test[-1])
    found = library.explain(library.find_point("0123456789abcdef"), f"e<{row}>", None)
    part = next(part for part in found.latents if part.tokens)
    page = page_of(made, f"&id=e<{row}>&latent={part.latent}")
    shaded = with_class(with_class(page, "spoken"), "for") + with_class(with_class(page, "spoken"), "against")
    assert len(shaded) == len(part.tokens)
    assert max(token.style["--a"] for token in shaded) == 100
    assert "\u202e" not in text_of(page)


def test_a_tree_says_its_way(made):
    stored = made[0][0]
    row = int(stored.split.test[0])
    page = page_of(made, f"&id=e<{row}>", tree=True)
    way = find(with_class(page, "way"), "Li")
    expected = stored.classifier.decision_path(stored.features[[row]]).sum() if hasattr(stored.classifier, "decision_path") else len(way)
    assert len(way) == expected
    assert "Decision:" in text_of(way[-1])
    assert number(cells(page, "contributions")[-1][3]) == pytest.approx(
        stored.classifier.predict_proba(stored.features[[row]]).max(), abs=6e-4
    )


def test_training_examples_are_marked(made):
    stored = made[0][1]
    assert "may have learned from it" in text_of(page_of(made, f"&id=e<{int(stored.split.train[0])}>"))
    assert "may have learned from it" not in text_of(page_of(made, f"&id=e<{int(stored.split.test[0])}>"))


def test_what_is_not_there_is_said(made, tmp_path):
    assert "There is no example 'none'" in text_of(page_of(made, "&id=none"))
    assert "Unknown class" in text_of(page_of(made, "&id=e<1>&about=z"))
    assert "No such point" in text_of(route(made[2], "/examples", "?point=0000000000000000"))
    page = route(made[2], "/examples", "")
    assert len(ids(page)) == 25
    assert sum(1 for _ in walk(page)) < 1500
    copy = tmp_path / "results"
    shutil.copytree(made[1].parent, copy)  # without the stores beside it
    moved = Library([copy])
    page = route(moved, "/examples", "?id=e<1>")
    assert "are not there now" in text_of(page)
    assert "only ids are shown" in text_of(page)
    assert len(ids(page)) == 25
    evidence = copy / "evidence" / f"{LATENTS}.json"
    fsio.write_json(evidence, fsio.read_json(evidence) | {"version": 1})
    assert "holds no cards" in text_of(route(Library([copy]), "/examples", "?id=e<1>"))
