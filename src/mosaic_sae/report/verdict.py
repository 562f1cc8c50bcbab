"""What the numbers of one dataset and split say, in one or two plain sentences."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from mosaic_sae.report.names import CLASSIFIERS, IN_SENTENCES, REPRESENTATIONS, interval, number, pooling_in_words, present, signed
from mosaic_sae.report.tables import reference_probe

CHANCE_MARGIN = 0.05
OUTCOMES = {"sae": "SAE ahead", "baseline": "baseline ahead", "close": "no clear winner", "none": "not compared"}


@dataclass(frozen=True)
class Verdict:
    """The outcome in words.

    ``outcome`` is "sae" (the SAE probe is ahead), "baseline" (a baseline is ahead), "close" (the interval of their difference
    holds 0) or "none".
    """

    outcome: str
    headline: str
    detail: str = ""
    warnings: list[str] = field(default_factory=list)
    probe: pd.Series | None = field(default=None, compare=False)
    """Row of the CV-chosen SAE probe."""
    rival: pd.Series | None = field(default=None, compare=False)
    """Row of the strongest baseline."""

    @property
    def text(self) -> str:
        """Headline and detail as one paragraph."""
        return f"{self.headline} {self.detail}".strip()


def verdict(scores: pd.DataFrame) -> Verdict:
    """Compare the CV-chosen SAE probe with the strongest baseline, and check the controls.

    The SAE probe (logistic or tree) is chosen by its cross-validated score. It is held against the baseline with the highest *test*
    score, the hardest opponent: that choice can only speak against the SAE probe. Ahead means that the 95 % interval of the
    paired difference of macro F1 does not hold 0.

    Args:
        scores: frame of ``tables.scores`` for one dataset and split.
    """
    probe, baselines = reference_probe(scores), scores[scores["role"] == "baseline"]
    warnings = _control_warnings(scores)
    if probe is None:
        return Verdict("none", "No SAE probe was fitted here, so there is nothing to compare.", warnings=warnings)
    warnings += _random_sae_warning(scores, probe)
    if baselines.empty:
        headline = f"The CV-chosen SAE probe ({_described(probe)}) reaches {_score(probe)}."
        return Verdict("none", headline, "No baseline was run, so this cannot be judged.", warnings, probe)
    rival = baselines.sort_values(["macro_f1", "fingerprint"], ascending=[False, True]).iloc[0]
    n_test = f"Macro F1 on {int(probe['n_test']):,} test examples"
    ours, theirs = f"the CV-chosen SAE probe ({_described(probe)}) reaches {_score(probe)}", f"{_short(rival)} {_score(rival)}"
    detail = f"{n_test}; difference {_difference(rival)}"
    if rival["vs_sae_high"] < 0:
        headline = f"The SAE probe ({_described(probe)}, chosen by CV) is ahead: {_score(probe)}; the strongest baseline is {theirs}."
        return Verdict("sae", headline, f"{detail}.", warnings, probe, rival)
    if rival["vs_sae_low"] > 0:
        headline = f"{_capital(_short(rival))} is ahead: {_score(rival)}; {ours}."
        return Verdict("baseline", headline, f"{detail}.", warnings, probe, rival)
    detail += ", so this test set does not separate the two."
    if rival["macro_f1"] > probe["macro_f1"]:
        headline = f"No clear winner, {_short(rival)} a little higher: {_score(rival)}; {ours}."
        return Verdict("close", headline, detail, warnings, probe, rival)
    return Verdict("close", f"No clear winner: {ours}; the strongest baseline, {theirs}.", detail, warnings, probe, rival)


def _difference(row: pd.Series) -> str:
    """Write SAE probe minus ``row``, with its interval."""
    return f"{signed(-row['vs_sae'])} {interval(-row['vs_sae_high'], -row['vs_sae_low'])}"


def _short(row: pd.Series) -> str:
    name = row["representation"]
    said = IN_SENTENCES.get(name) or REPRESENTATIONS.get(name, str(name))
    return f"{said} ({row['where']})" if row["where"] else said


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _described(row: pd.Series) -> str:
    classifier = CLASSIFIERS.get(row["classifier"], str(row["classifier"]))
    pooling = pooling_in_words({"pooling": row["pooling"], "binarise": row["binarise"]})
    return ", ".join(filter(None, [classifier, pooling, row["where"]]))


def _score(row: pd.Series) -> str:
    return f"{number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}".strip()


def _random_sae_warning(scores: pd.DataFrame, probe: pd.Series) -> list[str]:
    controls = scores[scores["representation"] == "random_sae"]
    same = controls[controls["classifier"] == probe["classifier"]]
    controls = same if len(same) else controls
    if controls.empty:
        return []
    control = controls.sort_values(["macro_f1", "fingerprint"], ascending=[False, True]).iloc[0]
    if control["vs_sae_high"] < 0:
        return []
    score = f"{_score(control)}; difference {_difference(control)}"
    if control["vs_sae_low"] > 0:
        return [f"A random SAE of the same width beats the trained one here ({score}): the score is not owed to what was learned."]
    return [
        f"A random SAE of the same width is not clearly below the trained one here ({score}):"
        " this test set does not show that the learned directions make the score."
    ]


def _control_warnings(scores: pd.DataFrame) -> list[str]:
    shuffled = scores[scores["representation"] == "shuffled_labels"]
    if shuffled.empty:
        return []
    row = shuffled.iloc[0]
    chance = 1 / int(row["n_classes"])
    if not present(row["macro_f1_low"]) or row["macro_f1_low"] <= chance + CHANCE_MARGIN:
        return []
    return [f"With shuffled labels the probe still reaches {_score(row)}, above chance ({chance:.2f}): look for a leak first."]
