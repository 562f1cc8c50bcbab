"""``cfg.json`` of SAELens folders: the current form and the flat one from before version 6. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.fields import flag, positive, read_object, text, whole_number
from mosaic_sae.sae.metadata import SaeMetadata

logger = logging.getLogger(__name__)

CONFIG_FILE = "cfg.json"
# Names that a key had before version 6.
_OLD_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
# SAELens's name -> (architecture of the encoder, whether there is a W_skip).
_TRANSCODERS = {
    "transcoder": ("standard", False),
    "skip_transcoder": ("standard", True),
    "jumprelu_transcoder": ("jumprelu", False),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}


@dataclass(frozen=True)
class SaelensConfig:
    """What ``cfg.json`` says, in one form whatever its version."""

    architecture: str
    d_model: int
    d_sae: int
    d_out: int
    is_transcoder: bool
    has_skip: bool
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
    return parse_config(read_object(path), name, str(path))


def parse_config(raw: Mapping[str, Any], name: str, where: str) -> SaelensConfig:
    """Bring either form of the config to ``SaelensConfig``; ``where`` is used in messages."""
    old = _is_old(raw)
    fields = {_OLD_NAMES.get(key, key): value for key, value in raw.items()} if old else dict(raw)
    nested = raw.get("metadata")
    about = {**fields, **nested} if isinstance(nested, Mapping) else fields
    if old:
        about.setdefault("prepend_bos", True)
    _refuse_single_heads(about, where)
    saelens_architecture, k = _architecture(fields, old, where)
    is_transcoder = saelens_architecture in _TRANSCODERS
    architecture, has_skip = _TRANSCODERS.get(saelens_architecture, (saelens_architecture, False))
    apply_b_dec = flag(fields, "apply_b_dec_to_input", not is_transcoder, where)
    if is_transcoder and apply_b_dec:
        raise SaeError(f"{where}: a transcoder's b_dec is of its output; apply_b_dec_to_input must be false.")
    changes = about.get("model_from_pretrained_kwargs") or {}
    if changes.keys() - {"center_writing_weights"}:
        logger.warning(
            f"SAE {where} was trained on a model loaded with {changes}; "
            "MOSAIC reads the model as it is published, so reconstructions may be worse."
        )
    return SaelensConfig(
        architecture=architecture,
        d_model=whole_number(fields, "d_in", where),
        d_sae=whole_number(fields, "d_sae", where),
        d_out=whole_number(fields, "d_out" if is_transcoder else "d_in", where),
        is_transcoder=is_transcoder,
        has_skip=has_skip,
        k=k,
        rescale_acts_by_decoder_norm=architecture == "topk" and flag(fields, "rescale_acts_by_decoder_norm", False, where),
        normalize_activations=_normalisation(fields.get("normalize_activations"), where),
        apply_b_dec_to_input=apply_b_dec,
        norm_scaling_factor=positive(about, "norm_scaling_factor", where),
        metadata=SaeMetadata(
            name=name,
            hook_name=text(about, "hook_name", where),
            output_hook_name=text(about, "hook_name_out", where) if is_transcoder else None,
            model_name=text(about, "model_name", where),
            prepend_bos=None if about.get("prepend_bos") is None else flag(about, "prepend_bos", True, where),
            context_size=None if about.get("context_size") is None else whole_number(about, "context_size", where),
            max_norm=positive(about, "max_norm", where),
            l0=positive(about, "l0", where),
            center_writing_weights=flag(changes, "center_writing_weights", False, where),
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
    return architecture, whole_number({"k": fields.get("k", options.get("k"))}, "k", where)


def _normalisation(value: Any, where: str) -> str:
    # Before version 6 a bool; true meant a fixed factor that is not in the file.
    if value is None or value is False:
        return "none"
    if value is True:
        return "expected_average_only_in"
    if not isinstance(value, str):
        raise SaeError(f"{where}: normalize_activations must be a name, got {value!r}.")
    return value


def _refuse_single_heads(about: Mapping[str, Any], where: str) -> None:
    head = about.get("hook_head_index")
    if head is not None:
        raise SaeError(
            f"{where}: this SAE reads the output of one attention head (hook_head_index {head}), which is not supported. "
            "SAEs of all heads side by side (blocks.N.attn.hook_z) and of the attention block's output (blocks.N.hook_attn_out) are."
        )
