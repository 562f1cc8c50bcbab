"""Fit one classifier on the training part, choose by cross-validation inside it, score once on the test part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.errors import ProbeError, unknown_name
from mosaic_sae.probes import logistic, tree
from mosaic_sae.probes.bootstrap import macro_f1_interval
from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.metrics import macro_f1_of, score
from mosaic_sae.probes.representation import Features, Representation, as_representation
from mosaic_sae.probes.result import ProbeResult
from mosaic_sae.probes.selection import Fold, GridCell, choose, make_folds
from mosaic_sae.sources.splits import Split

CLASSIFIERS = ("logistic", "tree", "majority")


@dataclass(frozen=True)
class _Fitted:
    estimator: Any
    chosen: GridCell
    grid: list[GridCell]
    n_nonzero: int = 0
    coefficients: Coefficients | None = None
    tree: list[dict[str, Any]] | None = None
    notes: list[str] = field(default_factory=list)


def evaluate(
    features: Features,
    split: Split,
    labels: Sequence[str],
    units: Sequence[str],
    keys: Sequence[str],
    classifier: str,
    params: ClassificationParams,
    tree_depth: int,
    seed: int,
    *,
    shuffle_labels: bool = False,
) -> ProbeResult:
    """Evaluate one classifier on one representation and one split. Single-threaded.

    Nothing of the test part is looked at before the one final prediction. Rows are put into an order that depends on
    the examples alone, so that neither the order of the dataset nor the last digits of features change a choice.

    Args:
        features: one row per example: CSR (pooled latents), float array (pooled hidden states), texts (TF-IDF), or a
            Representation.
        split: row numbers of both parts.
        labels: label of every example.
        units: unit of every example (group or duplicate cluster), which folds and bootstrap keep whole.
        keys: what each example is, whatever its row and its features: its text, or a hash of it. Rows that share unit, key and
            label are interchangeable.
        classifier: "logistic", "tree" or "majority".
        params: grid, folds and bootstrap size.
        tree_depth: deepest tree.
        seed: seed of folds, tie breaks, bootstrap and shuffling.
        shuffle_labels: control: permute the labels inside each part, so that features and labels have nothing to do with
            each other. (With the true labels in the test part the score would be no fair chance level: labels that follow
            the largest directions of the features agree or disagree with almost any classifier on them.)

    Raises:
        ProbeError: rows, labels and units do not match, the parts overlap or are empty, the training part has a single
            class, or a class is too small for cross-validation.
    """
    started = time.perf_counter()
    if classifier not in CLASSIFIERS:
        raise ProbeError(unknown_name("classifier", classifier, CLASSIFIERS))
    representation = as_representation(features)
    _check(representation, split, labels, units, keys)
    names, unit_names = np.asarray(labels, dtype=str), np.asarray(units, dtype=str)
    train, test = (_in_order(part, unit_names, keys, names) for part in (split.train, split.test))
    if shuffle_labels:
        names = _shuffled(names, [train, test], seed)
    classes = np.unique(names[np.concatenate([train, test])])
    y = np.searchsorted(classes, names)
    _check_classes(classes, y[train])

    with threadpool_limits(limits=1):
        folds, notes = make_folds(train, names[train].tolist(), unit_names[train].tolist(), params.cv_folds, seed)
        fitted = _FIT[classifier](representation, train, y, classes, folds, params, tree_depth, seed)
        predicted, probabilities = _predict(fitted.estimator, representation.inputs(test), classes)
    interval = macro_f1_interval(y[test], predicted, len(classes), unit_names[test].tolist(), params.n_bootstrap, seed)
    back = np.argsort(test)
    absent = sorted(set(classes[y[test]]) - set(classes[y[train]]))
    if shuffle_labels:
        notes.append("Control: the labels of both parts were permuted at random.")
    if absent:
        notes.append(f"Classes of the test part without a training example, always counted as wrong: {', '.join(absent)}.")
    return ProbeResult(
        kind=representation.kind,
        classifier=classifier,
        classes=classes.tolist(),
        test=score(y[test], predicted, probabilities, classes.tolist()),
        interval=interval,
        chosen=fitted.chosen,
        grid=fitted.grid,
        n_train=len(train),
        n_nonzero=fitted.n_nonzero,
        rows=test[back],
        labels=names[test][back],
        predicted=classes[predicted][back],
        probabilities=probabilities[back],
        estimator=fitted.estimator,
        seconds=time.perf_counter() - started,
        coefficients=fitted.coefficients,
        tree=fitted.tree,
        notes=notes + fitted.notes,
    )


def _fit_logistic(
    rows: Representation,
    train: np.ndarray,
    y: np.ndarray,
    classes: np.ndarray,
    folds: list[Fold],
    params: ClassificationParams,
    tree_depth: int,  # noqa: ARG001
    seed: int,
) -> _Fitted:
    grid, notes = logistic.score_grid(rows, y, len(classes), folds, params, seed)
    chosen = choose(grid)
    present, y_train = np.unique(y[train], return_inverse=True)
    final = logistic.fit_logistic(rows, train, y_train, classes[present], chosen.params, seed)
    coefficients = None
    if rows.kind == "latents":
        coefficients = Coefficients.of_fit(final.fit, final.pipeline[0].scale_, classes[present].tolist())
    n_nonzero = int(final.fit.weights.any(axis=0).sum())
    return _Fitted(final.pipeline, chosen, grid, n_nonzero, coefficients, None, notes + final.notes)


def _fit_tree(
    rows: Representation,
    train: np.ndarray,
    y: np.ndarray,
    classes: np.ndarray,
    folds: list[Fold],
    params: ClassificationParams,  # noqa: ARG001
    tree_depth: int,
    seed: int,
) -> _Fitted:
    grid = tree.score_grid(rows, y, len(classes), folds, tree_depth, seed)
    chosen = choose(grid)
    present, y_train = np.unique(y[train], return_inverse=True)
    final = tree.fit_tree(rows, train, y_train, classes[present], chosen.params, seed)
    nodes = [{**node, "counts": _of_all_classes(node["counts"], present, len(classes))} for node in final.nodes]
    return _Fitted(final.estimator, chosen, grid, final.n_used, None, None if rows.kind == "text" else nodes)


def _of_all_classes(counts: list[int], present: np.ndarray, n_classes: int) -> list[int]:
    """Put counts of the classes in training among those of all classes; a class of the test part alone has none."""
    spread = np.zeros(n_classes, dtype=np.int64)
    spread[present] = counts
    return spread.tolist()


def _fit_majority(
    rows: Representation,
    train: np.ndarray,
    y: np.ndarray,
    classes: np.ndarray,
    folds: list[Fold],
    params: ClassificationParams,  # noqa: ARG001
    tree_depth: int,  # noqa: ARG001
    seed: int,  # noqa: ARG001
) -> _Fitted:
    """Always answer the most frequent class of the training part; of equally frequent ones the first by name."""
    scores = []
    for fold in folds:
        guess = np.bincount(y[fold.train], minlength=len(classes)).argmax()
        scores.append(macro_f1_of(y[fold.test], np.full(len(fold.test), guess), len(classes)))
    cell = GridCell({}, scores)
    return _Fitted(DummyClassifier(strategy="prior").fit(rows.inputs(train), classes[y[train]]), cell, [cell])


_FIT = {"logistic": _fit_logistic, "tree": _fit_tree, "majority": _fit_majority}


def _shuffled(labels: np.ndarray, parts: Sequence[np.ndarray], seed: int) -> np.ndarray:
    rng, shuffled = np.random.default_rng(seed), labels.copy()
    for rows in parts:
        shuffled[rows] = rng.permutation(labels[rows])
    return shuffled


def _predict(estimator: Any, inputs: Any, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return class numbers [n] and probabilities [n, n_classes]; a class that was not in training has probability 0."""
    if isinstance(estimator, Pipeline):
        # Once for both: counting n-grams is the slow part of TF-IDF.
        inputs, estimator = estimator[:-1].transform(inputs), estimator[-1]
    known = np.searchsorted(classes, estimator.classes_)
    part = estimator.predict_proba(inputs)
    probabilities = np.zeros((len(part), len(classes)))
    probabilities[:, known] = part
    return np.searchsorted(classes, estimator.predict(inputs)), probabilities


