"""Explanations against the saved classifier itself: sums, counterfactuals, tokens, paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae import fsio
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.example import explain_example
from stored_point import D_SAE, LATENTS, WORDS, StoredPoint, make_point

GRID = [
    ("logistic", "sum", None, "l2", 2),
    ("logistic", "mean", None, "l2", 3),
    ("logistic", "max", 1.5, "l1", 3),
    ("logistic", "last", None, "l1", 2),
    ("logistic", "count_top_n(2)", 2.0, "l2", 3),
    ("logistic", "sum", 1.5, "l1", 3),
    ("tree", "max", None, "l2", 2),
    ("tree", "mean", None, "l2", 3),
    ("tree", "sum", 1.5, "l2", 3),
]
# Row 5 keeps no token; shards hold 16 rows.
ROWS = [5, 0, 15, 16, 79, 33]


@pytest.fixture(scope="module", params=GRID, ids=lambda p: "-".join(map(str, p)))
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredPoint:
    """Read only."""
    classifier, pooling, threshold, penalty, n_classes = request.param
    return make_point(tmp_path_factory.mktemp("point"), classifier, pooling, threshold, penalty, n_classes)


def without(features: sp.csr_array, row: int, latents: list[int]) -> sp.csr_array:
    x = features[[row]].toarray()
    x[0, latents] = 0
    return sp.csr_array(x)


def logit_of(stored: StoredPoint, x: sp.csr_array, about: str) -> float:
    """The classifier's own decision value of a class; with two classes that of the first is the negative."""
    value = np.atleast_1d(stored.classifier.decision_function(x)[0])
    classes = stored.classifier.classes_.tolist()
    return float(value[classes.index(about)] if len(classes) > 2 else value[0] * (1 if about == classes[1] else -1))


def test_it_says_what_the_saved_classifier_says_and_its_parts_add_up(stored: StoredPoint) -> None:
    for row in ROWS:
        found = explain_example(stored.base, stored.folder, row)
        x = stored.features[[row]]
        expected = stored.classifier.predict_proba(x)[0]
        np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-6)
        assert found.predicted == found.about == stored.classifier.predict(x)[0]
        assert found.bias + sum(part.contribution for part in found.latents) + found.others["contribution"] == pytest.approx(found.decision)
        for about in found.classes:
            towards = explain_example(stored.base, stored.folder, row, about)
            truth = logit_of(stored, x, about) if found.kind == "logistic" else expected[found.classes.index(about)]
            assert towards.decision == pytest.approx(truth, abs=2e-6)


def test_zeroing_latents_gives_what_the_classifier_says_of_the_changed_features(stored: StoredPoint) -> None:
    for row in ROWS:
        found = explain_example(stored.base, stored.folder, row, most=D_SAE)
        top = [part.latent for part in found.latents[:3]]
        for latents in ([], top, [latent for latent in range(D_SAE) if latent % 2]):
            expected = stored.classifier.predict_proba(without(stored.features, row, latents))[0]
            np.testing.assert_allclose(list(found.without(latents).values()), expected, atol=1e-6)
        for part in found.latents[:2]:
            assert part.without == found.without([part.latent])
            assert part.value == stored.features[row, part.latent]


def test_removing_the_strongest_moves_the_logit_by_exactly_their_sum(tmp_path: Path) -> None:
    for n_classes in (2, 3):
        stored = make_point(tmp_path / str(n_classes), n_classes=n_classes)
        for row in ROWS[1:]:
            found = explain_example(stored.base, stored.folder, row)
            before = logit_of(stored, stored.features[[row]], found.about)
            for k in (1, 3, 10):
                top = found.latents[:k]
                after = logit_of(stored, without(stored.features, row, [part.latent for part in top]), found.about)
                assert before - after == pytest.approx(sum(part.contribution for part in top), abs=2e-6)


def test_parts_of_tokens_add_up_to_each_contribution(stored: StoredPoint) -> None:
    for row in ROWS:
        found = explain_example(stored.base, stored.folder, row, most=D_SAE)
        carried = np.zeros(len(found.tokens))
        for part in found.latents:
            if part.value:
                assert sum(value for _, value in part.tokens) == pytest.approx(part.contribution)
            for place, value in part.tokens:
                carried[place] += value
        np.testing.assert_allclose(carried, [token.contribution for token in found.tokens], atol=1e-12)
        assert [token.piece for token in found.tokens] == [WORDS[token] for token in stored.tokens[row]]
        assert [token.counts for token in found.tokens] == [False] + [True] * (len(stored.tokens[row]) - 1)
        if found.kind == "logistic":
            assert found.bias + carried.sum() == pytest.approx(found.decision)


