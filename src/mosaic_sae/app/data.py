"""What the pages read: runs, their tables, points and evidence, each file read again only when it has changed."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mosaic_sae import fsio
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import evidence_path
from mosaic_sae.explain.evidence import read_evidence
from mosaic_sae.explain.names import KINDS, merge_names, names_file, with_names
from mosaic_sae.report import tables
from mosaic_sae.report.facts import Failed, failed_points, status_of
from mosaic_sae.report.transfer import Transfer, transfers

logger = logging.getLogger(__name__)

FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_KEPT_FILES = 256


@dataclass(frozen=True)
class Run:
    """One run folder."""

    id: str
    """Name in addresses: the folder's name, with a number when two folders are called alike."""
    folder: Path
    info: dict[str, Any] = field(default_factory=dict)
    """Content of ``run.json``; empty when it cannot be read."""
    problem: str = ""
    """Why ``run.json`` cannot be read."""

    @property
    def base(self) -> Path:
        """Folder that holds ``points`` and ``evidence``."""
        return self.folder.parent

    @property
    def name(self) -> str:
        """Name shown to people."""
        return str(self.info.get("name") or self.folder.name)

    @property
    def status(self) -> str:
        """State of the run: that of ``facts.status_of``, or "unreadable"."""
        return "unreadable" if self.problem else status_of(self.info)

    @property
    def failed(self) -> list[Failed]:
        """Failed points, in words."""
        return failed_points(self.info)


@dataclass(frozen=True)
class FoundPoint:
    """A point with the run it was found in; ``row`` is None when no finished run lists it."""

    run: Run | None
    base: Path
    folder: Path
    """Folder of the point itself."""
    row: dict[str, Any] | None
    point: dict[str, Any]


class Library:
    """Reads runs below the given folders. Nothing outside them is ever opened."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = [Path(folder).resolve() for folder in folders]
        self._files: OrderedDict[tuple[Path, str], tuple[tuple[int, int], Any]] = OrderedDict()
        self._lock = threading.Lock()

    def runs(self) -> list[Run]:
        """All runs, the latest start first."""
        found: dict[str, Run] = {}
        for folder in self._run_folders():
            name, number = folder.name, 2
            while name in found:
                name, number = f"{folder.name}~{number}", number + 1
            try:
                found[name] = Run(name, folder, self._read(folder / "run.json", fsio.read_json))
            except (OSError, ValueError) as error:
                found[name] = Run(name, folder, problem=str(error))
        return sorted(found.values(), key=lambda run: str(run.info.get("started", "")), reverse=True)

    def run(self, run_id: str | None) -> Run | None:
        """The run with this id; the latest one for None."""
        runs = self.runs()
        if run_id is None:
            return runs[0] if runs else None
        return next((run for run in runs if run.id == run_id), None)

    def results(self, run: Run) -> pd.DataFrame | None:
        """Table of a run's points; None while there is none.

        Raises:
            StoreError: the table cannot be read.
        """
        path = run.folder / "results.parquet"
        return self._read(path, tables.read_results) if path.is_file() else None

    def find_point(self, fingerprint: str, run_id: str | None = None) -> FoundPoint | None:
        """Find a point by fingerprint, in one run or in all, and at last among points that no finished run lists."""
        if not FINGERPRINT.fullmatch(fingerprint):
            return None
        for run in self.runs():
            frame = self.results(run) if run_id in {None, run.id} else None
            rows = [] if frame is None else tables.records(frame[frame["fingerprint"] == fingerprint])
            if rows:
                row = {name: None if pd.isna(value) else value for name, value in rows[0].items()}
                folder = run.base / str(row["path"])
                point = self._point(run.base, folder / "point.json")
                return FoundPoint(run, run.base, folder, row, point) if point else None
        for base in sorted({*self.folders, *(run.base for run in self.runs())}):
            for path in sorted((base / "points").rglob(f"*-{fingerprint}/point.json")):
                point = self._point(base, path)
                if point:
                    return FoundPoint(None, base, path.parent, None, point)
        return None

    def evidence(self, base: Path, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """Saved cards that belong to a point, with their names; None when none were saved."""
        path = evidence_path(base, point)
        evidence = self._read(path, read_evidence) if path else None
        if evidence is None:
            return None
        files = (names_file(base, evidence["sae"], kind) for kind in KINDS)
        return with_names(evidence, merge_names(self._read(path, fsio.read_json) for path in files if path.is_file()))

    def predictions(self, base: Path, folder: Path) -> pd.DataFrame | None:
        """Test rows of a point: id, unit, label, predicted, and p_<class> for each class; None when they are not there."""
        return self._table(base, folder / "predictions.parquet")

    def table(self, run: Run, name: str) -> pd.DataFrame | None:
        """A table in the run's folder, such as ``transfer.parquet``; None when the run has none.

        Raises:
            StoreError: the table cannot be read.
        """
        return self._table(run.folder, run.folder / name)

    def transfers(self, run: Run) -> list[Transfer]:
        """What ``transfer.parquet`` of a run that has one says, one summary for each of its splits."""
        path = run.folder / "transfer.parquet"
        return self._read(path, lambda path: transfers(pd.read_parquet(path), None), "summary")

    def text(self, run: Run, name: str, most_bytes: int) -> str | None:
        """The end of a text file in the run's folder, whole lines; None when the run has none."""
        path = run.folder / name
        if not path.is_file():
            return None
        with path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - most_bytes))
            end = handle.read().decode("utf-8", errors="replace")
        return end if size <= most_bytes else end.partition("\n")[2]

    def _table(self, base: Path, path: Path) -> pd.DataFrame | None:
        # As with points: only files below the folder of results are read.
        path = path.resolve()
        if not path.is_relative_to(base.resolve()) or not path.is_file():
            return None
        try:
            return self._read(path, pd.read_parquet)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read ({error}). Run the experiment again; finished points are kept.") from error

    def _point(self, base: Path, path: Path) -> dict[str, Any] | None:
        # A table could name any path; only files below the folder of results are read.
        path = path.resolve()
        if not path.is_relative_to(base) or not path.is_file():
            return None
        return self._read(path, fsio.read_json)

    def _run_folders(self) -> list[Path]:
        folders: list[Path] = []
        for folder in self.folders:
            if (folder / "run.json").is_file():
                folders.append(folder)
            elif folder.is_dir():
                folders += sorted(child for child in folder.iterdir() if (child / "run.json").is_file())
        return list(dict.fromkeys(folders))

    def _read(self, path: Path, load: Callable[[Path], Any], what: str = "") -> Any:
        """Load a file, or what is made of it, anew only when the file has changed."""
        stat, key = path.stat(), (path, what)
        version = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            known = self._files.get(key)
            if known and known[0] == version:
                self._files.move_to_end(key)
                return known[1]
        value = load(path)
        with self._lock:
            self._files[key] = (version, value)
            self._files.move_to_end(key)
            while len(self._files) > _KEPT_FILES:
                self._files.popitem(last=False)
        return value
