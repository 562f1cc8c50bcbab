"""Fill the stores of one model on one dataset: one pass for all layers and SAEs, and only for what is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mosaic_sae.config.schema import Settings
from mosaic_sae.fsio import write_with
from mosaic_sae.log import Progress
from mosaic_sae.models.allocator import keep_freed_memory
from mosaic_sae.models.hook_points import HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.pipeline.fit_check import CHECK_ROWS, check_fit, is_checked
from mosaic_sae.pipeline.forward import run_rows
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces
from mosaic_sae.pipeline.sinks import TokenBatch, from_stored
from mosaic_sae.pipeline.targets import Target, feed, make_targets
from mosaic_sae.store.reader import ActivationStore
from mosaic_sae.store.writer import StoreWriter

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

logger = logging.getLogger(__name__)


def extract(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
    """Make all stores complete; what is complete already is left alone.

    With ``act_only`` the pass keeps token-level activations, and the pooled and encoded stores are made from those,
    so that a new SAE needs no pass.

    Raises:
        MosaicError: the model cannot be loaded or run.
    """
    _write_examples(examples, places)
    targets = make_targets(model, examples, places, settings)
    if not settings.act_only:
        _Pass(model, examples, places, settings).run(targets.tokens, targets.final)
    else:
        keep_activations(model, examples, places, settings)
        for point in model.points:
            _encode_stored(model, places, point, [target for target in targets.final if target.point == point])


def keep_activations(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
    """Make the stores of token ids and token-level activations complete, and nothing else."""
    targets = make_targets(model, examples, places, settings)
    _Pass(model, examples, places, settings).run(targets.tokens, targets.activations)


def is_extracted(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> bool:
    """Whether everything that classification reads is on disk."""
    targets = make_targets(model, examples, places, settings)
    return is_checked(places) and all(not writer.missing() for writer in [targets.tokens, *(target.writer for target in targets.final)])


def _write_examples(examples: Examples, places: StorePlaces) -> None:
    """Write ids, texts and labels in row order, once."""
    if places.examples.is_file():
        return
    columns: dict[str, Any] = {"id": examples.ids, "text": examples.texts, "label": examples.labels}
    optional = {"group": examples.groups, "language": examples.languages, "split": examples.splits}
    columns |= {name: values for name, values in optional.items() if values is not None}
    write_with(places.examples, lambda temporary: pq.write_table(pa.table(columns), temporary))


class _Pass:
    """The forward pass; the model is loaded only when a shard is missing."""

    def __init__(self, model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
        self._readings, self._examples, self._places, self._settings = model, examples, places, settings

    def run(self, tokens: StoreWriter, targets: list[Target]) -> None:
        """Write every missing shard of the token store and of the targets, then the manifests."""
        lacking = {id(writer): writer.missing() for writer in [tokens, *(target.writer for target in targets)]}
        unchecked = not self._settings.act_only and not is_checked(self._places)
        shards = sorted(set().union(*lacking.values()))
        if not shards and not unchecked:
            return
        keep_freed_memory()
        model = TextModel(self._readings.located, self._readings.points, self._settings.device, self._readings.dtype)
        if unchecked:
            texts = model.tokenise(self._examples.texts[:CHECK_ROWS], self._readings.policy)
            check_fit(self._readings, self._places, self._readings.points, (batches for _, batches in self._forward(model, texts, 0)))
        total = sum(stop - start for start, stop in (tokens.ranges[number] for number in shards))
        with Progress(f"Extracting {self._examples.name} with {self._readings.located.name}", total, "texts") as progress:
            for number in shards:
                wanted = [target for target in targets if number in lacking[id(target.writer)]]
                self._run_shard(model, number, tokens if number in lacking[id(tokens)] else None, tokens.ranges[number], wanted, progress)
        for writer in [tokens, *(target.writer for target in targets)]:
            if lacking[id(writer)]:
                writer.finish()

    def _run_shard(
        self, model: TextModel, number: int, tokens: StoreWriter | None, rows: tuple[int, int], targets: list[Target], progress: Progress
    ) -> None:
        start, stop = rows
        texts = model.tokenise(self._examples.texts[start:stop], self._readings.policy)
        if tokens is not None:
            offsets = np.concatenate([[0], np.cumsum(texts.lengths)]).astype(np.int64)
            arrays = {"row_offsets": offsets, "token_ids": np.concatenate(texts.ids), "truncated": texts.truncated.astype(np.uint8)}
            tokens.write(number, arrays, {"tokens": int(offsets[-1]), "truncated": int(texts.truncated.sum())})
        sinks = [(target, target.make_sink(stop - start)) for target in targets]
        for n_rows, batches in self._forward(model, texts, start) if targets else ():
            feed(sinks, batches)
            progress.add(n_rows)
        for target, sink in sinks:
            target.writer.write(number, *sink.arrays())

    def _forward(self, model: TextModel, texts: Any, start: int) -> Iterator[tuple[int, dict[HookPoint, TokenBatch]]]:
        batch_size = self._settings.batch_size
        return run_rows(model, texts, self._examples.ids[start : start + len(texts)], None if batch_size == "auto" else batch_size)


def _encode_stored(model: ModelReadings, places: StorePlaces, point: HookPoint, targets: list[Target]) -> None:
    """Make pooled and encoded stores at one hook point from stored activations."""
    lacking = [(target, missing) for target in targets if (missing := target.writer.missing())]
    if not lacking and is_checked(places):
        return
    store = ActivationStore(places.activations[point].folder)
    check_fit(model, places, [point], _first_rows(store, point))
    with Progress(f"Encoding at {point}", store.n_rows, "texts") as progress:
        for number, (_, shard) in enumerate(store.iter_shards()):
            n_rows = len(shard.row_offsets) - 1
            sinks = [(target, target.make_sink(n_rows)) for target, missing in lacking if number in missing]
            rows = np.repeat(np.arange(n_rows), np.diff(shard.row_offsets))
            feed(sinks, {point: TokenBatch(from_stored(shard.activations), rows, shard.positions)})
            for target, sink in sinks:
                target.writer.write(number, *sink.arrays())
            progress.add(n_rows)
    for target, _ in lacking:
        target.writer.finish()


def _first_rows(store: ActivationStore, point: HookPoint) -> Iterable[dict[HookPoint, TokenBatch]]:
    _, shard = next(store.iter_shards())
    stop = shard.row_offsets[min(CHECK_ROWS, len(shard.row_offsets) - 1)]
    rows = np.zeros(stop, dtype=np.int64)
    return [{point: TokenBatch(from_stored(shard.activations[:stop]), rows, shard.positions[:stop])}]
