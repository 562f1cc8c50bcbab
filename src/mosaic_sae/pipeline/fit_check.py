"""The doctor's short form, at the start of every extraction: does each SAE describe the activations of the first shard?

The fit of a transcoder is that of a few texts, because what it predicts is not among what a run reads.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from mosaic_sae.fsio import read_json, write_json
from mosaic_sae.pipeline.diagnosis import Measured, Norms, findings
from mosaic_sae.pipeline.prediction import read_prediction
from mosaic_sae.pipeline.readings import Reading, StorePlaces
from mosaic_sae.sae.quality import Quality

logger = logging.getLogger(__name__)

_FILE = "quality.json"


def check_path(folder: Path) -> Path:
    """Where the check of a latent store is; it is written before the first shard is."""
    return folder / _FILE


def read_check(places: StorePlaces, name: str) -> dict[str, Any]:
    """Return the check of one reading: fvu, explained_variance, l0, dead_share, n_tokens, stated_l0, findings.

    Of a transcoder also fit_tokens, which fvu and explained_variance are over; absent when they are null.
    """
    result: dict[str, Any] = read_json(check_path(places.latents[name].folder))
    return result


def report_fit(quality: Quality, reading: Reading, model_name: str, signs: dict[str, Any], folder: Path) -> None:
    """Write the check beside its store, log it, and warn of what is wrong.

    Args:
        quality: of the first shard.
        reading: the SAE.
        model_name: of the model.
        signs: of the hook point (``signs.read_signs``).
        folder: of the latent store.
    """
    about = reading.sae.metadata
    predicted = read_prediction(folder)
    if predicted is not None:
        quality = dataclasses.replace(quality, fvu=predicted.fvu, explained_variance=predicted.explained_variance)
    measured = Measured(
        sae=reading.name,
        model=model_name,
        point=str(reading.point),
        module=signs["module"],
        dtype=signs["dtype"],
        tokens={},
        first_tokens=signs["first_tokens"],
        n_texts=0,
        quality=quality,
        n_not_finite=0,  # else the pass would have stopped
        norms=Norms(**signs["norms"]) if signs["norms"] else None,
        stated={"model_name": about.model_name, "l0": about.l0, "prepend_bos": about.prepend_bos},
    )
    found = [] if reading.is_control else findings(measured, reading.point.layer)
    check = dataclasses.asdict(quality) | {"stated_l0": about.l0, "findings": [dataclasses.asdict(finding) for finding in found]}
    if predicted is not None:
        check["fit_tokens"] = predicted.n_tokens
    write_json(check_path(folder), check)
    where = f"{reading.name} at {reading.point}"
    logger.info(f"{where}: explained variance {_fit(quality, predicted)}, L0 {quality.l0:.1f} on {quality.n_tokens:,} tokens")
    for finding in found:
        if finding.level == "problem":
            logger.warning(f"{where} of {model_name}: {finding.text} {finding.remedy}")


def _fit(quality: Quality, predicted: Quality | None) -> str:
    if quality.explained_variance is None:
        return "not measured (a transcoder, whose prediction is not checked here; mosaic doctor does)"
    return f"{quality.explained_variance:.3f}" + (f" of what it predicts for {predicted.n_tokens:,} tokens" if predicted else "")
