"""Everything a report says, gathered from a run folder as plain values; the templates only lay it out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae import fsio
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import Card, card_of, evidence_path, summary
from mosaic_sae.explain.evidence import evidence_of
from mosaic_sae.report import tables
from mosaic_sae.report.examples import Examples, explained_examples
from mosaic_sae.report.facts import domain_splits
from mosaic_sae.report.model_transfer import ModelTransfer, read_model_transfer
from mosaic_sae.report.rules import Rule, tree_rules
from mosaic_sae.report.transfer import Transfer, read_transfer
from mosaic_sae.report.verdict import Verdict, verdict

logger = logging.getLogger(__name__)

MOST_LATENTS = 6
MOST_TEXTS = 3


@dataclass(frozen=True)
class LatentLine:
    """One latent of a probe, with its evidence."""

    latent: int
    label: str
    weight: float
    share: float
    """|weight| over the largest |weight| of the probe, 0..1: the length of its bar."""
    summary: str
    card: Card | None


@dataclass(frozen=True)
class Cell:
    """One field of the pooling x binarise table."""

    cv: float
    test: float
    chosen: bool
    shade: float
    """0..1, by CV score within the table."""


@dataclass(frozen=True)
class PoolingTable:
    """Pooling x binarise scores of one classifier on SAE features."""

    classifier: str
    thresholds: list[Any]
    rows: list[tuple[str, list[Cell | None]]]


@dataclass(frozen=True)
class Section:
    """One dataset and split."""

    dataset: str
    split: str
    verdict: Verdict
    scores: pd.DataFrame
    by_model: list[tuple[str, pd.DataFrame]]
    """The same for each model alone; empty when there is one."""
    pooling: list[PoolingTable]
    probe: Mapping[str, Any] | None
    """point.json of the CV-chosen SAE logistic probe."""
    latents: dict[str, list[LatentLine]]
    tree: Mapping[str, Any] | None
    rules: list[Rule]
    examples: Examples | None
    """Of the better of the two by CV; None without an SAE probe."""


@dataclass(frozen=True)
class Content:
    """A whole report."""

    run: dict[str, Any]
    sections: list[Section]
    transfers: list[Transfer]
    """One for each dataset with a split of kind language or modality, whose many splits are no sections of their own."""
    n_points: int
    across_models: list[ModelTransfer] = field(default_factory=list)


def read_run(run_folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = run_folder / "run.json"
    if not path.exists():
        raise StoreError(f"{run_folder} is not a run folder: it has no run.json. Name a folder that 'mosaic run' wrote.")
    try:
        return fsio.read_json(path)
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON ({error}). Run the experiment again; finished points are kept.") from error


def read_point(base: Path, path: str) -> dict[str, Any] | None:
    """Read ``point.json`` of a row's ``path``; None when it is not there."""
    file = base / path / "point.json"
    return fsio.read_json(file) if file.is_file() else None


def gather(run_folder: Path) -> Content:
    """Gather a report's content. A run without results gives a content without sections."""
    run = read_run(run_folder)
    base, results = run_folder.parent, run_folder / "results.parquet"
    if not results.exists():
        return Content(run, [], [], 0)
    frame = tables.read_results(results)
    evidence: dict[Path, Any] = {}
    summed_up = domain_splits(run)
    single = [pair for pair in tables.sections(frame) if pair not in summed_up]
    sections = [_section(base, frame, dataset, split, evidence) for dataset, split in single]
    return Content(run, sections, read_transfer(run_folder), len(frame), read_model_transfer(run_folder))


def _section(base: Path, frame: pd.DataFrame, dataset: str, split: str, known: dict[Path, Any]) -> Section:
    scores = tables.scores(frame, dataset, split)
    points = {}
    for classifier in ("logistic", "tree"):
        row = tables.chosen_sae(frame, dataset, split, classifier)
        points[classifier] = None if row is None else read_point(base, row["path"])
        if row is not None and points[classifier] is None:
            logger.warning("%s has no point.json; the report leaves its latents out", row["path"])
    found = {name: _evidence(base, point, known) for name, point in points.items()}
    return Section(
        dataset=dataset,
        split=split,
        verdict=verdict(scores),
        scores=scores,
        by_model=tables.scores_by_model(frame, dataset, split),
        pooling=[table for name in ("logistic", "tree") if (table := pooling_table(frame, dataset, split, name))],
        probe=points["logistic"],
        latents=latent_lines(points["logistic"], found["logistic"], MOST_LATENTS),
        tree=points["tree"],
        rules=tree_rules(points["tree"], found["tree"]) if points["tree"] else [],
        examples=_examples(base, scores),
    )


def _examples(base: Path, scores: pd.DataFrame) -> Examples | None:
    best = tables.reference_probe(scores)
    point = None if best is None else read_point(base, best["path"])
    return explained_examples(base, base / best["path"], point) if best is not None and point else None


def _evidence(base: Path, point: Mapping[str, Any] | None, known: dict[Path, Any]) -> Any:
    path = evidence_path(base, point) if point else None
    if point is None or path is None:
        return None
    if path not in known:
        known[path] = evidence_of(base, point)
    return known[path]


def latent_lines(point: Mapping[str, Any] | None, evidence: Mapping[str, Any] | None, most: int) -> dict[str, list[LatentLine]]:
    """Return the strongest latents of a probe by the class they speak for, strongest first."""
    if not point or not point.get("top_latents"):
        return {}
    largest = max(abs(entry["weight"]) for entry in point["top_latents"]) or 1.0
    lines: dict[str, list[LatentLine]] = {name: [] for name in point["classes"]}
    for entry in sorted(point["top_latents"], key=lambda entry: (-abs(entry["weight"]), entry["latent"])):
        card = card_of(evidence, entry["latent"])
        weight = float(entry["weight"])
        line = LatentLine(entry["latent"], entry["class"], weight, abs(weight) / largest, summary(card), card)
        lines.setdefault(entry["class"], []).append(line)
    return {name: found[:most] for name, found in lines.items()}


def pooling_table(frame: pd.DataFrame, dataset: str, split: str, classifier: str) -> PoolingTable | None:
    """Arrange the pooling x binarise points of the SAE probe as a table; None when there are none."""
    grid = tables.pooling_grid(frame, dataset, split, classifier)
    if grid.empty:
        return None
    low, high = grid["cv_macro_f1"].min(), grid["cv_macro_f1"].max()
    thresholds: list[Any] = []
    rows: dict[str, dict[Any, Cell]] = {}
    for point in tables.records(grid):
        threshold = None if pd.isna(point["binarise"]) else float(point["binarise"])
        if threshold not in thresholds:
            thresholds.append(threshold)
        shade = (point["cv_macro_f1"] - low) / (high - low) if high > low else 1.0
        rows.setdefault(point["pooling"], {})[threshold] = Cell(
            point["cv_macro_f1"], point["macro_f1"], bool(point["chosen"]), float(shade)
        )
    thresholds.sort(key=lambda value: (value is not None, value or 0))
    return PoolingTable(classifier, thresholds, [(pooling, [cells.get(value) for value in thresholds]) for pooling, cells in rows.items()])
