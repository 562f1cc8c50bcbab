"""Placeholders in ``sae.path`` and ``sae.sae_id``. Imports no torch."""

from __future__ import annotations

import re

from mosaic_sae.errors import SaeError, unknown_name


def fill_path(path: str, layer: int, width: str | None, site: str, key: str = "sae.path") -> str:
    """Fill ``{layer}``, ``{width}`` and ``{site}`` in; ``key`` is used in messages.

    Raises:
        SaeError: another placeholder, or ``{width}`` without a width.
    """
    values = {"layer": str(layer), "width": width, "site": site}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise SaeError(f"{key} '{path}': {unknown_name('placeholder', match[1], values)}")
        filled = values[match[1]]
        if filled is None:
            raise SaeError(f"{key} '{path}' has {{width}}, but the model entry lists no widths.")
        return filled

    return re.sub(r"\{(\w*)\}", value, path).rstrip("/")
