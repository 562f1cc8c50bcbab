"""``mosaic doctor``: does an SAE fit a model?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mosaic_sae.cli.arguments import DEFAULT_CONFIG, AsJson, Config, Overrides

if TYPE_CHECKING:
    from mosaic_sae.config.dataset_entry import DatasetEntry
    from mosaic_sae.config.schema import Experiment
    from mosaic_sae.pipeline.doctor import Diagnosis

EXAMPLES = (
    ("mosaic doctor default", "every model and SAE of a config, on texts of its first dataset"),
    ("mosaic doctor mine.yaml -s models.0.layers=[14]", "try another layer"),
    ("mosaic doctor --model owner/name --layer 12 --sae saes/layer_12", "without a config, on packaged texts"),
    ("mosaic doctor mine.yaml --json", "all measurements, for scripts"),
)


def command(
    config: Config = DEFAULT_CONFIG,
    set_: Overrides = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A model instead of a config: hub name, folder or packaged/NAME.")
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", min=0, help="With --model: the block that the SAE reads.")] = None,
    sae: Annotated[
        str | None, typer.Option("--sae", metavar="PATH", help="With --model: folder, or packaged/NAME; left out, the public release.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="With --sae: its format.")] = "saelens",
    texts: Annotated[int, typer.Option("--texts", min=2, help="Number of texts to measure on.")] = 50,
    json_: AsJson = False,
) -> None:
    """Check whether each SAE fits its model; say what is wrong.

    Runs some texts of the config's first dataset and measures explained variance, L0 and norms at the hook point, two layers up and
    down, and with each convention of the SAE changed (normalisation, scale, b_dec, BOS). What explains clearly more is named.
    Exit code 0 means that all fit, 1 that a problem was found.
    """
    from dataclasses import asdict

    from mosaic_sae.pipeline.doctor import diagnose
    from mosaic_sae.sources.load import load_examples

    experiment = _experiment(config, set_ or [], model, layer, sae, format_)
    examples = load_examples(_sample(experiment.datasets[0], texts), experiment.settings.seed)
    found = [one for entry in experiment.models for one in diagnose(experiment, entry, examples.texts, examples.pictures)]
    if json_:
        report = [{**asdict(one.measured), "findings": [asdict(finding) for finding in one.findings], "fits": one.fits} for one in found]
        typer.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n\n".join(_text(one) for one in found))
    if not all(one.fits for one in found):
        raise typer.Exit(1)


def _experiment(config: str, set_: list[str], model: str | None, layer: int | None, sae: str | None, format_: str) -> Experiment:
    from mosaic_sae.config.load import load_experiment
    from mosaic_sae.errors import ConfigError

    if model is None:
        if layer is not None or sae is not None:
            raise ConfigError("--layer and --sae belong to --model. Name a model, or leave them out and name a config.")
        return load_experiment(config, set_).experiment
    if layer is None:
        raise ConfigError("--model needs --layer, the block that the SAE reads, counted from 0.")
    entry = (
        f"{{name: {json.dumps(model)}, layers: [{layer}]" + (f", sae: {{path: {json.dumps(sae)}, format: {format_}}}" if sae else "") + "}"
    )
    # The default preset's datasets, whose texts ship with the package.
    return load_experiment("default", [f"models=[{entry}]", *set_]).experiment


def _sample(entry: DatasetEntry, n_texts: int) -> DatasetEntry:
    return entry.model_copy(update={"max_rows": min(n_texts, entry.max_rows or n_texts)})


def _text(one: Diagnosis) -> str:
    """Lay a diagnosis out: the verdict, the facts, then what is wrong and what to change."""
    from mosaic_sae.explain.cards import visible

    measured, lines = one.measured, []
    lines.append(f"{measured.sae} at {measured.point} of {measured.model}: {'fits' if one.fits else 'does not fit as it is used'}")
    lines += [f"  {word:<20} {text}" for word, text in _facts(one)]
    for finding in one.findings:
        lines.append(f"  {finding.level.capitalize()}: {finding.text}")
        if finding.remedy:
            lines.append(f"    {finding.remedy}")
    return "\n".join(visible(line, 400) for line in lines)


def _facts(one: Diagnosis) -> list[tuple[str, str]]:
    measured = one.measured
    facts: list[tuple[str, str]] = [("module read", f"{measured.module}, {measured.dtype}")]
    facts.append(("first tokens", " ".join(_token(token) for token in measured.first_tokens) + "   [brackets: do not count]"))
    if (quality := measured.quality) is not None:
        if quality.explained_variance is not None:
            facts.append(("explained variance", f"{quality.explained_variance:.3f} (FVU {quality.fvu:.3f}), {quality.n_tokens:,} tokens"))
        stated = measured.stated.get("l0")
        facts.append(("L0", f"{quality.l0:.1f}" + (f", its makers measured {stated:.1f}" if stated else ", its files state none")))
        facts.append(("silent here", f"{quality.dead_share:.0%} of the latents, on these {measured.n_texts} texts alone"))
    facts.append(("NaN or infinity", f"{measured.n_not_finite:,} tokens" if measured.n_not_finite else "none"))
    if (norms := measured.norms) is not None:
        facts.append(("norms", f"first token {norms.first_in_words}, median {norms.median:.4g}"))
    if measured.layers:
        facts.append(("by layer", ", ".join(f"{layer}: {value:.3f}" for layer, value in measured.layers.items())))
    if measured.alternatives:
        facts.append(("by convention", ", ".join(f"{way.fault}: {_share(way.explained_variance)}" for way in measured.alternatives)))
    if measured.other_bos is not None:
        word = "without BOS" if measured.tokens["prepend_bos"] else "with BOS"
        facts.append((word, f"{measured.other_bos:.3f}"))
    return facts


def _share(value: float) -> str:
    # A wrong scale can be wrong by any factor; how far below nothing does not matter.
    return f"{value:.3f}" if value > -1 else "below -1"


def _token(token: dict[str, Any]) -> str:
    text = f"{token['piece']}({token['id']})"
    return text if token["counts"] else f"[{text}]"
