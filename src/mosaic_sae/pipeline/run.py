"""The one place that knows the order of the steps: extract, index, classify, table, evidence, report."""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mosaic_sae.config.load import Loaded
from mosaic_sae.config.schema import Experiment
from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.fsio import read_json, write_json, write_text
from mosaic_sae.log import format_seconds, log_file
from mosaic_sae.pipeline import provenance
from mosaic_sae.pipeline.across_domains import write_transfer
from mosaic_sae.pipeline.across_models import write_model_transfer
from mosaic_sae.pipeline.classify import Failure, Labelled, classify
from mosaic_sae.pipeline.evidence import collect_evidence, index_stores
from mosaic_sae.pipeline.extract import extract as extract_stores
from mosaic_sae.pipeline.fit_check import read_check
from mosaic_sae.pipeline.grid import Point, split_identity
from mosaic_sae.pipeline.layout import run_folder, split_path
from mosaic_sae.pipeline.names import gather_names
from mosaic_sae.pipeline.readable import READS, left_out, part_it_reads
from mosaic_sae.pipeline.results import write_results
from mosaic_sae.pipeline.signs import read_signs
from mosaic_sae.pipeline.work import Pairing, Work, extraction_state, prepare
from mosaic_sae.report.write import write_report
from mosaic_sae.sources.all_splits import NamedSplit
from mosaic_sae.sources.splits import Split
from mosaic_sae.sources.units import duplicate_units
from mosaic_sae.store.format import read_manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """What a run came to."""

    failed: list[Failure]
    run_folder: Path


@dataclass
class _Record:
    """Content of run.json, rewritten as the run goes on."""

    folder: Path
    content: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    def write(self, **changes: Any) -> None:
        """Change some values and write the file."""
        self.content |= changes
        write_json(self.folder / "run.json", self.content | {"seconds": {name: round(value, 2) for name, value in self.seconds.items()}})

    def time(self, name: str, started: float) -> None:
        """Note how long a step took."""
        self.seconds[name] = time.monotonic() - started


def run(loaded: Loaded, extract: bool = True, classify: bool = True) -> RunSummary:
    """Run a config; whatever is on disk already is not done again.

    Args:
        loaded: the config.
        extract: run the models where stores are incomplete.
        classify: evaluate points and write the report; without ``extract``, stores must be complete.

    Raises:
        MosaicError: something the user can mend; single points that fail are listed in the summary instead.
    """
    experiment = loaded.experiment
    folder = run_folder(experiment.settings.base_classify_dir, loaded.name)
    record = _Record(folder, _header(loaded.name, _classified(folder) if not classify else {}))
    with log_file(folder / "log.txt"):
        started = time.monotonic()
        # What cannot even begin leaves the record of an earlier run as it is.
        work = prepare(experiment)
        record.time("prepare", started)
        if classify or not (folder / "config.yaml").is_file():
            write_text(folder / "config.yaml", loaded.text)
        record.write()
        try:
            failed = _run(experiment, work, record, extract, classify)
        except KeyboardInterrupt:
            record.write(status="interrupted", finished=_now())
            raise
        except BaseException as error:
            record.write(status="failed", finished=_now(), error=str(error))
            raise
    return RunSummary(failed, folder)


def _classified(folder: Path) -> dict[str, Any]:
    """What an extraction alone leaves as it is in an earlier run's record."""
    path = folder / "run.json"
    earlier = read_json(path) if path.is_file() else {}
    return {name: earlier[name] for name in ("points", "datasets") if name in earlier}


