"""Units: sets of rows that must stay on one side of every split, because they share a text or a group."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from mosaic_sae.sources.base import Examples


def normal_text(text: str) -> str:
    """Return the form in which texts are compared: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def duplicate_units(examples: Examples) -> list[str]:
    """Return one unit key per row; rows with the same normal text or the same group share it, directly or through others.

    A key is made of the texts of its rows alone, so it depends neither on row numbers nor on the order of rows. An empty
    group is no group.
    """
    return unit_keys(examples.texts, examples.groups)


def unit_keys(texts: Sequence[str], groups: Sequence[str] | None = None) -> list[str]:
    """Do the work of ``duplicate_units`` on plain lists."""
    text_keys = [hashlib.sha256(normal_text(text).encode("utf-8")).hexdigest()[:24] for text in texts]
    links: dict[str, str] = {}

    def root(key: str) -> str:
        while (above := links.setdefault(key, key)) != key:
            links[key] = links[above]  # halve the path
            key = above
        return key

    first_of_group: dict[str, str] = {}
    for number, key in enumerate(text_keys):
        group = groups[number] if groups else ""
        one, other = root(key), root(first_of_group.setdefault(group, key) if group else key)
        # The smaller key stays on top: the root is the smallest text key of the unit, whatever the order of rows.
        links[max(one, other)] = min(one, other)
    return [root(key) for key in text_keys]
