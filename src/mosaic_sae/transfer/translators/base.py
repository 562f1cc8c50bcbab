"""What every translator is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol


class Item(NamedTuple):
    """One text to translate."""

    text: str
    match: str = ""
    """Cell of ``match_field``, for translations that are looked up."""


class Translation(NamedTuple):
    """What became of an item."""

    number: int
    """Place of the item among those given."""
    text: str | None
    """None where there is no translation."""
    problem: str = ""
    """Why there is none."""


class Translator(Protocol):
    """Turns texts of one language into another."""

    @property
    def identity(self) -> dict[str, Any]:
        """What changes its translations, as JSON values."""

    def translate(self, items: Sequence[Item], source: str, target: str) -> Iterator[list[Translation]]:
        """Yield translations as they come, in portions that are worth keeping; every item once.

        Raises:
            MosaicError: nothing can be translated: no model, no access, an unknown language.
        """
