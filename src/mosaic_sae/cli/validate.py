"""``mosaic validate``: every problem of a config at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_sae.cli.arguments import DEFAULT_CONFIG, Config, Overrides

if TYPE_CHECKING:
    from mosaic_sae.config.schema import Experiment

EXAMPLES = (
    ("mosaic validate", "check conf.yaml in this folder"),
    ("mosaic validate mine.yaml -s settings.seed=7", "check a file with one value changed"),
    ("mosaic validate default --print", "every key with the value it will have"),
)


def command(
    config: Config = DEFAULT_CONFIG,
    set_: Overrides = None,
    print_: Annotated[bool, typer.Option("--print", help="Print the config with every default spelt out, as YAML.")] = False,
) -> None:
    """Check a config; report every problem at once.

    Each problem comes with its line, what was found, what is allowed and the nearest match.
    Nothing is loaded or computed. Exit code 0 means valid, 2 means that there are problems.
    """
    from mosaic_sae.config.load import load_experiment, to_yaml

    loaded = load_experiment(config, set_)
    require_saes(loaded.experiment)
    if print_:
        typer.echo(to_yaml(loaded.experiment), nl=False)
        return
    typer.echo(f"{config} is valid.")
    for word, text in summary(loaded.experiment):
        typer.echo(f"  {word:<12} {text}")
    typer.echo(f"Next: mosaic plan {config}")


def require_saes(experiment: Experiment) -> None:
    """Check that every model entry says, or is known to have, an SAE for each of its layers and widths, and that packaged ones exist.

    Raises:
        ConfigError: lists the entries for which this is not so.
    """
    from mosaic_sae.errors import ConfigError, SaeError, unknown_name
    from mosaic_sae.models.hook_points import SITE_OF_LOCATION
    from mosaic_sae.models.packaged import PACKAGED as PACKAGED_MODELS
    from mosaic_sae.models.packaged import PREFIX
    from mosaic_sae.models.packaged_vision import adapter_names
    from mosaic_sae.sae.load import PACKAGED, locate_sae
    from mosaic_sae.sae.releases import sae_block_of

    site = SITE_OF_LOCATION[experiment.settings.sae_location]
    packaged = [*PACKAGED_MODELS, *adapter_names()]
    problems: list[str] = []
    for entry in experiment.models:
        short = entry.name.removeprefix(PREFIX)
        if short != entry.name and short not in packaged:
            problems.append(unknown_name("packaged model", short, packaged))
        for layer in entry.layers:
            for width in (*entry.widths,) or (None,):
                try:
                    block = sae_block_of(entry, site, layer, width)
                    if block.path.startswith(PACKAGED):
                        locate_sae(block, layer, width, site)
                except SaeError as error:
                    problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def summary(experiment: Experiment) -> list[tuple[str, str]]:
    """Say in a few lines what a config asks for."""
    from mosaic_sae.report.names import configuration

    params = experiment.classification_params
    lines = []
    for model in experiment.models:
        widths = f", widths {', '.join(model.widths)}" if model.widths else ""
        lines.append(("model", f"{model.name}, layers {', '.join(str(layer) for layer in model.layers)}{widths}"))
    for dataset in experiment.datasets:
        rows = f", at most {dataset.max_rows:,} rows" if dataset.max_rows else ""
        lines.append(("dataset", f"{dataset.name}{rows}, splits {', '.join(split.label for split in dataset.splits)}"))
    features = [configuration({"pooling": pooling, "binarise": threshold}) for pooling, threshold in params.feature_grid]
    lines.append(("features", "; ".join(features)))
    lines.append(("classifiers", ", ".join(params.classifiers)))
    lines.append(("baselines", ", ".join(params.baselines) or "none"))
    lines.append(("results", str(experiment.settings.base_classify_dir)))
    return lines
