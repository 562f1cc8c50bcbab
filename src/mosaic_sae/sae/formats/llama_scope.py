"""Read a Llama Scope SAE: ``hyperparams.json`` and ``checkpoints/final.safetensors`` (He et al. 2024, arXiv 2410.20526).

The arrays belong to activations multiplied by sqrt(d_model) / their average norm. That factor is folded in as SAELens
folds it: W_enc and the one threshold are multiplied by it, W_dec and b_dec are divided by it, b_enc stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import positive, read_object, text, whole_number
from mosaic_sae.sae.formats.names import check_names
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

CONFIG_FILE = "hyperparams.json"
WEIGHTS_FILE = "checkpoints/final.safetensors"
_NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec", "decoder.bias": "b_dec"}
# Settings whose other values mean other maths; absent = this value.
_ONLY = {
    "act_fn": "jumprelu",
    "norm_activation": "dataset-wise",
    "apply_decoder_bias_to_pre_encoder": False,
    "use_decoder_bias": True,
    "use_glu_encoder": False,
}


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what ``hyperparams.json`` says.

    Raises:
        SaeError: the file is missing or damaged, or describes a transcoder or other maths.
    """
    path = folder / CONFIG_FILE
    raw, where = read_object(path), str(path)
    for key, value in _ONLY.items():
        if raw.get(key, value) != value:
            raise SaeError(f"{where}: {key} {raw[key]!r} is not supported; Llama Scope's SAEs have {value!r}.")
    hook, output = text(raw, "hook_point_in", where), text(raw, "hook_point_out", where)
    if output not in {None, "", hook}:
        raise SaeError(f"{where}: this is a transcoder (it reads {hook} and predicts {output}), which is not supported.")
    return SaeMetadata(name=name, hook_name=hook, prepend_bos=True)


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: factor of the weights; None = the one that follows from ``hyperparams.json``.

    Raises:
        SaeError: the files are missing or damaged, contradict each other, or something is not supported.
    """
    import torch

    from mosaic_sae.sae.formats.arrays import jumprelu, read_safetensors, rename
    from mosaic_sae.sae.normalise import fold_scaling_factor

    metadata = read_metadata(folder, name)
    raw, where, path = read_object(folder / CONFIG_FILE), str(folder / CONFIG_FILE), folder / WEIGHTS_FILE
    d_model, d_sae = whole_number(raw, "d_model", where), whole_number(raw, "d_sae", where)
    factor = _factor(raw, d_model, where)
    stored = read_safetensors(path)
    check_names(stored, _NAMES, path)
    arrays = rename(stored, _NAMES, frozenset({"encoder.weight", "decoder.weight"}), path)
    if arrays["W_enc"].shape != (d_model, d_sae):
        raise SaeError(f"{path}: encoder.weight has shape {list(stored['encoder.weight'].shape)}, but {where} says {[d_sae, d_model]}.")
    arrays = fold_scaling_factor(arrays, norm_scaling_factor or factor)
    threshold = torch.full((d_sae,), _threshold(raw, where) * factor)
    return jumprelu(metadata, arrays | {"threshold": threshold})


def _factor(raw: Mapping[str, Any], d_model: int, where: str) -> float:
    norms = raw.get("dataset_average_activation_norm")
    norm = positive(norms, "in", f"{where}: dataset_average_activation_norm") if isinstance(norms, Mapping) else None
    if norm is None:
        raise SaeError(
            f'{where}: dataset_average_activation_norm must hold the average norm of activations, {{"in": 17.1}}, got {norms!r}.'
        )
    return d_model**0.5 / norm


def _threshold(raw: Mapping[str, Any], where: str) -> float:
    threshold = raw.get("jump_relu_threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise SaeError(f"{where}: jump_relu_threshold must be a number, got {threshold!r}.")
    return threshold


FORMAT = SaeFormat(config_file=CONFIG_FILE, weights_file=WEIGHTS_FILE, read_metadata=read_metadata, read=read)
