"""The table of a run: one row per finished point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.fsio import read_json, write_with
from mosaic_sae.probes.bootstrap import paired_difference
from mosaic_sae.probes.save import PREDICTIONS

if TYPE_CHECKING:
    import pandas as pd

_DIFFERENCE = ["vs_sae", "vs_sae_low", "vs_sae_high"]


def write_results(folders: list[Path], base: Path, run_folder: Path, n_bootstrap: int, seed: int) -> None:
    """Write ``results.parquet`` from the points' JSON files.

    Args:
        folders: folders of the finished points.
        base: ``base_classify_dir``; the paths in the table are relative to it.
        run_folder: where the table goes.
        n_bootstrap: resamples behind the intervals of differences.
        seed: seed of the draws.
    """
    import pandas as pd

    from mosaic_sae.report.tables import COLUMNS, mark_chosen

    if not folders:
        return
    frame = pd.DataFrame([_row(read_json(folder / "point.json"), folder.relative_to(base).as_posix()) for folder in folders])
    # Whole numbers stay whole beside missing ones.
    frame = frame.astype({"layer": "Int64", "d_sae": "Int64", "binarise": "float64", "roc_auc": "float64"})
    frame = _with_differences(mark_chosen(frame), base, n_bootstrap, seed)[COLUMNS]
    write_with(run_folder / "results.parquet", lambda path: frame.to_parquet(path, index=False))


def _with_differences(frame: pd.DataFrame, base: Path, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Add each chosen row's macro F1 minus that of its section's CV-chosen SAE probe, with the 95 % interval of the paired bootstrap."""
    import pandas as pd

    from mosaic_sae.report.tables import reference_probe

    frame = frame.assign(**dict.fromkeys(_DIFFERENCE, float("nan")))
    for _, part in frame[frame["chosen"]].groupby(["dataset", "split"], sort=False):
        probe = reference_probe(part)
        if probe is None:
            continue
        ours = pd.read_parquet(base / probe["path"] / PREDICTIONS)
        for index, path in part["path"].items():
            theirs = pd.read_parquet(base / path / PREDICTIONS)
            # Shuffled labels are other labels: there is nothing to pair.
            if index != probe.name and theirs["label"].equals(ours["label"]):
                found = paired_difference(
                    ours["label"].tolist(),
                    theirs["predicted"].tolist(),
                    ours["predicted"].tolist(),
                    ours["unit"].tolist(),
                    n_bootstrap,
                    seed,
                )
                frame.loc[index, _DIFFERENCE] = [found.difference, found.low, found.high]
    return frame


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
