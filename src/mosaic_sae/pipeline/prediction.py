"""How well a transcoder predicts: where its prediction belongs, and its fit on the few texts that every extraction looks at first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.models.hook_points import HookPoint, find_hook_point
from mosaic_sae.pipeline.readings import Reading, StorePlaces
from mosaic_sae.pipeline.signs import Activations
from mosaic_sae.sae.base import SparseAutoencoder
from mosaic_sae.sae.quality import Quality, QualityMeter

_FILE = "prediction.json"


def predicted_point(sae: SparseAutoencoder) -> HookPoint | None:
    """Return the hook point that a transcoder predicts; None for an SAE, and when it is not known."""
    return find_hook_point(sae.metadata.output_hook_name or "") if sae.is_transcoder else None


def measure(sae: SparseAutoencoder, at: Activations, target: Activations | None) -> Quality | None:
    """Measure an SAE, or a transcoder by what it predicts; None when there are no tokens.

    Args:
        sae: the SAE.
        at: what it reads.
        target: the same texts at the hook point that a transcoder predicts; without it a transcoder's fit is not measured.
    """
    if not len(at.acts):
        return None
    meter = QualityMeter(sae, with_fit=not sae.is_transcoder or target is not None)
    if target is None:
        meter.add(at.acts)
    else:
        both = at.rows & target.rows
        meter.add(at.acts[both[at.rows]], target=target.acts[both[target.rows]])
    return meter.result()


def write_predictions(
    readings: Iterable[Reading], found: Mapping[HookPoint, Activations], places: StorePlaces, device: torch.device
) -> None:
    """Measure every transcoder on a few texts; the figures are kept in the folder of its latents, for its check.

    Args:
        readings: the SAEs and transcoders of a run.
        found: activations of the texts at every hook point that is read or predicted.
        places: the stores.
        device: where to encode.
    """
    for reading in readings:
        target = predicted_point(reading.sae)
        # Texts that are all one word have no variance to explain.
        if target is not None and (found[target].acts != found[target].acts[:1]).any():
            fit = measure(reading.sae.to(device), found[reading.point], found[target])
            if fit is not None:
                write_json(places.latents[reading.name].folder / _FILE, dataclasses.asdict(fit))


def read_prediction(folder: Path) -> Quality | None:
    """Return what ``write_predictions`` left in a folder of latents, if anything."""
    path = folder / _FILE
    return Quality(**read_json(path)) if path.is_file() else None
