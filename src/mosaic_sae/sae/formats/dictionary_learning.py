"""Read an SAE from a folder of saprmarks' dictionary_learning: ``config.json`` and ``ae.pt`` (SAEBench's releases are such folders).

The library trains on activations divided by their norm, if asked to, but scales the biases before it saves: what is on disk
reads the model's own units.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sae.errors import SaeError, unknown_name
from mosaic_sae.sae.formats import SaeFormat
from mosaic_sae.sae.formats.fields import read_object, text, warn_unused_factor, whole_number
from mosaic_sae.sae.metadata import SaeMetadata

if TYPE_CHECKING:
    import torch

    from mosaic_sae.sae.base import SparseAutoencoder

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "ae.pt"
_LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_TURNED = frozenset({"encoder.weight", "decoder.weight"})
_SUBMODULE = re.compile(r"(resid_post|resid_pre|mlp_out|attn_out)(?:_layer_(\d+))?")


@dataclass(frozen=True)
class _DictClass:
    architecture: str
    names: dict[str, str]
    """Array names that differ from ours."""
    apply_b_dec: bool = True


_CLASSES = {
    "AutoEncoder": _DictClass("standard", {**_LINEAR, "bias": "b_dec"}),
    "AutoEncoderNew": _DictClass("standard", {**_LINEAR, "decoder.bias": "b_dec"}, apply_b_dec=False),
    "GatedAutoEncoder": _DictClass("gated", {**_LINEAR, "decoder_bias": "b_dec", "gate_bias": "b_gate", "mag_bias": "b_mag"}),
    "AutoEncoderTopK": _DictClass("topk", _LINEAR),
    "BatchTopKSAE": _DictClass("jumprelu", _LINEAR),
    "MatryoshkaBatchTopKSAE": _DictClass("jumprelu", {}),
    "JumpReluAutoEncoder": _DictClass("jumprelu", {}, apply_b_dec=False),
}


def read_metadata(folder: Path, name: str) -> SaeMetadata:
    """Read what the SAE says about itself; no weights, no torch."""
    where = str(folder / CONFIG_FILE)
    config = read_object(folder / CONFIG_FILE)
    trainer, buffer = _section(config, "trainer", where), config.get("buffer") or {}
    return SaeMetadata(
        name=name,
        hook_name=_hook_name(trainer, str(buffer.get("io") or "out"), where),
        model_name=text(trainer, "lm_name", where),
        context_size=None if buffer.get("ctx_len") is None else whole_number(buffer, "ctx_len", where),
    )


def read(folder: Path, name: str, norm_scaling_factor: float | None = None) -> SparseAutoencoder:
    """Read the whole SAE; arrays of any stored precision become float32.

    Latents are those of the library's own loader: an ``AutoEncoder`` is brought to decoder directions of norm 1, BatchTopK
    kinds use the threshold of their training, ``AutoEncoderTopK`` the k largest of each token.

    Args:
        folder: the folder.
        name: name for people.
        norm_scaling_factor: not used by this format; a warning says so when it is given.

    Raises:
        SaeError: the files are missing, damaged, contradict each other, or need something that is not supported.
    """
    from mosaic_sae.sae.architectures import Sizes, check_arrays
    from mosaic_sae.sae.base import SparseAutoencoder
    from mosaic_sae.sae.formats.arrays import read_torch, rename

    where, path = str(folder / CONFIG_FILE), folder / WEIGHTS_FILE
    warn_unused_factor(norm_scaling_factor, where)
    trainer = _section(read_object(folder / CONFIG_FILE), "trainer", where)
    class_name = text(trainer, "dict_class", where) or ""
    if class_name not in _CLASSES:
        raise SaeError(f"{where}: {unknown_name('trainer.dict_class', class_name, _CLASSES)}")
    kind = _CLASSES[class_name]
    d_model, d_sae = whole_number(trainer, "activation_dim", where), whole_number(trainer, "dict_size", where)
    arrays: dict[str, Any] = rename(read_torch(path), kind.names, _TURNED, path)
    k = _take_k(arrays, trainer, where) if kind.architecture == "topk" else None
    for left in ("k", "group_sizes") if class_name.endswith("BatchTopKSAE") else ():
        arrays.pop(left, None)
    if kind.architecture == "jumprelu" and "threshold" in arrays and arrays["threshold"].ndim == 0:
        arrays["threshold"] = _one_threshold(arrays["threshold"], d_sae, where)
    check_arrays(arrays, kind.architecture, Sizes(d_model, d_sae, d_model), str(folder))
    if class_name == "AutoEncoder":
        arrays = _normalise_decoder(arrays)
    return SparseAutoencoder(
        metadata=read_metadata(folder, name),
        architecture=kind.architecture,
        k=k,
        apply_b_dec_to_input=kind.apply_b_dec,
        **arrays,
    )


def _section(config: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = config.get(key)
    if not isinstance(section, Mapping):
        raise SaeError(f"{where}: '{key}' must be an object with dict_class, activation_dim, dict_size and layer, got {section!r}.")
    return section


def _hook_name(trainer: Mapping[str, Any], io: str, where: str) -> str:
    layer, submodule = whole_number(trainer, "layer", where, least=0), text(trainer, "submodule_name", where)
    if io not in {"in", "out"}:
        raise SaeError(f"{where}: buffer.io '{io}' (a dictionary from a module's input to its output) is not supported; in and out are.")
    if submodule is None:
        return f"blocks.{layer}.hook_resid_{'post' if io == 'out' else 'pre'}"
    match = _SUBMODULE.fullmatch(submodule)
    if match is None or io == "in":
        return submodule if io == "out" else f"{submodule}.input"
    if match[2] is not None and int(match[2]) != layer:
        raise SaeError(f"{where}: trainer.layer is {layer}, but trainer.submodule_name is '{submodule}'. Correct the wrong one.")
    return f"blocks.{layer}.hook_{match[1]}"


def _take_k(arrays: dict[str, torch.Tensor], trainer: Mapping[str, Any], where: str) -> int:
    """Remove what is not an encoder's array from a TopK file and return k; the threshold is for another way to encode."""
    arrays.pop("threshold", None)
    k, stored = whole_number(trainer, "k", where), arrays.pop("k", None)
    if stored is not None and int(stored) != k:
        raise SaeError(f"{where}: trainer.k is {k}, but {WEIGHTS_FILE} holds k = {int(stored)}. Check that they belong together.")
    return k


def _one_threshold(threshold: torch.Tensor, d_sae: int, where: str) -> torch.Tensor:
    if threshold < 0:
        logger.warning(
            f"{where}: the threshold of this SAE was never set in training ({float(threshold):g}), so every positive latent is active."
        )
    return threshold.repeat(d_sae)


def _normalise_decoder(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give decoder directions norm 1 and latents the gain; reconstructions stay the same."""
    norm = arrays["W_dec"].norm(dim=1)
    if (norm - 1).abs().max() < 1e-5:
        return arrays
    return {**arrays, "W_enc": arrays["W_enc"] * norm, "b_enc": arrays["b_enc"] * norm, "W_dec": arrays["W_dec"] / norm[:, None]}


FORMAT = SaeFormat(config_file=CONFIG_FILE, weights_file=WEIGHTS_FILE, read_metadata=read_metadata, read=read)