def _in_order(rows: np.ndarray, units: np.ndarray, keys: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Order rows by what they are. Features take no part: their last digits depend on the company a text was computed in."""
    return np.array(sorted(rows.tolist(), key=lambda row: (units[row], keys[row], labels[row])), dtype=np.int64)


def _check(representation: Representation, split: Split, labels: Sequence[str], units: Sequence[str], keys: Sequence[str]) -> None:
    n = len(representation)
    if not n == len(labels) == len(units) == len(keys):
        raise ProbeError(
            f"Split '{split.name}': {n} rows of features, {len(labels)} labels, {len(units)} units and {len(keys)} keys "
            "do not belong together. The store and the dataset are of different rows; extract again."
        )
    if not len(split.train) or not len(split.test):
        raise ProbeError(
            f"Split '{split.name}' has {len(split.train)} training and {len(split.test)} test rows; both parts need some. "
            "Change test_size, or the field and values of the split."
        )
    both = np.intersect1d(split.train, split.test)
    if len(both):
        raise ProbeError(
            f"Split '{split.name}': {len(both)} rows are in both parts (first: row {both[0]}), so its test score would mean nothing."
        )


def _check_classes(classes: np.ndarray, y_train: np.ndarray) -> None:
    present = np.unique(y_train)
    if len(present) < 2:
        raise ProbeError(
            f"The training part holds one class only, '{classes[present[0]]}', of {len(classes)} in both parts; a classifier needs two. "
            "Choose another split, or a dataset with more classes."
        )
