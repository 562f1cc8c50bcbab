"""What one probe on one split of one dataset came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mosaic_sae.probes.coefficients import Coefficients
from mosaic_sae.probes.metrics import Scores
from mosaic_sae.probes.selection import GridCell


@dataclass(frozen=True)
class ProbeResult:
    """Scores, choice, explanation and predictions. ``estimator`` is a fitted scikit-learn object and not part of the JSON."""

    kind: str
    """What was read: "latents", "dense" or "text"."""
    classifier: str
    classes: list[str]
    """Ascending; every class of the training and the test part."""
    test: Scores
    interval: tuple[float, float]
    """95 % bootstrap interval of the test macro F1."""
    chosen: GridCell
    """The chosen hyperparameters (none for the majority classifier) and their score in every fold."""
    grid: list[GridCell]
    n_train: int
    n_nonzero: int
    """Latents with a weight (logistic) or in a split (tree)."""
    rows: np.ndarray
    """int64 [n_test]: row number in the dataset of each prediction, in the order of the split."""
    labels: np.ndarray
    """str [n_test]."""
    predicted: np.ndarray
    """str [n_test]."""
    probabilities: np.ndarray
    """float64 [n_test, n_classes]. The classes were weighted to equal influence, so a class's share in the data is not in them."""
    estimator: Any
    seconds: float
    coefficients: Coefficients | None = None
    """Logistic probes on latents only."""
    tree: list[dict[str, Any]] | None = None
    """Nodes of a tree on latents or hidden states."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the numbers has to know: fewer folds than asked, fits that did not converge, classes missing in a part."""

    @property
    def cv_macro_f1(self) -> float:
        """Mean macro F1 of the chosen setting over the folds inside the training part."""
        return self.chosen.mean

    @property
    def top_latents(self) -> list[dict[str, Any]]:
        """Up to 20 latents per class with the largest weights for it; empty without a logistic probe on latents."""
        return self.coefficients.top() if self.coefficients else []

    def to_point(self) -> dict[str, Any]:
        """Return the part of ``point.json`` that the probe knows: plain numbers, strings, lists and dictionaries.

        The pipeline adds schema, fingerprint, key and provenance.
        """
        test = asdict(self.test)
        test["macro_f1_low"], test["macro_f1_high"] = self.interval
        return {
            "classes": self.classes,
            "test": test,
            "cv": {"macro_f1_mean": self.chosen.mean, "macro_f1_sd": self.chosen.sd, "folds": self.chosen.folds},
            "hyperparameters": self.chosen.params,
            "grid": [{"params": cell.params, "macro_f1_mean": cell.mean, "macro_f1_sd": cell.sd} for cell in self.grid],
            "n_train": self.n_train,
            "n_test": len(self.rows),
            "n_nonzero": self.n_nonzero,
            "top_latents": self.top_latents,
            "tree": {"nodes": self.tree} if self.tree is not None else None,
            "notes": self.notes,
            "seconds": {"fit": round(self.seconds, 3)},
        }
