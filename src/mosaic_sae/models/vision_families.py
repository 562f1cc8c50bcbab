"""Where each family of vision-language models keeps its parts, and how it is given a picture. Imports no torch.

Another family is one more row of ``VISION_FAMILIES`` and one more case in ``tests/models/test_vision.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from mosaic_sae.errors import ModelError

Mask = Literal["real", "image", "zero"]
"""int64 [batch seq]: 1 where a token is no padding, 1 where it stands for a part of the picture, or 0 everywhere."""


@dataclass(frozen=True)
class VisionFamily:
    """Module paths count from the base model (without the head); names of inputs are those of its forward method."""

    language_model: str = "language_model"
    """The language model inside; its blocks are in ``layers``."""
    text_family: str | None = None
    """Row of ``families.FAMILIES`` of its blocks; None = as the language model's own model type says."""
    tower: str = "vision_tower"
    """The vision tower."""
    tower_width: str = "hidden_size"
    """Key of the vision config that holds the width of the tower's states."""
    tower_pools: bool = True
    """Whether the tower's ``pooler_output``, where there is one, is one vector per image (Qwen's are merged patches)."""
    layout: str = "{bos}{image}\n{text}"
    """A picture and its text where no chat template is used."""
    pixels: tuple[str, ...] = ("pixel_values",)
    """What the image processor makes of a picture that the model takes, the pixels first."""
    processing: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Options of the image processor that its processor sets."""
    masks: Mapping[str, Mask] = field(default_factory=lambda: MappingProxyType({}))
    """Masks that a forward pass with pictures needs. Attention that is causal everywhere needs none: padding is on the right."""


# Attention goes both ways among the image and the text before the answer; so padding has to be masked.
_PALIGEMMA = VisionFamily(layout="{image}{bos}{text}\n", masks={"attention_mask": "real", "token_type_ids": "zero"})
_IDEFICS_3 = VisionFamily(
    language_model="text_model",
    tower="vision_model",
    layout="{bos}{image}{text}",
    pixels=("pixel_values", "pixel_attention_mask"),
    processing={"return_row_col_info": True},
)
# Positions of image tokens are counted in rows and columns.
_QWEN_2_5 = VisionFamily(
    text_family="qwen2",
    tower="visual",
    tower_pools=False,
    layout="{bos}<|vision_start|>{image}<|vision_end|>{text}",
    pixels=("pixel_values", "image_grid_thw"),
    masks={"attention_mask": "real", "mm_token_type_ids": "image"},
)

VISION_FAMILIES: dict[str, VisionFamily] = {
    # Attention goes both ways among the tokens of one image.
    "gemma3": VisionFamily(layout="{bos}{image}{text}", masks={"attention_mask": "real", "token_type_ids": "image"}),
    "idefics3": _IDEFICS_3,
    "llava": VisionFamily(),
    # Of version 1 and 2; they differ in the language model.
    "paligemma": _PALIGEMMA,
    "qwen2_5_vl": _QWEN_2_5,
    "qwen2_vl": replace(_QWEN_2_5, tower_width="embed_dim"),
    "smolvlm": _IDEFICS_3,
}


def vision_family_of(model_type: str, name: str) -> VisionFamily:
    """Return the family of a vision-language model.

    Raises:
        ModelError: it is none of the known ones.
    """
    if model_type not in VISION_FAMILIES:
        raise ModelError(
            f"settings.model_type is vlm, but how the model type {model_type} of {name} is given a picture is not known. "
            f"Known: {', '.join(VISION_FAMILIES)}. To read texts with its language model, use model_type: llm."
        )
    return VISION_FAMILIES[model_type]
