"""Which arrays a file of a format has to hold. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mosaic_sae.errors import SaeError


def check_names(found: Iterable[str], names: Mapping[str, str], path: Path) -> None:
    """Check that a file holds the arrays of its format and no others.

    Args:
        found: names in the file.
        names: name in the file -> our name, for every array of the format.
        path: the file, for the message.

    Raises:
        SaeError: arrays are missing or left over; the message names all of them.
    """
    present = set(found)
    problems = [f"'{name}' is missing" for name in names if name not in present]
    problems += [f"'{name}' is not an array of this format" for name in sorted(present - names.keys())]
    if problems:
        raise SaeError(f"{path} does not hold the arrays {', '.join(names)}: {'; '.join(problems)}.")
