"""The logistic probe: penalty and C by cross-validation on macro F1, classes weighted to equal influence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.probes.metrics import macro_f1_of
from mosaic_sae.probes.representation import Matrix, Representation, narrow_indices
from mosaic_sae.probes.selection import Fold, GridCell
from mosaic_sae.probes.solver import LinearFit, fit_l2_path

# Choosing needs class labels only; the final fit is tighter, because people read its weights.
_L2_TOLERANCE = {"choose": 3e-4, "final": 1e-6}
_L1_TOLERANCE = {"choose": 1e-2, "final": 1e-3}
_L1_MAX_ITERATIONS = 1000
# liblinear penalises the intercept; at this scale so little that its optimum is the usual one to plotting accuracy.
_L1_INTERCEPT_SCALING = 10.0


@dataclass(frozen=True)
class FittedLogistic:
    """The final fit and what it takes to explain and to save it."""

    pipeline: Pipeline
    """From ``Representation.inputs`` to classes and probabilities."""
    fit: LinearFit
    notes: list[str]


def score_grid(
    representation: Representation, y: np.ndarray, n_classes: int, folds: Sequence[Fold], params: ClassificationParams, seed: int
) -> tuple[list[GridCell], list[str]]:
    """Score every (penalty, C) in every fold, simpler ones first: smaller C, then L1.

    Args:
        representation: the rows.
        y: int [n_rows], class number of every row; only rows in folds are looked at.
        n_classes: number of classes.
        folds: row numbers.
        params: penalties and C values.
        seed: seed of liblinear's order of coordinates.

    Returns:
        The cells, and notes on fits that did not converge.
    """
    c_values = sorted(set(params.c_values))
    scores: dict[tuple[float, str], list[float]] = {(c, penalty): [] for c in c_values for penalty in sorted(set(params.penalties))}
    unfinished = 0
    for fold in folds:
        present, y_train = np.unique(y[fold.train], return_inverse=True)
        x_train, x_test = _drop_silent_columns(*representation.matrices(fold.train, fold.test, scaled=True))
        for penalty in sorted(set(params.penalties)):
            fit_path = _fit_l1_path if penalty == "l1" else _fit_l2_path
            for c, fit in zip(c_values, fit_path(x_train, y_train, len(present), c_values, "choose", seed), strict=True):
                scores[c, penalty].append(macro_f1_of(y[fold.test], present[fit.predict(x_test)], n_classes))
                unfinished += not fit.converged
    notes = [f"{unfinished} of {len(scores) * len(folds)} fits of the cross-validation did not converge."] if unfinished else []
    return [GridCell({"penalty": penalty, "C": c}, values) for (c, penalty), values in scores.items()], notes


def fit_logistic(
    representation: Representation, train: np.ndarray, y: np.ndarray, classes: np.ndarray, params: dict[str, Any], seed: int
) -> FittedLogistic:
    """Fit the chosen setting on the whole training part.

    Args:
        representation: the rows.
        train: row numbers.
        y: int [len(train)], numbers into ``classes``; each occurs.
        classes: names, ascending.
        params: penalty and C.
        seed: seed of liblinear's order of coordinates.
    """
    transformer = representation.fit_transformer(train, scaled=True)
    x = transformer.transform(representation.inputs(train))
    if params["penalty"] == "l1":
        model, fit = _fit_final_l1(_double(x), classes[y], params["C"], seed)
    else:
        model, fit = _fit_final_l2(_double(x), y, classes, params["C"])
    notes = (
        [] if fit.converged else [f"The final fit ({params['penalty']}, C = {params['C']}) did not converge: read its weights with care."]
    )
    return FittedLogistic(Pipeline([("scale", transformer), ("logistic", model)]), fit, notes)


def _balanced(y: np.ndarray, n_classes: int) -> np.ndarray:
    """Weight rows so that every class has the same total: n / (n_classes * size of the row's class)."""
    return np.asarray(len(y) / (n_classes * np.bincount(y, minlength=n_classes)))[y]


def _fit_l2_path(x: Matrix, y: np.ndarray, n_classes: int, c_values: Sequence[float], purpose: str, seed: int) -> list[LinearFit]:  # noqa: ARG001
    return fit_l2_path(x, y, n_classes, _balanced(y, n_classes), c_values, _L2_TOLERANCE[purpose])


def _fit_l1_path(x: Matrix, y: np.ndarray, n_classes: int, c_values: Sequence[float], purpose: str, seed: int) -> list[LinearFit]:
    """Fit with liblinear; several classes as one against the rest, because L1 softmax (saga) takes ten times as long."""
    targets = [y == 1] if n_classes == 2 else [y == i for i in range(n_classes)]
    # Balanced weights make the intercept of the empty model 0, so below this C exactly, no weight leaves 0.
    slopes = [np.abs(x.T @ (_balanced(target.astype(np.int64), 2) * (target - 0.5))).max(initial=0.0) for target in targets]
    first_c = [1 / slope if slope else np.inf for slope in slopes]  # no latent may be active on the rows at all
    fits = []
    for c in c_values:
        parts = [
            _fit_l1(x, target, c, _L1_TOLERANCE[purpose], seed) if c > first else LinearFit(np.zeros((1, x.shape[1])), np.zeros(1), True)
            for target, first in zip(targets, first_c, strict=True)
        ]
        fits.append(_stack(parts))
    return fits


def _fit_l1(x: Matrix, target: np.ndarray, c: float, tolerance: float, seed: int) -> LinearFit:
    model = _make_l1_regression(c, tolerance, seed)
    with warnings.catch_warnings():
        # Counted by the caller and written into the result.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, target)
    return _read(model)


def _make_l1_regression(c: float, tolerance: float, seed: int) -> LogisticRegression:
    # scikit-learn 1.8 replaced penalty="l1" by l1_ratio=1.
    name: dict[str, Any] = {"l1_ratio": 1.0} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}
    return LogisticRegression(
        C=c,
        solver="liblinear",
        class_weight="balanced",
        intercept_scaling=_L1_INTERCEPT_SCALING,
        tol=tolerance,
        max_iter=_L1_MAX_ITERATIONS,
        random_state=seed,
        **name,
    )


