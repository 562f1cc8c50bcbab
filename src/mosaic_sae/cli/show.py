"""``mosaic show``: one run or one point in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, AsJson, Results

EXAMPLES = (
    ("mosaic show default", "a run: scores, intervals, controls"),
    ("mosaic show default --all", "every point, not only the chosen ones"),
    ("mosaic show 3f9a01", "a point, by the first digits of its fingerprint"),
    ("mosaic show default --json", "run.json (or point.json) as it is"),
)

_HEADER = ("", "point", "dataset, split", "features", "pooling", "layer", "CV", "macro F1", "95 % interval", "latents")


def command(
    name: Annotated[str, typer.Argument(metavar="RUN_OR_POINT", help="Name or folder of a run; folder or fingerprint of a point.")],
    all_: Annotated[bool, typer.Option("--all", help="Of a run: every point, not only those that cross-validation chose.")] = False,
    json_: AsJson = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Show a run's scores, or one point in detail.

    A run is one table for each dataset and split: for each kind of features and classifier the point that cross-validation chose
    inside the training part, with its score on the test part and a 95 % interval.
    """
    from mosaic_sae.cli.places import POINT_FILE, RUN_FILE, find_run_or_point
    from mosaic_sae.fsio import read_json

    folder = find_run_or_point(name, results)
    is_point = (folder / POINT_FILE).is_file()
    if json_:
        typer.echo(json.dumps(read_json(folder / (POINT_FILE if is_point else RUN_FILE)), indent=1, ensure_ascii=False))
    elif is_point:
        from mosaic_sae.cli.show_point import point_text

        typer.echo(point_text(folder))
    else:
        _show_run(folder, all_)


def _show_run(folder: Path, every_point: bool) -> None:
    from mosaic_sae.explain.cards import visible
    from mosaic_sae.report.content import read_run
    from mosaic_sae.report.facts import status_of
    from mosaic_sae.report.terminal import print_summary

    run = read_run(folder)
    points = run["points"]
    counts = f"{points['done']} points computed, {points['skipped']} there already, {len(points['failed'])} failed"
    typer.echo(visible(f"Run {run['name']}: {status_of(run)}. {counts}. Started {run['started']}."))
    if every_point:
        typer.echo(points_table(folder / "results.parquet"))
    else:
        print_summary(folder)
    if (folder / "report.html").is_file():
        typer.echo(f"Report: {folder / 'report.html'}")


def points_table(results: Path) -> str:
    """Lay out every point of a run, with the digits by which ``mosaic show`` finds it; * marks what cross-validation chose."""
    from mosaic_sae.cli.tables import aligned
    from mosaic_sae.explain.cards import visible
    from mosaic_sae.report.names import configuration, interval, method_name, number, whole
    from mosaic_sae.report.tables import read_results

    rows = [
        [
            "*" if row["chosen"] else "",
            row["fingerprint"][:8],
            visible(f"{row['dataset']}, {row['split']}", 40),
            visible(method_name(row["representation"], row["classifier"])),
            visible(configuration({"pooling": row["pooling"], "binarise": row["binarise"]})),
            whole(row["layer"]),
            number(row["cv_macro_f1"]),
            number(row["macro_f1"]),
            interval(row["macro_f1_low"], row["macro_f1_high"]) or "–",
            whole(row["n_nonzero"]),
        ]
        for row in read_results(results).to_dict("records")
    ]
    return aligned(_HEADER, rows)
