"""L2-regularised logistic regression along a path of C: L-BFGS on centred columns, each C started where the last one ended.

The optimum is that of scikit-learn's LogisticRegression (lbfgs, intercept not penalised; tested against it). What is gained
is time: subtracting the column means changes the intercept alone and about halves the iterations, and starting at the
neighbouring C saves most of what is left. The means are subtracted inside the products, so that a sparse matrix stays sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from mosaic_sae.probes.representation import Matrix

MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class LinearFit:
    """Weights on the columns of one matrix."""

    weights: np.ndarray
    """float64 [n_vectors, n_columns]: one vector for two classes, else one per class."""
    intercept: np.ndarray
    """float64 [n_vectors]."""
    converged: bool

    def predict(self, x: Matrix) -> np.ndarray:
        """Return class numbers: int [n]."""
        decision = x @ self.weights.T + self.intercept
        return (decision[:, 0] > 0).astype(np.int64) if decision.shape[1] == 1 else decision.argmax(axis=1)


def fit_l2_path(
    x: Matrix, y: np.ndarray, n_classes: int, row_weights: np.ndarray, c_values: Sequence[float], tolerance: float
) -> list[LinearFit]:
    """Minimise sum_i row_weights_i * loss_i + |w|^2 / (2 C) for each C.

    Args:
        x: float64 [n, n_columns].
        y: int [n], class numbers; with two classes the logistic loss, with more the softmax cross-entropy.
        n_classes: number of classes.
        row_weights: float64 [n].
        c_values: ascending.
        tolerance: stop when no entry of the gradient of the mean loss is larger.
    """
    share = row_weights / row_weights.sum()
    transposed = x.T.tocsr() if sp.issparse(x) else x.T
    means = transposed @ share
    n_vectors = 1 if n_classes == 2 else n_classes
    target = (y == 1).astype(np.float64)[:, None] if n_vectors == 1 else np.eye(n_classes)[y]
    loss_and_residual = _binary_loss if n_vectors == 1 else _softmax_loss

    def objective(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(n_vectors, -1)
        weights, intercept = parameters[:, :-1], parameters[:, -1]
        decision = x @ weights.T + (intercept - weights @ means)
        loss, residual = loss_and_residual(decision, target, share)
        intercept_gradient = residual.sum(axis=0)
        gradient = (transposed @ residual).T - np.outer(intercept_gradient, means) + penalty * weights
        return loss + penalty / 2 * float((weights * weights).sum()), np.column_stack([gradient, intercept_gradient]).ravel()

    flat = np.zeros(n_vectors * (x.shape[1] + 1))
    fits = []
    for c in c_values:
        penalty = 1 / (c * row_weights.sum())
        options = {"maxiter": MAX_ITERATIONS, "maxfun": 10 * MAX_ITERATIONS, "gtol": tolerance, "ftol": 1e-13}
        found = minimize(objective, flat, args=(penalty,), jac=True, method="L-BFGS-B", options=options)
        flat = found.x
        parameters = flat.reshape(n_vectors, -1)
        weights = parameters[:, :-1].copy()
        fits.append(LinearFit(weights, parameters[:, -1] - weights @ means, bool(found.success)))
    return fits


def _binary_loss(decision: np.ndarray, target: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    z = decision[:, 0]
    loss = share @ (np.maximum(z, 0) - target[:, 0] * z + np.log1p(np.exp(-np.abs(z))))
    return float(loss), share[:, None] * (expit(decision) - target)


def _softmax_loss(decision: np.ndarray, target: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    log_probability = log_softmax(decision, axis=1)
    loss = -share @ (target * log_probability).sum(axis=1)
    return float(loss), share[:, None] * (np.exp(log_probability) - target)
