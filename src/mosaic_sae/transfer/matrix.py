"""The transfer matrix: every training domain tested on every domain. A domain is a language, or a modality."""

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
    """A classifier trained on one domain, and what it answers on the test rows of all."""

    domain: str
    share: float
    """Share of the training part that it was trained on."""
    predictions: pd.DataFrame
    """Columns id, unit, label, predicted."""


@dataclass(frozen=True)
class Cell:
    """One classifier on the test rows of one domain."""

    train_domain: str
    share: float
    test_domain: str
    n_test: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    gap: float
    """Macro F1 minus that of the domain's own classifier, trained on the same share; NaN where there is none."""
    gap_low: float
    gap_high: float


def transfer_cells(trained: Sequence[Trained], domain_of: Mapping[str, str], n_bootstrap: int, seed: int) -> list[Cell]:
    """Score each classifier on the test rows of each domain, beside the classifier that was trained on that domain.

    Intervals are 95 % percentile bootstrap intervals over units of the domain's test rows; the gap is paired: each
    resample draws the same units for both classifiers.

    Args:
        trained: classifiers of one kind, one for each training domain and share, all tested on the same rows.
        domain_of: domain of each id.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Returns:
        A cell for each of ``trained`` and each test domain, in this order; test domains are sorted.

    Raises:
        ProbeError: the classifiers were tested on different rows, so that their scores cannot be compared.
    """
    if not trained:
        return []
    first = trained[0].predictions
    for other in trained:
        if not (other.predictions["id"].equals(first["id"]) and other.predictions["label"].equals(first["label"])):
            raise ProbeError(
                f"the classifiers trained on {trained[0].domain} and {other.domain} were tested on different rows or labels;"
                " their scores cannot be compared. Run the classification again."
            )
    answers = np.array([one.predictions["predicted"].to_numpy(dtype=str) for one in trained])
    names, codes = np.unique(np.concatenate([first["label"].to_numpy(dtype=str)[None, :], answers]), return_inverse=True)
    codes = codes.reshape(len(trained) + 1, -1)
    domains, units = np.array([domain_of[name] for name in first["id"]]), first["unit"].to_numpy()
    own = {(one.domain, one.share): number for number, one in enumerate(trained)}
    columns: dict[str, list[Cell]] = {}
    for domain in sorted(set(domains)):
        rows = np.flatnonzero(domains == domain)
        true, predicted = codes[0, rows], codes[1:, rows]
        observed = [macro_f1_of(true, row, len(names)) for row in predicted]
        resampled = resampled_macro_f1(true, predicted, len(names), units[rows].tolist(), n_bootstrap, seed)
        cells = []
        for number, one in enumerate(trained):
            low, high = _interval(resampled[number])
            native = own.get((domain, one.share))
            gap = (np.nan,) * 3
            if native is not None:
                gap = (observed[number] - observed[native], *_interval(resampled[number] - resampled[native]))
            cells.append(Cell(one.domain, one.share, domain, len(rows), observed[number], low, high, *gap))
        columns[domain] = cells
    return [columns[domain][number] for number in range(len(trained)) for domain in columns]


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
