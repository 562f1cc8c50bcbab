"""What a transfer between texts and images says, with chance, the ceiling and what reads pictures without the language model."""

from __future__ import annotations

import pandas as pd

from mosaic_sae.report.names import CLASSIFIERS, called, interval, number, present, role_of, signed

_PLURAL = {"text": "texts", "image": "images"}


def modality_verdicts(cells: pd.DataFrame) -> list[str]:
    """Say for texts, then for images, what a probe trained on them gives on the other.

    Where both SAE classifiers were fitted, the one with the better cross-validated score in training speaks.

    Args:
        cells: CV-chosen cells trained on the whole training part.
    """
    return [line for train, test in (("text", "image"), ("image", "text")) if (line := _across(cells, train, test))]


def _across(cells: pd.DataFrame, train: str, test: str) -> str:
    on = cells[cells["test_domain"] == test]
    crossed, at_home = on[on["train_domain"] == train], on[on["train_domain"] == test]
    probes = crossed[crossed["representation"] == "sae"]
    if probes.empty:
        return ""
    probe = probes.sort_values(["cv_macro_f1", "classifier"], ascending=[False, True]).iloc[0]
    words = (
        f"Trained on {_PLURAL[train]}, SAE features ({CLASSIFIERS.get(probe['classifier'], probe['classifier'])} probe) reach"
        f" {_score(probe)} on {_PLURAL[test]}{_beside(crossed)}."
    )
    ceiling = at_home[(at_home["representation"] == "sae") & (at_home["classifier"] == probe["classifier"])]
    if len(ceiling) and present(probe["gap"]):
        gap = f"gap {signed(probe['gap'])} {interval(probe['gap_low'], probe['gap_high'])}"
        words += f" Trained on {_PLURAL[test]} themselves they reach {_score(ceiling.iloc[0])} ({gap})"
        rivals = _listed(at_home[[role_of(name) == "baseline" for name in at_home["representation"]]])
        words += f"; {rivals}." if rivals else "."
    return words


def _beside(crossed: pd.DataFrame) -> str:
    """Scores of baselines, the random SAE and chance, from the same training rows on the same test rows."""
    listed = _listed(crossed[[name != "sae" for name in crossed["representation"]]])
    return f" ({listed})" if listed else ""


def _listed(cells: pd.DataFrame) -> str:
    return ", ".join(f"{called(row['representation'])} {number(row['macro_f1'])}" for row in cells.to_dict("records"))


def _score(row: pd.Series) -> str:
    return f"{number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}"
