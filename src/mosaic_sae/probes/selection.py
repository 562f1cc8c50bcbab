"""Cross-validation inside the training part: the folds, the scores of a grid, and the choice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mosaic_sae.errors import ProbeError
from mosaic_sae.sources.splits import cv_folds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """Row numbers of one fold, into whatever the labels were numbered by."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class GridCell:
    """One setting of the hyperparameters and its macro F1 in every fold."""

    params: dict[str, Any]
    folds: list[float]

    @property
    def mean(self) -> float:
        """Mean macro F1 over the folds."""
        return float(np.mean(self.folds))

    @property
    def sd(self) -> float:
        """Sample standard deviation of macro F1 over the folds."""
        return float(np.std(self.folds, ddof=1))


def make_folds(rows: np.ndarray, labels: Sequence[str], units: Sequence[str], n_folds: int, seed: int) -> tuple[list[Fold], list[str]]:
    """Cut the training rows into folds that keep units whole.

    Args:
        rows: [n] row numbers of the training part.
        labels: label of each of these rows.
        units: unit of each of these rows; rows of one unit stay together.
        n_folds: folds asked for; a class with fewer units than this lowers it.
        seed: seed of the assignment.

    Returns:
        The folds, as row numbers out of ``rows``, and notes for the result.

    Raises:
        ProbeError: a class has a single unit, so that no fold can both train on it and test it.
    """
    units_of = {label: {unit for unit, other in zip(units, labels, strict=True) if other == label} for label in sorted(set(labels))}
    rarest = min(units_of, key=lambda label: len(units_of[label]))
    possible = len(units_of[rarest])
    if possible < 2:
        raise ProbeError(
            f"Cross-validation inside the training part: class '{rarest}' has {possible} independent example there (rows of one group, "
            "or with the same text, count once), and at least 2 are needed. Add examples of it, drop the class, or lower test_size."
        )
    notes = []
    if possible < n_folds:
        notes.append(
            f"{possible} folds instead of {n_folds}: class '{rarest}' has only {possible} independent examples in the training part."
        )
    parts = cv_folds(list(labels), list(units), min(n_folds, possible), seed)
    return [Fold(rows[train], rows[test]) for train, test in parts], notes


def choose(cells: Sequence[GridCell]) -> GridCell:
    """Return the cell with the best mean; of equal ones the first, so list the simpler ones first.

    Means that differ by less than 1e-9 are equal: fold scores are ratios of small integers, and summing them in floating
    point must not decide.
    """
    best = max(cell.mean for cell in cells)
    return next(cell for cell in cells if cell.mean >= best - 1e-9)
