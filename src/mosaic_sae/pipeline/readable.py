"""Which rows a baseline can read: TF-IDF reads texts, pixels and the vision tower read pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sae.errors import MosaicError
from mosaic_sae.report.names import REPRESENTATIONS
from mosaic_sae.sources.all_splits import NamedSplit
from mosaic_sae.sources.splits import Split

if TYPE_CHECKING:
    from mosaic_sae.sources.base import Examples

READS = {"tfidf": "texts", "pixels": "pictures", "vision_tower": "pictures"}


def part_it_reads(examples: Examples, split: NamedSplit, baseline: str) -> Split | MosaicError | None:
    """Return the rows of a split on which a baseline can be trained and tested, or None where it cannot.

    A baseline that can read every row has the whole split. In a split of kind modality, one that can read the training
    part is tested on those test rows that it can read. In all other splits it would be scored on other rows than the
    methods that it stands beside, so it is left out.
    """
    if baseline not in READS or isinstance(split.rows, MosaicError):
        return split.rows
    readable = np.array([bool(text) for text in examples.texts] if READS[baseline] == "texts" else _has_picture(examples))
    train, test = split.rows.train, split.rows.test
    if readable[train].all() and readable[test].all():
        return split.rows
    if split.spec.by != "modality" or not readable[train].all() or not readable[test].any():
        return None
    return replace(
        split.rows, test=test[readable[test]], notes=split.rows.notes | {"test_rows_it_cannot_read": int((~readable[test]).sum())}
    )


def _has_picture(examples: Examples) -> list[bool]:
    return [modality == "image" for modality in examples.modalities]


def left_out(examples: Examples, splits: Sequence[NamedSplit], baselines: Sequence[str]) -> list[str]:
    """Say in words which baselines cannot read the rows of which splits."""
    lines = []
    for baseline in baselines:
        parts = {split.name: (split.rows, part_it_reads(examples, split, baseline)) for split in splits}
        without = [name for name, (_, part) in parts.items() if part is None]
        fewer = [name for name, (whole, part) in parts.items() if part is not None and part is not whole]
        words = [f"left out of {', '.join(without)}"] * bool(without) + [f"tested on those alone in {', '.join(fewer)}"] * bool(fewer)
        if words:
            lines.append(f"{REPRESENTATIONS[baseline]} reads {READS[baseline]} only: {'; '.join(words)}.")
    return lines
