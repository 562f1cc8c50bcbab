"""From raw cells to texts, so that the same row means the same in every file format."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from mosaic_sae.errors import SourceError

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)(\.0+)?")


def to_text(cell: Any, where: str) -> str | None:
    """Return a cell as text, or None where it is missing (None, NaN).

    Text stays as it is, also "NA" and "null". Whole numbers lose their ".0": a column of whole numbers with a gap in it
    becomes floating point in many tools. True and False are spelled so.

    Raises:
        SourceError: the cell holds a list, a record, bytes or something else that has no one spelling.
    """
    if isinstance(cell, str):
        return cell
    if cell is None:
        return None
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, (int, float, Decimal)):
        if isinstance(cell, (float, Decimal)) and math.isnan(cell):
            return None
        if math.isfinite(cell) and cell == int(cell):
            return str(int(cell))
        return str(cell)
    if isinstance(cell, (list, tuple, dict, set, bytes)):
        raise SourceError(
            f"{where} holds {type(cell).__name__} values, not texts or numbers (first: {str(cell)[:60]}). Name a plain column."
        )
    return str(cell)  # dates, times


def to_texts(cells: list[Any], where: str, class_names: list[str] | None = None) -> list[str | None]:
    """Turn a column into texts; class numbers become class names, and a number without a name is missing."""
    if class_names is not None:
        return [class_names[cell] if isinstance(cell, int) and 0 <= cell < len(class_names) else None for cell in cells]
    return [to_text(cell, where) for cell in cells]


def to_numbers(cells: list[Any]) -> list[float | None]:
    """Turn a column into finite numbers; what is none, or spells none, is None."""
    found: list[float | None] = []
    for cell in cells:
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = math.nan
        found.append(value if math.isfinite(value) else None)
    return found


def whole_number_labels(labels: list[str | None]) -> list[str | None]:
    """Strip ".0" from labels read from a file without types, if all of them are spelled as whole numbers."""
    if all(label is None or not label.strip() or _WHOLE.fullmatch(label) for label in labels):
        return [label.partition(".")[0] if label else label for label in labels]
    return labels


def is_blank(text: str | None) -> bool:
    """Whether a text is missing or white space only."""
    return text is None or not text.strip()


def is_valid_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON can spell halves of characters that cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
