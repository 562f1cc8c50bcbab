"""What a run would do, point by point, and why. ``run`` asks the same."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from mosaic_sae.config.load import Loaded
from mosaic_sae.errors import MosaicError
from mosaic_sae.pipeline.evidence import missing_indexes
from mosaic_sae.pipeline.grid import Point
from mosaic_sae.pipeline.work import extraction_state, prepare

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedPoint:
    """A point, whether it would be run, and why."""

    key: dict[str, Any]
    action: Literal["run", "skip", "fail"]
    """fail: its split cannot be made."""
    reason: str


def make_plan(loaded: Loaded) -> list[PlannedPoint]:
    """List all points of a config.

    Raises:
        MosaicError: a dataset, model or SAE cannot be had.
    """
    work = prepare(loaded.experiment)
    errors = {
        (dataset, split.name): str(split.rows)
        for dataset, splits in work.splits.items()
        for split in splits
        if isinstance(split.rows, MosaicError)
    }
    planned: list[PlannedPoint] = []
    for pairing in work.pairings:
        missing = extraction_state(pairing, loaded.experiment)
        planned.extend(_plan(point, missing or "no result yet; features are on disk", errors) for point in pairing.points)
    planned.extend(_plan(point, "no result yet", errors) for _, point in work.dataset_points)
    if indexes := missing_indexes(work):
        logger.info("By-latent indexes to make, for latent cards: %d", len(indexes))
    return planned


def _plan(point: Point, why: str, errors: dict[tuple[str, str], str]) -> PlannedPoint:
    if error := errors.get((point.key["dataset"], point.key["split"])):
        return PlannedPoint(point.key, "fail", error)
    if point.is_done:
        return PlannedPoint(point.key, "skip", f"done ({point.fingerprint})")
    return PlannedPoint(point.key, "run", why)
