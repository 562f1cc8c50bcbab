"""What a transfer matrix says, in a few plain sentences for each training language."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mosaic_sae.report.names import CLASSIFIERS, called, interval, number, present, role_of, signed

_LISTED = 3


def verdicts(cells: pd.DataFrame) -> list[str]:
    """Say for each training language what the SAE probe gives in the others, beside baselines and their own probes.

    Where both SAE classifiers were fitted, the one with the better cross-validated score in the training language speaks.

    Args:
        cells: CV-chosen cells trained on the whole training part.
    """
    lines = []
    for language, part in cells.groupby("train_domain"):
        others = part[part["test_domain"] != language]
        probes = others[others["representation"] == "sae"]
        if probes.empty:
            continue
        best = probes.sort_values(["cv_macro_f1", "classifier"], ascending=[False, True]).iloc[0]["classifier"]
        probe = probes[probes["classifier"] == best]
        lines.append(
            f"Trained on {language}, {_mean(probe, best)} on {_languages(probe)}{_rivals(others)}.{_gap(probe)}{_pairs(probe, others)}"
        )
    return lines


def _mean(probe: pd.DataFrame, classifier: str) -> str:
    average = " on average" if len(probe) > 1 else ""
    return f"SAE features ({CLASSIFIERS.get(classifier, classifier)} probe) reach {number(probe['macro_f1'].mean())}{average}"


def _languages(probe: pd.DataFrame) -> str:
    return f"{len(probe)} other languages" if len(probe) > 1 else str(probe.iloc[0]["test_domain"])


def _rivals(others: pd.DataFrame) -> str:
    """Mean scores of the baselines, and of the random SAE, from the same training rows on the same test rows."""
    named = []
    for name in dict.fromkeys(others["representation"]):
        if role_of(name) == "baseline" or name == "random_sae":
            scores = others[others["representation"] == name]["macro_f1"]
            named.append(f"{called(name)} {number(scores.mean())}")
    return f" ({', '.join(named)})" if named else ""


def _gap(probe: pd.DataFrame) -> str:
    gaps = probe[probe["gap"].notna()]
    if len(gaps) < 2:
        return ""
    clear = int((gaps["gap_high"] < 0).sum())
    return f" The gap to the languages' own SAE probes is {signed(gaps['gap'].mean())} on average, clear in {clear} of {len(gaps)}."


def _pairs(probe: pd.DataFrame, others: pd.DataFrame) -> str:
    spelling = others[others["representation"] == "tfidf"].set_index("test_domain")["macro_f1"]
    rows: list[dict[Any, Any]] = probe.sort_values("macro_f1", ascending=False, kind="stable").to_dict("records")
    if len(rows) <= _LISTED:
        return " " + " ".join(f"In {_pair(row, spelling)}." for row in rows)
    return f" Best in {_pair(rows[0], spelling)}; least in {_pair(rows[-1], spelling)}."


def _pair(row: dict[Any, Any], spelling: pd.Series) -> str:
    language = row["test_domain"]
    score = f"{language} {number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}"
    if language in spelling:
        score += f" (TF-IDF {number(spelling[language])})"
    if not present(row["gap"]):
        return f"{score}, which has no probe of its own"
    return f"{score}, gap to its own probe {signed(row['gap'])} {interval(row['gap_low'], row['gap_high'])}"
