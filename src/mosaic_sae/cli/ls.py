"""``mosaic ls``: what is there to use and to look at."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, Results

EXAMPLES = (
    ("mosaic ls", "everything"),
    ("mosaic ls presets", "configs that ship with MOSAIC"),
    ("mosaic ls runs", "runs in ./output/classifications"),
    ("mosaic ls runs --results elsewhere", "runs in another folder"),
)


class What(StrEnum):
    """What can be listed."""

    presets = "presets"
    runs = "runs"
    models = "models"
    saes = "saes"
    datasets = "datasets"


def command(
    what: Annotated[What | None, typer.Argument(help="One kind only.", show_default="all")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """List presets, runs, and what can be used offline.

    Packaged models, SAEs and datasets are named in a config as they are printed here.
    """
    sections = {
        What.presets: ("Presets (mosaic run NAME, mosaic init NAME)", _presets),
        What.runs: (f"Runs in {results} (mosaic show NAME, mosaic app NAME)", lambda: _runs(results)),
        What.models: ("Packaged models (models: - name: ...)", _models),
        What.saes: ("Packaged SAEs (sae: path: ...)", _saes),
        What.datasets: ("Packaged datasets (datasets: - name: ...)", _datasets),
    }
    from mosaic_sae.cli.tables import aligned

    for kind, (title, rows_of) in sections.items():
        if what in (None, kind):
            rows = rows_of()
            body = aligned(["" for _ in rows[0]], rows).partition("\n")[2] if rows else "none"
            typer.echo(f"{title}:\n  " + body.replace("\n", "\n  "))


def _presets() -> list[list[str]]:
    from mosaic_sae.config.presets import preset_names, preset_summary

    return [[name, preset_summary(name)] for name in preset_names()]


def _runs(results: Path) -> list[list[str]]:
    from mosaic_sae.cli.places import run_folders
    from mosaic_sae.report.content import read_run
    from mosaic_sae.report.facts import status_of

    rows = []
    for folder in run_folders(results):
        run = read_run(folder)
        points = run["points"]
        failed = len(points["failed"])
        rows.append([folder.name, status_of(run), f"{points['done'] + points['skipped']} points, {failed} failed", run["started"]])
    return rows


def _models() -> list[list[str]]:
    from mosaic_sae.models.packaged import PACKAGED, PREFIX

    return [[PREFIX + name, model.licence, f"from {' '.join(model.distributions)}"] for name, model in sorted(PACKAGED.items())]


def _saes() -> list[list[str]]:
    from mosaic_sae.sae.load import PACKAGED_FOLDER

    return [[f"packaged/{folder.name}"] for folder in sorted(PACKAGED_FOLDER.glob("*/")) if (folder / "cfg.json").is_file()]


def _datasets() -> list[list[str]]:
    from mosaic_sae.sources.packaged import PREFIX, load_card, packaged_names

    return [[PREFIX + name, load_card(name)["title"]] for name in packaged_names()]
