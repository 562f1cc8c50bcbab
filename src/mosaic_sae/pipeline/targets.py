"""The stores of one model on one dataset, each with the sink that fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.schema import Settings
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.locate import width_at
from mosaic_sae.models.text import resolve_device
from mosaic_sae.pipeline.fit_check import check_path, report_fit
from mosaic_sae.pipeline.readings import ModelReadings, Reading, StorePlace, StorePlaces, describe
from mosaic_sae.pipeline.signs import read_signs
from mosaic_sae.pipeline.sinks import ActivationSink, DenseSink, LatentSink, Sink, TokenBatch
from mosaic_sae.sae.quality import QualityMeter
from mosaic_sae.store.writer import StoreWriter

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sources.base import Examples


@dataclass(frozen=True)
class Target:
    """A store to fill from the activations at one hook point."""

    writer: StoreWriter
    point: HookPoint
    max_norm: float | None
    make_sink: Callable[[int], Sink]
    """From the number of rows of a shard to its sink."""
    reading: Reading | None = None
    """The SAE of a latent store; it is checked on the first shard."""

    def missing(self, thorough: bool = True) -> set[int]:
        """Shards to make; the first one also when the SAE's check is not on disk."""
        missing = self.writer.missing(thorough)
        if self.reading is not None and not check_path(self.writer.folder).is_file():
            missing.add(0)
        return missing


@dataclass(frozen=True)
class Targets:
    """All stores of one model on one dataset."""

    tokens: StoreWriter
    activations: list[Target]
    final: list[Target]
    """Pooled hidden states, of the vision tower too, and sparse latents: what classifiers read."""


def make_targets(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> Targets:
    """Describe the stores; nothing is written."""
    about = describe(model, examples)
    device = resolve_device(settings.device)

    def writer(place: StorePlace, kind: str, **more: Any) -> StoreWriter:
        return StoreWriter(place.folder, kind, place.fingerprint, len(examples), settings.shard_rows, about | more)

    activations, final = [], []
    for point in model.points:
        limit = model.max_norm[point]
        width = width_at(model.located, point.site)
        where: dict[str, Any] = {"point": str(point), "d_model": width}
        activations.append(Target(writer(places.activations[point], "activations", **where), point, None, ActivationSink))
        pooled = writer(places.dense[point], "dense", max_norm=limit, **where)
        final.append(Target(pooled, point, limit, partial(DenseSink, d_model=width)))
    if VISION_TOWER in places.dense and model.tower_width is not None:
        tower = writer(places.dense[VISION_TOWER], "dense", point=str(VISION_TOWER), d_model=model.tower_width)
        # There is one state per picture, so its mean is that state.
        sink = partial(DenseSink, d_model=model.tower_width, poolings=("mean",))
        final.append(Target(tower, VISION_TOWER, None, sink))
    for reading in model.readings:
        limit = model.max_norm[reading.point]
        more = {"point": str(reading.point), "max_norm": limit, "sae": reading.name, "d_sae": reading.sae.d_sae}
        latents = writer(places.latents[reading.name], "latents", sae_fingerprint=reading.sae.fingerprint, **more)
        final.append(Target(latents, reading.point, limit, _latent_sink(reading.sae.to(device), settings.store_dtype), reading))
    return Targets(writer(places.tokens, "tokens"), activations, final)


def _latent_sink(sae: SparseAutoencoder, store_dtype: str) -> Callable[[int], Sink]:
    # A function of its own, so that each sink keeps its SAE and not the loop's last one.
    return lambda n_rows: LatentSink(n_rows, sae, store_dtype)


class ShardFiller:
    """Fills one shard of some stores, and checks the SAEs when it is the first shard."""

    def __init__(self, number: int, n_rows: int, targets: list[Target], model_name: str, places: StorePlaces) -> None:
        self._number, self._model_name, self._places = number, model_name, places
        self._meters: dict[int, QualityMeter] = {}
        self._sinks: list[tuple[Target, Sink]] = []
        for target in targets:
            sink = target.make_sink(n_rows)
            if number == 0 and target.reading is not None and isinstance(sink, LatentSink):
                # What a transcoder predicts is not captured here; its fit is that on the few texts (prediction.py).
                sae = target.reading.sae
                sink.meter = self._meters[id(target)] = QualityMeter(sae, with_fit=not sae.is_transcoder)
            self._sinks.append((target, sink))

    def add(self, batches: dict[HookPoint, TokenBatch]) -> None:
        """Give each sink the tokens at its hook point that are below its norm limit; the vision tower has none in a batch of texts."""
        within: dict[tuple[HookPoint, float | None], TokenBatch] = {}
        for target, sink in self._sinks:
            if target.point not in batches:
                continue
            key = (target.point, target.max_norm)
            if key not in within:
                within[key] = batches[target.point].below(target.max_norm)
            sink.add(within[key])

    def write(self) -> None:
        """Write the shard of each store; the check of an SAE comes before its first shard."""
        for target, sink in self._sinks:
            if (meter := self._meters.get(id(target))) is not None and target.reading is not None:
                signs = read_signs(self._places.activations[target.point].folder)
                report_fit(meter.result(), target.reading, self._model_name, signs, target.writer.folder)
            target.writer.write(self._number, *sink.arrays())
