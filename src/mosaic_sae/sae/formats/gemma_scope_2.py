"""Read a Gemma Scope 2 SAE or transcoder (Gemma 3): a folder with ``config.json`` and ``params.safetensors``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import flag, positive, read_object, text, warn_unused_factor
from mosaic_sae.sae.formats.names import check_names
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    from mosaic_sae.sae.base import SparseAutoencoder

CONFIG_FILE = "config.json"
PARAMS_FILE = "params.safetensors"
_NAMES = {"w_enc": "W_enc", "w_dec": "W_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
# Stored [d_model d_out], as it is used.
_SKIP = {"affine_skip_connection": "W_skip"}
_CROSS_LAYER = frozenset({"clt", "crosscoder"})
# A place in the Hugging Face model -> the hook point. What o_proj reads are the outputs of all heads, side by side.
_HOOKS = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "pre_feedforward_layernorm.output": "mlp.hook_in",
    "post_feedforward_layernorm.output": "hook_mlp_out",
}


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what ``config.json`` says.

    Raises:
        SaeError: the file is missing or damaged, of another architecture, or describes a cross-layer transcoder, a crosscoder or an
            SAE with a skip.
    """
    path = folder / CONFIG_FILE
    raw, where = read_object(path), str(path)
    # The release keeps these in folders of their own, one file a layer.
    if found := _CROSS_LAYER & {text(raw, "type", where), folder.absolute().parent.name}:
        raise SaeError(
            f"{where}: this is a {' '.join(found)}, which reads or predicts several layers at once and is not supported. "
            "Choose a folder of resid_post, mlp_out, attn_out or transcoder."
        )
    if raw.get("architecture") != "jump_relu":
        raise SaeError(f"{where}: architecture must be 'jump_relu', got {raw.get('architecture')!r}. Is this a Gemma Scope 2 folder?")
    hook, output = text(raw, "hf_hook_point_in", where), text(raw, "hf_hook_point_out", where)
    is_transcoder = bool(output) and output != hook
    if is_transcoder and not hook:
        raise SaeError(f"{where}: hf_hook_point_in is missing, so nothing says what this transcoder, which predicts {output}, reads.")
    if not is_transcoder and _has_skip(raw, where):
        raise SaeError(f"{where}: an SAE with an affine_connection is not supported; its skip may copy what it reads.")
    return SaeMetadata(
        name=name,
        hook_name=_hook_name(hook) if hook else None,
        output_hook_name=_hook_name(output) if is_transcoder and output else None,
        model_name=_model_name(raw, where),
        prepend_bos=True,
        l0=positive(raw, "l0", where),
    )


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: not used (these SAEs read activations in the model's own units); a warning when given.

    Raises:
        SaeError: the files are missing or damaged, the arrays do not fit each other, or something is not supported.
    """
    from mosaic_sae.sae.formats.arrays import jumprelu, read_safetensors, rename

    warn_unused_factor(norm_scaling_factor, str(folder))
    metadata = read_metadata(folder, name)
    names = _NAMES | _SKIP if _has_skip(read_object(folder / CONFIG_FILE), str(folder / CONFIG_FILE)) else _NAMES
    path = folder / PARAMS_FILE
    stored = read_safetensors(path)
    check_names(stored, names, path)
    return jumprelu(metadata, rename(stored, names, frozenset(), path))


def _has_skip(raw: Mapping[str, Any], where: str) -> bool:
    return raw.get("affine_connection") is not None and flag(raw, "affine_connection", False, where)


def _hook_name(place: str) -> str:
    match = re.fullmatch(r"(?:\w+\.)*layers\.(\d+)\.(.+)", place)
    # A place that is not among ours keeps its name, by which it is refused.
    return f"blocks.{match[1]}.{_HOOKS[match[2]]}" if match and match[2] in _HOOKS else place


def _model_name(raw: Mapping[str, Any], where: str) -> str | None:
    stated = text(raw, "model_name", where)
    if stated is None:
        return None
    model = f"google/{stated.removeprefix('google/').replace('-v3', '-3')}"
    # The base model of 270M is the only one published without "-pt".
    return model.replace("-pt", "") if "270m" in model else model


FORMAT = SaeFormat(config_file=CONFIG_FILE, weights_file=PARAMS_FILE, read_metadata=read_metadata, read=read)
