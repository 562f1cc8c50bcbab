"""The sanity check of every extraction: does each SAE describe the activations of the first shard?"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.pipeline.readings import Reading, StorePlaces
from mosaic_sae.sae.quality import Quality

logger = logging.getLogger(__name__)

_FILE = "quality.json"
# Below this share of explained variance an SAE hardly describes the activations it is given.
_POOR_FIT = 0.5


def check_path(folder: Path) -> Path:
    """Where the check of a latent store is; it is written before the first shard is."""
    return folder / _FILE


def read_check(places: StorePlaces, name: str) -> dict[str, Any]:
    """Return the check of one reading: fvu, explained_variance, l0, dead_share, n_tokens."""
    result: dict[str, Any] = read_json(check_path(places.latents[name].folder))
    return result


def report_fit(quality: Quality, reading: Reading, model_name: str, folder: Path) -> None:
    """Write the check beside its store, log it, and warn where the SAE does not fit."""
    write_json(check_path(folder), dataclasses.asdict(quality))
    sparsity = f"L0 {quality.l0:.1f} on {quality.n_tokens:,} tokens"
    if quality.explained_variance is None:
        logger.info(f"{reading.name} at {reading.point}: {sparsity}; a transcoder, whose prediction is not checked")
        return
    logger.info(f"{reading.name} at {reading.point}: explained variance {quality.explained_variance:.3f}, {sparsity}")
    if quality.explained_variance < _POOR_FIT and not reading.is_control:
        logger.warning(
            f"The SAE {reading.name} explains only {quality.explained_variance:.0%} of the variance at {reading.point} of {model_name}. "
            "Probably the layer, the normalisation or the model is not the one it was trained on."
        )
