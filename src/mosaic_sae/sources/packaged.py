"""Datasets that ship with MOSAIC: a parquet file, a card (JSON) and the licences of its sources, made by recipes/make_data.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError, unknown_name
from mosaic_sae.fsio import read_json
from mosaic_sae.sources.base import Table
from mosaic_sae.sources.table import read_table

PREFIX = "packaged/"
FOLDER = Path(__file__).parent / "data"


def packaged_names() -> list[str]:
    """Return the names of all packaged datasets, without the prefix."""
    return sorted(card.stem for card in FOLDER.glob("*.json"))


def load_card(name: str) -> dict[str, Any]:
    """Return the card of a packaged dataset: sources, licences, row counts, known problems.

    Raises:
        SourceError: there is no packaged dataset of that name.
    """
    if name not in packaged_names():
        raise SourceError(unknown_name("packaged dataset", name, packaged_names()))
    return read_json(FOLDER / f"{name}.json")


def read_packaged(name: str) -> Table:
    """Read a packaged dataset and check it against its card.

    Raises:
        SourceError: no such dataset, or the file is not the one that the card describes.
    """
    card = load_card(name)
    table = read_table(FOLDER / card["file"])
    if table.provenance["sha256"] != card["sha256"]:
        raise SourceError(f"{FOLDER / card['file']} is damaged: its SHA-256 is not that of its card. Install mosaic-sae again.")
    table.provenance.update(kind="packaged", licence=card["licence"], title=card["title"])
    return table
