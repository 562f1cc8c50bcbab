"""``mosaic translate``: add translations to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    ("mosaic translate job.yaml", "translate what is missing, write the dataset"),
    ("mosaic translate job.yaml -s translator.batch_size=64", "with one value changed"),
)


def command(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="YAML file: data, directions, translator, out.")],
    set_: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set one value of the file.")] = None,
) -> None:
    """Add translations of its rows to a dataset.

    For translate-train and translate-test: an English text in German becomes a row of language "de←en", with its label, group
    and split. Translators: a model on this machine, an OpenAI-compatible endpoint, a table that exists already. A killed job
    goes on where it was.
    """
    from mosaic_sae.config.load import load_translation
    from mosaic_sae.transfer.translate import translate

    outcome = translate(load_translation(job, set_ or []))
    typer.echo(f"{outcome.out}: {outcome.n_rows:,} rows, {outcome.n_translated:,} of them translated ({outcome.n_new:,} texts now).")
    if outcome.missing:
        typer.echo(f"{len(outcome.missing):,} rows were left out, without a translation; they are listed in {outcome.out}.json.")
