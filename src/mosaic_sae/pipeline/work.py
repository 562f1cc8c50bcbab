"""A config made concrete: datasets loaded, models found, stores placed, points listed. ``plan`` and ``run`` share it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mosaic_sae.config.dataset_entry import DatasetEntry
from mosaic_sae.config.schema import Experiment
from mosaic_sae.errors import ConfigError, MosaicError
from mosaic_sae.pipeline.extract import is_extracted
from mosaic_sae.pipeline.grid import Point, PointMaker
from mosaic_sae.pipeline.model_pairs import check_pairs
from mosaic_sae.pipeline.readable import left_out
from mosaic_sae.pipeline.readings import ModelReadings, StorePlaces, places, resolve_model
from mosaic_sae.sources.all_splits import NamedSplit, make_splits
from mosaic_sae.sources.load import load_examples

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pairing:
    """One model on one dataset."""

    model: ModelReadings
    examples: Examples
    places: StorePlaces
    points: list[Point]


@dataclass(frozen=True)
class Work:
    """Everything a run has to do."""

    datasets: list[tuple[DatasetEntry, Examples]]
    splits: dict[str, list[NamedSplit]]
    """By name of the dataset."""
    pairings: list[Pairing]
    dataset_points: list[tuple[Examples, Point]] = field(default_factory=list)

    @property
    def points(self) -> list[Point]:
        """All points, those without a model last."""
        return [point for pairing in self.pairings for point in pairing.points] + [point for _, point in self.dataset_points]


def prepare(experiment: Experiment) -> Work:
    """Load datasets and find models; nothing is computed.

    Raises:
        MosaicError: a dataset, model or SAE cannot be had, or not one split of all datasets can be made.
    """
    if experiment.settings.cuda_visible_devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = experiment.settings.cuda_visible_devices
    # Models first: a model that cannot be had is known at once, while a dataset may take long to load.
    models = [resolve_model(experiment, entry) for entry in experiment.models]
    check_pairs(experiment.transfer.models, models)
    datasets = [(entry, load_examples(entry, experiment.settings.seed)) for entry in experiment.datasets]
    settings = experiment.settings
    for _, examples in datasets:
        _check_inputs(experiment, examples)
    splits = {examples.name: make_splits(examples, entry.splits, settings.test_size, settings.seed) for entry, examples in datasets}
    made = [split.rows for of_dataset in splits.values() for split in of_dataset]
    if all(isinstance(rows, MosaicError) for rows in made):
        # Nothing could be evaluated; that is better known before hours of extraction.
        raise ConfigError("\n".join(str(rows) for rows in made))
    pairings: list[Pairing] = []
    dataset_points: list[tuple[Examples, Point]] = []
    for _, examples in datasets:
        maker = PointMaker(experiment, examples, splits[examples.name])
        for model in models:
            where = places(model, examples, settings.base_save_dir, settings.store_dtype)
            pairings.append(Pairing(model, examples, where, maker.of_model(model, where)))
        dataset_points.extend((examples, point) for point in maker.of_dataset())
        for line in left_out(examples, splits[examples.name], experiment.classification_params.baselines):
            logger.warning("%s: %s", examples.name, line)
    return Work(datasets, splits, pairings, dataset_points)


def _check_inputs(experiment: Experiment, examples: Examples) -> None:
    """Refuse rows that a model would not read a single token of."""
    pictures = examples.pictures or []
    n_pictures = sum(picture is not None for picture in pictures)
    if experiment.tokens.pool == "image" and n_pictures < len(examples):
        raise ConfigError(
            f"tokens.pool is image, but {len(examples) - n_pictures} rows of {examples.name} have no picture. "
            "Use pool: auto, with which their text's tokens count."
        )
    bare = sum(picture is not None and not text for picture, text in zip(pictures, examples.texts, strict=False))
    if experiment.tokens.pool == "text" and bare and (entry := next((entry for entry in experiment.models if not entry.prompt), None)):
        raise ConfigError(
            f"tokens.pool is text, but {bare} rows of {examples.name} have a picture alone and models.prompt of {entry.name} is empty. "
            "Give a prompt, or use pool: auto, with which the image tokens count."
        )


def extraction_state(pairing: Pairing, experiment: Experiment, thorough: bool = False) -> str | None:
    """Say what is missing of a pairing's stores, or None; ``thorough`` compares bytes with hashes."""
    if is_extracted(pairing.model, pairing.examples, pairing.places, experiment.settings, thorough):
        return None
    return f"{pairing.examples.name} has yet to be extracted with {pairing.model.located.name}"
