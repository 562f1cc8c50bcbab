"""The sentences follow from the numbers."""

import pandas as pd
import pytest
from test_report_tables import frame, row

from mosaic_sae.report import tables
from mosaic_sae.report.verdict import verdict


def judge(*rows):
    """Differences as wide as both intervals together, so that one excludes 0 exactly where the intervals do not overlap."""
    scores = tables.scores(frame(*rows), "d", "s")
    probe = tables.reference_probe(scores)
    if probe is not None:
        scores["vs_sae"] = scores["macro_f1"] - probe["macro_f1"]
        scores["vs_sae_low"] = scores["macro_f1_low"] - probe["macro_f1_high"]
        scores["vs_sae_high"] = scores["macro_f1_high"] - probe["macro_f1_low"]
    return verdict(scores)


def between(low, high, **more):
    return {"macro_f1": (low + high) / 2, "macro_f1_low": low, "macro_f1_high": high, **more}


def baseline(fingerprint, low, high, representation="tfidf"):
    return row(fingerprint, representation=representation, pooling=None, sae=None, **between(low, high))


def test_the_baseline_wins_and_it_is_said():
    found = judge(row("a", **between(0.70, 0.78)), baseline("b", 0.80, 0.90))
    assert found.outcome == "baseline"
    assert (
        found.headline
        == "TF-IDF is ahead: 0.850 [0.800, 0.900]; the CV-chosen SAE probe (logistic, sum pooling) reaches 0.740 [0.700, 0.780]."
    )
    assert found.detail == "Macro F1 on 100 test examples; difference −0.110 [−0.200, −0.020]."


def test_the_probe_wins_and_it_is_said():
    found = judge(row("a", binarise=1.0, **between(0.80, 0.90)), baseline("b", 0.70, 0.78))
    assert found.outcome == "sae"
    assert "The SAE probe (logistic, sum pooling binarised at ≥ 1, chosen by CV) is ahead: 0.850 [0.800, 0.900]" in found.text
    assert "strongest baseline is TF-IDF 0.740" in found.text


@pytest.mark.parametrize(("probe", "rival", "start"), [
    ((0.70, 0.80), (0.79, 0.89), "No clear winner, TF-IDF a little higher: 0.840"),
    ((0.79, 0.89), (0.70, 0.80), "No clear winner: the CV-chosen SAE probe (logistic, sum pooling) reaches 0.840"),
    ((0.70, 0.80), (0.70, 0.80), "No clear winner: the CV-chosen"),
    ((0.70, 0.80), (0.80, 0.90), "No clear winner, TF-IDF"),
])  # fmt: skip
def test_overlap_is_no_victory(probe, rival, start):
    found = judge(row("a", **between(*probe)), baseline("b", *rival))
    assert found.outcome == "close"
    assert found.headline.startswith(start)
    assert "], so this test set does not separate the two" in found.detail


def test_the_probe_is_chosen_by_cv_and_the_rival_is_the_strongest_on_the_test_part():
    found = judge(
        row("a", cv=0.9, **between(0.60, 0.70)),
        row("b", classifier="tree", cv=0.8, **between(0.90, 0.95)),
        baseline("c", 0.50, 0.55),
        baseline("d", 0.72, 0.80, "dense_mean"),
    )
    assert found.outcome == "baseline"
    assert found.headline.startswith("The mean hidden state is ahead: 0.760")
    assert "(logistic, sum pooling) reaches 0.650" in found.headline


def test_nothing_to_compare():
    assert judge(baseline("b", 0.7, 0.8)).headline == "No SAE probe was fitted here, so there is nothing to compare."
    alone = judge(row("a", **between(0.7, 0.8)))
    assert (alone.outcome, alone.detail) == ("none", "No baseline was run, so this cannot be judged.")


def control(fingerprint, representation, low, high):
    return row(fingerprint, representation=representation, **between(low, high))


def test_controls_that_are_too_good_raise_a_warning():
    probe, rival = row("a", **between(0.70, 0.80)), baseline("b", 0.5, 0.6)
    assert judge(probe, rival, control("c", "random_sae", 0.5, 0.6), control("d", "shuffled_labels", 0.45, 0.53)).warnings == []
    close = judge(probe, rival, control("c", "random_sae", 0.68, 0.76)).warnings
    assert len(close) == 1
    assert "is not clearly below the trained one here (0.720 [0.680, 0.760]; difference +0.030 [−0.060, 0.120])" in close[0]
    assert "beats the trained one" in judge(probe, rival, control("c", "random_sae", 0.85, 0.95)).warnings[0]
    leak = judge(probe, rival, control("d", "shuffled_labels", 0.60, 0.70)).warnings
    assert "still reaches 0.650 [0.600, 0.700], above chance (0.50)" in leak[0]


def test_chance_depends_on_the_number_of_classes():
    rows = [row("a", n_classes=4, **between(0.7, 0.8)), control("d", "shuffled_labels", 0.36, 0.44) | {"n_classes": 4}]
    assert "above chance (0.25)" in judge(*rows).warnings[0]


def test_a_missing_interval_is_no_warning():
    rows = [row("a", **between(0.7, 0.8)), control("d", "shuffled_labels", 0.6, 0.7) | {"macro_f1_low": None}]
    assert judge(*rows).warnings == []
    assert isinstance(frame(*rows), pd.DataFrame)
