"""Transfer across models: a classifier of one model's latents on those of another model, read with the same SAE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.bootstrap import LEVEL, resampled_macro_f1
from mosaic_sae.probes.metrics import macro_f1_of


@dataclass(frozen=True)
class ModelCell:
    """One classifier on the features of another model, of the same test rows."""

    n_test: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    in_domain: float
    """Macro F1 of the classifier on the model that it was trained on."""
    own: float
    """Macro F1 of the test model's own CV-chosen classifier; NaN where there is none."""
    gap: float
    """``macro_f1`` minus ``own``, with the 95 % interval of the paired bootstrap."""
    gap_low: float
    gap_high: float


def model_cell(transferred: np.ndarray, home: pd.DataFrame, own: pd.DataFrame | None, n_bootstrap: int, seed: int) -> ModelCell:
    """Score what a classifier answers on another model's features.

    Args:
        transferred: str [n_test], answers in the order of ``home``.
        home: predictions of the classifier on its own model: columns id, unit, label, predicted.
        own: the same of the test model's own classifier; None where it has none.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Raises:
        ProbeError: the two classifiers were tested on different rows or labels.
    """
    if own is not None and not (own["id"].equals(home["id"]) and own["label"].equals(home["label"])):
        raise ProbeError("the classifiers of the two models were tested on different rows or labels. Run the classification again.")
    answers = [transferred, home["predicted"].to_numpy(dtype=str)]
    if own is not None:
        answers.append(own["predicted"].to_numpy(dtype=str))
    names, codes = np.unique(np.array([home["label"].to_numpy(dtype=str), *answers]), return_inverse=True)
    true, *predicted = codes.reshape(len(answers) + 1, -1)
    scores = [macro_f1_of(true, row, len(names)) for row in predicted]
    # The draws are the same for all sets of answers.
    resampled = resampled_macro_f1(true, np.array(predicted), len(names), home["unit"].tolist(), n_bootstrap, seed)
    gap = (np.nan,) * 3 if own is None else (scores[0] - scores[2], *_interval(resampled[0] - resampled[2]))
    return ModelCell(len(home), scores[0], *_interval(resampled[0]), scores[1], np.nan if own is None else scores[2], *gap)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
