"""Which latents points use, against hand computations and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from mosaic_sae.explain.evidence import uses_of_latent
from mosaic_sae.explain.latent_table import PointUses, use_rows
from mosaic_sae.explain.uses import LatentUse, tree_uses, uses_of
from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.tree import _describe


def coefficients(classes, latents, weights):
    weights = np.array(weights, dtype=float)
    return Coefficients(classes, np.array(latents, dtype=np.int32), weights, np.zeros(len(weights)), np.ones(len(latents)))


POINT = {"tree": None, "classes": ["a", "b"], "top_latents": []}


def test_two_classes_share_one_signed_weight():
    found = uses_of(POINT, coefficients(["a", "b"], [3, 5, 9], [[0.5, -2.0, 1.5]]))
    assert found == [LatentUse(5, "a", -2.0, 1), LatentUse(9, "b", 1.5, 1), LatentUse(3, "b", 0.5, 2)]


def test_with_more_classes_a_latent_belongs_to_the_one_it_speaks_for_most():
    weights = [[1.0, -3.0, 0.0], [0.2, -1.0, 0.5], [-1.0, -0.1, 2.0]]
    found = uses_of(POINT, coefficients(["a", "b", "c"], [3, 5, 9], weights))
    # Latent 5 speaks against all; most against "a".
    assert found == [LatentUse(5, "a", -3.0, 1), LatentUse(9, "c", 2.0, 1), LatentUse(3, "a", 1.0, 2)]


def test_without_coefficients_the_listed_latents_count():
    top = [
        {"class": "a", "latent": 3, "weight": -1.0},
        {"class": "b", "latent": 5, "weight": 4.0},
        {"class": "b", "latent": 3, "weight": 0.5},
    ]
    assert uses_of({**POINT, "top_latents": top}) == [LatentUse(5, "b", 4.0, 1), LatentUse(3, "a", -1.0, 1)]


def test_importances_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    x = draw.random((300, 6)).astype(np.float32)
    y = ((x[:, 1] > 0.6) & (x[:, 4] < 0.7)).astype(int) + (x[:, 2] > 0.9)
    y = np.where(y == 2, 2, y)
    classes = np.array(["u", "v", "w"])[: y.max() + 1]
    tree = DecisionTreeClassifier(max_depth=4, class_weight="balanced", random_state=0).fit(x, y)
    nodes = _describe(tree, x, y, classes)
    found = {latent: weight for latent, _, weight in tree_uses(nodes, classes.tolist())}
    assert [found.get(latent, 0.0) for latent in range(6)] == pytest.approx(tree.feature_importances_.tolist())


def test_a_tree_latent_speaks_for_what_a_value_above_its_threshold_makes_likelier():
    nodes = [
        {"latent": 7, "left": 1, "right": 2, "counts": [30, 10], "impurity": 0.5},
        {"latent": None, "left": None, "right": None, "counts": [30, 2], "impurity": 0.27777},
        {"latent": None, "left": None, "right": None, "counts": [0, 8], "impurity": 0.0},
    ]
    point = {**POINT, "tree": {"nodes": nodes}}
    assert uses_of(point) == [LatentUse(7, "b", 1.0, 1)]
    assert uses_of({**point, "tree": {"nodes": nodes[1:2]}}) == []


def test_rows_are_picked_by_store_and_latent():
    key = {"dataset": "d", "split": "s", "classifier": "tree"}
    points = [
        PointUses({"fingerprint": "1", "key": key}, False, [LatentUse(7, "a", 0.2, 1)]),
        PointUses({"fingerprint": "2", "key": key}, True, [LatentUse(7, "b", 0.1, 9), LatentUse(8, "b", 0.1, 1)]),
    ]
    frame = pd.DataFrame(use_rows("x", points) + use_rows("y", points[:1]))
    expected = {"dataset": "d", "split": "s", "classifier": "tree"}
    assert uses_of_latent(frame, "x", 7) == [
        {"fingerprint": "2", "chosen": True, **expected, "label": "b", "weight": 0.1, "rank": 9},
        {"fingerprint": "1", "chosen": False, **expected, "label": "a", "weight": 0.2, "rank": 1},
    ]
