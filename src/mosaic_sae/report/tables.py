"""Tidy frames from ``results.parquet``. Every choice is made by the cross-validated score, never by the test score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.errors import StoreError
from mosaic_sae.report.names import REPRESENTATIONS, configuration, method_name, role_of, where

FAMILY = ["dataset", "split", "representation", "classifier"]
COLUMNS = [
    *["fingerprint", "dataset", "split", "model", "layer", "site", "sae", "d_sae", "representation", "pooling", "binarise", "classifier"],
    *["n_train", "n_test", "n_classes", "accuracy", "macro_f1", "macro_f1_low", "macro_f1_high", "weighted_f1", "roc_auc"],
    *["cv_macro_f1", "cv_macro_f1_sd", "n_nonzero", "hyperparameters", "chosen", "path", "seconds"],
    *["vs_sae", "vs_sae_low", "vs_sae_high"],
]
_ROLE_ORDER = {"sae": 0, "baseline": 1, "control": 2}


def read_results(path: Path) -> pd.DataFrame:
    """Read ``results.parquet``.

    Raises:
        StoreError: the file cannot be read, or lacks columns.
    """
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise StoreError(f"{path} cannot be read ({error}). Run the experiment again; finished points are kept.") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise StoreError(f"{path} lacks the columns {', '.join(missing)}; it was written by another version. Run the experiment again.")
    # Nullable integers become floats: one kind of missing value, NaN, is enough.
    return frame[COLUMNS].astype({
        "layer": "float64",
        "d_sae": "float64",
        "binarise": "float64",
        "roc_auc": "float64",
        "n_nonzero": "float64",
        **dict.fromkeys(("vs_sae", "vs_sae_low", "vs_sae_high"), "float64"),
    })


def mark_chosen(frame: pd.DataFrame, family: Sequence[str] = FAMILY) -> pd.DataFrame:
    """Set ``chosen``: in each family (dataset, split, representation, classifier) the one point with the best CV score.

    Ties go to the probe with fewer latents, then to the smaller fingerprint, so that the choice is the same on every machine.
    A family without CV scores (the majority class) chooses its smallest fingerprint.
    """
    marked = frame.copy()
    order = frame.assign(cv=frame["cv_macro_f1"].astype(float), latents=frame["n_nonzero"].astype(float))
    order = order.sort_values(["cv", "latents", "fingerprint"], ascending=[False, True, True], na_position="last")
    best = order.drop_duplicates(list(family)).index
    marked["chosen"] = marked.index.isin(best)
    return marked


def reference_probe(part: pd.DataFrame) -> pd.Series | None:
    """Return the SAE probe that others are held against: of the chosen ones of a section the one with the best CV score, or None."""
    probes = part[(part["representation"] == "sae") & part["chosen"].astype(bool)]
    return None if probes.empty else probes.sort_values(["cv_macro_f1", "fingerprint"], ascending=[False, True]).iloc[0]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def sections(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return every (dataset, split) in the order of the table."""
    pairs = frame[["dataset", "split"]].drop_duplicates()
    return list(pairs.itertuples(index=False, name=None))


def scores(frame: pd.DataFrame, dataset: str, split: str) -> pd.DataFrame:
    """Return the chosen point of each family of one section.

    Added columns: ``method``, ``label``, ``role``, ``where`` (model and layer, as far as the section has several), ``configuration``
    (pooling, threshold and ``where``) and ``latents_used``.

    ``method`` always names the classifier ("SAE (tree)"); the shorter ``label`` does so only where a representation has several.

    Rows: SAE probes, baselines, controls; inside each by test score, best first.
    """
    whole = frame[(frame["dataset"] == dataset) & (frame["split"] == split)]
    part = whole[whole["chosen"].astype(bool)].copy()
    part["method"] = [method_name(*pair) for pair in zip(part["representation"], part["classifier"], strict=True)]
    count = part["representation"].value_counts()
    names = zip(part["representation"], part["method"], strict=True)
    part["label"] = [method if count[name] > 1 else REPRESENTATIONS.get(name, name) for name, method in names]
    part["role"] = [role_of(name) for name in part["representation"]]
    several = {name for name in ("model", "layer") if whole[name].dropna().nunique() > 1}
    part["where"] = [where(row, several) for row in records(part[["model", "layer"]])]
    parts = zip(part["where"], records(part[["pooling", "binarise"]]), strict=True)
    part["configuration"] = [", ".join(filter(None, [place, configuration(row).strip("–")])) or "–" for place, row in parts]
    part["latents_used"] = part["n_nonzero"].where(part["sae"].notna())
    part["order"] = part["role"].map(_ROLE_ORDER)
    return (
        part.sort_values(["order", "macro_f1", "fingerprint"], ascending=[True, False, True]).drop(columns="order").reset_index(drop=True)
    )


def scores_by_model(frame: pd.DataFrame, dataset: str, split: str) -> list[tuple[str, pd.DataFrame]]:
    """Return, for each model of a section with several, what ``scores`` would say if it were the only one; else nothing.

    Methods without a model stand in every table.
    """
    part = frame[(frame["dataset"] == dataset) & (frame["split"] == split)]
    models = part["model"].dropna().unique()
    if len(models) < 2:
        return []
    alone = [(str(model), part[(part["model"] == model) | part["model"].isna()]) for model in models]
    return [(model, scores(mark_chosen(rows), dataset, split)) for model, rows in alone]


def chosen_sae(frame: pd.DataFrame, dataset: str, split: str, classifier: str) -> pd.Series | None:
    """Return the CV-chosen SAE point of one classifier, or None."""
    part = scores(frame, dataset, split)
    part = part[(part["representation"] == "sae") & (part["classifier"] == classifier)]
    return part.iloc[0] if len(part) else None


def pooling_grid(frame: pd.DataFrame, dataset: str, split: str, classifier: str) -> pd.DataFrame:
    """Return every pooling x binarise point of the SAE probe, for the model, layer and SAE of the chosen one.

    Returns:
        Columns pooling, binarise, cv_macro_f1, macro_f1, n_nonzero, chosen, fingerprint; empty when there is no such probe.
    """
    columns = ["pooling", "binarise", "cv_macro_f1", "macro_f1", "n_nonzero", "chosen", "fingerprint"]
    best = chosen_sae(frame, dataset, split, classifier)
    if best is None:
        return frame.iloc[:0][columns]
    same = (frame["representation"] == "sae") & (frame["classifier"] == classifier)
    for column in ("dataset", "split", "model", "layer", "site", "sae", "d_sae"):
        same &= frame[column] == best[column]
    return frame[same][columns].reset_index(drop=True)
