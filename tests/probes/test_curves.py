"""Curves and calibration against scikit-learn and hand computation."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

from mosaic_sae.probes.curves import calibration, precision_recall, roc


@pytest.fixture(params=["spread", "tied", "tree"])
def drawn(request):
    rng = np.random.default_rng(5)
    positive = rng.random(300) < 0.3
    scores = np.clip(0.3 * positive + rng.random(300) * 0.7, 0, 1)
    digits = {"spread": 12, "tied": 1, "tree": 0}[request.param]
    return positive, np.round(scores, digits)


def test_roc_is_that_of_scikit_learn(drawn):
    curve = roc(*drawn)
    x, y, thresholds = roc_curve(*drawn, drop_intermediate=False)
    np.testing.assert_allclose([curve.x, curve.y, curve.thresholds], [x, y, thresholds])
    assert curve.area == pytest.approx(roc_auc_score(*drawn))


def test_precision_and_recall_are_those_of_scikit_learn(drawn):
    curve = precision_recall(*drawn)
    precision, recall, thresholds = precision_recall_curve(*drawn, drop_intermediate=False)
    # scikit-learn goes from low thresholds to high ones and adds the point (0, 1).
    np.testing.assert_allclose([curve.y, curve.x, curve.thresholds], [precision[:-1][::-1], recall[:-1][::-1], thresholds[::-1]])
    assert curve.area == pytest.approx(average_precision_score(*drawn))


def test_calibration_is_that_of_scikit_learn(drawn):
    positive, scores = drawn
    found = calibration(positive, scores)
    filled = [one for one in found.bins if one.n]
    # scikit-learn puts an edge into the bin below it, so the edges are moved a little.
    observed, predicted = calibration_curve(positive, np.clip(scores + 1e-9, 0, 1), n_bins=10)
    np.testing.assert_allclose([one.observed for one in filled], observed)
    np.testing.assert_allclose([one.predicted for one in filled], predicted, atol=1e-8)
    assert found.brier == pytest.approx(brier_score_loss(positive, scores))
    assert sum(one.n for one in found.bins) == 300


def test_calibration_by_hand():
    # Bin [0.2, 0.3): 10 examples at 0.25, of which 8 come true; bin [0.9, 1]: two at 1.0 and one at 0.9, all true.
    positive = np.array([True] * 8 + [False] * 2 + [True] * 3)
    found = calibration(positive, np.array([0.25] * 10 + [1.0, 1.0, 0.9]))
    third, last = found.bins[2], found.bins[9]
    assert (third.n, third.observed, third.predicted) == (10, pytest.approx(0.8), pytest.approx(0.25))
    assert (third.observed_low, third.observed_high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )  # Wilson, 8 of 10
    assert (last.n, last.predicted) == (3, pytest.approx(2.9 / 3))
    assert found.error == pytest.approx((10 * 0.55 + 3 * (1 - 2.9 / 3)) / 13)
    assert np.isnan(found.bins[0].observed)
