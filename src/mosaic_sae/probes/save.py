"""The files beside ``point.json``: coefficients, predictions and the classifier. None of them can run code when loaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sae.errors import ProbeError
from mosaic_sae.fsio import write_bytes, write_with
from mosaic_sae.probes.coefficients import Coefficients

if TYPE_CHECKING:  # explanations read coefficients without waiting for scikit-learn
    from mosaic_sae.probes.result import ProbeResult

COEFFICIENTS = "coefficients.safetensors"
PREDICTIONS = "predictions.parquet"
CLASSIFIER = "classifier.skops"

TRUSTED = ("mosaic_sae.probes.ngrams.NgramVectorizer", "sklearn.tree._tree.Tree")
"""Types that a saved classifier may hold besides those that skops itself trusts."""


def save_probe(result: ProbeResult, folder: Path, ids: Sequence[str], units: Sequence[str]) -> None:
    """Write all files of one point.

    Args:
        result: what ``evaluate`` returned.
        folder: of the point; made if missing.
        ids: id of every example of the dataset.
        units: unit of every example.
    """
    if result.coefficients is not None:
        save_coefficients(result.coefficients, folder / COEFFICIENTS)
    save_predictions(result, folder / PREDICTIONS, ids, units)
    save_classifier(result.estimator, folder / CLASSIFIER)


def save_coefficients(coefficients: Coefficients, path: Path) -> None:
    """Write ``latents`` int32 [m], ``weights`` float32 [n_vectors, m], ``intercept`` float32 [n_vectors] and ``scale`` float32 [m]."""
    from safetensors.numpy import save

    arrays = {
        "latents": coefficients.latents.astype(np.int32),
        "weights": coefficients.weights.astype(np.float32),
        "intercept": coefficients.intercept.astype(np.float32),
        "scale": coefficients.scale.astype(np.float32),
    }
    classes = json.dumps(coefficients.classes, ensure_ascii=False)
    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata={"classes": classes}))


def load_coefficients(path: Path) -> Coefficients:
    """Read what ``save_coefficients`` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as handle:
        classes = json.loads(handle.metadata()["classes"])
        arrays = {name: handle.get_tensor(name) for name in ("latents", "weights", "intercept", "scale")}
    wide = {name: arrays[name].astype(np.float64) for name in ("weights", "intercept", "scale")}
    return Coefficients(classes=classes, latents=arrays["latents"], **wide)


def save_predictions(result: ProbeResult, path: Path, ids: Sequence[str], units: Sequence[str]) -> None:
    """Write one row per test example, in the order of the dataset: id, unit, label, predicted, and p_<class> for each class."""
    import pandas as pd

    columns: dict[str, Any] = {
        "id": [ids[row] for row in result.rows],
        "unit": [units[row] for row in result.rows],
        "label": result.labels.tolist(),
        "predicted": result.predicted.tolist(),
    }
    columns |= {f"p_{name}": result.probabilities[:, i] for i, name in enumerate(result.classes)}
    table = pd.DataFrame(columns)
    write_with(path, lambda temporary: table.to_parquet(temporary, index=False))


def save_classifier(estimator: Any, path: Path) -> None:
    """Write a fitted scikit-learn object with skops."""
    import skops.io

    write_with(path, lambda temporary: skops.io.dump(estimator, temporary, compression=zipfile.ZIP_DEFLATED, compresslevel=1))


def load_classifier(path: Path) -> Any:
    """Read a classifier.

    Raises:
        ProbeError: the file is missing, or holds types that no classifier of ours holds; such a file is not loaded.
    """
    import skops.io

    if not path.is_file():
        raise ProbeError(f"There is no saved classifier at {path}. Run the classification again.")
    strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if strange:
        raise ProbeError(
            f"{path} holds types that no saved classifier of this program holds: {', '.join(strange)}. "
            "It was not loaded, because they could run code of their own. Run the classification again to make it anew."
        )
    return skops.io.load(path, trusted=list(TRUSTED))
