"""Arguments that several verbs share, and the layout of examples in their help."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = "conf.yaml"
DEFAULT_RESULTS = Path("output/classifications")

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a preset.", show_default=True)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set one value of the config, e.g. settings.seed=7. May be given several times."),
]
Results = Annotated[Path, typer.Option("--results", metavar="FOLDER", help="Folder of results (base_classify_dir of the config).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def examples(lines: Iterable[tuple[str, str]]) -> str:
    """Lay out (command, what it does) pairs as the block that ends a help page."""
    pairs = list(lines)
    width = max(len(command) for command, _ in pairs)
    # "\b" keeps the help formatter from joining the lines.
    return "\n".join(["\b", "Examples:", *(f"  {command:<{width}}  {what}".rstrip() for command, what in pairs)])
