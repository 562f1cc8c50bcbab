"""Does an SAE fit a model? Measure it on some texts as configured, at the layers around, and with each convention changed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mosaic_sae.config.schema import Experiment, ModelEntry
from mosaic_sae.errors import MosaicError, SaeError
from mosaic_sae.models.hook_points import HookPoint, find_hook_point
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import TokenisedTexts, TokenPolicy, make_batches
from mosaic_sae.pipeline.diagnosis import Alternative, Finding, Measured, Norms, findings
from mosaic_sae.pipeline.forward import padded, token_budget
from mosaic_sae.pipeline.readings import ModelReadings, Reading, resolve_model
from mosaic_sae.sae.base import SparseAutoencoder
from mosaic_sae.sae.quality import Quality, QualityMeter
from mosaic_sae.sae.suspects import suspects

logger = logging.getLogger(__name__)

_LAYERS_EACH_WAY = 2
# Enough for three digits of explained variance; a wide SAE is measured some fifteen times.
_MOST_TOKENS = 3000
_MASSIVE = 10.0


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of one SAE, and what follows."""

    measured: Measured
    findings: list[Finding]

    @property
    def fits(self) -> bool:
        """Whether no problem was found."""
        return all(finding.level != "problem" for finding in self.findings)


@dataclass(frozen=True)
class Activations:
    """Activations of some texts at one hook point."""

    acts: torch.Tensor
    """float32 [n d] of the tokens that count, are finite and lie below the norm limit."""
    rows: np.ndarray
    """bool [n_all]: which of all tokens that count these are."""
    first: np.ndarray
    """float64 [n_texts]: norm of each text's first token."""
    norms: np.ndarray
    """float64 [n_all]: norm of every token that counts, before the limit."""


def diagnose(experiment: Experiment, entry: ModelEntry, texts: list[str]) -> list[Diagnosis]:
    """Examine every SAE of a model entry.

    Args:
        experiment: the config.
        entry: its model.
        texts: some 50 texts.

    Raises:
        MosaicError: the model or an SAE cannot be had, or no text has a token that counts.
    """
    without_control = experiment.classification_params.model_copy(update={"baselines": []})
    model = resolve_model(experiment.model_copy(update={"classification_params": without_control}), entry)
    factor = entry.sae.norm_scaling_factor if entry.sae else None
    return [_examine(model, reading, texts, experiment.settings.device, factor) for reading in model.readings]


def _examine(model: ModelReadings, reading: Reading, texts: list[str], device: str, factor: float | None) -> Diagnosis:
    layer, site = reading.point.layer, reading.point.site
    nearby = range(max(layer - _LAYERS_EACH_WAY, 0), min(layer + _LAYERS_EACH_WAY, model.located.n_layers - 1) + 1)
    target = _target_site(reading.sae)
    points = [HookPoint(near, each) for near in nearby for each in (site, target) if each is not None]
    loaded = TextModel(model.located, points, device, model.dtype, model.loading)
    tokenised = _few_tokens(loaded.tokenise(texts, model.policy))
    limit = model.max_norm[reading.point]
    at = activations(loaded, tokenised, limit)
    sae = reading.sae.to(loaded.device)

    def fit(one: SparseAutoencoder, near: int, seen: dict[HookPoint, Activations]) -> Quality | None:
        return _quality(one, seen[HookPoint(near, site)], seen[HookPoint(near, target)] if target else None)

    own = at[reading.point]
    quality = fit(sae, layer, at)
    measured = Measured(
        sae=reading.name,
        model=model.located.name,
        point=str(reading.point),
        module=loaded.module_read(reading.point),
        dtype=loaded.dtype_name,
        tokens={**dataclasses.asdict(model.policy), "max_norm": limit},
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
            layers={
                near: found.explained_variance for near in nearby if (found := fit(sae, near, at)) and found.explained_variance is not None
            },
            alternatives=[
                Alternative(one.fault, one.words, one.remedy, found.explained_variance)
                for one in suspects(sae, own.acts, factor)
                if (found := _tried(one.sae, own, at[HookPoint(layer, target)] if target else None))
                and found.explained_variance is not None
            ],
            other_bos=_with_other_bos(loaded, texts, model.policy, limit, sae, reading.point, target),
        )
    return Diagnosis(measured, findings(measured, layer))


