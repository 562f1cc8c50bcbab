"""``mosaic explain``: why one example was classified as it was."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_RESULTS, AsJson, Results

EXAMPLES = (
    ("mosaic explain default movie-3411", "by the probe that cross-validation chose"),
    ("mosaic explain default movie-3411 --point 3f9a01", "by another point"),
    ("mosaic explain default movie-3411 --without 2476 --without 820", "and what it would say without these latents"),
    ("mosaic explain default movie-3411 --json", "all of it, for scripts"),
)


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    example: Annotated[str, typer.Argument(metavar="ID", help="Id of an example.")],
    point: Annotated[str | None, typer.Option("--point", metavar="POINT", help="First digits of a point's fingerprint.")] = None,
    about: Annotated[
        str | None, typer.Option("--about", metavar="CLASS", help="Class to speak for or against; else the predicted one.")
    ] = None,
    without: Annotated[list[int] | None, typer.Option("--without", metavar="LATENT", help="Also decide with these latents at 0.")] = None,
    json_: AsJson = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Explain one decision by its latents and tokens.

    It reads what the run left on disk; no model is loaded. The contributions and the bias sum to the classifier's own decision.
    """
    from rich.console import Console
    from rich.text import Text

    from mosaic_sae.cli.places import find_run
    from mosaic_sae.explain.cards import visible
    from mosaic_sae.explain.terminal import print_explanation
    from mosaic_sae.report.opened_run import open_run

    found = open_run(find_run(run, results)).explain(example, point, about)
    changed = found.without(without) if without else None
    if json_:
        more = {"without": {"latents": without, "probabilities": changed}} if without else {}
        typer.echo(json.dumps({**found.to_json(), **more}, indent=1, ensure_ascii=False))
        return
    console = Console()
    print_explanation(found, console)
    if changed:
        chances = ", ".join(f"{visible(name, 60)} {value:.3f}" for name, value in changed.items())
        console.print(Text(f"Without {', '.join(map(str, without or []))}: {chances}"))
