"""The transfer matrix: every training language tested on every language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.bootstrap import LEVEL, resampled_macro_f1
from mosaic_sae.probes.metrics import macro_f1_of


@dataclass(frozen=True)
class Trained:
    """A classifier trained on one language, and what it answers on the test rows of all."""

    language: str
    share: float
    """Share of the training part that it was trained on."""
    predictions: pd.DataFrame
    """Columns id, unit, label, predicted."""


@dataclass(frozen=True)
class Cell:
    """One classifier on the test rows of one language."""

    train_language: str
    share: float
    test_language: str
    n_test: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    gap: float
    """Macro F1 minus that of the language's own classifier, trained on the same share; NaN where there is none."""
    gap_low: float
    gap_high: float


def transfer_cells(trained: Sequence[Trained], language_of: Mapping[str, str], n_bootstrap: int, seed: int) -> list[Cell]:
    """Score each classifier on the test rows of each language, beside the classifier that was trained on that language.

    Intervals are 95 % percentile bootstrap intervals over units of the language's test rows; the gap is paired: each
    resample draws the same units for both classifiers.

    Args:
        trained: classifiers of one kind, one for each training language and share, all tested on the same rows.
        language_of: language of each id.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Returns:
        A cell for each of ``trained`` and each test language, in this order; test languages are sorted.

    Raises:
        ProbeError: the classifiers were tested on different rows, so that their scores cannot be compared.
    """
    if not trained:
        return []
    first = trained[0].predictions
    for other in trained:
        if not (other.predictions["id"].equals(first["id"]) and other.predictions["label"].equals(first["label"])):
            raise ProbeError(
                f"the classifiers trained on {trained[0].language} and {other.language} were tested on different rows or labels;"
                " their scores cannot be compared. Run the classification again."
            )
    answers = np.array([one.predictions["predicted"].to_numpy(dtype=str) for one in trained])
    names, codes = np.unique(np.concatenate([first["label"].to_numpy(dtype=str)[None, :], answers]), return_inverse=True)
    codes = codes.reshape(len(trained) + 1, -1)
    languages, units = np.array([language_of[name] for name in first["id"]]), first["unit"].to_numpy()
    own = {(one.language, one.share): number for number, one in enumerate(trained)}
    columns: dict[str, list[Cell]] = {}
    for language in sorted(set(languages)):
        rows = np.flatnonzero(languages == language)
        true, predicted = codes[0, rows], codes[1:, rows]
        observed = [macro_f1_of(true, row, len(names)) for row in predicted]
        resampled = resampled_macro_f1(true, predicted, len(names), units[rows].tolist(), n_bootstrap, seed)
        cells = []
        for number, one in enumerate(trained):
            low, high = _interval(resampled[number])
            native = own.get((language, one.share))
            gap = (np.nan,) * 3
            if native is not None:
                gap = (observed[number] - observed[native], *_interval(resampled[number] - resampled[native]))
            cells.append(Cell(one.language, one.share, language, len(rows), observed[number], low, high, *gap))
        columns[language] = cells
    return [columns[language][number] for number in range(len(trained)) for language in columns]


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
