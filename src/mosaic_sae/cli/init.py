"""``mosaic init``: copy a preset, to edit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_CONFIG

EXAMPLES = (
    ("mosaic init", "the preset default as conf.yaml"),
    ("mosaic init default --to mine.yaml", "under another name"),
    ("mosaic ls presets", "which presets there are"),
)


def command(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Name of the preset.")] = "default",
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="File to write; it must not exist yet.")] = Path(DEFAULT_CONFIG),
) -> None:
    """Copy a preset to a file of your own.

    The comments come along. Edit the copy, check it with 'mosaic validate', then run it.
    """
    from mosaic_sae.config.presets import preset_path
    from mosaic_sae.errors import ConfigError
    from mosaic_sae.fsio import write_text

    source = preset_path(preset)
    if to.exists():
        raise ConfigError(f"{to} exists and is left as it is. Choose another name: mosaic init {preset} --to another.yaml")
    # A run of its own: under the preset's name it would replace the preset's results.
    write_text(to, re.sub(r"(?m)^name: \S+", f"name: {to.stem}", source.read_text(encoding="utf-8"), count=1))
    typer.echo(f"Wrote {to}, a copy of the preset {preset}.\nNext: mosaic validate {to}")
