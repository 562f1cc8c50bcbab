"""Where there is nothing to find, nothing is found; and a leak would be seen."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.tree import best_columns

SEEDS = range(6)


def scores(make_planted, params, classifier: str, signal: float, leak: bool = False, **more) -> list[float]:
    found = []
    for seed in SEEDS:
        planted = make_planted(n=120, d_sae=300, signal=signal, seed=seed)
        features = planted.features
        if leak:
            y = np.unique(planted.labels, return_inverse=True)[1]
            features = sp.csr_array(features[:, best_columns(features, y, 15)])
        result = evaluate(features, planted.split, planted.labels, planted.units, planted.keys, classifier, params, 3, seed, **more)
        found.append(result.test.accuracy)
    return found


@pytest.mark.parametrize("classifier", ["logistic", "tree"])
def test_pure_noise_stays_at_chance(classifier: str, make_planted, params) -> None:
    found = scores(make_planted, params, classifier, signal=0.0)
    # Mean of 6 tests of 36 rows: standard error 0.034.
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_choosing_latents_on_all_rows_would_be_seen(make_planted, params) -> None:
    """The check above has power: the same noise scores well above chance if latents are chosen with the test part."""
    assert np.mean(scores(make_planted, params, "logistic", signal=0.0, leak=True)) > 0.62


def test_shuffled_labels_stay_at_chance_where_true_ones_are_perfect(make_planted, params) -> None:
    found = scores(make_planted, params, "logistic", signal=3.0, shuffle_labels=True)
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_shuffling_keeps_the_classes_of_each_part_and_says_so(make_planted, params) -> None:
    planted = make_planted()
    result = evaluate(
        planted.features, planted.split, planted.labels, planted.units, planted.keys, "logistic", params, 3, 0, shuffle_labels=True
    )
    truth = [planted.labels[row] for row in planted.split.test]
    assert result.labels.tolist() != truth
    assert sorted(result.labels.tolist()) == sorted(truth)
    assert "permuted" in result.notes[0]