def _header(name: str, kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": name,
        "status": "running",
        "started": _now(),
        "finished": None,
        "versions": provenance.versions(),
        "git": provenance.git_state(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        # Tells a run that goes on from one that was killed.
        "process": {"host": platform.node(), "pid": os.getpid()},
        "points": {"done": 0, "skipped": 0, "failed": []},
        "datasets": [],
        "models": [],
        **kept,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run(experiment: Experiment, work: Work, record: _Record, extract: bool, classify: bool) -> list[Failure]:
    started = time.monotonic()
    # Before the model runs, so that a wrong file of names costs nothing.
    gather_names(work, experiment.settings.base_classify_dir)
    for pairing in work.pairings:
        if extract:
            extract_stores(pairing.model, pairing.examples, pairing.places, experiment.settings)
        elif missing := extraction_state(pairing, experiment, thorough=True):
            raise StoreError(
                f"Classification needs stored features, but {missing}. Run without --classify-only, or with --extract-only first."
            )
    record.time("extract", started)
    started = time.monotonic()
    index_stores(work)
    record.time("index", started)
    record.write(models=[facts for pairing in work.pairings for facts in _model_facts(pairing)])
    if not classify:
        record.write(status="done", finished=_now())
        return []
    started = time.monotonic()
    failed = _classify(experiment, work, record)
    record.time("classify", started)
    started = time.monotonic()
    points = [point.folder for point in work.points if point.is_done]
    write_results(
        points,
        experiment.settings.base_classify_dir,
        record.folder,
        experiment.classification_params.n_bootstrap,
        experiment.settings.seed,
    )
    collect_evidence(work, experiment.settings.base_classify_dir, record.folder)
    record.time("evidence", started)
    started = time.monotonic()
    write_transfer(experiment, work, record.folder)
    write_model_transfer(experiment, work, record.folder)
    record.time("transfer", started)
    record.write(status="done", finished=_now())
    started = time.monotonic()
    write_report(record.folder)
    record.time("report", started)
    record.write()
    logger.info("Done in %s", format_seconds(sum(record.seconds.values())))
    return failed


def _classify(experiment: Experiment, work: Work, record: _Record) -> list[Failure]:
    data = {examples.name: _labelled(experiment, examples, work.splits[examples.name]) for _, examples in work.datasets}
    baselines = experiment.classification_params.baselines
    record.write(datasets=[_dataset_facts(examples, data[examples.name], work, baselines) for _, examples in work.datasets])
    seed = experiment.settings.seed
    todo: list[tuple[Point, dict[str, Any]]] = []
    for pairing in work.pairings:
        manifests = _manifests(pairing)
        for point in pairing.points:
            if not point.is_done:
                about = provenance.of_reading(pairing.model, pairing.examples, pairing.places, point.key, seed, manifests)
                todo.append((point, about))
    todo += [(point, provenance.of_dataset(examples, seed)) for examples, point in work.dataset_points if not point.is_done]
    failed = classify(todo, data, experiment.classification_params, experiment.settings.tree_depth, seed)
    for failure in failed:
        logger.error("Failed: %s\n%s", failure.key, failure.error)
    record.write(
        points={
            "done": len(todo) - len(failed),
            "skipped": len(work.points) - len(todo),
            "failed": [{"key": failure.key, "error": failure.error.strip().splitlines()[-1]} for failure in failed],
        }
    )
    return failed


def _labelled(experiment: Experiment, examples: Any, splits: list[NamedSplit]) -> Labelled:
    """Save the ids of a dataset's splits, and gather what classifiers need of it."""
    settings = experiment.settings
    for split in splits:
        if isinstance(split.rows, MosaicError):
            continue
        identity = split_identity(examples, split, settings.test_size, settings.seed)
        path = split_path(settings.base_classify_dir, examples.name, split.name, identity)
        if not path.is_file():
            sides = {name: [examples.ids[row] for row in rows] for name, rows in (("train", split.rows.train), ("test", split.rows.test))}
            write_json(path, {"dataset": examples.name, "split": split.spec.model_dump(), "notes": split.rows.notes, **sides})
    parts = {(split.name, name): part_it_reads(examples, split, name) for split in splits for name in READS}
    rows = {split.name: split.rows for split in splits}
    return Labelled(
        examples.name,
        examples.ids,
        examples.texts,
        examples.labels,
        duplicate_units(examples),
        rows,
        keys=examples.keys,
        pictures=examples.pictures,
        numbers=examples.numbers,
        reduced={pair: part for pair, part in parts.items() if isinstance(part, Split) and part is not rows[pair[0]]},
    )


def _manifests(pairing: Pairing) -> dict[str, Any]:
    manifests = {name: read_manifest(place.folder) for name, place in pairing.places.latents.items()}
    return manifests | {"tokens": read_manifest(pairing.places.tokens.folder)}


def _model_facts(pairing: Pairing) -> list[dict[str, Any]]:
    tokens = read_manifest(pairing.places.tokens.folder)["totals"]
    facts = []
    for reading in pairing.model.readings:
        latents = read_manifest(pairing.places.latents[reading.name].folder)["totals"]
        counted = latents["tokens"]
        facts.append({
            "name": pairing.model.located.name,
            "dtype": pairing.model.dtype,
            "dataset": pairing.examples.name,
            "sae": reading.name,
            "control": reading.is_control,
            "layer": reading.point.layer,
            "site": reading.point.site,
            "max_norm": pairing.model.max_norm[reading.point],
            "tokens_read": tokens["tokens"],
            "tokens_counted": counted,
            "massive_tokens": tokens["content"] - counted,
            "rows_without_tokens": latents["rows_without_tokens"],
            **read_signs(pairing.places.activations[reading.point].folder),
            **read_check(pairing.places, reading.name),
        })
    return facts


def _dataset_facts(examples: Any, data: Labelled, work: Work, baselines: Sequence[str]) -> dict[str, Any]:
    totals = [read_manifest(pairing.places.tokens.folder)["totals"] for pairing in work.pairings if pairing.examples is examples]
    return {
        "name": examples.name,
        "rows": len(examples),
        "skipped": len(examples.skipped),
        "skipped_ids": [{"id": row.id, "reason": row.reason} for row in examples.skipped[:100]],
        # Models differ in their tokens; the largest number is given.
        **{name: max((total[name] for total in totals), default=0) for name in ("truncated", "windowed")},
        "classes": {label: examples.labels.count(label) for label in examples.classes},
        "splits": {
            name: {"error": str(split)}
            if isinstance(split, MosaicError)
            else {"train": len(split.train), "test": len(split.test), "notes": split.notes}
            for name, split in data.splits.items()
        },
        "baselines_left_out": left_out(examples, work.splits[examples.name], baselines),
        "licence": examples.provenance.get("licence"),
        "provenance": examples.provenance,
    }
