"""The table of a run: one row per finished point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mosaic_sae.fsio import read_json, write_with


def write_results(folders: list[Path], base: Path, run_folder: Path) -> None:
    """Write ``results.parquet`` from the points' JSON files.

    Args:
        folders: folders of the finished points.
        base: ``base_classify_dir``; the paths in the table are relative to it.
        run_folder: where the table goes.
    """
    import pandas as pd

    from mosaic_sae.report.tables import COLUMNS, mark_chosen

    if not folders:
        return
    frame = pd.DataFrame([_row(read_json(folder / "point.json"), folder.relative_to(base).as_posix()) for folder in folders])
    # Whole numbers stay whole beside missing ones.
    frame = frame.astype({"layer": "Int64", "d_sae": "Int64", "binarise": "float64", "roc_auc": "float64"})
    frame = mark_chosen(frame)[COLUMNS]
    write_with(run_folder / "results.parquet", lambda path: frame.to_parquet(path, index=False))


def _row(point: dict[str, Any], path: str) -> dict[str, Any]:
    test = point["test"]
    names = ("accuracy", "macro_f1", "macro_f1_low", "macro_f1_high", "weighted_f1", "roc_auc")
    return {
        "fingerprint": point["fingerprint"],
        **point["key"],
        "n_train": point["n_train"],
        "n_test": point["n_test"],
        "n_classes": len(point["classes"]),
        **{name: test[name] for name in names},
        "cv_macro_f1": point["cv"]["macro_f1_mean"],
        "cv_macro_f1_sd": point["cv"]["macro_f1_sd"],
        "n_nonzero": point["n_nonzero"],
        "hyperparameters": json.dumps(point["hyperparameters"], sort_keys=True),
        "path": path,
        "seconds": point["seconds"]["fit"],
    }
