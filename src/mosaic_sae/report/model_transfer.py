"""Transfer across models as the report shows it, from ``model_transfer.parquet``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae.errors import StoreError
from mosaic_sae.report.names import configuration, interval, method_name, number, role_of, signed
from mosaic_sae.report.tables import records

_ORDER = {"sae": 0, "baseline": 1, "control": 2}


@dataclass(frozen=True)
class ModelTransfer:
    """One pair of models on one dataset and split."""

    dataset: str
    split: str
    train_model: str
    test_model: str
    n_test: int
    rows: list[dict[str, str]]
    """Cells of the table, as they are shown."""


def read_model_transfer(run_folder: Path) -> list[ModelTransfer]:
    """Read the table of a run; empty when it compared no models.

    Raises:
        StoreError: the table cannot be read.
    """
    path = run_folder / "model_transfer.parquet"
    if not path.is_file():
        return []
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Run the experiment again; finished points are kept.") from error
    found = []
    for names, part in frame.groupby(["dataset", "split", "train_model", "test_model"], sort=False):
        dataset, split, train, test = (str(name) for name in names)
        cells = sorted(records(part), key=lambda row: (_ORDER[role_of(row["representation"])], -row["macro_f1"]))
        found.append(ModelTransfer(dataset, split, train, test, int(part["n_test"].iloc[0]), [_shown(row) for row in cells]))
    return found


def _shown(row: dict[str, Any]) -> dict[str, str]:
    return {
        "method": method_name(row["representation"], row["classifier"]),
        "configuration": configuration(row),
        "transferred": f"{number(row['macro_f1'])} {interval(row['macro_f1_low'], row['macro_f1_high'])}",
        "in_domain": number(row["in_domain"]),
        "own": number(row["own"]),
        "gap": f"{signed(row['gap'])} {interval(row['gap_low'], row['gap_high'])}" if pd.notna(row["gap"]) else "–",
    }
