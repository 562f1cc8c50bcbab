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
    """How one kind of SAE is read: from a folder, or from one file of any name."""

    config_file: str
    """The small file that describes the SAE, inside its folder; it is fetched first. Empty: the SAE is one file, which the path names."""
    weights_file: str
    """The file with the arrays, inside the folder; may be the config file itself."""
    read_metadata: Callable[[Path, str], SaeMetadata]
    """(folder or file, name) -> metadata, without loading arrays and without torch."""
    read: Callable[[Path, str, float | None], SparseAutoencoder]
    """(folder or file, name, norm_scaling_factor or None) -> the SAE, on the CPU."""
    file_pattern: str = ""
    """What the one file of a format without config file is called, e.g. "layer*.sae.pt"."""


FORMATS = Registry(
    "SAE format",
    {
        "dictionary_learning": "mosaic_sae.sae.formats.dictionary_learning:FORMAT",
        "gemma_scope": "mosaic_sae.sae.formats.gemma_scope:FORMAT",
        "gemma_scope_2": "mosaic_sae.sae.formats.gemma_scope_2:FORMAT",
        "llama_scope": "mosaic_sae.sae.formats.llama_scope:FORMAT",
        "qwen_scope": "mosaic_sae.sae.formats.qwen_scope:FORMAT",
        "saelens": "mosaic_sae.sae.formats.saelens:FORMAT",
        "sparsify": "mosaic_sae.sae.formats.sparsify:FORMAT",
    },
    SaeError,
)
