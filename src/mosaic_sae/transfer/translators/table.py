"""Translations looked up in a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mosaic_sae.config.translation import TableTranslator
from mosaic_sae.errors import SourceError
from mosaic_sae.sources.cells import is_blank
from mosaic_sae.sources.load import read_columns
from mosaic_sae.transfer.translators.base import Item, Translation


class LookUp:
    """A table with a row for each item and language; of several rows the first counts.

    Raises:
        SourceError: the table or a column is missing.
    """

    def __init__(self, config: TableTranslator) -> None:
        self._config = config
        table = read_columns(config.table, {key: getattr(config, key) for key in ("match_field", "language_field", "text_field")})
        self._sha256 = table.provenance["sha256"]
        self._texts: dict[tuple[str, str], str] = {}
        cells = (table.load(getattr(config, key)) for key in ("match_field", "language_field", "text_field"))
        for match, language, text in zip(*cells, strict=True):
            if not (is_blank(text) or is_blank(language)):
                self._texts.setdefault((str(match), str(language).strip()), str(text))

    @property
    def identity(self) -> dict[str, Any]:
        """The table's content and the columns that are read."""
        fields = self._config.model_dump(include={"kind", "match_field", "text_field", "language_field"})
        return fields | {"sha256": self._sha256}

    def translate(self, items: Sequence[Item], source: str, target: str) -> Iterator[list[Translation]]:  # noqa: ARG002
        """Yield all items' translations at once."""
        if not any(language == target for _, language in self._texts):
            known = ", ".join(sorted({language for _, language in self._texts}))
            raise SourceError(f"translator.table {self._config.table} has no row in language '{target}'. Languages: {known}.")
        found = (self._texts.get((item.match, target)) for item in items)
        yield [Translation(number, text, "" if text is not None else "not in the table") for number, text in enumerate(found)]
