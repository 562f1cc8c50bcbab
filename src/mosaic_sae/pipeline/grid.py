"""From a config to points: every cell of the grid, with a fingerprint of all that its numbers depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.schema import Experiment
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.models.hook_points import VISION_TOWER
from mosaic_sae.pipeline.layout import point_folder
from mosaic_sae.pipeline.readable import part_it_reads
from mosaic_sae.pipeline.readings import ModelReadings, Reading, StorePlaces
from mosaic_sae.sources.all_splits import NamedSplit

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

# Raise when features or classifiers are computed differently, so that old points are not taken for new ones.
_RESULTS_VERSION = 2


@dataclass(frozen=True)
class Source:
    """Where a point's features come from; points that share one are evaluated together."""

    kind: str
    """latents, dense, texts, pictures, columns or none."""
    folder: Path | None = None
    fingerprint: str | None = None
    pooling: str | None = None
    columns: tuple[str, ...] = ()
    """Names of the dataset's columns of numbers."""


@dataclass(frozen=True)
class Point:
    """One cell of the grid."""

    key: dict[str, Any]
    fingerprint: str
    source: Source
    split: str
    """Name of the split."""
    classifier: str
    shuffle_labels: bool
    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether its result is on disk; point.json is written last."""
        return (self.folder / "point.json").is_file()


class PointMaker:
    """Makes the points of one dataset."""

    def __init__(self, experiment: Experiment, examples: Examples, splits: list[NamedSplit]) -> None:
        self._params = experiment.classification_params
        self._settings = experiment.settings
        self._examples = examples
        self._splits = splits

    def of_dataset(self) -> list[Point]:
        """Points that need no model: majority, TF-IDF, pixels and columns of numbers."""
        points = []
        for split in self._splits:
            if "majority" in self._params.baselines:
                points.append(self._point(split, "majority", "majority", Source("none")))
            for name, kind in (("tfidf", "texts"), ("pixels", "pictures")):
                if name in self._params.baselines and part_it_reads(self._examples, split, name) is not None:
                    points.append(self._point(split, name, "logistic", Source(kind)))
            if "columns" in self._params.baselines:
                points.extend(self._point(split, name, "logistic", source) for name, source in self._column_sources())
        return points

    def _column_sources(self) -> Iterator[tuple[str, Source]]:
        """Yield each column of numbers alone, then, if there are several, all together."""
        numbers = self._examples.numbers
        sets = [(f"column {name}", (name,)) for name in numbers] + ([("columns", tuple(numbers))] if len(numbers) > 1 else [])
        for representation, names in sets:
            # The numbers are no part of the dataset's fingerprint.
            yield representation, Source("columns", None, fingerprint({name: numbers[name] for name in names}), None, names)

    def of_model(self, model: ModelReadings, places: StorePlaces) -> list[Point]:
        """Points on the features of one model."""
        points: list[Point] = []
        for split in self._splits:
            for reading in model.readings:
                place = places.latents[reading.name]
                name = "random_sae" if reading.is_control else "sae"
                classifiers = ["logistic"] if reading.is_control else self._params.classifiers
                for pooling, threshold in self._params.feature_grid:
                    source = Source("latents", place.folder, place.fingerprint, pooling)
                    points.extend(self._point(split, name, classifier, source, model, reading, threshold) for classifier in classifiers)
                if "shuffled_labels" in self._params.baselines and not reading.is_control:
                    pooling, threshold = self._params.feature_grid[0]
                    source = Source("latents", place.folder, place.fingerprint, pooling)
                    points.append(self._point(split, "shuffled_labels", "logistic", source, model, reading, threshold))
            for hook_point in model.points:
                dense = places.dense[hook_point]
                for name in ("dense_mean", "dense_last", "dense_max"):
                    if name in self._params.baselines:
                        source = Source("dense", dense.folder, dense.fingerprint, name.removeprefix("dense_"))
                        points.append(self._point(split, name, "logistic", source, model, Reading(hook_point, "", None)))  # type: ignore[arg-type]
            if VISION_TOWER in places.dense and part_it_reads(self._examples, split, "vision_tower") is not None:
                tower = places.dense[VISION_TOWER]
                source = Source("dense", tower.folder, tower.fingerprint, "mean")
                points.append(self._point(split, "vision_tower", "logistic", source, model))
        return points

    def _point(
        self,
        split: NamedSplit,
        representation: str,
        classifier: str,
        source: Source,
        model: ModelReadings | None = None,
        reading: Reading | None = None,
        threshold: float | None = None,
    ) -> Point:
        sae = reading.sae if reading else None
        latents = source.kind == "latents"
        key = {
            "dataset": self._examples.name,
            "split": split.name,
            "model": model.located.name if model else None,
            "layer": reading.point.layer if reading else None,
            "site": reading.point.site if reading else None,
            "sae": reading.name if reading and latents else None,
            "d_sae": sae.d_sae if sae else None,
            "representation": representation,
            "pooling": source.pooling if latents else None,
            "binarise": threshold,
            "classifier": classifier,
        }
        identity = fingerprint({
            "version": _RESULTS_VERSION,
            "examples": self._examples.fingerprint,
            "source": [source.kind, source.fingerprint, source.pooling],
            "split": split_identity(self._examples, split, self._settings.test_size, self._settings.seed),
            "representation": representation,
            "binarise": threshold,
            "classifier": self._classifier_identity(classifier),
            "bootstrap": self._params.n_bootstrap,
            "seed": self._settings.seed,
        })
        folder = point_folder(self._settings.base_classify_dir, key, identity)
        return Point(key, identity, source, split.name, classifier, representation == "shuffled_labels", folder)

    def _classifier_identity(self, classifier: str) -> dict[str, Any]:
        if classifier == "majority":
            return {"kind": classifier}
        if classifier == "tree":
            return {"kind": classifier, "folds": self._params.cv_folds, "depth": self._settings.tree_depth}
        return {"kind": classifier, "folds": self._params.cv_folds, "penalties": self._params.penalties, "c": self._params.c_values}


def split_identity(examples: Examples, split: NamedSplit, test_size: float, seed: int) -> str:
    """Fingerprint of a split: what it is made from and how, not its name."""
    spec = split.spec
    how: dict[str, Any] = {"kind": spec.kind, "field": spec.field, "values": spec.test_values}
    if spec.kind == "random" or spec.by:
        how |= {"test_size": test_size, "seed": seed}
    if spec.kind == "language":
        how |= {"language": split.domain, "languages": sorted(spec.languages)}
    if spec.kind == "modality":
        how |= {"modality": split.domain}
    if spec.by:
        # The smallest of the domains trained on decides the size of all training parts.
        how |= {"share": split.share, "min_train": spec.min_train, "equal_sizes": spec.equal_sizes}
    return fingerprint({"examples": examples.fingerprint, "how": how})