def test_the_path_of_a_tree_is_that_of_the_saved_tree(tmp_path: Path) -> None:
    stored = make_point(tmp_path, "tree", n_classes=3)
    for row in ROWS:
        found = explain_example(stored.base, stored.folder, row)
        x = stored.features[[row]]
        assert [step.node for step in found.path] == stored.classifier.decision_path(x).indices.tolist()
        inner = stored.classifier.tree_
        for step in found.path:
            np.testing.assert_allclose(list(step.shares.values()), inner.value[step.node, 0], atol=1e-9)
            assert step.n == inner.n_node_samples[step.node]
        for step, following in zip(found.path, found.path[1:], strict=False):
            went_right = following.node == inner.children_right[step.node]
            assert step.latent == inner.feature[step.node] and step.answer.startswith("yes" if went_right else "no")
            assert (step.value > step.threshold) == went_right
        # Each question adds the change of the share; a latent asked twice adds both.
        steps = {}
        for step, following in zip(found.path, found.path[1:], strict=False):
            steps[step.latent] = steps.get(step.latent, 0) + following.shares[found.about] - step.shares[found.about]
        assert {part.latent: pytest.approx(part.contribution) for part in found.latents} == steps


def test_an_example_without_tokens_is_decided_by_the_bias(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    found = explain_example(stored.base, stored.folder, 5)
    assert (found.latents, found.others["n"], len(found.tokens)) == ([], 0, 1)
    assert found.decision == found.bias == pytest.approx(abs(stored.classifier[-1].intercept_[0]))


def test_by_id_and_by_row_is_the_same_and_json_holds_it_all(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    found = explain_example(stored.base, stored.folder, "e<17>", most=4)
    assert found == explain_example(stored.base, stored.folder, 17, most=4)
    content = json.loads(json.dumps(found.to_json()))
    assert (content["id"], content["row"], content["label"], content["language"]) == ("e<17>", 17, stored.labels[17], "xx")
    assert content["in_test"] == (17 in stored.split.test)
    assert content["text"] == "".join(WORDS[token] for token in stored.tokens[17][1:])
    assert len(content["latents"]) == 4 and content["others"]["n"] > 0
    assert set(content) == {"schema", *(name for name in found.__dataclass_fields__ if not name.startswith("_"))}


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    stored = make_point(tmp_path)
    with pytest.raises(MosaicError, match=r"no example 'x' in this dataset of 80\. .*'e<0>', 'e<1>'"):
        explain_example(stored.base, stored.folder, "x")
    for row in (80, -1):
        with pytest.raises(MosaicError, match=f"no row {row} .*Rows are 0 to 79"):
            explain_example(stored.base, stored.folder, row)
    with pytest.raises(MosaicError, match=r"Unknown class 'a'.* Available: <a>, <b>"):
        explain_example(stored.base, stored.folder, 0, about="a")
    with pytest.raises(MosaicError, match="no latent 24; those of toy are 0 to 23"):
        explain_example(stored.base, stored.folder, 0).without([24])
    (tmp_path / "stores").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"are not there now\. Move them back"):
        explain_example(stored.base, stored.folder, 0)
    (stored.base / "evidence" / f"{LATENTS}.json").unlink()
    with pytest.raises(StoreError, match=r"holds no cards of the latents of point 0123456789abcdef\. Run the experiment again"):
        explain_example(stored.base, stored.folder, 0)
    point = fsio.read_json(stored.folder / "point.json")
    fsio.write_json(stored.folder / "point.json", point | {"key": point["key"] | {"representation": "random_sae"}})
    with pytest.raises(MosaicError, match="is on a random SAE, of which no cards are kept"):
        explain_example(stored.base, stored.folder, 0)
    fsio.write_json(stored.folder / "point.json", fsio.read_json(stored.folder / "point.json") | {"provenance": {}})
    with pytest.raises(MosaicError, match=r"0123456789abcdef \(random_sae\) keeps no latents"):
        explain_example(stored.base, stored.folder, 0)


def test_results_and_stores_can_be_moved_together(tmp_path: Path) -> None:
    stored = make_point(tmp_path / "here")
    found = explain_example(stored.base, stored.folder, 3)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there/results"
    assert explain_example(moved, moved / "points" / stored.folder.name, 3) == found
