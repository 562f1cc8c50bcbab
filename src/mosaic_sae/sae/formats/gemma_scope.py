"""Read a Gemma Scope SAE or transcoder (Gemma 2): a folder with ``params.npz`` and nothing else.

Source: Lieberum et al. 2024, arXiv 2408.05147.

What a config file would say stands in the release's paths: ``gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82``.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import warn_unused_factor
from mosaic_sae.sae.formats.names import check_names
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    import torch

    from mosaic_sae.sae.base import SparseAutoencoder

PARAMS_FILE = "params.npz"
_NAMES = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")}
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)/")
_LAYER = re.compile(r"/layer_(\d+)/width_\w+/[^/]+$")
_L0 = re.compile(r"/average_l0_(\d+)$")
# Transcoders read the norm in front of the MLP without its gain, which their makers had folded into the MLP.
_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized"}


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what the path says about the SAE, and check which arrays the file holds; none is loaded.

    Raises:
        SaeError: the file is missing, damaged or holds other arrays, the SAE is of token embeddings, or nothing says which
            layer a transcoder reads.
    """
    path = folder / PARAMS_FILE
    try:
        with zipfile.ZipFile(path) as archive:
            check_names([entry.removesuffix(".npy") for entry in archive.namelist()], _NAMES, path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    place = folder.absolute().as_posix()
    repository, layer, l0 = _REPOSITORY.search(place), _LAYER.search(place), _L0.search(place)
    if "embedding" in folder.absolute().parts:
        raise SaeError(
            f"SAE {name} reads token embeddings, before the first block, which is not supported. Choose one of a layer_N folder."
        )
    is_transcoder = repository is not None and repository[3] == "transcoders"
    if is_transcoder and not layer:
        raise SaeError(
            f"SAE {name} lies in a copy of a transcoder release, {place}, but its path does not end as the release's do "
            "(layer_12/width_16k/average_l0_6), so nothing says which layer it reads. Give its folders these names."
        )
    return SaeMetadata(
        name=name,
        hook_name=f"blocks.{layer[1]}.{_HOOKS[repository[3]]}" if repository and layer else None,
        output_hook_name=f"blocks.{layer[1]}.hook_mlp_out" if is_transcoder and layer else None,
        model_name=f"gemma-2-{repository[1]}" + ("-it" if repository[2] == "it" else "") if repository else None,
        prepend_bos=True,
        l0=float(l0[1]) if l0 else None,
    )


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: not used (these SAEs read activations in the model's own units); a warning when given.

    Raises:
        SaeError: the file is missing or damaged, the arrays do not fit each other, or something is not supported.
    """
    from mosaic_sae.sae.formats.arrays import jumprelu

    warn_unused_factor(norm_scaling_factor, str(folder))
    metadata = read_metadata(folder, name)
    return jumprelu(metadata, _read_arrays(folder / PARAMS_FILE))


def _read_arrays(path: Path) -> dict[str, torch.Tensor]:
    import numpy as np
    import torch

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32, copy=False)) for name in _NAMES}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SaeError:
    return SaeError(f"Cannot read the SAE weights {path}: {error}. If the file was copied or downloaded, fetch it again.")


FORMAT = SaeFormat(config_file=PARAMS_FILE, weights_file=PARAMS_FILE, read_metadata=read_metadata, read=read)
