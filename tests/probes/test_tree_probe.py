"""The nodes that are written down are the tree that predicts, in latents and pooled units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_selection import f_classif
from sklearn.metrics import f1_score
from sklearn.tree import DecisionTreeClassifier

from mosaic_sae.probes import tree
from mosaic_sae.probes.representation import DenseRows, LatentRows
from mosaic_sae.probes.selection import Fold
from mosaic_sae.probes.tree import anova_f, best_columns, fit_tree, score_grid


def continuous(n: int = 120, d: int = 30, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Values without ties, so that the best split of a node is unique."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    x = rng.gamma(2.0, 1.0, (n, d))
    x[:, :k] += 1.5 * np.eye(k)[y]
    return x.astype(np.float32), y


def walk(nodes: list[dict[str, Any]], values: np.ndarray) -> dict[str, Any]:
    node = nodes[0]
    while node["latent"] is not None:
        node = nodes[node["left"] if values[node["latent"]] <= node["threshold"] else node["right"]]
    return node


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_anova_f_equals_scikit_learn(form) -> None:
    x, y = continuous()
    np.testing.assert_allclose(anova_f(form(x), y), f_classif(x.astype(np.float64), y)[0], rtol=1e-9)


def test_anova_f_of_constant_and_perfect_columns() -> None:
    x = sp.csr_array(np.array([[0, 3, 1, 0.1], [0, 3, 1, 0.2], [0, 3, 0, 0.1], [0, 3, 0, 0.3]]))
    f = anova_f(x, np.array([0, 0, 1, 1]))
    assert f[:2].tolist() == [0, 0]
    assert f[2] == np.inf
    assert 0 < f[3] < np.inf
    assert best_columns(x, np.array([0, 0, 1, 1]), 2).tolist() == [2, 3]
    assert best_columns(x, np.array([0, 0, 1, 1]), 3).tolist() == [0, 2, 3]


def test_one_deep_tree_cut_off_equals_shallow_trees(monkeypatch) -> None:
    x, y = continuous()
    fold = Fold(np.arange(90), np.arange(90, 120))
    cells = score_grid(LatentRows(sp.csr_array(x)), y, 3, [fold, fold], tree_depth=5, seed=0)
    assert [(cell.params["max_depth"], cell.params["min_samples_leaf"]) for cell in cells[:4]] == [(1, 20), (1, 5), (2, 20), (2, 5)]
    columns = best_columns(x[:90], y[:90], tree.N_CANDIDATES)
    for cell in cells:
        direct = DecisionTreeClassifier(**cell.params, class_weight="balanced", random_state=0).fit(x[:90][:, columns], y[:90])
        expected = f1_score(y[90:], direct.predict(x[90:][:, columns]), average="macro")
        assert cell.folds == pytest.approx([expected, expected])


@pytest.mark.parametrize("make", [lambda x: LatentRows(sp.csr_array(x)), DenseRows])
def test_nodes_predict_what_the_tree_predicts(make, monkeypatch) -> None:
    monkeypatch.setattr(tree, "N_CANDIDATES", 6)
    x, y = continuous()
    x[x < 0.8] = 0.0
    names = np.array(["x", "y", "z"])
    rows = make(x)
    train = np.arange(0, 120, 2)
    before = rows.inputs(np.arange(120)).copy()
    fitted = fit_tree(rows, train, y[train], names, {"max_depth": 4, "min_samples_leaf": 5}, seed=0)
    assert abs(rows.inputs(np.arange(120)) - before).max() == 0
    allowed = set(best_columns(x[train], y[train], 6).tolist())
    split_on = {node["latent"] for node in fitted.nodes} - {None}
    assert split_on <= allowed
    assert len(split_on) == fitted.n_used > 0
    assert [walk(fitted.nodes, values)["class"] for values in x] == fitted.estimator.predict(rows.inputs(np.arange(120))).tolist()
    assert fitted.nodes[0]["n"] == 60
    assert fitted.nodes[0]["counts"] == np.bincount(y[train]).tolist()
    reached = [walk(fitted.nodes, values)["id"] for values in x[train]]
    for node in fitted.nodes:
        assert node["n"] == sum(node["counts"])
        if node["latent"] is None:
            assert node["n"] >= 5
            assert node["counts"] == [int(((np.array(reached) == node["id"]) & (y[train] == c)).sum()) for c in range(3)]


def test_rare_classes_weigh_as_much_as_frequent_ones() -> None:
    # Left of the cut are 10 of 100 frequent rows and 8 of 10 rare ones.
    x = np.zeros((110, 1), dtype=np.float32)
    x[10:102] = 1.0
    y = np.array([0] * 100 + [1] * 10)
    fitted = fit_tree(DenseRows(x), np.arange(110), y, np.array(["often", "rare"]), {"max_depth": 1, "min_samples_leaf": 5}, seed=0)
    left = walk(fitted.nodes, np.array([0.0]))
    assert left["counts"] == [10, 8]
    assert left["class"] == "rare"
