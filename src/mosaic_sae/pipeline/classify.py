"""Evaluate points in worker processes; points on the same features share the work of making them."""

from __future__ import annotations

import logging
import os
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mosaic_sae.config.schema import ClassificationParams
from mosaic_sae.errors import MosaicError
from mosaic_sae.features.binarise import binarise
from mosaic_sae.features.pixels import pixels
from mosaic_sae.features.pooling import pool_store
from mosaic_sae.fsio import write_json
from mosaic_sae.log import Progress
from mosaic_sae.pipeline.grid import Point, Source
from mosaic_sae.probes.evaluate import evaluate
from mosaic_sae.probes.save import save_probe
from mosaic_sae.sources.images import Picture
from mosaic_sae.sources.splits import Split
from mosaic_sae.store.reader import DenseStore, LatentStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """What classifiers need to know of a dataset."""

    name: str
    ids: list[str]
    texts: list[str]
    labels: list[str]
    units: list[str]
    splits: dict[str, Split | MosaicError]
    """By name; an error is raised where a point needs that split."""
    keys: list[str]
    """What each row is, for an order of rows that depends on nothing else."""
    pictures: list[Picture | None] | None = None
    reduced: dict[tuple[str, str], Split] = field(default_factory=dict)
    """By split and baseline: the rows of the split that the baseline can read, where these are not all."""
    numbers: dict[str, list[float]] = field(default_factory=dict)
    """Columns of numbers."""


@dataclass(frozen=True)
class Failure:
    """A point that could not be evaluated."""

    key: dict[str, Any]
    error: str


@dataclass(frozen=True)
class _Task:
    """Points of one dataset on one source of features."""

    source: Source
    points: list[Point]
    provenance: list[dict[str, Any]]
    data: Labelled
    params: ClassificationParams
    tree_depth: int
    seed: int


def classify(
    points: list[tuple[Point, dict[str, Any]]],
    data: dict[str, Labelled],
    params: ClassificationParams,
    tree_depth: int,
    seed: int,
    n_workers: int | None = None,
) -> list[Failure]:
    """Evaluate all points and write each one's folder.

    Args:
        points: points to evaluate, each with its provenance.
        data: datasets by name.
        params: grid, folds, bootstrap.
        tree_depth: deepest tree.
        seed: seed of folds, bootstrap and controls.
        n_workers: processes; None = one per processor.

    Returns:
        The points that failed; all others are on disk.
    """
    from joblib import Parallel, delayed

    tasks = _tasks(points, data, params, tree_depth, seed)
    if not tasks:
        return []
    failures: list[Failure] = []
    workers = min(n_workers or len(os.sched_getaffinity(0)), len(tasks))
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    with Progress("Classifying", len(points), "points") as progress:
        for done, failed in parallel(delayed(_run)(task) for task in tasks):
            failures.extend(failed)
            progress.add(done)
    return failures


def _tasks(
    points: list[tuple[Point, dict[str, Any]]], data: dict[str, Labelled], params: ClassificationParams, tree_depth: int, seed: int
) -> list[_Task]:
    groups: dict[tuple[str, Source], list[tuple[Point, dict[str, Any]]]] = {}
    for point, provenance in points:
        groups.setdefault((point.key["dataset"], point.source), []).append((point, provenance))
    # The longest first, so that no worker is left with one at the end.
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]) * len(data[item[0][0]].ids))
    return [
        _Task(
            source, [point for point, _ in members], [about for _, about in members], _needed(data[name], source), params, tree_depth, seed
        )
        for (name, source), members in ordered
    ]


def _needed(data: Labelled, source: Source) -> Labelled:
    """Leave out pictures where they are not read: a task is copied to another process."""
    return data if source.kind == "pictures" else replace(data, pictures=None)


def _run(task: _Task) -> tuple[int, list[Failure]]:
    """Evaluate the points of a task. Whatever happens to one point is kept with it, and the others go on."""
    failures: list[Failure] = []
    pooled: Any = None
    thresholds: dict[float | None, Any] = {}
    for point, provenance in zip(task.points, task.provenance, strict=True):
        try:
            if pooled is None:
                pooled = _features(task)
            threshold = point.key["binarise"]
            if threshold not in thresholds:
                thresholds[threshold] = binarise(pooled, threshold) if task.source.kind == "latents" else pooled
            _evaluate(task, point, provenance, thresholds[threshold])
        except MosaicError as error:
            failures.append(Failure(point.key, str(error)))
        except Exception:  # A bug in one point must not cost the others; it is shown in full and makes the run fail.
            failures.append(Failure(point.key, traceback.format_exc()))
    return len(task.points), failures


def _features(task: _Task) -> Any:
    source = task.source
    if source.kind == "texts":
        return task.data.texts
    if source.kind == "pictures":
        assert task.data.pictures is not None
        return pixels(task.data.pictures)
    if source.kind == "none":
        return np.zeros((len(task.data.ids), 1), dtype=np.float32)
    if source.kind == "columns":
        return np.column_stack([task.data.numbers[name] for name in source.columns]).astype(np.float32)
    assert source.folder is not None and source.pooling is not None
    if source.kind == "dense":
        return DenseStore(source.folder).load(source.pooling)
    return pool_store(LatentStore(source.folder), source.pooling)


def _evaluate(task: _Task, point: Point, provenance: dict[str, Any], features: Any) -> None:
    data = task.data
    split = data.reduced.get((point.split, point.key["representation"]), data.splits[point.split])
    if isinstance(split, MosaicError):
        raise split
    result = evaluate(
        features,
        split,
        data.labels,
        data.units,
        data.keys,
        point.classifier,
        task.params,
        task.tree_depth,
        task.seed,
        shuffle_labels=point.shuffle_labels,
    )
    save_probe(result, point.folder, data.ids, data.units)
    header = {"schema": 1, "fingerprint": point.fingerprint, "key": point.key, "provenance": provenance | {"split_notes": split.notes}}
    write_json(point.folder / "point.json", header | result.to_point())
