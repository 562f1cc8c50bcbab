"""``mosaic sae``: train sparse autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import examples

app = typer.Typer(name="sae", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    """Train sparse autoencoders."""


@app.command(epilog=examples((("mosaic sae train recipes/smollm2-135m-instruct-l13.yaml", "train the SAE that ships with MOSAIC"),)))
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file: model, layer, texts, width, sparsity, schedule.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", "-s", help="Override one value of the file: key=value.")] = None,
) -> None:
    """Train an SAE on a model's activations over a text file; needs the extra [saelens].

    Collects activations (kept on disk, so a killed run goes on), trains with SAELens's trainer, measures explained
    variance, L0 and dead latents on held-out text, and writes a folder in SAELens format with a model card.
    """
    from mosaic_sae.config.load import load_recipe
    from mosaic_sae.pipeline.train_sae import train_sae

    folder = train_sae(load_recipe(recipe, overrides or []))
    typer.echo(folder)
