"""Where each family of decoder language models keeps its parts, as its module names in transformers say. Imports no torch.

Another family is one more row of ``FAMILIES`` and one more configuration in ``tests/models/test_families.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mosaic_sae.models.vision_families import VISION_FAMILIES


def _no_gaps(_config: Any) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Family:
    """Module paths. The blocks are looked up in the base model (without the head), everything else in a block."""

    blocks: str | None = "layers"
    """List of blocks; None = found by structure."""
    attn_out: str = "self_attn"
    """Its output is what attention adds to the residual stream."""
    attn_z: str = "self_attn.o_proj"
    """Output projection; its input are the outputs of all heads."""
    mlp: str = "mlp"
    """Its input is what the MLP reads."""
    mlp_out: str = "mlp"
    """Its output is what the MLP adds to the residual stream."""
    mlp_norms: tuple[str, ...] = ("post_attention_layernorm",)
    """Norm in front of the MLP, the first of these that the block has; its input is ``resid_mid``."""
    gaps: Callable[[Any], dict[str, str]] = _no_gaps
    """From a model's config to the sites that it does not have, each with the reason."""

    @property
    def norms_outputs(self) -> bool:
        """Whether outputs of attention and MLP are normalised before they are added (Gemma 2 and 3)."""
        return "norm" in self.mlp_out


_PARALLEL = {"resid_mid": "attention and MLP read the same residual stream in parallel, so there is none between them"}
_NORM_AFTER = "this model normalises after adding to the residual stream, not before the MLP"


def _gaps_of_gpt_neox(config: Any) -> dict[str, str]:
    return _PARALLEL if config.use_parallel_residual else {}


def _gaps_of_falcon(config: Any) -> dict[str, str]:
    return _PARALLEL if config.parallel_attn or config.new_decoder_architecture else {}


def _gaps_of_opt(config: Any) -> dict[str, str]:
    return {} if config.do_layer_norm_before else dict.fromkeys(("resid_mid", "ln2_normalized"), _NORM_AFTER)


_LLAMA = Family()
_GEMMA_2 = Family(attn_out="post_attention_layernorm", mlp_out="post_feedforward_layernorm", mlp_norms=("pre_feedforward_layernorm",))
_FALCON_NORMS = ("ln_mlp", "post_attention_layernorm", "input_layernorm")

FAMILIES: dict[str, Family] = {
    "falcon": Family(blocks="h", attn_out="self_attention", attn_z="self_attention.dense", mlp_norms=_FALCON_NORMS, gaps=_gaps_of_falcon),
    "gemma": _LLAMA,
    "gemma2": _GEMMA_2,
    "gemma3": replace(_GEMMA_2, blocks="language_model.layers"),
    "gemma3_text": _GEMMA_2,
    "gpt2": Family(blocks="h", attn_out="attn", attn_z="attn.c_proj", mlp_norms=("ln_2",)),
    "gpt_neox": Family(attn_out="attention", attn_z="attention.dense", gaps=_gaps_of_gpt_neox),
    "gpt_oss": _LLAMA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    # The MLP has no module of its own, only its two projections.
    "opt": Family(
        blocks="decoder.layers", attn_z="self_attn.out_proj", mlp="fc1", mlp_out="fc2", mlp_norms=("final_layer_norm",), gaps=_gaps_of_opt
    ),
    "phi": Family(attn_z="self_attn.dense", mlp_norms=("input_layernorm",), gaps=lambda _config: _PARALLEL),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
}


def family_of(config: Any) -> Family | None:
    """Return a model's family, or None.

    A model that wraps a known language model (LLaVA, PaliGemma) has that one's blocks, at a place of its own.

    Args:
        config: the model's transformers config.
    """
    if config.model_type in FAMILIES:
        return FAMILIES[config.model_type]
    vision = VISION_FAMILIES.get(config.model_type)
    inner = FAMILIES.get((vision and vision.text_family) or config.get_text_config().model_type)
    blocks = f"{vision.language_model}.layers" if vision else None
    return replace(inner, blocks=blocks) if inner else None
