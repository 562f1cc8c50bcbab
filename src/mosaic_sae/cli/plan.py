"""``mosaic plan``: what a run would do."""

from __future__ import annotations

from typing import Any

import typer

from mosaic_sae.cli.arguments import DEFAULT_CONFIG, AsJson, Config, Overrides

EXAMPLES = (
    ("mosaic plan", "what 'mosaic run' would do with conf.yaml"),
    ("mosaic plan default -s settings.seed=7", "what one changed value makes necessary"),
    ("mosaic plan default --json", "the same for a script"),
)
_COLUMNS = ("dataset", "split", "model", "layer", "site", "sae", "representation", "pooling", "binarise", "classifier")


def command(config: Config = DEFAULT_CONFIG, set_: Overrides = None, json_: AsJson = False) -> None:
    """List every point: to run, to skip or to fail, and why.

    A point is one cell of the grid: dataset, split, layer, SAE, pooling, threshold, classifier. It is skipped when its result is there
    already and nothing that could change a number has changed. Nothing is computed.
    """
    from mosaic_sae.config.load import load_experiment
    from mosaic_sae.pipeline.plan import make_plan

    points = make_plan(load_experiment(config, set_))
    if json_:
        import json

        typer.echo(json.dumps([{"action": point.action, "reason": point.reason, "key": point.key} for point in points], indent=1))
        return
    from mosaic_sae.cli.tables import aligned

    columns = [name for name in _COLUMNS if any(point.key.get(name) is not None for point in points)]
    rows = [[point.action, *(_cell(name, point.key) for name in columns), point.reason] for point in points]
    typer.echo(aligned(["", *columns, "because"], rows))
    n_run = sum(point.action == "run" for point in points)
    n_fail = sum(point.action == "fail" for point in points)
    failing = f", {n_fail} that cannot be run" if n_fail else ""
    typer.echo(f"\n{n_run} of {len(points)} points to run, {len(points) - n_run - n_fail} to skip{failing}.")


def _cell(name: str, key: dict[str, Any]) -> str:
    from mosaic_sae.report.names import binarise_name

    value = key.get(name)
    if name == "binarise" and key.get("pooling") is not None:
        return binarise_name(value)
    return "–" if value is None else str(value)
