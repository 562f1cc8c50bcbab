"""The optimum is scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from mosaic_sae.probes import solver
from mosaic_sae.probes.solver import fit_l2_path

Cs = [0.05, 1.0, 20.0]


def data(n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    x = rng.random((90, 15)) * (rng.random((90, 15)) < 0.4)
    x[:, 3] = 0.0
    x[:, 4] += 5.0  # far from centred
    y = (x[:, :n_classes] + rng.normal(0, 0.2, (90, n_classes))).argmax(axis=1)
    return x, y, rng.uniform(0.5, 2.0, 90)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_equals_scikit_learn(n_classes: int, form: Callable[[np.ndarray], np.ndarray]) -> None:
    x, y, row_weights = data(n_classes)
    fits = fit_l2_path(form(x), y, n_classes, row_weights, Cs, tolerance=1e-7)
    for c, fit in zip(Cs, fits, strict=True):
        reference = LogisticRegression(C=c, tol=1e-9, max_iter=10_000).fit(x, y, sample_weight=row_weights)
        assert fit.converged
        np.testing.assert_allclose(fit.weights, reference.coef_, atol=2e-3 * np.abs(reference.coef_).max())
        # Intercepts of a softmax are determined up to a common constant.
        shift = 0.0 if n_classes == 2 else fit.intercept.mean() - reference.intercept_.mean()
        np.testing.assert_allclose(fit.intercept - shift, reference.intercept_, atol=5e-3 * (1 + np.abs(reference.intercept_).max()))
        np.testing.assert_array_equal(fit.predict(form(x)), reference.predict(x))


def test_a_silent_column_has_weight_0() -> None:
    x, y, row_weights = data(2)
    assert fit_l2_path(sp.csr_array(x), y, 2, row_weights, [1.0], 1e-7)[0].weights[0, 3] == 0.0


def test_the_path_does_not_matter() -> None:
    x, y, row_weights = data(2)
    along = fit_l2_path(x, y, 2, row_weights, Cs, 1e-8)[-1]
    alone = fit_l2_path(x, y, 2, row_weights, Cs[-1:], 1e-8)[0]
    np.testing.assert_allclose(along.weights, alone.weights, rtol=1e-3, atol=1e-4)


def test_a_fit_that_stops_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "MAX_ITERATIONS", 2)
    x, y, row_weights = data(2)
    assert [fit.converged for fit in fit_l2_path(x, y, 2, row_weights, [20.0], 1e-8)] == [False]
