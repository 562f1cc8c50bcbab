"""Every split of a dataset: what the configuration lists, with splits of kinds language and modality spelt out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mosaic_sae.config.dataset_entry import SplitSpec
from mosaic_sae.errors import MosaicError, ProbeError
from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.domains import domain_splits
from mosaic_sae.sources.splits import Split, make_split


@dataclass(frozen=True)
class NamedSplit:
    """One split as tables and paths name it."""

    name: str
    spec: SplitSpec
    rows: Split | MosaicError
    """An error is raised where a point needs the split."""
    domain: str | None = None
    """Of kind language or modality: the one that is trained on; None also where the split could not be made."""
    share: float = 1.0
    """Of kind language or modality: share of the training part that is used."""


def make_splits(examples: Examples, specs: Sequence[SplitSpec], test_size: float, seed: int) -> list[NamedSplit]:
    """Make all splits of a dataset, in the order of the configuration.

    Args:
        examples: rows to part.
        specs: the dataset's ``splits``.
        test_size: share of rows in a random test part.
        seed: of everything that is random.

    Raises:
        ProbeError: two splits would have one name. What makes a single split impossible is kept with it.
    """
    made: list[NamedSplit] = []
    for spec in specs:
        try:
            if spec.by:
                made += [
                    NamedSplit(split.rows.name, spec, split.rows, split.domain, split.share)
                    for split in domain_splits(examples, spec, test_size, seed)
                ]
            else:
                made.append(NamedSplit(spec.label, spec, make_split(examples, spec, test_size, seed)))
        except MosaicError as error:
            made.append(NamedSplit(spec.label, spec, error))
    names = [split.name for split in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ProbeError(f"dataset '{examples.name}': two splits would be called '{twice[0]}'. Give one of them another name.")
    return made
