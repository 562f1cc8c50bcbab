"""``cfg.json`` of SAELens folders: the current form and the flat one from before version 6. Imports no torch."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.metadata import SaeMetadata

logger = logging.getLogger(__name__)

CONFIG_FILE = "cfg.json"
# Names that a key had before version 6.
_OLD_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}


@dataclass(frozen=True)
class SaelensConfig:
    """What ``cfg.json`` says, in one form whatever its version."""

    architecture: str
    d_model: int
    d_sae: int
    k: int | None
    rescale_acts_by_decoder_norm: bool
    normalize_activations: str
    apply_b_dec_to_input: bool
    norm_scaling_factor: float | None
    metadata: SaeMetadata


def read_config(folder: Path, name: str) -> SaelensConfig:
    """Read ``cfg.json``.

    Raises:
        SaeError: the file is missing, is no JSON object, lacks a key, or asks for something that is not supported.
    """
    path = folder / CONFIG_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SaeError(f"Cannot read the SAE config {path}: {error}.") from error
    if not isinstance(raw, dict):
        raise SaeError(f"{path} must hold one JSON object, got {type(raw).__name__}.")
    return parse_config(raw, name, str(path))


def parse_config(raw: Mapping[str, Any], name: str, where: str) -> SaelensConfig:
    """Bring either form of the config to ``SaelensConfig``; ``where`` is used in messages."""
    old = _is_old(raw)
    fields = {_OLD_NAMES.get(key, key): value for key, value in raw.items()} if old else dict(raw)
    nested = raw.get("metadata")
    about = {**fields, **nested} if isinstance(nested, Mapping) else fields
    if old:
        about.setdefault("prepend_bos", True)
    _refuse_head_outputs(fields, about, where)
    architecture, k = _architecture(fields, old, where)
    changes = about.get("model_from_pretrained_kwargs") or {}
    if changes.keys() - {"center_writing_weights"}:
        logger.warning(
            f"SAE {where} was trained on a model loaded with {changes}; "
            "MOSAIC reads the model as it is published, so reconstructions may be worse."
        )
    return SaelensConfig(
        architecture=architecture,
        d_model=_whole_number(fields, "d_in", where),
        d_sae=_whole_number(fields, "d_sae", where),
        k=k,
        rescale_acts_by_decoder_norm=architecture == "topk" and _flag(fields, "rescale_acts_by_decoder_norm", False, where),
        normalize_activations=_normalisation(fields.get("normalize_activations"), where),
        apply_b_dec_to_input=_flag(fields, "apply_b_dec_to_input", True, where),
        norm_scaling_factor=_positive(about, "norm_scaling_factor", where),
        metadata=SaeMetadata(
            name=name,
            hook_name=_text(about, "hook_name", where),
            model_name=_text(about, "model_name", where),
            prepend_bos=None if about.get("prepend_bos") is None else _flag(about, "prepend_bos", True, where),
            context_size=None if about.get("context_size") is None else _whole_number(about, "context_size", where),
            max_norm=_positive(about, "max_norm", where),
            l0=_positive(about, "l0", where),
            center_writing_weights=_flag(changes, "center_writing_weights", False, where),
        ),
    )


def _is_old(raw: Mapping[str, Any]) -> bool:
    nested = raw.get("metadata")
    version = raw.get("sae_lens_version") or (nested.get("sae_lens_version") if isinstance(nested, Mapping) else None)
    major = str(version or "0").split(".", maxsplit=1)[0]
    return not major.isdigit() or int(major) < 6


def _architecture(fields: Mapping[str, Any], old: bool, where: str) -> tuple[str, int | None]:
    architecture = fields.get("architecture", "standard" if old else None)
    if not isinstance(architecture, str):
        raise SaeError(f"{where}: architecture must be a name such as 'standard' or 'jumprelu', got {architecture!r}.")
    options = fields.get("activation_fn_kwargs") or {}
    if old:
        activation = fields.get("activation_fn") or "relu"
        if activation == "topk":
            architecture = "topk"
        elif activation != "relu":
            raise SaeError(f"{where}: activation_fn '{activation}' is not supported; SAEs with relu and topk are.")
    if architecture != "topk":
        return architecture, None
    return architecture, _whole_number({"k": fields.get("k", options.get("k"))}, "k", where)


def _normalisation(value: Any, where: str) -> str:
    # Before version 6 a bool; true meant a fixed factor that is not in the file.
    if value is None or value is False:
        return "none"
    if value is True:
        return "expected_average_only_in"
    if not isinstance(value, str):
        raise SaeError(f"{where}: normalize_activations must be a name, got {value!r}.")
    return value


def _refuse_head_outputs(fields: Mapping[str, Any], about: Mapping[str, Any], where: str) -> None:
    hook_name = about.get("hook_name") or ""
    if fields.get("reshape_activations") == "hook_z" or "hook_z" in str(hook_name) or about.get("hook_head_index") is not None:
        raise SaeError(
            f"{where}: this SAE reads the outputs of single attention heads (hook_z, before the output projection), "
            "which is not supported. sae_location att needs an SAE of the attention block's output (hook_attn_out)."
        )


def _whole_number(fields: Mapping[str, Any], key: str, where: str) -> int:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SaeError(f"{where}: {key} must be a whole number of at least 1, got {value!r}.")
    return value


def _positive(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise SaeError(f"{where}: {key} must be a positive number or null, got {value!r}.")
    return float(value)


def _flag(fields: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise SaeError(f"{where}: {key} must be true or false, got {value!r}.")
    return value


def _text(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise SaeError(f"{where}: {key} must be text or null, got {value!r}.")
    return value
