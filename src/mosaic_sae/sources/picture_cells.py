"""From raw cells to pictures, and which of them cannot be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SourceError
from mosaic_sae.log import Progress
from mosaic_sae.sources.images import Picture, check_picture


def to_pictures(cells: Sequence[Any], folder: Path | None, where: str) -> list[Picture | None]:
    """Turn a column into pictures; None where a cell is missing (None, NaN, blank).

    A text is a path, relative to ``folder``; bytes are an image file; a record of ``datasets`` ({"bytes", "path"}) is
    its bytes, or else its path.

    Raises:
        SourceError: the column holds something else, or addresses on the web.
    """
    return [_to_picture(cell, folder, where) for cell in cells]


def _to_picture(cell: Any, folder: Path | None, where: str) -> Picture | None:
    if isinstance(cell, Mapping) and {"bytes", "path"} & cell.keys() == cell.keys():
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bytes | bytearray | memoryview):
        return Picture(data=bytes(cell))
    if not isinstance(cell, str):
        raise SourceError(
            f"{where} holds {type(cell).__name__} values, not pictures (first: {str(cell)[:60]})."
            f" A picture is the path of an image file, or the bytes of one."
        )
    if not cell.strip():
        return None
    if cell.startswith(("http://", "https://", "data:")):
        raise SourceError(
            f"{where} holds addresses, which are not fetched (first: {cell[:60]}). Save the pictures as files and name their paths."
        )
    return Picture(path=(folder or Path()) / cell)


def unreadable(pictures: Sequence[Picture | None], name: str) -> dict[int, str]:
    """Decode each picture once, one at a time, and return why those that cannot be read cannot."""
    problems: dict[int, str] = {}
    total = sum(picture is not None for picture in pictures)
    with Progress(f"Checking pictures of {name}", total, "pictures") as progress:
        for row, picture in enumerate(pictures):
            if picture is None:
                continue
            try:
                check_picture(picture)
            except SourceError as error:
                problems[row] = str(error)
            progress.add(1)
    return problems
