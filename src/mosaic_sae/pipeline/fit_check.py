"""The sanity check at the start of an extraction: does each SAE describe the activations that it is given?"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces
from mosaic_sae.pipeline.sinks import TokenBatch
from mosaic_sae.sae.quality import QualityMeter

logger = logging.getLogger(__name__)

# Examples that are looked at.
CHECK_ROWS = 64
_FILE = "quality.json"
# Below this share of explained variance an SAE hardly describes the activations it is given.
_POOR_FIT = 0.5


def is_checked(places: StorePlaces) -> bool:
    """Whether the check of every SAE is on disk."""
    return all((place.folder / _FILE).is_file() for place in places.latents.values())


def read_check(places: StorePlaces, name: str) -> dict[str, Any]:
    """Return the check of one reading: fvu, explained_variance, l0, dead_share, n_tokens, massive_tokens."""
    result: dict[str, Any] = read_json(places.latents[name].folder / _FILE)
    return result


def check_fit(
    model: ModelReadings, places: StorePlaces, points: Sequence[HookPoint], batches: Iterable[dict[HookPoint, TokenBatch]]
) -> None:
    """Measure the SAEs at ``points`` on some batches, write the figures beside their stores, and warn where one does not fit."""
    readings = [reading for reading in model.readings if reading.point in points]
    meters = {reading.name: QualityMeter(reading.sae) for reading in readings}
    massive = dict.fromkeys(meters, 0)
    for by_point in batches:
        for reading in readings:
            batch = by_point[reading.point]
            kept = batch.below(model.max_norm[reading.point])
            meters[reading.name].add(kept.activations.float())
            massive[reading.name] += len(batch.rows) - len(kept.rows)
    for reading in readings:
        result = dataclasses.asdict(meters[reading.name].result()) | {"massive_tokens": massive[reading.name]}
        write_json(places.latents[reading.name].folder / _FILE, result)
        figures = f"explained variance {result['explained_variance']:.3f}, L0 {result['l0']:.1f} on {result['n_tokens']:,} tokens"
        logger.info(f"{reading.name} at {reading.point}: {figures}")
        if result["explained_variance"] < _POOR_FIT and not reading.is_control:
            logger.warning(
                f"The SAE {reading.name} explains only {result['explained_variance']:.0%} of the variance at {reading.point} of "
                f"{model.located.name}. Probably the layer, the normalisation or the model is not the one it was trained on."
            )
