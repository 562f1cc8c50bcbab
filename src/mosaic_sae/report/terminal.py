"""The one table that ends a run on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.explain.cards import visible

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_STYLES = {"sae": "bold", "baseline": "", "control": "dim"}


def print_summary(run_folder: Path, console: Console | None = None) -> None:
    """Print the CV-chosen SAE probes, the baselines and the controls of each dataset and split, then the verdicts and what failed.

    Args:
        run_folder: holds ``run.json`` and, unless every point failed, ``results.parquet``.
        console: where to; None = standard output.
    """
    from rich.console import Console
    from rich.text import Text

    from mosaic_sae.report import tables
    from mosaic_sae.report.content import read_run
    from mosaic_sae.report.facts import domain_splits
    from mosaic_sae.report.transfer import read_transfer
    from mosaic_sae.report.verdict import verdict

    console = console or Console(file=sys.stdout)
    run, results = read_run(run_folder), run_folder / "results.parquet"
    if results.exists():
        frame = tables.read_results(results)
        summed_up = domain_splits(run)
        single = [pair for pair in tables.sections(frame) if pair not in summed_up]
        parts = [(dataset, split, tables.scores(frame, dataset, split)) for dataset, split in single]
        console.print(
            Text("Scores on the test part; pooling, threshold and classifier settings were chosen by cross-validation (CV).", style="dim")
        )
        if parts:
            console.print(_table(parts))
        for dataset, split, scores in parts:
            outcome = verdict(scores)
            console.print(Text.assemble((f"{visible(dataset, 60)}, {visible(split, 40)}: ", "bold"), visible(outcome.text)))
            for warning in outcome.warnings:
                console.print(Text(f"  Warning: {visible(warning)}", style="yellow"))
        for transfer in read_transfer(run_folder):
            console.print(Text(f"{visible(transfer.dataset, 60)}, {visible(transfer.family, 40)}: transfer", style="bold"))
            for line in transfer.verdicts:
                console.print(Text(f"  {visible(line)}"))
    else:
        console.print(Text("No point was finished, so there are no scores to show."))
    for failure in run["points"]["failed"]:
        key = ", ".join(f"{name} {value}" for name, value in failure["key"].items() if value is not None)
        console.print(Text(f"Failed: {visible(key)}: {visible(failure['error'], 500)}", style="red"))


def _table(parts: list[tuple[str, str, pd.DataFrame]]) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mosaic_sae.report.names import interval, number
    from mosaic_sae.report.tables import records

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("features", overflow="fold", min_width=24)
    table.add_column("pooling", overflow="fold", min_width=8)
    table.add_column("macro F1", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("CV", justify="right", no_wrap=True)
    for dataset, split, scores in parts:
        table.add_row(Text(f"{visible(dataset, 60)}, {visible(split, 40)}"), style="bold underline")
        for place, row in enumerate(records(scores)):
            table.add_row(
                Text(visible(f"{row['label']}, control" if row["role"] == "control" else row["label"], 60)),
                Text(visible(row["configuration"], 40)),
                number(row["macro_f1"]),
                Text(interval(row["macro_f1_low"], row["macro_f1_high"])),
                number(row["cv_macro_f1"]),
                style=_STYLES[row["role"]],
                end_section=place == len(scores) - 1,
            )
    return table
