"""The decision tree: depth and leaf size by cross-validation on macro F1, on latents chosen inside each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from mosaic_sae.probes.metrics import macro_f1_of
from mosaic_sae.probes.representation import Matrix, Representation
from mosaic_sae.probes.selection import Fold, GridCell

N_CANDIDATES = 128
"""Latents with the largest ANOVA F on the training rows that a tree may split on."""
LEAF_SIZES = (20, 5)
"""Smallest leaves to choose from, simpler first."""


@dataclass(frozen=True)
class FittedTree:
    """The final tree, readable and saveable."""

    estimator: Any
    """From ``Representation.inputs`` to classes and probabilities."""
    nodes: list[dict[str, Any]]
    n_used: int
    """How many different latents it splits on."""


def score_grid(
    representation: Representation, y: np.ndarray, n_classes: int, folds: Sequence[Fold], tree_depth: int, seed: int
) -> list[GridCell]:
    """Score every (depth, leaf size) in every fold, simpler ones first: smaller depth, then larger leaves.

    One tree of full depth serves all depths: cut off at depth d it is the tree that stops at depth d.
    """
    scores: dict[tuple[int, int], list[float]] = {(depth, leaf): [] for depth in range(1, tree_depth + 1) for leaf in LEAF_SIZES}
    for fold in folds:
        present, y_train = np.unique(y[fold.train], return_inverse=True)
        x_train, x_test = representation.matrices(fold.train, fold.test, scaled=False)
        x_train = _keep_columns(x_train, best_columns(x_train, y_train, N_CANDIDATES))
        for leaf in LEAF_SIZES:
            tree = _make_tree(tree_depth, leaf, seed).fit(x_train, y_train)
            for depth, predicted in _predict_at_depths(tree, x_test, tree_depth).items():
                scores[depth, leaf].append(macro_f1_of(y[fold.test], present[predicted], n_classes))
    return [GridCell({"max_depth": depth, "min_samples_leaf": leaf}, values) for (depth, leaf), values in scores.items()]


def fit_tree(
    representation: Representation, train: np.ndarray, y: np.ndarray, classes: np.ndarray, params: dict[str, Any], seed: int
) -> FittedTree:
    """Fit the chosen setting on the whole training part.

    The tree is fitted on all columns with the others set to 0, so that its node numbers are latents and it reads pooled
    features as they are.
    """
    transformer = representation.fit_transformer(train, scaled=False)
    x = representation.inputs(train) if transformer is None else transformer.transform(representation.inputs(train))
    x = sp.csr_array(x) if sp.issparse(x) else x
    tree = _make_tree(params["max_depth"], params["min_samples_leaf"], seed)
    tree.fit(_keep_columns(x, best_columns(x, y, N_CANDIDATES)), classes[y])
    nodes = _describe(tree, x, y, classes)
    used = {node["latent"] for node in nodes if node["latent"] is not None}
    return FittedTree(tree if transformer is None else Pipeline([("scale", transformer), ("tree", tree)]), nodes, len(used))


def anova_f(x: Matrix, y: np.ndarray) -> np.ndarray:
    """One-way ANOVA F of each column over the classes: float64 [n_columns]; 0 for a constant column.

    F = (between-class sum of squares / (k - 1)) / (within-class sum of squares / (n - k)).
    """
    n, k = len(y), int(y.max()) + 1
    sizes = np.bincount(y, minlength=k)
    member = sp.csr_array((np.ones(n), (y, np.arange(n))), shape=(k, n))
    x = x.astype(np.float64)
    sums = member @ x
    sums = sums.toarray() if sp.issparse(sums) else sums
    squares = np.asarray((x * x).sum(axis=0)).ravel()
    grand = sums.sum(axis=0)
    between = (sums**2 / sizes[:, None]).sum(axis=0) - grand**2 / n
    total = squares - grand**2 / n
    # A constant column leaves rounding errors of either sign in place of 0.
    varies = total > 1e-9 * np.maximum(squares, np.finfo(np.float64).tiny)
    within = np.maximum(total - between, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (between / max(k - 1, 1)) / (within / max(n - k, 1))
    return np.where(varies, f, 0.0)


def best_columns(x: Matrix, y: np.ndarray, n: int) -> np.ndarray:
    """Return the ``n`` columns of largest ANOVA F, ascending; of equal ones the lower column."""
    return np.sort(np.argsort(-anova_f(x, y), kind="stable")[:n])


def _make_tree(depth: int, leaf: int, seed: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, class_weight="balanced", random_state=seed)


def _keep_columns(x: Matrix, columns: np.ndarray) -> Matrix:
    """Set all other columns to 0; sparse results are CSC, which is what the tree sorts."""
    keep = np.zeros(x.shape[1], dtype=np.float32)
    keep[columns] = 1
    if not sp.issparse(x):
        return x * keep
    # Copies, because eliminate_zeros works in place.
    kept = sp.csr_array((x.data.astype(np.float32) * keep[x.indices], x.indices.copy(), x.indptr.copy()), shape=x.shape)
    kept.eliminate_zeros()
    by_column = kept.tocsc()
    by_column.indices, by_column.indptr = by_column.indices.astype(np.int32, copy=False), by_column.indptr.astype(np.int32, copy=False)
    return by_column


def _parents_and_depths(tree: DecisionTreeClassifier) -> tuple[np.ndarray, np.ndarray]:
    # scikit-learn numbers nodes so that a parent comes before its children.
    parent, depth = np.zeros(tree.tree_.node_count, dtype=np.int64), np.zeros(tree.tree_.node_count, dtype=np.int64)
    for node, children in enumerate(zip(tree.tree_.children_left, tree.tree_.children_right, strict=True)):
        for child in children:
            if child >= 0:
                parent[child], depth[child] = node, depth[node] + 1
    return parent, depth


def _predict_at_depths(tree: DecisionTreeClassifier, x: Matrix, tree_depth: int) -> dict[int, np.ndarray]:
    """Return the class numbers predicted by the tree cut off at each depth."""
    parent, depth = _parents_and_depths(tree)
    majority = tree.tree_.value[:, 0, :].argmax(axis=1)
    node = tree.apply(x)
    predicted = {}
    for limit in range(tree_depth, 0, -1):
        node = np.where(depth[node] > limit, parent[node], node)
        predicted[limit] = majority[node]
    return predicted


def _describe(tree: DecisionTreeClassifier, x: Matrix, y: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
    """List the nodes. ``counts`` are training rows as they are; ``class`` and ``impurity`` weight classes equally."""
    inner = tree.tree_
    reached = sp.csr_array(tree.decision_path(x))
    member = sp.csr_array((np.ones(len(y)), (np.arange(len(y)), y)), shape=(len(y), len(classes)))
    counts = (reached.T @ member).toarray().astype(int)
    nodes = []
    for node in range(inner.node_count):
        is_leaf = inner.children_left[node] < 0
        nodes.append({
            "id": node,
            "latent": None if is_leaf else int(inner.feature[node]),
            "threshold": None if is_leaf else float(inner.threshold[node]),
            "left": None if is_leaf else int(inner.children_left[node]),
            "right": None if is_leaf else int(inner.children_right[node]),
            "n": int(inner.n_node_samples[node]),
            "counts": counts[node].tolist(),
            "impurity": float(inner.impurity[node]),
            "class": str(classes[inner.value[node, 0].argmax()]),
        })
    return nodes
