"""Fill the stores of one model on one dataset: one pass for all layers and SAEs, and only for what is missing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from mosaic_sae.config.schema import Settings
from mosaic_sae.fsio import remove_leftovers, write_with
from mosaic_sae.log import Progress
from mosaic_sae.models.allocator import keep_freed_memory
from mosaic_sae.models.hook_points import VISION_TOWER, HookPoint
from mosaic_sae.models.text import TextModel
from mosaic_sae.models.tokenise import TokenisedTexts, join_texts
from mosaic_sae.pipeline.forward import run_rows
from mosaic_sae.pipeline.prediction import predicted_point, write_predictions
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces
from mosaic_sae.pipeline.signs import N_TEXTS, activations, write_signs
from mosaic_sae.pipeline.sinks import TokenBatch, from_stored
from mosaic_sae.pipeline.targets import ShardFiller, Target, make_targets
from mosaic_sae.sources.images import thumbnail
from mosaic_sae.store.format import read_manifest
from mosaic_sae.store.reader import ActivationStore
from mosaic_sae.store.writer import StoreWriter

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

logger = logging.getLogger(__name__)

_GROUP_ROWS = 4096


def extract(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
    """Make all stores complete; what is complete already is left alone.

    With ``act_only`` the pass keeps token-level activations, and the pooled and encoded stores are made from those,
    so that a new SAE needs no pass.

    Raises:
        MosaicError: the model cannot be loaded or run.
    """
    with only_one_writer(places):
        _write_examples(examples, places)
        targets = make_targets(model, examples, places, settings)
        if not settings.act_only:
            _Pass(model, examples, places, settings).run(targets.tokens, targets.final)
            return
        of_pictures = [target for target in targets.final if target.point == VISION_TOWER]
        _Pass(model, examples, places, settings).run(targets.tokens, targets.activations + of_pictures)
        for point in model.points:
            # Stored activations may be cut into other shards than the settings say now; what is made from them is cut alike.
            cut = read_manifest(places.activations[point].folder)["shard_rows"]
            targets = make_targets(model, examples, places, settings.model_copy(update={"shard_rows": cut}))
            _encode_stored(model, places, point, [target for target in targets.final if target.point == point])


def keep_activations(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
    """Make the stores of token ids and token-level activations complete, and nothing else."""
    with only_one_writer(places):
        targets = make_targets(model, examples, places, settings)
        _Pass(model, examples, places, settings).run(targets.tokens, targets.activations)


def is_extracted(model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings, thorough: bool) -> bool:
    """Whether everything that classification reads is on disk; ``thorough`` compares bytes with hashes."""
    targets = make_targets(model, examples, places, settings)
    stores = [(targets.tokens, targets.tokens.missing), *((target.writer, target.missing) for target in targets.final)]
    return all(writer.is_complete and not missing(thorough) for writer, missing in stores)


def only_one_writer(places: StorePlaces) -> FileLock:
    """Lock a model's stores of a dataset: a second process waits, then finds them complete."""
    places.examples.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(places.examples.parent / ".lock")


def _write_examples(examples: Examples, places: StorePlaces) -> None:
    """Write ids, texts, labels and small pictures in row order, once."""
    if places.examples.is_file():
        return
    remove_leftovers(places.examples.parent)
    columns: dict[str, Any] = {"id": examples.ids, "text": examples.texts, "label": examples.labels}
    optional = {"group": examples.groups, "language": examples.languages, "split": examples.splits}
    columns |= {name: values for name, values in optional.items() if values is not None}
    if examples.pictures is not None:
        columns["picture"] = [thumbnail(picture) if picture else None for picture in examples.pictures]
    # Groups as small as shards, so that one example can be read without the texts of all.
    write_with(places.examples, lambda temporary: pq.write_table(pa.table(columns), temporary, row_group_size=_GROUP_ROWS))


