"""``mosaic run``: the whole path from labelled texts to classifiers and their report."""

from __future__ import annotations

from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_CONFIG, Config, Overrides

EXAMPLES = (
    ("mosaic run", "run conf.yaml in this folder"),
    ("mosaic run default", "run a preset"),
    ("mosaic run default -s settings.seed=7", "with one value changed"),
    ('mosaic run default -s "classification_params.top_n_values=[sum,max]"', "a list; quotes for the shell"),
    ("mosaic run default --extract-only", "the model's part alone; classify later"),
)


def command(
    config: Config = DEFAULT_CONFIG,
    set_: Overrides = None,
    extract_only: Annotated[bool, typer.Option("--extract-only", help="Only run the model and store the latents.")] = False,
    classify_only: Annotated[bool, typer.Option("--classify-only", help="Only fit and judge classifiers, on stored latents.")] = False,
) -> None:
    """Extract latents, fit and judge classifiers, report.

    What is finished is not done again: after an interruption or a change, the same command does only what is missing (see 'mosaic plan').
    A point that fails is listed, the others finish, and the exit code is 1.
    """
    from mosaic_sae.config.load import load_experiment
    from mosaic_sae.errors import ConfigError

    if extract_only and classify_only:
        raise ConfigError("--extract-only and --classify-only exclude each other: leave both out to do the two steps one after the other.")
    loaded = load_experiment(config, set_)

    from mosaic_sae.pipeline.run import run
    from mosaic_sae.report.terminal import print_summary

    summary = run(loaded, extract=not classify_only, classify=not extract_only)
    if extract_only:
        typer.echo(f"Extracted. Next: mosaic run {config} --classify-only")
    else:
        print_summary(summary.run_folder)
        typer.echo(f"Report: {summary.run_folder / 'report.html'}\nNext: mosaic app {summary.run_folder}")
    if summary.failed:
        typer.echo(f"{len(summary.failed)} points failed; see {summary.run_folder / 'log.txt'}", err=True)
        raise typer.Exit(1)
