"""Contributions add up to the decision; lists put each latent under the class it speaks for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.solver import LinearFit


def test_by_hand() -> None:
    fit = LinearFit(np.array([[0.0, 2.0, -1.0, 0.0, 3.0]]), np.array([0.25]), True)
    coefficients = Coefficients.of_fit(fit, np.array([1.0, 4.0, 0.5, 9.0, 2.0]), ["no", "yes"])
    assert coefficients.latents.tolist() == [1, 2, 4]
    x = sp.csr_array(np.array([[7.0, 2.0, 0.0, 5.0, 0.0], [0.0, 0.0, 1.0, 0.0, 4.0]]))
    (parts,) = coefficients.contributions(x)
    assert parts.toarray().tolist() == [[0, 1.0, 0, 0, 0], [0, 0, -2.0, 0, 6.0]]
    assert parts.nnz == 3
    assert x.nnz == 5
    assert coefficients.decision(x).tolist() == [[1.25], [4.25]]
    assert coefficients.top(n=1) == [
        {"class": "no", "latent": 2, "weight": -1.0, "scale": 0.5},
        {"class": "yes", "latent": 4, "weight": 3.0, "scale": 2.0},
    ]
    assert [entry["latent"] for entry in coefficients.top()] == [2, 4, 1]


def test_several_classes_list_positive_weights_each() -> None:
    fit = LinearFit(np.array([[1.0, -2.0], [-1.0, 0.0], [0.5, 2.0]]), np.zeros(3), True)
    listed = Coefficients.of_fit(fit, np.ones(2), ["a", "b", "c"]).top()
    assert [(entry["class"], entry["latent"], entry["weight"]) for entry in listed] == [("a", 0, 1.0), ("c", 1, 2.0), ("c", 0, 0.5)]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_contributions_and_intercept_are_the_decision_of_the_saved_classifier(n_classes: int, penalty: str, make_planted, params) -> None:
    planted = make_planted(n_classes=n_classes)
    chosen = params.model_copy(update={"penalties": [penalty], "c_values": [1.0]})
    result = evaluate(planted.features, planted.split, planted.labels, planted.units, planted.keys, "logistic", chosen, 3, 0)
    assert result.coefficients is not None
    rows = planted.features[planted.split.test]
    decision = result.estimator.decision_function(rows).reshape(len(planted.split.test), -1)
    np.testing.assert_allclose(result.coefficients.decision(rows), decision, rtol=1e-5, atol=1e-5)
    assert len(result.coefficients.latents) == result.n_nonzero
