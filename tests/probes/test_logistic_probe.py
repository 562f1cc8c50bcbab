"""L1 by its optimality conditions, the grid, and what a fit that does not converge leaves behind."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.probes import logistic
from mosaic_sae.probes.logistic import fit_logistic, score_grid
from mosaic_sae.probes.representation import LatentRows
from mosaic_sae.probes.selection import Fold

FOLDS = [Fold(np.arange(0, 80), np.arange(80, 160)), Fold(np.arange(80, 160), np.arange(0, 80))]


@pytest.fixture
def rows(make_planted):
    planted = make_planted(signal=0.2)
    return LatentRows(planted.features), np.array([label == "b" for label in planted.labels], dtype=int)


def test_l1_meets_its_optimality_conditions(rows) -> None:
    representation, y = rows
    names, c = np.array(["a", "b"]), 1.0
    train = np.arange(100)  # not balanced: the class weights are part of what is tested
    fitted = fit_logistic(representation, train, y[train], names, {"penalty": "l1", "C": c}, seed=0)
    x = fitted.pipeline[0].transform(representation.inputs(train))
    weights = 100 / (2 * np.bincount(y[train]))[y[train]]
    residual = weights * (expit((x @ fitted.fit.weights.T + fitted.fit.intercept)[:, 0]) - y[train])
    gradient, w = c * (x.T @ residual), fitted.fit.weights[0]
    assert 0 < (w != 0).sum() < 40
    np.testing.assert_allclose(gradient[w != 0], -np.sign(w[w != 0]), atol=0.02)
    assert np.abs(gradient[w == 0]).max() <= 1.02
    # The penalty on the intercept is small: its own gradient is near 0.
    assert abs(c * residual.sum()) < 0.1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_shortcut_for_empty_models_is_exact(n_classes: int, make_planted) -> None:
    planted = make_planted(n_classes=n_classes, signal=0.3)
    x = sp.csr_array(planted.features.astype(np.float64))
    y = np.unique(planted.labels, return_inverse=True)[1]
    bounds = np.geomspace(1e-5, 1, 60)
    fits = logistic._fit_l1_path(x, y, n_classes, bounds, "final", seed=0)
    for i in range(1 if n_classes == 2 else n_classes):
        target = y == (1 if n_classes == 2 else i)
        empty = [c for c, fit in zip(bounds, fits, strict=True) if not fit.weights[i].any()]
        full = [c for c, fit in zip(bounds, fits, strict=True) if fit.weights[i].any()]
        for c, expected in ((empty[-1], False), (full[0], True)):
            model = LogisticRegression(C=c, solver="liblinear", class_weight="balanced", intercept_scaling=10, tol=1e-6, **l1())
            assert model.fit(x, target).coef_.any() == expected


def l1() -> dict[str, float | str]:
    return {"l1_ratio": 1.0} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}


def test_grid_lists_the_simpler_first_and_each_cell_once(rows) -> None:
    representation, y = rows
    params = ClassificationParams(c_values=[1.0, 0.1, 1.0], penalties=["l2", "l1"])
    cells, notes = score_grid(representation, y, 2, FOLDS, params, seed=0)
    assert [(cell.params["C"], cell.params["penalty"]) for cell in cells] == [(0.1, "l1"), (0.1, "l2"), (1.0, "l1"), (1.0, "l2")]
    assert all(len(cell.folds) == 2 for cell in cells)
    assert notes == []


def test_grid_score_is_that_of_scikit_learn_on_the_scaled_fold(rows) -> None:
    representation, y = rows
    cells, _ = score_grid(representation, y, 2, FOLDS, ClassificationParams(c_values=[0.3], penalties=["l2"]), seed=0)
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    for fold, found in zip(FOLDS, cells[0].folds, strict=True):
        reference = make_pipeline(MaxAbsScaler(), LogisticRegression(C=0.3, class_weight="balanced", tol=1e-8, max_iter=5000))
        reference.fit(representation.inputs(fold.train), y[fold.train])
        predicted = reference.predict(representation.inputs(fold.test))
        assert found == pytest.approx(f1_score(y[fold.test], predicted, average="macro"), abs=0.02)


def test_fits_that_do_not_converge_are_recorded_and_warn_nobody(rows, monkeypatch) -> None:
    representation, y = rows
    monkeypatch.setattr(logistic, "_L1_MAX_ITERATIONS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, notes = score_grid(representation, y, 2, FOLDS, ClassificationParams(c_values=[10.0], penalties=["l1"]), seed=0)
        fitted = fit_logistic(representation, np.arange(160), y, np.array(["a", "b"]), {"penalty": "l1", "C": 10.0}, seed=0)
    assert notes == ["2 of 2 fits of the cross-validation did not converge."]
    assert fitted.notes == ["The final fit (l1, C = 10.0) did not converge: read its weights with care."]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_pipeline_and_weights_say_the_same(penalty: str, n_classes: int, make_planted) -> None:
    planted = make_planted(n_classes=n_classes)
    representation, labels = LatentRows(planted.features), np.array(planted.labels)
    names, y = np.unique(labels, return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_logistic(representation, np.arange(160), y, names, {"penalty": penalty, "C": 1.0}, seed=0)
    x = fitted.pipeline[0].transform(planted.features)
    decision = fitted.pipeline[-1].decision_function(x).reshape(160, -1)
    np.testing.assert_allclose(decision, x @ fitted.fit.weights.T + fitted.fit.intercept, atol=1e-6)
    np.testing.assert_array_equal(fitted.pipeline.predict(planted.features), names[fitted.fit.predict(x)])
    np.testing.assert_allclose(fitted.pipeline.predict_proba(planted.features).sum(axis=1), 1.0)
    # A latent that never fires has no weight.
    silent = np.setdiff1d(np.arange(60), planted.features.indices)
    assert not fitted.fit.weights[:, silent].any()


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("features", [np.zeros((160, 5)), np.ones((160, 5))])
def test_features_that_say_nothing_give_one_answer(penalty: str, features: np.ndarray) -> None:
    """No latent is active on any row, as when an SAE of texts reads pictures, or all are on all alike."""
    y = np.arange(160) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_logistic(
            LatentRows(sp.csr_array(features.astype(np.float32))),
            np.arange(160),
            y,
            np.array(["a", "b"]),
            {"penalty": penalty, "C": 1.0},
            0,
        )
        cells, notes = score_grid(
            LatentRows(sp.csr_array(features.astype(np.float32))), y, 2, FOLDS, ClassificationParams(c_values=[1.0]), 0
        )
    assert not fitted.fit.weights.any() and notes == []
    assert [cell.folds for cell in cells] == [[pytest.approx(1 / 3)] * 2] * 2  # half of each class: one is always wrong
