"""MOSAIC: classify texts and images with sparse autoencoder features, and see why."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def open_run(path: Any) -> Any:
    """Open the folder of a run: ``mosaic_sae.report.opened_run.Run`` (``docs/notebook.md``)."""
    # Imported when used: importing the package costs nothing.
    return importlib.import_module("mosaic_sae.report.opened_run").open_run(path)
