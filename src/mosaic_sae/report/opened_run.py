"""A run as an object, for notebooks and scripts: tables as data frames, points, latents and explanations that show themselves."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import MosaicError, StoreError
from mosaic_sae.explain.cards import card_of
from mosaic_sae.explain.evidence import StorePaths, evidence_of, stores_of
from mosaic_sae.explain.example import explain_example
from mosaic_sae.explain.explanation import Explanation
from mosaic_sae.explain.rows import has_example
from mosaic_sae.fsio import read_json
from mosaic_sae.probes.save import PREDICTIONS
from mosaic_sae.report import tables
from mosaic_sae.report.content import read_run

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run folder, read when asked. Nothing is computed anew and no model is loaded."""

    def __init__(self, folder: Path) -> None:
        """Open a run.

        Raises:
            StoreError: the folder is no run.
        """
        self.folder = folder
        self.info: dict[str, Any] = read_run(folder)
        """Content of ``run.json``."""
        self._evidence: dict[str, dict[str, Any] | None] = {}

    def __repr__(self) -> str:
        return f"<Run {self.info['name']}: {self.info['status']}, {self.folder}>"

    @property
    def base(self) -> Path:
        """Folder that holds ``points`` and ``evidence``."""
        return self.folder.parent

    @functools.cached_property
    def results(self) -> pd.DataFrame:
        """One row per point.

        Raises:
            StoreError: the run has no finished point.
        """
        path = self.folder / "results.parquet"
        if not path.is_file():
            raise StoreError(f"{self.folder} has no results.parquet: no point was finished.")
        return tables.read_results(path)

    @property
    def transfer(self) -> pd.DataFrame | None:
        """Scores and gaps of every transfer cell; None for a run without transfer."""
        return self._table("transfer.parquet")

    @property
    def latent_shift(self) -> pd.DataFrame | None:
        """Which latents carry over; None for a run without transfer."""
        return self._table("latent_shift.parquet")

    def _table(self, name: str) -> pd.DataFrame | None:
        import pandas as pd

        path = self.folder / name
        return pd.read_parquet(path) if path.is_file() else None

    def point(self, name: str = "best", dataset: str | None = None, split: str | None = None) -> Point:
        """Return a point.

        Args:
            name: the first digits of its fingerprint, or "best": the SAE probe that cross-validation chose.
            dataset: of the best point; None = the first in the table.
            split: of the best point; None = the first of the dataset.

        Raises:
            MosaicError: there is no such point, or several fit.
        """
        frame = self.results
        if name != "best":
            found = frame[frame["fingerprint"].str.startswith(name)]
            if len(found) != 1:
                few = ", ".join(found["fingerprint"][:5])
                how = (
                    f"{len(found)} points begin with '{name}': {few}; give more digits" if len(found) else f"no point begins with '{name}'"
                )
                raise MosaicError(f"In the run {self.info['name']} {how}. run.results lists all points.")
            return Point(self, found.iloc[0])
        part = frame
        for column, wanted in (("dataset", dataset), ("split", split)):
            if wanted is not None:
                part = part[part[column] == wanted]
        for pair in tables.sections(part):
            if (row := self._best(pair)) is not None:
                return Point(self, row)
        wanted = f" on dataset {dataset or 'any'}, split {split or 'any'}" if dataset or split else ""
        pairs = "; ".join(f"{name}, {cut}" for name, cut in tables.sections(frame))
        raise MosaicError(f"The run {self.info['name']} has no SAE probe{wanted}. Its datasets and splits: {pairs}.")

    def _best(self, pair: tuple[str, str]) -> pd.Series | None:
        frame = self.results
        return tables.reference_probe(frame[(frame["dataset"] == pair[0]) & (frame["split"] == pair[1])])

    def latent(self, index: int, point: str | None = None) -> Latent:
        """Return what a latent fires on.

        Args:
            index: number of the latent in its SAE.
            point: fingerprint of a point that reads the SAE; None = the best point.

        Raises:
            MosaicError: the SAE has no such latent, or no card was saved and the stores are gone.
        """
        return self.point(point or "best").latent(index)

    def explain(self, example: str, point: str | None = None, about: str | None = None) -> Explanation:
        """Explain why an example was classified as it was.

        Args:
            example: its id.
            point: first digits of a fingerprint; None = the best point of a dataset that holds the example, if possible of a split
                that tests it.
            about: class whose decision is explained; None = the predicted one.

        Raises:
            MosaicError: no such example, or a point that is not on SAE latents.
        """
        if point is not None:
            return self.point(point).explain(example, about)
        best = [Point(self, row) for pair in tables.sections(self.results) if (row := self._best(pair)) is not None]
        holding = [candidate for candidate in best if has_example(candidate.stores.examples, example)]
        if not holding:
            names = ", ".join(dict.fromkeys(candidate.row["dataset"] for candidate in best)) or "none with an SAE probe"
            raise MosaicError(f"There is no example '{example}' in the datasets of the run {self.info['name']} ({names}).")
        chosen = next((candidate for candidate in holding if (candidate.predictions["id"] == example).any()), holding[0])
        return chosen.explain(example, about)

    def evidence_of(self, point: dict[str, Any]) -> dict[str, Any] | None:
        """Return the saved cards of the latents that a point (content of ``point.json``) reads; those of one store are read once."""
        store = str((point.get("provenance") or {}).get("latent_store") or point["fingerprint"])
        if store not in self._evidence:
            self._evidence[store] = evidence_of(self.base, point)
        return self._evidence[store]

    def _repr_html_(self) -> str:
        from mosaic_sae.report.notebook import run_html

        return run_html(self)


