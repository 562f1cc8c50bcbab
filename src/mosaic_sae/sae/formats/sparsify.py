"""Read an SAE or transcoder from a folder of EleutherAI's sparsify: ``cfg.json`` and ``sae.safetensors``.

The folder is named after the module that it was trained on, as the model's base class spells it: ``layers.5``, ``h.5.mlp``.
Nothing in it says which model that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import SaeError, unknown_name
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import flag, read_object, text, warn_unused_factor, whole_number
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae.safetensors"
_ACTIVATIONS = ("topk", "groupmax")
_NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc"}
# W_dec is stored as it is used, [num_latents d_in].
_TURNED = frozenset({"encoder.weight", "W_skip"})
_BLOCK = re.compile(r"(?:\w+\.)*(?:layers|h)\.(\d+)(?:\.(.+))?")
_SITES = {"mlp": "mlp_out", "self_attn": "attn_out", "attn": "attn_out", "attention": "attn_out"}


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what the SAE says about itself: its folder's name and whether it is a transcoder."""
    where = str(folder / CONFIG_FILE)
    fields = read_object(folder / CONFIG_FILE)
    if flag(fields, "transcode", False, where):
        return SaeMetadata(name, hook_name=_input_of(folder.resolve().name), output_hook_name=_output_of(folder.resolve().name))
    return SaeMetadata(name, hook_name=_output_of(folder.resolve().name))


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    SAEs subtract b_dec from what they read, whatever ``normalize_decoder`` (a rule of training) says; transcoders do not.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: not used by this format; a warning says so when it is given.

    Raises:
        SaeError: the files are missing, damaged, contradict each other, or need something that is not supported.
    """
    from mosaic_sae.sae.architectures import Sizes, check_arrays
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.formats.arrays import read_safetensors, rename

    where = str(folder / CONFIG_FILE)
    warn_unused_factor(norm_scaling_factor, where)
    fields = read_object(folder / CONFIG_FILE)
    architecture = _activation(fields, where)
    is_transcoder, has_skip = (flag(fields, key, False, where) for key in ("transcode", "skip_connection"))
    if has_skip and not is_transcoder:
        raise SaeError(f"{where}: an SAE with a skip_connection (transcode false) is not supported; its skip may copy what it reads.")
    d_model = whole_number(fields, "d_in", where)
    arrays: dict[str, Any] = rename(read_safetensors(folder / WEIGHTS_FILE), _NAMES, _TURNED, folder / WEIGHTS_FILE)
    check_arrays(arrays, architecture, Sizes(d_model, _n_latents(fields, d_model, where), d_model), str(folder), has_skip)
    return SparseAutoencoder(
        metadata=read_metadata(folder, name),
        architecture=architecture,
        k=whole_number(fields, "k", where),
        apply_b_dec_to_input=not is_transcoder,
        is_transcoder=is_transcoder,
        **arrays,
    )


def _activation(fields: Mapping[str, Any], where: str) -> str:
    # Files from before groupmax do not name it.
    name = text(fields, "activation", where) or "topk"
    if name not in _ACTIVATIONS:
        raise SaeError(f"{where}: {unknown_name('activation', name, _ACTIVATIONS)}")
    if flag(fields, "signed", False, where):
        raise SaeError(f"{where}: signed latents (the k largest absolute values) are not supported; features here are never negative.")
    return name


def _n_latents(fields: Mapping[str, Any], d_model: int, where: str) -> int:
    """Return num_latents; 0, null or absent means ``expansion_factor * d_in``."""
    if fields.get("num_latents"):
        return whole_number(fields, "num_latents", where)
    return whole_number(fields, "expansion_factor", where) * d_model


def _output_of(module: str) -> str | None:
    """Return the hook name of a module's output, as a folder is named; None where the folder's name is no module of a model."""
    match = _BLOCK.fullmatch(module)
    if match is None:
        return module if module.startswith("embed") else None
    if match[2] is None:
        return f"blocks.{match[1]}.hook_resid_post"
    return f"blocks.{match[1]}.hook_{_SITES[match[2]]}" if match[2] in _SITES else module


def _input_of(module: str) -> str | None:
    """Return the hook name of a module's input; inside a block it has no name of its own, so the module's is used."""
    match = _BLOCK.fullmatch(module)
    if match is not None and match[2] is None:
        return f"blocks.{match[1]}.hook_resid_pre"
    return None if match is None else f"{module}.input"


FORMAT = SaeFormat(config_file=CONFIG_FILE, weights_file=WEIGHTS_FILE, read_metadata=read_metadata, read=read)
