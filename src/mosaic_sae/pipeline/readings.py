"""What a run reads from one model: hook points, SAEs, the token policy, and the fingerprints that follow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.schema import Experiment, ModelEntry, Names
from mosaic_sae.errors import ConfigError, SaeError
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.models.families import FAMILIES
from mosaic_sae.models.hook_points import SITE_OF_LOCATION, VISION_TOWER, HookPoint, find_hook_point
from mosaic_sae.models.loading import Loading
from mosaic_sae.models.locate import LocatedModel, locate_model, width_at
from mosaic_sae.models.pictures import load_processor, make_vision_policy, tower_width
from mosaic_sae.models.text import TextModel, load_tokenizer, make_policy, resolve_device, resolve_dtype
from mosaic_sae.models.tokenise import TokenPolicy
from mosaic_sae.models.vision import VisionLanguageModel
from mosaic_sae.pipeline.layout import StoreLayout
from mosaic_sae.sae.load import load_sae
from mosaic_sae.sae.metadata import site_of
from mosaic_sae.sae.paths import fill_path
from mosaic_sae.sae.random import random_sae
from mosaic_sae.sae.releases import sae_block_of

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sources.base import Examples

# L0 of the random control when the SAE's files do not state one.
_USUAL_L0 = 64


@dataclass(frozen=True)
class Reading:
    """One SAE at one hook point."""

    point: HookPoint
    name: str
    sae: SparseAutoencoder
    is_control: bool = False
    """True for the random SAE that stands beside a trained one."""
    names: Names | None = None
    """Where its latents' names come from, layer and width filled in."""


@dataclass(frozen=True)
class ModelReadings:
    """Everything that is read from one model in one pass."""

    located: LocatedModel
    tokenizer: Any
    dtype: str
    policy: TokenPolicy
    points: tuple[HookPoint, ...]
    """Hook points, without repeats, in order of depth."""
    readings: tuple[Reading, ...]
    max_norm: dict[HookPoint, float | None]
    """Largest activation norm of a token that counts, per hook point; None = no limit."""
    loading: Loading = field(default_factory=Loading)
    """How the model's weights are loaded."""
    tower_width: int | None = None
    """Width of the vision tower's pooled output, where that is read too."""

    def load(self, points: Iterable[HookPoint], device: str) -> TextModel:
        """Load the model, to capture at these hook points.

        Raises:
            ModelError: it cannot be loaded.
        """
        kind = TextModel if self.policy.pictures is None else VisionLanguageModel
        return kind(self.located, list(points), device, self.dtype, self.loading)


