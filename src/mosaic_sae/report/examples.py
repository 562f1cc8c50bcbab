"""A few test examples of a point, right and wrong ones, each with what decided it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.errors import MosaicError
from mosaic_sae.explain.cards import visible
from mosaic_sae.explain.evidence import evidence_of, stores_of
from mosaic_sae.explain.explanation import Explanation
from mosaic_sae.probes.save import PREDICTIONS
from mosaic_sae.report import names

MOST = 2
"""Right examples shown, and wrong ones."""
CHOICE = (
    "Right ones: of each of the largest classes the test example of median confidence. Wrong ones: of different classes those in which"
    " the classifier was most confident."
)


@dataclass(frozen=True)
class Examples:
    """What a report shows of single examples; ``missing`` says why there are none."""

    right: list[Explanation]
    wrong: list[Explanation]
    missing: str = ""


def explained_examples(base: Path, folder: Path, point: Mapping[str, Any]) -> Examples:
    """Explain a few test examples of a point.

    Args:
        base: folder of results.
        folder: of the point.
        point: content of its ``point.json``.
    """
    # Here, so that the app, which shows what is in this module's tables, need not load what reads stores.
    from mosaic_sae.explain.example import explain_example

    try:
        stores_of(base, point, evidence_of(base, point))
    except MosaicError as error:  # results that were moved without their stores still give a report
        return Examples([], [], str(error))
    right, wrong = choose(pd.read_parquet(folder / PREDICTIONS))
    return Examples([explain_example(base, folder, name) for name in right], [explain_example(base, folder, name) for name in wrong])


def probe_in_words(shown: Examples) -> str:
    """Say whose decisions are explained; empty when there are none."""
    for found in shown.right + shown.wrong:
        key = found.key
        method = names.method_name(key["representation"], key["classifier"])
        return visible(
            f"Decisions of the CV-best SAE probe: {method}, {names.pooling_in_words(key)}, {key['model']}, layer {key['layer']}.", 300
        )
    return ""


def choose(predictions: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Choose ids of right and of wrong examples, as ``CHOICE`` says; ties go by id.

    Args:
        predictions: columns id, label, predicted and p_<class>.
    """
    chances = predictions[[name for name in predictions.columns if name.startswith("p_")]]
    rows = predictions.assign(confidence=chances.max(axis=1)).sort_values(["confidence", "id"], ascending=[False, True])
    is_right = rows["label"] == rows["predicted"]
    largest = rows["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    right = []
    for label in largest:
        of_class = rows[is_right & (rows["label"] == label)]
        if len(of_class):
            right.append(str(of_class["id"].iloc[len(of_class) // 2]))
    wrong = rows[~is_right].drop_duplicates("label")["id"].tolist()
    return right[:MOST], [str(name) for name in wrong[:MOST]]
