"""The interval covers what it says, follows units, and the multinomial shortcut is resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.bootstrap import macro_f1_interval, paired_difference
from mosaic_sae.probes.metrics import macro_f1, macro_f1_of


def singles(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def noisy(rng: np.random.Generator, true: np.ndarray, k: int, error: float) -> np.ndarray:
    return np.where(rng.random(len(true)) < error, rng.integers(0, k, len(true)), true)


def plain_bootstrap(true: np.ndarray, predicted: np.ndarray, units: np.ndarray, n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    names = np.unique(units)
    members = [np.flatnonzero(units == name) for name in names]
    values = []
    for _ in range(n):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        values.append(macro_f1_of(true[rows], predicted[rows], 3))
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize("unit_size", [1, 4])
def test_equals_drawing_units_one_by_one(unit_size: int) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 120)
    predicted = noisy(rng, true, 3, 0.4)
    units = np.arange(120) // unit_size
    ours = macro_f1_interval(true, predicted, 3, [f"u{u}" for u in units], 4000, seed=0)
    np.testing.assert_allclose(ours, plain_bootstrap(true, predicted, units, 800), atol=0.02)


def test_copies_in_one_unit_add_no_certainty() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 80)
    predicted = noisy(rng, true, 2, 0.5)
    alone = macro_f1_interval(true, predicted, 2, singles(80), 4000, seed=0)
    copies = np.repeat(np.arange(80), 9)
    together = macro_f1_interval(true[copies], predicted[copies], 2, [str(i) for i in copies], 4000, seed=0)
    apart = macro_f1_interval(true[copies], predicted[copies], 2, singles(720), 4000, seed=0)
    np.testing.assert_allclose(together, alone, atol=0.01)
    # Nine times as many rows taken as independent would make it a third as wide.
    assert (apart[1] - apart[0]) / (alone[1] - alone[0]) == pytest.approx(1 / 3, abs=0.05)


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 90)
    predicted = noisy(rng, true, 3, 0.3)
    units = np.array([f"g{i // 3}" for i in range(90)])
    order = rng.permutation(90)
    first = macro_f1_interval(true, predicted, 3, units.tolist(), 500, seed=3)
    assert macro_f1_interval(true[order], predicted[order], 3, units[order].tolist(), 500, seed=3) == first


def test_coverage_in_a_simulation() -> None:
    cells = np.array([[0.45, 0.05, 0.02], [0.08, 0.20, 0.02], [0.03, 0.05, 0.10]])
    truth = macro_f1(np.diag(cells), cells.sum(axis=1), cells.sum(axis=0))
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        cell = rng.choice(9, 300, p=cells.ravel())
        low, high = macro_f1_interval(cell // 3, cell % 3, 3, singles(300), 400, seed)
        covered += low <= truth <= high
    # 95 % of 200, give or take three standard errors and the small bias of percentile intervals.
    assert 0.90 <= covered / 200 <= 0.99


def test_paired_difference_by_hand() -> None:
    labels = ["a", "a", "b", "b"]
    good, poor = ["a", "a", "b", "b"], ["a", "b", "b", "b"]
    found = paired_difference(labels, good, poor, singles(4), n_bootstrap=500)
    # Poor: F1 of a = 2/3, of b = 4/5.
    assert found.difference == pytest.approx(1 - (2 / 3 + 4 / 5) / 2)
    assert found.low == 0.0
    assert found.high > found.difference
    mirrored = paired_difference(labels, poor, good, singles(4), n_bootstrap=500)
    assert (mirrored.difference, mirrored.low, mirrored.high) == pytest.approx((-found.difference, -found.high, -found.low))


def test_paired_difference_of_equal_predictions_is_exactly_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["x", "y", "z"], 60).tolist()
    predicted = rng.choice(["x", "y", "z"], 60).tolist()
    found = paired_difference(labels, predicted, predicted, singles(60), n_bootstrap=200)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_is_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 400)
    first = noisy(rng, true, 2, 0.4)
    second = np.where(rng.random(400) < 0.03, 1 - first, first)
    paired = paired_difference(*([str(c) for c in codes] for codes in (true, first, second)), singles(400), n_bootstrap=1000)
    single = macro_f1_interval(true, first, 2, singles(400), 1000, seed=0)
    assert paired.high - paired.low < 0.6 * (single[1] - single[0])
    assert paired.difference == pytest.approx(f1_score(true, first, average="macro") - f1_score(true, second, average="macro"))


def test_paired_difference_covers_no_difference() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        true = rng.integers(0, 2, 200)
        names = ([str(c) for c in codes] for codes in (true, noisy(rng, true, 2, 0.4), noisy(rng, true, 2, 0.4)))
        found = paired_difference(*names, singles(200), n_bootstrap=300, seed=seed)
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_predictions_on_different_rows_are_refused() -> None:
    with pytest.raises(ProbeError, match="on the same rows: got 2 labels, 2 and 3 predictions"):
        paired_difference(["a", "b"], ["a", "b"], ["a", "b", "b"], singles(2))
