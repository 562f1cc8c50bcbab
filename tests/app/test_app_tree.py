"""The tree drawn, and the way to a node in words."""

from itertools import pairwise

import pytest
from page_reading import find, links_of, text_of, walk, with_class
from test_app_pages import chosen

from mosaic_sae.app.data import Library
from mosaic_sae.app.factory import route
from mosaic_sae.report.rules import path_to, tree_rules


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from run_folders import make_run_folder

    return make_run_folder(tmp_path_factory.mktemp("tree"), 60)


def page_of(run, search=""):
    return route(Library([run.parent]), f"/point/{chosen(run, classifier='tree')['fingerprint']}", search)


def rem(part, side):
    return float(part.style[side].removesuffix("rem"))


def test_every_node_has_a_box_and_every_box_but_the_root_an_edge(run):
    page = page_of(run)
    boxes, edges = with_class(page, "node"), with_class(page, "edge")
    assert (len(boxes), len(edges)) == (9, 8)
    assert len(with_class(boxes, "leaf")) == 5
    assert sum("up" in edge.className for edge in edges) == sum("down" in edge.className for edge in edges) == 4
    assert "Choose a node" in text_of(page)
    assert not with_class(page, "on")
    # Siblings share a column; leaves are one row apart; the root is in the middle of its two answers.
    tops = {box.href.rsplit("node=", 1)[1]: rem(box, "top") for box in boxes}
    leaves = sorted(rem(box, "top") for box in with_class(boxes, "leaf"))
    assert {round(b - a, 2) for a, b in pairwise(leaves)} == {3.4}
    assert tops["0"] == pytest.approx((tops["1"] + tops["2"]) / 2, abs=0.02)
    assert tops["1"] < tops["0"] < tops["2"]  # "no" above, "yes" below
    assert sorted({rem(box, "left") for box in boxes}) == [0, 15, 30, 45]
    # An edge spans from the parent's row to the child's.
    assert sorted(rem(edge, "height") for edge in edges)[-1] == pytest.approx(tops["2"] - tops["0"], abs=0.02)


def test_a_chosen_node_marks_its_way_and_says_it(run):
    page = page_of(run, "?node=8")
    on = [box.href.rsplit("node=", 1)[1] for box in with_class(page, "node") if "on" in box.className.split()]
    assert on == ["0", "1", "4", "8"]
    assert len([edge for edge in with_class(page, "edge") if "on" in edge.className.split()]) == 3
    way = text_of(with_class(page, "way"))
    assert [text_of(item).split("?")[0].split()[-3] for item in find(with_class(page, "way"), "Li")] == ["123", "2207", "15"]
    assert "yes" in text_of(find(with_class(page, "way"), "Li")[1])
    assert "77 of 927 training examples" not in way.split("Then")[1]
    assert "Then the answer is" in way
    assert "90 % of the 50 examples here" in way  # counts 5 and 45
    assert sum(getattr(box, "aria-current", None) == "true" for box in with_class(page, "node")) == 1
    assert all("node=" in link for link in links_of(with_class(page, "drawing")))


def test_an_inner_node_says_what_is_asked_there(run):
    way = text_of(with_class(page_of(run, "?node=1"), "way"))
    assert "Here the tree asks:" in way
    assert "of latent 2207" in way


@pytest.mark.parametrize("node", ["99", "-1", "x", "", "1e3"])
def test_a_node_that_is_not_there_is_none(run, node):
    page = page_of(run, f"?node={node}")
    assert "Choose a node" in text_of(page)
    assert not with_class(page, "on")


def test_the_page_of_a_tree_stays_small(run):
    assert sum(1 for _ in walk(page_of(run, "?node=8"))) < 1500


def test_a_path_starts_at_the_root():
    tree = {"nodes": [
        {"id": 0, "latent": 5, "threshold": 0.5, "left": 1, "right": 2, "n": 10, "counts": [5, 5], "class": "a"},
        {"id": 1, "latent": None, "n": 4, "counts": [4, 0], "class": "a"},
        {"id": 2, "latent": None, "n": 6, "counts": [1, 5], "class": "b"},
    ]}  # fmt: skip
    rules = tree_rules({"tree": tree, "key": {"pooling": "max", "binarise": None}})
    assert [rule.node for rule in path_to(rules, 2)] == [0, 2]
    assert [rule.node for rule in path_to(rules, 0)] == [0]
    assert path_to(rules, 7) == []
    assert rules[0].short == "latent 5 > 0.5?"
    assert tree_rules({"tree": tree, "key": {"pooling": "max", "binarise": 1.0}})[0].short == "latent 5 ≥ 1?"
