"""Read the arrays of an SAE file as float32, on the CPU, and make the commonest kind of SAE of them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.base import SaeMetadata, SparseAutoencoder


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all arrays of a safetensors file.

    Raises:
        SaeError: the file is missing or damaged.
    """
    try:
        return {name: array.float() for name, array in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise SaeError(f"Cannot read the SAE weights {path}: {error}. If the file was copied or downloaded, fetch it again.") from error


def read_torch(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a ``torch.save``d state dict; nothing else in the file is unpickled.

    Raises:
        SaeError: the file is missing, damaged, or holds anything but tensors by name.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise SaeError(
            f"Cannot read the SAE weights {path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}. "
            "It must be a state dict of tensors alone. If the file was copied or downloaded, fetch it again."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(array, torch.Tensor) for array in state.values()):
        raise SaeError(
            f"{path} must hold a state dict of tensors, got {type(state).__name__}. Save the SAE with torch.save(sae.state_dict())."
        )
    return {str(name): array.float() for name, array in state.items()}


def jumprelu(metadata: SaeMetadata, arrays: Mapping[str, torch.Tensor]) -> SparseAutoencoder:
    """Make a JumpReLU SAE that reads activations as they are, without ``b_dec``; a transcoder where ``metadata`` names an output.

    Raises:
        SaeError: the arrays do not fit each other.
    """
    return SparseAutoencoder(
        metadata=metadata,
        architecture="jumprelu",
        apply_b_dec_to_input=False,
        W_enc=arrays["W_enc"],
        W_dec=arrays["W_dec"],
        b_enc=arrays["b_enc"],
        b_dec=arrays["b_dec"],
        threshold=arrays["threshold"],
        W_skip=arrays.get("W_skip"),
        is_transcoder=metadata.output_hook_name is not None,
    )


def rename(arrays: Mapping[str, torch.Tensor], names: Mapping[str, str], turned: frozenset[str], path: Path) -> dict[str, torch.Tensor]:
    """Give a library's arrays our names; a name that is not in ``names`` is kept, to be refused by ``check_arrays``.

    Args:
        arrays: what the file holds.
        names: library's name -> ours.
        turned: library's names of the matrices that are stored transposed.
        path: the file, for messages.

    Raises:
        SaeError: a matrix to be turned has not two axes.
    """
    renamed = {}
    for name, array in arrays.items():
        if name in turned and array.ndim != 2:
            raise SaeError(f"{path}: '{name}' must be a matrix, got shape {list(array.shape)}. The file is of another format, or damaged.")
        renamed[names.get(name, name)] = array.T if name in turned else array
    return renamed
