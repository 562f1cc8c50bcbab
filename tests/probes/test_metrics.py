"""Scores against scikit-learn and against hand-computed arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from mosaic_sae.probes.metrics import macro_f1_of, roc_auc, score


def predictions(k: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    true = rng.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    probabilities = rng.dirichlet(np.ones(k), n)
    probabilities[np.arange(n), true] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return true, probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize("k", [2, 3, 5])
def test_equals_scikit_learn(k: int) -> None:
    true, predicted, probabilities = predictions(k)
    names = [f"class {i}" for i in range(k)]
    ours = score(true, predicted, probabilities, names)
    assert ours.n == 200
    assert ours.accuracy == pytest.approx(reference.accuracy_score(true, predicted))
    assert ours.macro_f1 == pytest.approx(reference.f1_score(true, predicted, average="macro"))
    assert ours.macro_f1 == pytest.approx(macro_f1_of(true, predicted, k))
    assert ours.weighted_f1 == pytest.approx(reference.f1_score(true, predicted, average="weighted"))
    assert ours.confusion == reference.confusion_matrix(true, predicted).tolist()
    auc = reference.roc_auc_score(true, probabilities[:, 1]) if k == 2 else reference.roc_auc_score(true, probabilities, multi_class="ovr")
    assert ours.roc_auc == pytest.approx(auc)
    p, r, f, s = reference.precision_recall_fscore_support(true, predicted)
    for i, row in enumerate(ours.per_class):
        assert row == {
            "class": names[i],
            "precision": pytest.approx(p[i]),
            "recall": pytest.approx(r[i]),
            "f1": pytest.approx(f[i]),
            "support": s[i],
        }


def test_by_hand_with_a_class_that_is_never_predicted_and_one_that_never_occurs() -> None:
    true, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    ours = score(true, predicted, np.eye(3)[predicted], ["a", "b", "c"])
    # Class a: precision 3/4, recall 1, F1 6/7. Class b: 0. Class c occurs nowhere and is not averaged.
    assert ours.macro_f1 == pytest.approx((6 / 7 + 0) / 2)
    assert ours.weighted_f1 == pytest.approx(6 / 7 * 3 / 4)
    assert ours.confusion == [[3, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert ours.per_class[1] == {"class": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert ours.roc_auc is None


def test_a_wrong_guess_of_an_absent_class_counts() -> None:
    # As scikit-learn does it: class 2 is predicted once, so it is averaged with F1 0.
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    assert macro_f1_of(true, predicted, 3) == pytest.approx(reference.f1_score(true, predicted, average="macro"))
    assert macro_f1_of(true, predicted, 3) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_roc_auc_ranks_the_second_class() -> None:
    assert roc_auc(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])) == 1.0
    assert roc_auc(np.array([1, 0, 0]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])) == 0.0
    assert roc_auc(np.array([1, 1]), np.array([[0.9, 0.1], [0.4, 0.6]])) is None
