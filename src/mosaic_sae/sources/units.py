"""Units: sets of rows that must stay on one side of every split, because they share a text, a picture or a group."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from mosaic_sae.sources.base import Examples
from mosaic_sae.sources.images import Picture


def normal_text(text: str) -> str:
    """Return the form in which texts are compared: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def duplicate_units(examples: Examples) -> list[str]:
    """Return one unit key per row; rows with the same normal text, picture or group share it, directly or through others.

    Of a row with a picture the picture alone counts: many may carry one question. A key is made of the texts and
    pictures of its rows alone, so it depends neither on row numbers nor on the order of rows. An empty group is no group.
    """
    return unit_keys(examples.texts, examples.groups, examples.pictures)


def unit_keys(texts: Sequence[str], groups: Sequence[str] | None = None, pictures: Sequence[Picture | None] | None = None) -> list[str]:
    """Do the work of ``duplicate_units`` on plain lists."""
    text_keys = [
        (picture.sha256 if picture else hashlib.sha256(normal_text(text).encode("utf-8")).hexdigest())[:24]
        for text, picture in zip(texts, pictures or [None] * len(texts), strict=True)
    ]
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
