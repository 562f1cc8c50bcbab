"""Tables as plain text, the same on a terminal, in a log and in a pipe."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_NUMBER = re.compile(r"[-−+]?[0-9][0-9,.]*%?|–|")


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows under a header; columns that hold only numbers are flush right."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(_width(row[column]) for row in table) for column in range(len(header))]
    right = [bool(rows) and all(_NUMBER.fullmatch(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join("  ".join(_pad(*cell) for cell in zip(row, widths, right, strict=True)).rstrip() for row in table)


def _width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: wide letters take two, combining marks none."""
    return sum(0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
