"""Readers of SAE files, one module per format, imported when a config names the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SaeError
from mosaic_sae.registry import Registry

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.metadata import SaeMetadata


@dataclass(frozen=True)
class SaeFormat:
    """How one kind of SAE folder is read."""

    config_file: str
    """The small file that describes the SAE; it is fetched first."""
    weights_file: str
    """The file with the arrays."""
    read_metadata: Callable[[Path, str], SaeMetadata]
    """(folder, name) -> metadata, without the weights and without torch."""
    read: Callable[[Path, str, float | None], SparseAutoencoder]
    """(folder, name, norm_scaling_factor or None) -> the SAE, on the CPU."""


FORMATS = Registry(
    "SAE format",
    {
        "dictionary_learning": "mosaic_sae.sae.formats.dictionary_learning:FORMAT",
        "saelens": "mosaic_sae.sae.formats.saelens:FORMAT",
        "sparsify": "mosaic_sae.sae.formats.sparsify:FORMAT",
    },
    SaeError,
)
