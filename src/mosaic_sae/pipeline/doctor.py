"""Does an SAE fit a model? Measure it on some texts as configured, at the layers around, and with each convention changed."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

import numpy as np

from mosaic_sae.config.schema import Experiment, ModelEntry
from mosaic_sae.errors import MosaicError, SaeError
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import TokenisedTexts, TokenPolicy
from mosaic_sae.pipeline.diagnosis import Alternative, Finding, Measured, findings
from mosaic_sae.pipeline.prediction import measure, predicted_point
from mosaic_sae.pipeline.readings import ModelReadings, Reading, resolve_model
from mosaic_sae.pipeline.signs import Activations, activations, first_tokens, norms_of
from mosaic_sae.sae.base import SparseAutoencoder
from mosaic_sae.sae.quality import Quality
from mosaic_sae.sae.suspects import suspects
from mosaic_sae.sources.images import Picture

logger = logging.getLogger(__name__)

_LAYERS_EACH_WAY = 2
# Enough for three digits of explained variance; a wide SAE is measured some fifteen times.
_MOST_TOKENS = 3000


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of one SAE, and what follows."""

    measured: Measured
    findings: list[Finding]

    @property
    def fits(self) -> bool:
        """Whether no problem was found."""
        return all(finding.level != "problem" for finding in self.findings)


def diagnose(experiment: Experiment, entry: ModelEntry, texts: list[str], pictures: list[Picture | None] | None = None) -> list[Diagnosis]:
    """Examine every SAE of a model entry.

    Args:
        experiment: the config.
        entry: its model.
        texts: some 50 texts.
        pictures: the picture that belongs to each text, if any.

    Raises:
        MosaicError: the model or an SAE cannot be had, or no text has a token that counts.
    """
    without_control = experiment.classification_params.model_copy(update={"baselines": []})
    model = resolve_model(experiment.model_copy(update={"classification_params": without_control}), entry)
    factor = entry.sae.norm_scaling_factor if entry.sae else None
    rows = _Rows(texts, pictures)
    return [_examine(model, reading, rows, experiment.settings.device, factor) for reading in model.readings]


@dataclass(frozen=True)
class _Rows:
    texts: list[str]
    pictures: list[Picture | None] | None

    def tokenise(self, model: TextModel, policy: TokenPolicy) -> TokenisedTexts:
        """Tokenise the first rows that together have enough tokens; of a windowed text its first window."""
        return _few_tokens(model.tokenise(self.texts, policy, self.pictures))


def _examine(model: ModelReadings, reading: Reading, rows: _Rows, device: str, factor: float | None) -> Diagnosis:
    layer, site = reading.point.layer, reading.point.site
    target = predicted_point(reading.sae)
    # Where a transcoder reads elsewhere, it predicts as many layers further.
    further = target.layer - layer if target else 0
    layers = range(model.located.n_layers)
    nearby = [near for near in layers if abs(near - layer) <= _LAYERS_EACH_WAY and near + further in layers]
    points = [HookPoint(near, site) for near in nearby]
    if target:
        points += [HookPoint(near + further, target.site) for near in nearby]
    loaded = model.load(points, device)
    tokenised = rows.tokenise(loaded, model.policy)
    limit = model.max_norm[reading.point]
    limits = {point: limit for point in points if point.site == site}
    at = activations(loaded, tokenised, limits)
    sae = reading.sae.to(loaded.device)

    fits = {
        near: measure(sae, at[HookPoint(near, site)], at[HookPoint(near + further, target.site)] if target else None) for near in nearby
    }
    own, quality = at[reading.point], fits[layer]
    measured = Measured(
        sae=reading.name,
        model=model.located.name,
        point=str(reading.point),
        module=loaded.module_read(reading.point),
        dtype=loaded.dtype_name,
        tokens={**model.policy.identity, "max_norm": limit},
        first_tokens=first_tokens(loaded, tokenised),
        n_texts=len(tokenised),
        quality=quality,
        n_not_finite=int((~np.isfinite(own.norms)).sum()),
        norms=norms_of(own),
        stated={name: getattr(sae.metadata, name) for name in ("model_name", "l0", "prepend_bos")},
    )
    if quality is not None and quality.explained_variance is not None:
        measured = dataclasses.replace(
            measured,
            layers={near: found.explained_variance for near, found in fits.items() if found and found.explained_variance is not None},
            alternatives=[
                Alternative(one.fault, one.words, one.remedy, found.explained_variance)
                for one in suspects(sae, own.acts, factor)
                if (found := _tried(one.sae, own, at[target] if target else None)) and found.explained_variance is not None
            ],
            other_bos=_with_other_bos(loaded, rows, model.policy, limits, sae, reading.point, target),
        )
    return Diagnosis(measured, findings(measured, layer))


def _few_tokens(texts: TokenisedTexts) -> TokenisedTexts:
    """Keep the first texts that together have enough tokens; of a windowed text its first window."""
    total, kept = 0, 0
    for pieces in texts.pieces:
        total, kept = total + int(pieces[0].counts.sum()), kept + 1
        if total >= _MOST_TOKENS:
            break
    if not total:
        raise SaeError("The texts have no token that counts, so nothing can be measured. Give other texts.")
    first = [pieces[0] for pieces in texts.pieces[:kept]]
    return TokenisedTexts(
        [piece.ids for piece in first], [piece.counts for piece in first], texts.truncated[:kept], [[piece] for piece in first]
    )


def _tried(sae: SparseAutoencoder, at: Activations, target: Activations | None) -> Quality | None:
    """Measure an alternative; one that cannot be computed on these activations (an all-zero token) is none."""
    try:
        return measure(sae, at, target)
    except MosaicError as error:
        logger.debug("An alternative could not be measured: %s", error)
        return None


def _with_other_bos(
    model: TextModel,
    rows: _Rows,
    policy: TokenPolicy,
    limits: dict[HookPoint, float | None],
    sae: SparseAutoencoder,
    point: HookPoint,
    target: HookPoint | None,
) -> float | None:
    if model.tokenizer.bos_token_id is None or policy.chat is not None or policy.pictures is not None:
        return None
    other = dataclasses.replace(policy, prepend_bos=not policy.prepend_bos)
    at = activations(model, rows.tokenise(model, other), limits)
    found = measure(sae, at[point], at[target] if target else None)
    return found.explained_variance if found else None
