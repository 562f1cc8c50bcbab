"""``mosaic report``: a run's report, made again, with its tables and figures as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, Results

EXAMPLES = (
    ("mosaic report default", "report.html and report.md in the run's folder"),
    ("mosaic report default --out to-mail --format html", "one file that opens from disk"),
    ("mosaic report default --tables csv --figures svg", "also tables/*.csv and figures/*.svg"),
)


class Format(StrEnum):
    """What the report is written as."""

    html = "html"
    markdown = "markdown"
    all = "all"


class Figures(StrEnum):
    """What figures are written as."""

    svg = "svg"
    png = "png"


class Tables(StrEnum):
    """What tables are written as."""

    csv = "csv"


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Folder to write to; else the run's own.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="What the report is written as.")] = Format.all,
    figures: Annotated[Figures | None, typer.Option("--figures", help="Also write every figure as a file, below figures/.")] = None,
    tables: Annotated[Tables | None, typer.Option("--tables", help="Also write every table as a file, below tables/.")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write a run's report again, from what is on disk.

    The HTML file is complete in itself: it opens from disk, prints, and can be mailed. PNG figures need the extra [png].
    """
    from mosaic_sae.cli.places import find_run
    from mosaic_sae.report.content import gather
    from mosaic_sae.report.export import write_figures, write_tables
    from mosaic_sae.report.write import FORMATS, write_report

    folder = find_run(run, results)
    content = gather(folder)
    target = out or folder
    written = []
    if figures is not None:  # first: a library may be missing
        written += write_figures(content, target / "figures", figures.value)
    if tables is not None:
        written += write_tables(content, folder, target / "tables")
    written += write_report(folder, target, FORMATS if format_ is Format.all else (format_.value,), content)
    for path in written:
        typer.echo(path)
