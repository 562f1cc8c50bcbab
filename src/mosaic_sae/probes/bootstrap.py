"""How far a macro F1, or a difference of two, could move with other test examples: percentile bootstrap over units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.metrics import macro_f1

LEVEL = 0.95
_CHUNK = 200


@dataclass(frozen=True)
class PairedDifference:
    """Macro F1 of ``a`` minus macro F1 of ``b`` on the same rows, with its 95 % interval."""

    difference: float
    low: float
    high: float


def macro_f1_interval(
    true: np.ndarray, predicted: np.ndarray, n_classes: int, units: Sequence[str], n_bootstrap: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval of macro F1 when units of the test part are drawn anew with replacement.

    Args:
        true: int [n].
        predicted: int [n].
        n_classes: number of classes.
        units: unit of each row; rows of one unit are drawn together.
        n_bootstrap: number of resamples.
        seed: seed of the draws.
    """
    draws, cells = _resampled_cells(true * n_classes + predicted, units, n_bootstrap, seed)
    values = _macro_of_cells(draws, cells // n_classes, cells % n_classes, n_classes)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_macro_f1(
    true: np.ndarray, predicted: np.ndarray, n_classes: int, units: Sequence[str], n_bootstrap: int, seed: int
) -> np.ndarray:
    """Macro F1 of several sets of predictions on the same rows, in resamples that draw the same units for all sets.

    The quantiles of a row are that set's interval; those of the difference of two rows are the interval of a paired
    difference.

    Args:
        true: int [n].
        predicted: int [n_sets, n].
        n_classes: number of classes.
        units: unit of each row; rows of one unit are drawn together.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Returns:
        float64 [n_sets, n_bootstrap].
    """
    # Sorted by what they hold, so that the draws depend neither on the order of rows nor on the names of units.
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    columns = np.vstack([true, predicted])
    contents: dict[int, list[tuple[int, ...]]] = {}
    for number, row in zip(unit.tolist(), columns.T.tolist(), strict=True):
        contents.setdefault(number, []).append(tuple(row))
    order = sorted(contents, key=lambda number: sorted(contents[number]))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))

    def per_unit(classes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        cells = place[unit[rows]] * n_classes + classes[rows]
        # Floats, because only their products are fast; counts are exact in them.
        return np.bincount(cells, minlength=len(order) * n_classes).reshape(len(order), n_classes).astype(np.float64)

    every = np.arange(len(true))
    support = per_unit(true, every)
    guesses = [per_unit(row, every) for row in predicted]
    hits = [per_unit(row, np.flatnonzero(row == true)) for row in predicted]
    rng = np.random.default_rng(seed)
    shares = np.full(len(order), 1 / len(order))
    parts = []
    for start in range(0, n_bootstrap, _CHUNK):
        draws = rng.multinomial(len(order), shares, size=min(_CHUNK, n_bootstrap - start)).astype(np.float64)
        drawn = draws @ support
        parts.append([macro_f1(draws @ one, drawn, draws @ other) for one, other in zip(hits, guesses, strict=True)])
    return np.concatenate(parts, axis=1)


def paired_difference(
    labels: Sequence[str],
    predicted_a: Sequence[str],
    predicted_b: Sequence[str],
    units: Sequence[str],
    n_bootstrap: int = 2000,
    seed: int = 42,
) -> PairedDifference:
    """Compare two sets of predictions on the same rows; each resample draws the same units for both.

    Raises:
        ProbeError: the sets differ in length.
    """
    if not len(labels) == len(predicted_a) == len(predicted_b) == len(units):
        raise ProbeError(
            f"A paired difference needs two sets of predictions on the same rows: got {len(labels)} labels, {len(predicted_a)} and "
            f"{len(predicted_b)} predictions, {len(units)} units. Compare points of one dataset and split."
        )
    names, codes = np.unique(np.concatenate([labels, predicted_a, predicted_b]), return_inverse=True)
    true, a, b = codes.reshape(3, -1)
    k = len(names)
    draws, cells = _resampled_cells((true * k + a) * k + b, units, n_bootstrap, seed)
    cell_true, cell_a, cell_b = cells // (k * k), cells // k % k, cells % k
    resampled = _macro_of_cells(draws, cell_true, cell_a, k) - _macro_of_cells(draws, cell_true, cell_b, k)
    once = np.bincount(np.searchsorted(cells, (true * k + a) * k + b), minlength=len(cells))[None, :]
    observed = _macro_of_cells(once, cell_true, cell_a, k) - _macro_of_cells(once, cell_true, cell_b, k)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairedDifference(float(observed[0]), float(low), float(high))


def _resampled_cells(cells: np.ndarray, units: Sequence[str], n_bootstrap: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the cells of each resample: int [n_bootstrap, n_cells], and the cells that occur.

    A cell numbers everything a score needs to know of a row. Units with the same cells are interchangeable, so drawing
    units is one multinomial draw over the kinds of units; without groups that is a draw over the confusion matrix.
    """
    occurring, code = np.unique(cells, return_inverse=True)
    order = np.lexsort((code, np.asarray(units)))
    _, starts = np.unique(np.asarray(units)[order], return_index=True)
    kinds = Counter(tuple(part.tolist()) for part in np.split(code[order], starts[1:]))
    # Sorted, so that the draws do not depend on the order of rows.
    ordered = sorted(kinds)
    n_units = len(starts)
    rows = np.repeat(np.arange(len(ordered)), [len(kind) for kind in ordered])
    contents = sp.csr_array(
        (np.ones(len(rows), dtype=np.int64), (rows, np.concatenate([np.array(kind) for kind in ordered]))),
        shape=(len(ordered), len(occurring)),
    )
    shares = np.array([kinds[kind] for kind in ordered]) / n_units
    rng = np.random.default_rng(seed)
    sizes = [min(_CHUNK, n_bootstrap - start) for start in range(0, n_bootstrap, _CHUNK)]
    return np.vstack([rng.multinomial(n_units, shares, size=size) @ contents for size in sizes]), occurring


def _macro_of_cells(counts: np.ndarray, true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Macro F1 of each row of cell counts: [n, n_cells] -> [n]."""
    is_true = np.equal.outer(true, np.arange(n_classes)).astype(np.int64)
    is_predicted = np.equal.outer(predicted, np.arange(n_classes)).astype(np.int64)
    return macro_f1(counts @ (is_true * is_predicted), counts @ is_true, counts @ is_predicted)