class Point:
    """One point of a run."""

    def __init__(self, run: Run, row: pd.Series) -> None:
        """Open a point; ``row`` is its row of the results."""
        self.run, self.row = run, row

    def __repr__(self) -> str:
        return (
            f"<Point {self.row['fingerprint']}: {self.row['representation']} {self.row['classifier']}, macro F1 {self.row['macro_f1']:.3f}>"
        )

    @property
    def folder(self) -> Path:
        """Folder of the point."""
        return self.run.base / str(self.row["path"])

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """Content of ``point.json``.

        Raises:
            StoreError: it is gone.
        """
        path = self.folder / "point.json"
        if not path.is_file():
            raise StoreError(f"{path} is gone. Run the experiment again.")
        return read_json(path)

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per test example: id, unit, label, predicted and the probability of each class."""
        import pandas as pd

        return pd.read_parquet(self.folder / PREDICTIONS)

    @property
    def latents(self) -> pd.DataFrame:
        """The strongest latents of a logistic probe: class, latent, weight, scale."""
        import pandas as pd

        return pd.DataFrame(self.info["top_latents"], columns=["class", "latent", "weight", "scale"])

    @property
    def evidence(self) -> dict[str, Any] | None:
        """Saved cards of the latents, with their names; None when there are none."""
        return self.run.evidence_of(self.info)

    @property
    def stores(self) -> StorePaths:
        """Where the point's features were made from.

        Raises:
            MosaicError: the point is not on SAE latents, or the stores are gone.
        """
        return stores_of(self.run.base, self.info, self.evidence)

    def latent(self, index: int) -> Latent:
        """Return what a latent fires on: its saved card, or one made from the stores.

        Raises:
            MosaicError: the SAE has no such latent, or no card was saved and the stores are gone.
        """
        card = card_of(self.evidence, index) or self.stores.open().card(index)
        return Latent(index, str(self.row["sae"]), dict(card))

    def explain(self, example: str | int, about: str | None = None) -> Explanation:
        """Explain one decision; ``example`` is an id or a row number, ``about`` a class (None = the predicted one)."""
        return explain_example(self.run.base, self.folder, example, about)

    def _repr_html_(self) -> str:
        from mosaic_sae.report.notebook import point_html

        return point_html(self)


class Latent:
    """A latent with its card (``docs/evidence.md``)."""

    def __init__(self, index: int, sae: str, card: dict[str, Any]) -> None:
        self.index, self.sae, self.card = index, sae, card

    def __repr__(self) -> str:
        return f"<Latent {self.index} of {self.sae}>"

    def _repr_html_(self) -> str:
        from mosaic_sae.report.notebook import latent_html

        return latent_html(self)


def open_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        StoreError: it is no run.
    """
    return Run(Path(path))
