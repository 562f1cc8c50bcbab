"""Read the small config files of SAE folders, key by key, with an error that names file and key. Imports no torch."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SaeError

logger = logging.getLogger(__name__)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        SaeError: the file is missing, is no JSON, or holds something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SaeError(f"Cannot read the SAE config {path}: {error}.") from error
    if not isinstance(raw, dict):
        raise SaeError(f"{path} must hold one JSON object, got {type(raw).__name__}.")
    return raw


def whole_number(fields: Mapping[str, Any], key: str, where: str, least: int = 1) -> int:
    """Return a whole number of at least ``least``.

    Raises:
        SaeError: it is absent or something else.
    """
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SaeError(f"{where}: {key} must be a whole number of at least {least}, got {value!r}.")
    return value


def positive(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """Return a positive number, or None when it is absent or null.

    Raises:
        SaeError: it is something else.
    """
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise SaeError(f"{where}: {key} must be a positive number or null, got {value!r}.")
    return float(value)


def flag(fields: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    """Return true or false, ``default`` when absent.

    Raises:
        SaeError: it is something else.
    """
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise SaeError(f"{where}: {key} must be true or false, got {value!r}.")
    return value


def text(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    """Return text, or None when it is absent or null.

    Raises:
        SaeError: it is something else.
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise SaeError(f"{where}: {key} must be text or null, got {value!r}.")
    return value


def warn_unused_factor(factor: float | None, where: str) -> None:
    """Say that ``sae.norm_scaling_factor`` has no effect on a format whose files are in the model's own units."""
    if factor is not None:
        logger.warning(f"{where}: norm_scaling_factor {factor:g} is not used, because SAEs of this format read activations as they are.")