def _read(model: LogisticRegression) -> LinearFit:
    return LinearFit(model.coef_, model.intercept_, int(np.max(model.n_iter_)) < _L1_MAX_ITERATIONS)


def _stack(fits: Sequence[LinearFit]) -> LinearFit:
    weights, intercept = np.vstack([fit.weights for fit in fits]), np.concatenate([fit.intercept for fit in fits])
    return LinearFit(weights, intercept, all(fit.converged for fit in fits))


def _fit_final_l1(x: Matrix, labels: np.ndarray, c: float, seed: int) -> tuple[Any, LinearFit]:
    model = _make_l1_regression(c, _L1_TOLERANCE["final"], seed)
    several = len(np.unique(labels)) > 2
    model = OneVsRestClassifier(model) if several else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, labels)
    return model, _stack([_read(part) for part in (model.estimators_ if several else [model])])


def _fit_final_l2(x: Matrix, y: np.ndarray, classes: np.ndarray, c: float) -> tuple[LogisticRegression, LinearFit]:
    """Put the weights into scikit-learn's own class, so that a saved probe needs nothing of ours to be read."""
    fit = _fit_l2_path(x, y, len(classes), [c], "final", 0)[0]
    model = LogisticRegression(C=c, class_weight="balanced")
    model.classes_, model.coef_, model.intercept_ = classes, fit.weights, fit.intercept
    model.n_features_in_ = x.shape[1]
    return model, fit


def _drop_silent_columns(x_train: Matrix, x_test: Matrix) -> tuple[Matrix, Matrix]:
    """Leave out latents that fire on no training row of the fold; their weights would be 0."""
    if not sp.issparse(x_train):
        return _double(x_train), _double(x_test)
    speaks = np.flatnonzero(np.bincount(x_train.indices, minlength=x_train.shape[1]))
    return _double(x_train[:, speaks]), _double(x_test[:, speaks])


def _double(x: Matrix) -> Matrix:
    x = x.astype(np.float64)
    return narrow_indices(sp.csr_array(x)) if sp.issparse(x) else x
