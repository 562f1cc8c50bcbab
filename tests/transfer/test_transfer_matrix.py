"""Cells of the transfer matrix against hand computations, scikit-learn and the other bootstrap."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from mosaic_sae.errors import ProbeError
from mosaic_sae.probes.bootstrap import macro_f1_interval, paired_difference, resampled_macro_f1
from mosaic_sae.transfer.matrix import Trained, transfer_cells

IDS = ["1/de", "1/en", "2/de", "2/en", "3/de", "3/en", "4/de", "4/en", "5/fr", "6/fr"]
LABELS = ["a", "a", "a", "a", "b", "b", "b", "b", "a", "b"]
LANGUAGE = {name: name[2:] for name in IDS}


def trained(language: str, predicted: str, share: float = 1.0) -> Trained:
    table = {"id": IDS, "unit": [name[0] for name in IDS], "label": LABELS, "predicted": list(predicted)}
    return Trained(language, share, pd.DataFrame(table))


def test_cells_by_hand() -> None:
    #                              de  en  de  en  de  en  de  en  fr fr
    cells = transfer_cells([trained("de", "aaaababbab"), trained("en", "aaaabbbbbb")], LANGUAGE, 200, 0)
    assert [(cell.train_domain, cell.test_domain) for cell in cells] == [
        (train, test) for train in ("de", "en") for test in ("de", "en", "fr")
    ]
    scores = {(cell.train_domain, cell.test_domain): cell for cell in cells}
    # de on de: rows 1 2 3 4 = a a b b, answered a a b b. de on en: a a a b: F1 of a 4/5, of b 2/3.
    assert scores["de", "de"].macro_f1 == 1.0 and scores["de", "de"].n_test == 4
    assert scores["de", "en"].macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    # The gap of de in en is taken from en's own classifier, which is right everywhere.
    assert scores["de", "en"].gap == pytest.approx((4 / 5 + 2 / 3) / 2 - 1)
    assert scores["en", "en"].gap == scores["en", "en"].gap_low == scores["en", "en"].gap_high == 0
    # en on fr: a b answered b b: F1 0 and 2/3; fr has no classifier of its own.
    assert scores["en", "fr"].macro_f1 == pytest.approx(1 / 3) and math.isnan(scores["en", "fr"].gap)


def test_equal_predictions_have_no_gap_and_shares_are_paired_with_their_own() -> None:
    same = "abababbaab"
    cells = transfer_cells(
        [trained("de", same), trained("en", same), trained("de", "a" * 10, 0.5), trained("en", "".join(LABELS), 0.5)], LANGUAGE, 200, 0
    )
    scores = {(cell.train_domain, cell.share, cell.test_domain): cell for cell in cells}
    assert all(cell.gap == cell.gap_low == cell.gap_high == 0 for cell in cells if cell.share == 1 and cell.test_domain != "fr")
    assert scores["de", 0.5, "en"].gap == pytest.approx(1 / 3 - 1)


def test_other_rows_or_labels_are_refused() -> None:
    other = trained("en", "a" * 10)
    other.predictions.loc[0, "label"] = "b"
    with pytest.raises(ProbeError, match="different rows or labels"):
        transfer_cells([trained("de", "a" * 10), other], LANGUAGE, 200, 0)


def test_two_units_resample_to_three_values() -> None:
    # Unit x: one a, answered a. Unit y: one b and one a, both answered b.
    true, predicted, units = np.array([0, 1, 0]), np.array([[0, 1, 1]]), ["x", "y", "y"]
    values, counts = np.unique(resampled_macro_f1(true, predicted, 2, units, 4000, 0)[0].round(9), return_counts=True)
    # x twice: a alone, F1 1. x and y: F1 of a 2/3, of b 2/3. y twice: F1 of a 0, of b 2/3.
    assert values.tolist() == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-8)
    assert (counts / 4000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


@pytest.mark.parametrize("grouped", [False, True])
def test_resamples_agree_with_the_other_bootstrap(grouped: bool) -> None:
    random = np.random.default_rng(3)
    true = random.integers(0, 3, 240)
    answers = np.where(random.random((2, 240)) < [[0.7], [0.5]], true, random.integers(0, 3, (2, 240)))
    units = [str(row // 4 if grouped else row) for row in range(240)]
    found = resampled_macro_f1(true, answers, 3, units, 4000, 1)
    assert found.mean(axis=1) == pytest.approx([f1_score(true, row, average="macro") for row in answers], abs=0.01)
    assert np.quantile(found[0], [0.025, 0.975]) == pytest.approx(macro_f1_interval(true, answers[0], 3, units, 4000, 2), abs=0.012)
    pair = paired_difference(true.astype(str), answers[0].astype(str), answers[1].astype(str), units, 4000, 3)
    assert np.quantile(found[0] - found[1], [0.025, 0.975]) == pytest.approx([pair.low, pair.high], abs=0.012)
    order = random.permutation(240)
    again = resampled_macro_f1(true[order], answers[:, order], 3, [f"u{units[row]}" for row in order], 4000, 1)
    assert np.array_equal(again, found)