def activations(model: TextModel, texts: TokenisedTexts, limit: float | None) -> dict[HookPoint, Activations]:
    """Run texts and keep the tokens that count, at every hook point of the model."""
    parts: dict[HookPoint, list[tuple[torch.Tensor, np.ndarray]]] = {point: [] for point in model.points}
    for rows, captured in _batches(model, texts):
        counts = np.zeros(next(iter(captured.values())).shape[:2], dtype=bool)
        for line, row in zip(counts, rows, strict=True):
            line[: len(texts.counts[row])] = texts.counts[row]
        for point, acts in captured.items():
            wide = acts.float()
            parts[point].append((wide[torch.from_numpy(counts).to(wide.device)].cpu(), wide[:, 0].norm(dim=-1).cpu().double().numpy()))
    found = {}
    for point, pieces in parts.items():
        acts = torch.cat([acts for acts, _ in pieces])
        norms = acts.norm(dim=-1).double().numpy()
        kept = np.isfinite(norms) & (norms <= (np.inf if limit is None else limit))
        found[point] = Activations(acts[torch.from_numpy(kept)], kept, np.concatenate([first for _, first in pieces]), norms)
    return found


def norms_of(at: Activations) -> Norms | None:
    """Summarise norms; None when no token is finite. Tokens beyond the norm limit do not count any more."""
    kept = at.norms[at.rows]
    if not len(kept):
        return None
    median = float(np.median(kept))
    return Norms(float(np.mean(at.first)), median, float(np.mean(kept > _MASSIVE * median)))


def first_tokens(model: TextModel, texts: TokenisedTexts, n: int = 5) -> list[dict[str, Any]]:
    """Return the first tokens of the first text: id, piece and whether it counts."""
    ids = texts.ids[0][:n].tolist()
    pieces = model.tokenizer.convert_ids_to_tokens(ids)
    return [
        {"id": number, "piece": str(piece), "counts": bool(counts)}
        for number, piece, counts in zip(ids, pieces, texts.counts[0][:n], strict=True)
    ]


def _batches(model: TextModel, texts: TokenisedTexts) -> Iterator[tuple[np.ndarray, dict[HookPoint, torch.Tensor]]]:
    for rows in make_batches(texts.lengths, None, token_budget(model.device.type)):
        yield rows, model.capture(padded([texts.ids[row] for row in rows], model.tokenizer.pad_token_id or 0))


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


def _target_site(sae: SparseAutoencoder) -> str | None:
    """Return the site that a transcoder predicts; None for an SAE, and when it is not known."""
    if not sae.is_transcoder:
        return None
    point = find_hook_point(sae.metadata.output_hook_name or "")
    return point.site if point else None


def _quality(sae: SparseAutoencoder, at: Activations, target: Activations | None) -> Quality | None:
    if not len(at.acts):
        return None
    meter = QualityMeter(sae, with_fit=not sae.is_transcoder or target is not None)
    if target is None:
        meter.add(at.acts)
    else:
        both = at.rows & target.rows
        meter.add(at.acts[both[at.rows]], target=target.acts[both[target.rows]])
    return meter.result()


def _tried(sae: SparseAutoencoder, at: Activations, target: Activations | None) -> Quality | None:
    """Measure an alternative; one that cannot be computed on these activations (an all-zero token) is none."""
    try:
        return _quality(sae, at, target)
    except MosaicError as error:
        logger.debug("An alternative could not be measured: %s", error)
        return None


def _with_other_bos(
    model: TextModel,
    texts: list[str],
    policy: TokenPolicy,
    limit: float | None,
    sae: SparseAutoencoder,
    point: HookPoint,
    target: str | None,
) -> float | None:
    if model.tokenizer.bos_token_id is None or policy.chat is not None:
        return None
    other = dataclasses.replace(policy, prepend_bos=not policy.prepend_bos)
    at = activations(model, _few_tokens(model.tokenise(texts, other)), limit)
    found = _quality(sae, at[point], at[HookPoint(point.layer, target)] if target else None)
    return found.explained_variance if found else None
