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
from typing import TYPE_CHECKING, Any

import pandas as pd

from mosaic_sae import fsio
from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import Card, Name, Use, card_of, evidence_path
from mosaic_sae.explain.evidence import LATENTS, USES, read_evidence, searchable, store_paths, uses_of_latent
from mosaic_sae.explain.names import KINDS, merge_names, names_file, with_names
from mosaic_sae.report import tables
from mosaic_sae.report.facts import Failed, failed_points, status_of
from mosaic_sae.report.transfer import Transfer, transfers

if TYPE_CHECKING:
    from mosaic_sae.explain.explanation import Explanation

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
        return self._evidence(base, evidence_path(base, point))

    def cards(self, base: Path, store: str) -> dict[str, Any] | None:
        """Saved cards of a store of latents, with their names; None when none were saved."""
        return self._evidence(base, base / "evidence" / f"{store}.json") if FINGERPRINT.fullmatch(store) else None

    def names(self, base: Path, sae: str) -> dict[int, Name]:
        """Names of an SAE's latents."""
        files = (names_file(base, sae, kind) for kind in KINDS)
        return merge_names(self._read(path, fsio.read_json) for path in files if path.is_file())

    def card(self, base: Path, cards: Mapping[str, Any], latent: int) -> Card:
        """The card of any latent: a saved one, or one made from the stores that the saved cards name.

        Args:
            base: folder of results.
            cards: what ``cards`` returned.
            latent: index in the SAE.

        Raises:
            StoreError: it was not saved, and the stores are gone or others now.
        """
        if (saved := card_of(cards, latent)) is not None:
            return saved
        paths = store_paths(cards, base)
        maker = self._read(paths.latents, lambda _: paths.open(), "maker") if paths.latents.exists() else paths.open()
        if maker.index.fingerprint != cards["store"]:
            raise StoreError(f"{paths.latents} holds other latents than those that these results are about.")
        return {**maker.card(latent), "name": self.names(base, cards["sae"]).get(latent)}

    def latents(self, run: Run) -> pd.DataFrame | None:
        """``latents.parquet`` of a run, with what is searched in ``words`` (label and tokens, casefolded); None when the run has none.

        Raises:
            StoreError: the table cannot be read.
        """
        return self._table(run.folder, run.folder / LATENTS, searchable)

    def labels(self, run: Run, store: str) -> dict[int, str]:
        """Names, or else automatic labels, of the latents of a store that are known."""
        frame, cards = self.latents(run), self.cards(run.base, store)
        part = None if frame is None else frame[frame["store"] == store]
        labels = {} if part is None else dict(zip(part["latent"], part["label"], strict=True))
        if cards is None:
            return labels
        labels |= {int(latent): card["label"] for latent, card in cards["latents"].items()}
        return labels | {latent: name["text"] for latent, name in self.names(run.base, cards["sae"]).items()}

    def uses(self, run: Run, store: str, latent: int) -> list[Use]:
        """Points of a run that use a latent, the CV-chosen ones first."""
        table = self._table(run.folder, run.folder / USES)
        return [] if table is None else uses_of_latent(table, store, latent)

    def predictions(self, base: Path, folder: Path) -> pd.DataFrame | None:
        """Test rows of a point: id, unit, label, predicted, and p_<class> for each class; None when they are not there."""
        return self._table(base, folder / "predictions.parquet")

    def example_texts(self, found: FoundPoint) -> pd.DataFrame | None:
        """``text`` and, where the data names it, ``language`` of a point's examples by id; None where the stores are gone."""
        path = self._examples(found)
        return self._read(path, _read_texts, "texts") if path else None

    def picture(self, found: FoundPoint, row: int) -> str | None:
        """The picture of an example in small, as a data address; None where it has none."""
        path = self._examples(found)
        pictures = self._read(path, _read_pictures, "pictures") if path else None
        return None if pictures is None else pictures.iloc[row]

    def explain(self, found: FoundPoint, example: str, about: str | None) -> Explanation:
        """Explain the decision of a point on an example.

        Raises:
            MosaicError: no such example or class, a point that is not on SAE latents, or stores that are gone.
        """
        from mosaic_sae.explain.example import explain_example

        return explain_example(found.base, found.folder, example, about)

    def _examples(self, found: FoundPoint) -> Path | None:
        """The file of a point's examples, which saved cards name; points that have none share those of others on the same data."""
        own = evidence_path(found.base, found.point)
        for path in [own] if own else sorted((found.base / "evidence").glob("*.json")):
            cards = self._read(path, read_evidence)
            if cards is None or cards["dataset"] != found.point["key"]["dataset"]:
                continue
            examples = store_paths(cards, found.base).examples
            data = found.point.get("provenance", {}).get("dataset", {}).get("fingerprint")
            if examples.is_file() and (own or examples.stem == f"examples-{data}"):
                return examples
        return None

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

    def _evidence(self, base: Path, path: Path | None) -> dict[str, Any] | None:
        evidence = self._read(path, read_evidence) if path and path.is_file() else None
        return with_names(evidence, self.names(base, evidence["sae"])) if evidence else None

    def _table(self, base: Path, path: Path, load: Callable[[Path], pd.DataFrame] = pd.read_parquet) -> pd.DataFrame | None:
        # As with points: only files below the folder of results are read.
        path = path.resolve()
        if not path.is_relative_to(base.resolve()) or not path.is_file():
            return None
        try:
            return self._read(path, load)
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


def _read_texts(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path, columns=_columns(path, {"id", "text", "language"}))
    return frame.set_index("id")


def _read_pictures(path: Path) -> pd.Series | None:
    return pd.read_parquet(path, columns=["picture"])["picture"] if _columns(path, {"picture"}) else None


def _columns(path: Path, wanted: set[str]) -> list[str]:
    import pyarrow.parquet as pq

    return [name for name in pq.read_schema(path).names if name in wanted]