class _Pass:
    """The forward pass; the model is loaded only when a shard is missing."""

    def __init__(self, model: ModelReadings, examples: Examples, places: StorePlaces, settings: Settings) -> None:
        self._readings, self._examples, self._places, self._settings = model, examples, places, settings

    def run(self, tokens: StoreWriter, targets: list[Target]) -> None:
        """Write every missing shard of the token store and of the targets, then the manifests."""
        lacking = [(target, target.missing()) for target in targets]
        lacking_tokens = tokens.missing()
        shards = sorted(lacking_tokens.union(*(missing for _, missing in lacking)))
        if shards:
            keep_freed_memory()
            model = self._load(0 in shards)
            total = sum(stop - start for start, stop in (tokens.ranges[number] for number in shards))
            with Progress(f"Extracting {self._examples.name} with {self._readings.located.name}", total, "texts") as progress:
                for number in shards:
                    wanted = [target for target, missing in lacking if number in missing]
                    self._run_shard(model, number, tokens if number in lacking_tokens else None, tokens.ranges[number], wanted, progress)
        # A store whose shards are all there may still lack its manifest: the last run was killed just before it.
        for writer, missing in [(tokens, lacking_tokens), *((target.writer, missing) for target, missing in lacking)]:
            if missing or not writer.is_complete:
                writer.finish()

    def _load(self, with_signs: bool) -> TextModel:
        """Load the model; before the first shard, also look at what is read, and predicted, on the first few texts."""
        readings = self._readings
        predicted = {target for reading in readings.readings if (target := predicted_point(reading.sae))} if with_signs else set()
        points = [*readings.points, *predicted, *([VISION_TOWER] if VISION_TOWER in self._places.dense else [])]
        model = readings.load(points, self._settings.device)
        if with_signs:
            texts = self._tokenise(model, 0, min(N_TEXTS, len(self._examples)))
            found = activations(model, texts, readings.max_norm)
            for point in readings.points:
                folder = self._places.activations[point].folder
                remove_leftovers(folder)  # no store need be here whose end would do it
                write_signs(folder, model, point, texts, found[point])
            write_predictions(readings.readings, found, self._places, model.device)
            model.narrow(readings.points)
        return model

    def _run_shard(
        self, model: TextModel, number: int, tokens: StoreWriter | None, rows: tuple[int, int], targets: list[Target], progress: Progress
    ) -> None:
        start, stop = rows
        filler = ShardFiller(number, stop - start, targets, model.name, self._places)
        batch_size = None if self._settings.batch_size == "auto" else self._settings.batch_size
        seen: list[TokenisedTexts] = []
        step = model.rows_at_once or stop - start
        for begin in range(start, stop, step):
            end = min(begin + step, stop)
            texts = self._tokenise(model, begin, end)
            seen.append(texts.without_pixels())
            if not targets:
                progress.add(end - begin)
                continue
            for n_rows, batches in run_rows(model, texts, self._examples.ids[start:stop], batch_size, begin - start):
                filler.add(batches)
                progress.add(n_rows)
        if tokens is not None:
            _write_tokens(tokens, number, join_texts(seen))
        filler.write()

    def _tokenise(self, model: TextModel, start: int, stop: int) -> TokenisedTexts:
        examples = self._examples
        pictures = None if examples.pictures is None else examples.pictures[start:stop]
        return model.tokenise(examples.texts[start:stop], self._readings.policy, pictures)


def _write_tokens(writer: StoreWriter, number: int, texts: TokenisedTexts) -> None:
    offsets = np.concatenate([[0], np.cumsum(texts.lengths)]).astype(np.int64)
    arrays = {"row_offsets": offsets, "token_ids": np.concatenate(texts.ids), "truncated": texts.truncated.astype(np.uint8)}
    content = sum(int(counts.sum()) for counts in texts.counts)
    writer.write(
        number,
        arrays,
        {"tokens": int(offsets[-1]), "content": content, "truncated": int(texts.truncated.sum()), "windowed": int(texts.windowed.sum())},
    )


def _encode_stored(model: ModelReadings, places: StorePlaces, point: HookPoint, targets: list[Target]) -> None:
    """Make pooled and encoded stores at one hook point from stored activations."""
    lacking = [(target, missing) for target in targets if (missing := target.missing()) or not target.writer.is_complete]
    if not lacking:
        return
    store = ActivationStore(places.activations[point].folder)
    with Progress(f"Encoding at {point}", store.n_rows, "texts") as progress:
        for number, (_, shard) in enumerate(store.iter_shards()):
            n_rows = len(shard.row_offsets) - 1
            filler = ShardFiller(number, n_rows, [target for target, missing in lacking if number in missing], model.located.name, places)
            rows = np.repeat(np.arange(n_rows), np.diff(shard.row_offsets))
            filler.add({point: TokenBatch(from_stored(shard.activations), rows, shard.positions)})
            filler.write()
            progress.add(n_rows)
    for target, _ in lacking:
        target.writer.finish()
