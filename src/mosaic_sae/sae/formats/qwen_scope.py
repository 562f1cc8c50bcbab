"""Read a Qwen Scope SAE: one torch file per layer, ``layer12.sae.pt``, a dictionary of four tensors.

k stands in the name of the repository only: ``SAE-Res-Qwen3-1.7B-Base-W32K-L0_50`` has 32 * 1024 latents of which 50 are active.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import warn_unused_factor
from mosaic_sae.sae.formats.names import check_names
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

_NAMES = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
_REPOSITORY = re.compile(r"SAE-Res-([^/]+)-W(\d+)K-L0_(\d+)")
_FILE = re.compile(r"layer(\d+)\.sae\.pt")


def read_metadata(path: Path, name: str) -> SaeMetadata:
    """Read what the names of the file and of the folders above it say.

    Raises:
        SaeError: they do not say k.
    """
    layer, (model, _, k) = _FILE.fullmatch(path.name), _from_repository_name(path)
    return SaeMetadata(
        name=name,
        hook_name=f"blocks.{layer[1]}.hook_resid_post" if layer else None,
        model_name=f"Qwen/{model}",
        prepend_bos=True,
        l0=float(k),
    )


def read(path: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Args:
        path: the file.
        name: name for people.
        norm_scaling_factor: not used (these SAEs read activations in the model's own units); a warning when given.

    Raises:
        SaeError: the file is missing or damaged, holds more than tensors, does not fit its name, or k is unknown.
    """
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.formats.arrays import read_torch, rename

    warn_unused_factor(norm_scaling_factor, str(path))
    metadata = read_metadata(path, name)
    _, d_sae, k = _from_repository_name(path)
    stored = read_torch(path)
    check_names(stored, _NAMES, path)
    arrays = rename(stored, _NAMES, frozenset({"W_enc", "W_dec"}), path)
    if arrays["W_enc"].shape[1] != d_sae:
        raise SaeError(f"{path}: W_enc has shape {list(stored['W_enc'].shape)}, but the name above it says {d_sae} latents.")
    return SparseAutoencoder(
        metadata=metadata,
        architecture="topk",
        k=k,
        apply_b_dec_to_input=False,
        W_enc=arrays["W_enc"],
        W_dec=arrays["W_dec"],
        b_enc=arrays["b_enc"],
        b_dec=arrays["b_dec"],
    )


def _from_repository_name(path: Path) -> tuple[str, int, int]:
    # (model, d_sae, k). The innermost name counts: a folder above may hold several releases.
    found = _REPOSITORY.findall(path.absolute().as_posix())
    if not found:
        raise SaeError(
            f"{path}: a Qwen Scope file does not hold k, the number of active latents; it stands in the repository's name, which is "
            "nowhere in this path. Put the file into a folder that is called as the repository, e.g. SAE-Res-Qwen3-1.7B-Base-W32K-L0_50."
        )
    model, thousands, k = found[-1]
    return model, int(thousands) * 1024, int(k)


FORMAT = SaeFormat(config_file="", weights_file="", file_pattern="layer*.sae.pt", read_metadata=read_metadata, read=read)