def resolve_model(experiment: Experiment, entry: ModelEntry) -> ModelReadings:
    """Find a model and its SAEs; no weights of the model are loaded.

    Raises:
        MosaicError: something cannot be found, does not fit, or contradicts something else.
    """
    settings, tokens = experiment.settings, experiment.tokens
    # SAEs come first: that none is known is the quicker error, and it needs no model.
    site = SITE_OF_LOCATION[settings.sae_location]
    blocks = {(layer, width): sae_block_of(entry, site, layer, width) for layer in entry.layers for width in (entry.widths or (None,))}
    located = locate_model(entry.name, entry.revision, entry.trust_remote_code)
    readings: list[Reading] = []
    for (layer, width), block in blocks.items():
        sae = load_sae(block, layer, width, site)
        point = HookPoint(layer, site_of(sae.metadata, site))
        _check_fit(sae, point, located)
        readings.append(Reading(point, sae.metadata.name, sae, names=_names(entry, layer, width, site)))
        if "random_sae" in experiment.classification_params.baselines:
            control = random_sae(sae, sae.metadata.l0 or sae.k or min(_USUAL_L0, sae.d_sae // 4), settings.seed)
            readings.append(Reading(point, control.metadata.name, control, is_control=True))
    bos = {"always": True, "never": False, "auto": _bos_of_saes(readings)}[tokens.prepend_bos]
    tokenizer, of_tower = load_tokenizer(located), None
    if settings.model_type == "vlm":
        processor = load_processor(located)
        policy = make_vision_policy(processor, tokenizer, located, bos, tokens, entry.chat, entry.prompt)
        tokenizer = processor.tokenizer
        if "vision_tower" in experiment.classification_params.baselines:
            of_tower = tower_width(located)
    else:
        policy = make_policy(tokenizer, located, bos, tokens, entry.chat)
    points = tuple(sorted({reading.point for reading in readings}))
    return ModelReadings(
        located=located,
        tokenizer=tokenizer,
        dtype=resolve_dtype(settings.dtype, resolve_device(settings.device), located),
        policy=policy,
        points=points,
        readings=tuple(readings),
        max_norm={point: _max_norm(point, readings, tokens.max_norm) for point in points},
        loading=Loading(entry.blocks, entry.device_map, entry.quantisation),
        tower_width=of_tower,
    )


def _names(entry: ModelEntry, layer: int, width: str | None, site: str) -> Names | None:
    if entry.names is None:
        return None
    places = {"file": entry.names.file, "neuronpedia": entry.names.neuronpedia}
    filled = {key: place and fill_path(place, layer, width, site, f"models.names.{key}") for key, place in places.items()}
    return entry.names.model_copy(update=filled)


def _check_fit(sae: SparseAutoencoder, point: HookPoint, located: LocatedModel) -> None:
    name = sae.metadata.name
    if sae.d_model != (width := width_at(located, point.site)):
        raise SaeError(
            f"The SAE {name} reads activations of width {sae.d_model}, but those of {located.name} at {point} have width {width}. "
            "It belongs to another model or site; change models.sae."
        )
    output = find_hook_point(sae.metadata.output_hook_name or "")
    if output and (output.layer >= located.n_layers or sae.d_out != width_at(located, output.site)):
        raise SaeError(
            f"The transcoder {name} predicts activations of width {sae.d_out} at {output}, but {located.name} has layers 0 to "
            f"{located.n_layers - 1}, of width {width_at(located, output.site)} there. It belongs to another model; change models.sae."
        )
    family = FAMILIES.get(located.family) or FAMILIES.get(located.text_family)
    if family and family.norms_outputs and (sae.metadata.hook_name or "").endswith(("mlp.hook_out", "attn.hook_out")):
        raise SaeError(
            f"The SAE {name} was trained on '{sae.metadata.hook_name}', but {located.name} normalises outputs of attention and MLP "
            f"before it adds them, and MOSAIC reads them after that norm ({point}). Choose an SAE of {point}."
        )


def _bos_of_saes(readings: list[Reading]) -> bool | None:
    stated = {reading.sae.metadata.prepend_bos for reading in readings} - {None}
    if len(stated) > 1:
        raise ConfigError(
            "Some SAEs of this model were trained with a BOS token and some without. Set tokens.prepend_bos to always or never."
        )
    return stated.pop() if stated else None


def _max_norm(point: HookPoint, readings: list[Reading], wanted: float | str | None) -> float | None:
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    stated = {reading.sae.metadata.max_norm for reading in readings if reading.point == point}
    if len(stated) > 1:
        raise ConfigError(f"SAEs at {point} state different activation-norm limits ({stated}). Set tokens.max_norm to a number or null.")
    return stated.pop()


@dataclass(frozen=True)
class StorePlace:
    """Where a store is and what its numbers depend on."""

    folder: Path
    fingerprint: str


@dataclass(frozen=True)
class StorePlaces:
    """All stores of one model on one dataset."""

    examples: Path
    tokens: StorePlace
    activations: dict[HookPoint, StorePlace]
    dense: dict[HookPoint, StorePlace]
    """By hook point; also of the vision tower where that is read and there are pictures."""
    latents: dict[str, StorePlace]
    """By reading name."""


def places(model: ModelReadings, examples: Examples, base: Path, store_dtype: str) -> StorePlaces:
    """Derive all store folders from what changes their numbers."""
    layout = StoreLayout(base, model.located.name, examples.name)
    tokens = fingerprint({"examples": examples.fingerprint, "model": model.located.identity, "tokens": model.policy.identity})
    activations, dense, latents = {}, {}, {}
    for point in model.points:
        acts = fingerprint({"tokens": tokens, "dtype": model.dtype, "point": str(point), **model.loading.identity})
        pooled = fingerprint({"activations": acts, "max_norm": model.max_norm[point]})
        activations[point] = StorePlace(layout.activations(point, acts), acts)
        dense[point] = StorePlace(layout.dense(point, pooled), pooled)
        for reading in model.readings:
            if reading.point == point:
                key = fingerprint({"pooled_from": pooled, "sae": reading.sae.fingerprint, "values": store_dtype})
                latents[reading.name] = StorePlace(layout.latents(point, reading.name, key), key)
    if model.tower_width is not None and examples.pictures is not None and model.policy.pictures is not None:
        how = {"processor": model.policy.pictures.processor, "dtype": model.dtype, "point": str(VISION_TOWER), **model.loading.identity}
        key = fingerprint({"examples": examples.fingerprint, "model": model.located.identity, **how})
        dense[VISION_TOWER] = StorePlace(layout.dense(VISION_TOWER, key), key)
    return StorePlaces(layout.examples(examples.fingerprint), StorePlace(layout.tokens(tokens), tokens), activations, dense, latents)


def describe(model: ModelReadings, examples: Examples) -> dict[str, Any]:
    """Provenance for manifests and points: the model, the data and the token policy."""
    return json.loads(
        json.dumps({
            "dataset": {"name": examples.name, "fingerprint": examples.fingerprint, **examples.provenance},
            "model": {
                "name": model.located.name,
                "dtype": model.dtype,
                "licence": model.located.licence,
                **model.located.identity,
                **model.loading.identity,
            },
            "tokens": model.policy.identity,
        })
    )
