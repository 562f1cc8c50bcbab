"""How a probability separates one class from the others, and whether it means what it says: ROC, precision and recall, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_BINS = 10
_Z = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True)
class Curve:
    """Points of a curve in the order of falling thresholds, and the area under it."""

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray
    """An example counts as of the class from this probability on."""
    area: float


@dataclass(frozen=True)
class Bin:
    """Examples whose probability lies in [low, high), the last one with its end."""

    low: float
    high: float
    n: int
    predicted: float
    """Mean probability; NaN when the bin is empty."""
    observed: float
    """Share of the class; NaN when the bin is empty."""
    observed_low: float
    observed_high: float
    """95 % Wilson interval of ``observed`` (Wilson 1927)."""


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram of one class."""

    bins: list[Bin]
    error: float
    """Expected calibration error: |observed - predicted| of the bins, weighted by their counts (Naeini et al. 2015)."""
    brier: float
    """Mean squared difference between probability and truth (Brier 1950)."""


def roc(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """ROC curve: false positive rate (x) and true positive rate (y), with the area by trapezoids. Equal scores are one step.

    Args:
        positive: bool [n], both values present.
        scores: float [n].
    """
    hits, wrong, thresholds = _counts(positive, scores)
    x = np.concatenate([[0.0], wrong / wrong[-1]])
    y = np.concatenate([[0.0], hits / hits[-1]])
    return Curve(x, y, np.concatenate([[np.inf], thresholds]), float(np.trapezoid(y, x)))


def precision_recall(positive: np.ndarray, scores: np.ndarray) -> Curve:
    """Recall (x) and precision (y); the area is the average precision, the sum of precision times gain in recall, without interpolation.

    Args:
        positive: bool [n], at least one true.
        scores: float [n].
    """
    hits, wrong, thresholds = _counts(positive, scores)
    recall, precision = hits / hits[-1], hits / (hits + wrong)
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return Curve(recall, precision, thresholds, area)


def calibration(positive: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS) -> Calibration:
    """Compare probabilities with what came true, in bins of equal width.

    Args:
        positive: bool [n], n > 0.
        probabilities: float [n] in 0..1.
        n_bins: number of bins.
    """
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    # A little more, so that 0.3, which is no binary fraction, is not put below an edge at 0.3.
    place = np.clip(np.floor(probabilities * n_bins + 1e-9).astype(int), 0, n_bins - 1)
    counts = np.bincount(place, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, weights=probabilities, minlength=n_bins) / counts
        observed = np.bincount(place, weights=positive.astype(float), minlength=n_bins) / counts
    low, high = _wilson(observed, counts)
    columns = zip(edges[:-1], edges[1:], counts, predicted, observed, low, high, strict=True)
    bins = [Bin(float(start), float(end), int(n), *map(float, rest)) for start, end, n, *rest in columns]
    filled = counts > 0
    error = float(np.sum(counts[filled] * np.abs(observed[filled] - predicted[filled])) / len(positive))
    return Calibration(bins, error, float(np.mean((probabilities - positive) ** 2)))


def _counts(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positives and negatives at or above each distinct score, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(positive[order])[last]
    return hits, last + 1 - hits, ordered[last]


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return middle - half, middle + half
