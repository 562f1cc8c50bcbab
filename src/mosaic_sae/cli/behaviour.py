"""``mosaic behaviour``: what a model answers, as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    ("mosaic behaviour recipes/questions-gemma.yaml", "what Gemma 3 270M answers to the packaged questions"),
    ("mosaic behaviour mine.yaml -s questions.max_rows=100", "the first rows only"),
    ("mosaic behaviour mine.yaml -s ask.normalise=bytes", "judged anew; nothing is asked again"),
)


def command(
    file: Annotated[Path, typer.Argument(help="YAML file: model, questions, how to ask, how to grade (docs/behaviour.md).")],
    overrides: Annotated[list[str] | None, typer.Option("--set", "-s", help="Override one value of the file: key=value.")] = None,
) -> None:
    """Ask a model questions; its answers are a dataset.

    Multiple choice by the log-probabilities of the choices, or open questions with a graded response. Each answer is kept
    at once: the same command goes on after an interruption. 'mosaic run' then predicts the column 'correct' from the
    features of another model.
    """
    from mosaic_sae.config.load import load_behaviour
    from mosaic_sae.fsio import read_json
    from mosaic_sae.pipeline.behaviour import ask_model

    path = ask_model(load_behaviour(file, overrides or []))
    about = read_json(path.with_suffix(".json"))
    for name in ("correct", "refusal"):
        if name in about:
            counts = about[name]
            typer.echo(f"{name}: " + ", ".join(f"{value} {count:,} ({count / about['rows']:.1%})" for value, count in counts.items()))
    if about["skipped"]:
        typer.echo(f"left out: {len(about['skipped']):,} rows (listed in {path.with_suffix('.json')})")
    typer.echo(path)
