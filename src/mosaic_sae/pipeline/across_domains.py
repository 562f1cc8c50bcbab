"""Tables of transfer across languages and modalities, made from the finished points of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.config.schema import Experiment
from mosaic_sae.errors import MosaicError
from mosaic_sae.features.pooling import pool_store
from mosaic_sae.fsio import write_with
from mosaic_sae.pipeline.work import Work
from mosaic_sae.probes.save import COEFFICIENTS, PREDICTIONS, load_coefficients
from mosaic_sae.report.names import present
from mosaic_sae.report.tables import FAMILY, mark_chosen, read_results
from mosaic_sae.sources.all_splits import NamedSplit
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.domains import row_domains
from mosaic_sae.sources.images import thumbnail
from mosaic_sae.sources.units import duplicate_units
from mosaic_sae.store.reader import LatentStore
from mosaic_sae.transfer.matrix import Trained, transfer_cells
from mosaic_sae.transfer.shift import DomainProbe, latent_shift
from mosaic_sae.transfer.translated import parse_language, translation_modes

if TYPE_CHECKING:
    import pandas as pd

TRANSFER, LATENT_SHIFT, MODES = "transfer.parquet", "latent_shift.parquet", "translation_modes.parquet"
_KEPT = ("split", "representation", "classifier", "model", "layer", "sae", "pooling", "binarise", "n_train", "cv_macro_f1", "path")
_N_TOP = 5
_SHOWN = 200
# Shuffled labels differ from point to point: no two of them were tested on the same labels.
_NOT_COMPARED = ("shuffled_labels",)


def write_transfer(experiment: Experiment, work: Work, run_folder: Path) -> None:
    """Write ``transfer.parquet``, ``latent_shift.parquet`` and ``translation_modes.parquet``, or remove old ones without content."""
    import pandas as pd

    results = run_folder / "results.parquet"
    frame = read_results(results) if results.is_file() else None
    cells: list[dict[str, Any]] = []
    shifts: list[dict[str, Any]] = []
    modes: list[dict[str, Any]] = []
    for _, examples in work.datasets if frame is not None else []:
        for family in _families(work.splits[examples.name]):
            points = frame[(frame["dataset"] == examples.name) & frame["split"].isin(family.splits)]  # type: ignore[index]
            about = {"dataset": examples.name, "family": family.label, "by": family.by}
            found = list(_matrix(experiment, examples, points, family))
            whole = pd.DataFrame([row for row in found if row["selection"] == "chosen" and row["share"] == 1])
            cells += [about | row for row in found]
            modes += [about | row for row in (translation_modes(whole) if len(whole) else [])]
            shifts += [about | row for row in _shift(experiment, work, examples, points, family)]
    for name, rows in ((TRANSFER, cells), (LATENT_SHIFT, shifts), (MODES, modes)):
        path, table = run_folder / name, pd.DataFrame(rows)
        if rows:
            write_with(path, lambda temporary, table=table: table.to_parquet(temporary, index=False))  # type: ignore[misc]
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Family:
    """The splits of one spec that trains on domains in turn."""

    label: str
    by: str
    splits: dict[str, NamedSplit]
    """By name."""


def _families(splits: list[NamedSplit]) -> Iterator[_Family]:
    for label in dict.fromkeys(split.spec.label for split in splits if split.domain is not None):
        members = {split.name: split for split in splits if split.spec.label == label}
        by = next(iter(members.values())).spec.by
        assert by is not None
        yield _Family(label, by, members)


def _matrix(experiment: Experiment, examples: Examples, points: pd.DataFrame, family: _Family) -> Iterator[dict[str, Any]]:
    """Yield the cells of the CV-chosen points, then, when several layers were read, those of the CV-best point of each layer."""
    points = points[~points["representation"].isin(_NOT_COMPARED)]
    method = ["representation", "classifier"]
    yield from _cells(experiment, examples, points[points["chosen"].astype(bool)], family, method, "chosen")
    read = points[points["layer"].notna()]
    if len(read[["model", "layer"]].drop_duplicates()) > 1:
        best = mark_chosen(read, [*FAMILY, "model", "layer"])
        yield from _cells(experiment, examples, best[best["chosen"]], family, [*method, "model", "layer"], "layer")


def _cells(
    experiment: Experiment, examples: Examples, points: pd.DataFrame, family: _Family, by: list[str], selection: str
) -> Iterator[dict[str, Any]]:
    import pandas as pd

    base, settings = experiment.settings.base_classify_dir, experiment.settings
    domain_of = dict(zip(examples.ids, row_domains(examples, family.by), strict=True))
    for _, part in points.groupby(by, sort=False):
        rows = part.to_dict("records")
        trained = []
        for row in rows:
            split = family.splits[row["split"]]
            assert split.domain is not None
            columns = ["id", "unit", "label", "predicted"]
            trained.append(Trained(split.domain, split.share, pd.read_parquet(base / row["path"] / PREDICTIONS, columns=columns)))
        found = {(one.domain, one.share): row for one, row in zip(trained, rows, strict=True)}
        for cell in transfer_cells(trained, domain_of, experiment.classification_params.n_bootstrap, settings.seed):
            row = found[cell.train_domain, cell.share]
            yield {"selection": selection} | {name: row[name] for name in _KEPT} | asdict(cell)


def _shift(experiment: Experiment, work: Work, examples: Examples, points: pd.DataFrame, family: _Family) -> Iterator[dict[str, Any]]:
    """Yield where the strongest latents of each domain's CV-chosen logistic probe are active."""
    # Translations are no languages of their own: they would count as places where a latent carries over.
    whole = {name: split for name, split in family.splits.items() if split.share == 1 and not parse_language(split.domain or "")}
    wanted = points["chosen"].astype(bool) & (points["representation"] == "sae") & (points["classifier"] == "logistic")
    points = points[wanted & points["split"].isin(whole)]
    tested = next((split.rows.test for split in whole.values() if not isinstance(split.rows, MosaicError)), None)
    if points.empty or tested is None:
        return
    domains = row_domains(examples, family.by)
    rows = [row for row in tested if not parse_language(domains[row])]
    pooled: dict[tuple[Path, str], Any] = {}
    probes = []
    for point in points.to_dict("records"):
        pairing = next(one for one in work.pairings if one.examples is examples and one.model.located.name == point["model"])
        store = (pairing.places.latents[point["sae"]].folder, point["pooling"])
        if store not in pooled:
            pooled[store] = pool_store(LatentStore(store[0]), store[1])[rows]
        domain = whole[point["split"]].domain
        assert domain is not None
        threshold = float(point["binarise"]) if present(point["binarise"]) else None
        coefficients = load_coefficients(experiment.settings.base_classify_dir / point["path"] / COEFFICIENTS)
        probes.append(DomainProbe(domain, pooled[store], threshold, coefficients, f"{point['model']}, {point['sae']}"))
    read = {probe.domain: point for probe, point in zip(probes, points.to_dict("records"), strict=True)}
    units = duplicate_units(examples)
    labels, spoken, bound = ([values[row] for row in rows] for values in (examples.labels, domains, units))
    for line in latent_shift(probes, labels, spoken, bound, _N_TOP):
        values = asdict(line)
        strongest = values.pop("strongest")
        shown = {"strongest_text": None, "strongest_picture": None} if strongest is None else _shown(examples, rows[strongest])
        point = read[line.train_domain]
        yield {name: point[name] for name in ("model", "layer", "sae", "pooling", "binarise", "path")} | values | shown


def _shown(examples: Examples, row: int) -> dict[str, str | None]:
    picture = examples.pictures[row] if examples.pictures else None
    return {"strongest_text": examples.texts[row][:_SHOWN] or None, "strongest_picture": thumbnail(picture) if picture else None}
