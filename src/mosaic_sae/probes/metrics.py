"""Scores of predictions: accuracy, F1, ROC AUC, per class, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Scores on one set of rows. Rates whose denominator is 0 are 0."""

    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    roc_auc: float | None
    per_class: list[dict[str, Any]]
    confusion: list[list[int]]
    """confusion[i][j]: examples of class i predicted as class j."""


def score(true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> Scores:
    """Score predictions.

    Args:
        true: int [n], numbers into ``classes``.
        predicted: int [n].
        probabilities: float [n, n_classes].
        classes: names.
    """
    k = len(classes)
    confusion = np.bincount(true * k + predicted, minlength=k * k).reshape(k, k)
    hits, support, guesses = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = class_f1(hits, support, guesses)
    per_class = [
        {
            "class": name,
            "precision": float(hits[i] / guesses[i]) if guesses[i] else 0.0,
            "recall": float(hits[i] / support[i]) if support[i] else 0.0,
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(classes)
    ]
    return Scores(
        n=len(true),
        accuracy=float(hits.sum() / len(true)),
        macro_f1=float(macro_f1(hits, support, guesses)),
        weighted_f1=float(f1 @ support / len(true)),
        roc_auc=roc_auc(true, probabilities),
        per_class=per_class,
        confusion=confusion.tolist(),
    )


def class_f1(hits: np.ndarray, support: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """F1 of each class, 2 hits / (support + guesses), over any leading axes; 0 for a class that never occurs."""
    total = support + guesses
    return np.divide(2.0 * hits, total, out=np.zeros(np.shape(total)), where=total > 0)


def macro_f1(hits: np.ndarray, support: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that occur as a label or as a prediction: [..., n_classes] -> [...]."""
    occurs = (support + guesses) > 0
    return class_f1(hits, support, guesses).sum(axis=-1) / occurs.sum(axis=-1)


def macro_f1_of(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Macro F1 of class numbers."""
    hits = np.bincount(true[true == predicted], minlength=n_classes)
    return float(macro_f1(hits, np.bincount(true, minlength=n_classes), np.bincount(predicted, minlength=n_classes)))


def roc_auc(true: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Area under the ROC curve; with several classes the mean of one class against the rest.

    None where it is undefined: a class without a row, or without a row of another class.
    """
    # Here, because the app uses this module's F1 and does without scikit-learn.
    from sklearn.metrics import roc_auc_score

    k = probabilities.shape[1]
    if len(np.unique(true)) < k or k < 2:
        return None
    if k == 2:
        return float(roc_auc_score(true, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(true == i, probabilities[:, i]) for i in range(k)]))
