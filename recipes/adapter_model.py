"""The small vision tower and projector that give packaged Gemma 3 270M eyes, and how they are written as an adapter folder.

The tower is a LeViT (Graham et al. 2021, arXiv 2104.01136): four convolutions of stride 2, then attention over 4 x 4 and 2 x 2 places.
At 64 pixels it needs a tenth of what a ViT of the same width needs, and convolutions learn from few pictures. A picture becomes four
image tokens, about as many as a name has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, LevitConfig, LlavaConfig
from transformers.models.levit.modeling_levit import LevitModel
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from mosaic_sae.fsio import sha256_file, write_json
from mosaic_sae.models.packaged import packaged_folder

LANGUAGE_MODEL = "packaged/gemma-3-270m"
LICENCE = "Gemma Terms of Use (trained with the states of a Gemma model); pictures: Apache-2.0, MIT and CC-BY-4.0, see NOTICE"
IMAGE_TOKEN, IMAGE_TOKEN_ID = "<unused0>", 6
IMAGE_SIZE, N_IMAGE_TOKENS = 64, 4
MEAN, STD = 0.5, 0.25
"""Pixels between 0 and 1 are shifted by the one and divided by the other, in every channel."""
WIDTHS, DEPTHS = (96, 192), (2, 2)


def make_config() -> LlavaConfig:
    """Return the configuration of the whole model: tower, projector and the packaged language model."""
    narrow, wide = WIDTHS
    tower = LevitConfig(
        image_size=IMAGE_SIZE,
        patch_size=16,
        hidden_sizes=[narrow, wide],
        depths=list(DEPTHS),
        num_attention_heads=[narrow // 32, wide // 32],
        key_dim=[16, 16],
        attention_ratio=[2, 2],
        mlp_ratio=[2, 2],
        down_ops=[["Subsample", 16, narrow // 16, 4, 2, 2]],
        # LLaVA's projector asks for the width under this name, which LeViT does not use.
        hidden_size=wide,
    )
    return LlavaConfig(
        architectures=["LlavaForConditionalGeneration"],
        vision_config=tower,
        text_config=AutoConfig.from_pretrained(packaged_folder(LANGUAGE_MODEL)),
        image_token_id=IMAGE_TOKEN_ID,
        image_seq_length=N_IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        dtype="float32",
    )


class Adapter(torch.nn.Module):
    """Tower and projector, with the names that they have inside ``LlavaForConditionalGeneration.model``."""

    def __init__(self) -> None:
        super().__init__()
        config = make_config()
        # LevitModel appends to its configuration; the one that is written must stay as it is.
        self.vision_tower = LevitModel(make_config().vision_config)
        self.multi_modal_projector = LlavaMultiModalProjector(config)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the tower's states [batch 4 192] of normalised pixels [batch 3 64 64]."""
        return self.vision_tower(pixels, return_dict=True).last_hidden_state

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return image tokens [batch 4 d_model] in the place of (scaled) token embeddings."""
        return self.multi_modal_projector(self.features(pixels))


def write_adapter(adapter: Adapter, folder: Path, about: dict[str, Any]) -> None:
    """Write config, float16 weights, what the processor needs, and the contract ``adapter.json`` with ``about`` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = make_config().to_dict()
    config["text_config"]["_name_or_path"] = ""  # where this machine keeps the language model
    write_json(folder / "config.json", config)
    weights = {f"model.{name}": _as_float16(tensor) for name, tensor in adapter.state_dict().items()}
    save_file(weights, folder / "adapter.safetensors", metadata={"format": "pt"})
    processing = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
    }
    write_json(folder / "preprocessor_config.json", processing)
    # LlavaProcessor counts image tokens as (64 / 32) x (64 / 32).
    processor = {
        "processor_class": "LlavaProcessor",
        "image_token": IMAGE_TOKEN,
        "patch_size": IMAGE_SIZE // 2,
        "vision_feature_select_strategy": "full",
        "num_additional_image_tokens": 0,
    }
    write_json(folder / "processor_config.json", processor)
    contract = {
        "language_model": LANGUAGE_MODEL,
        "image_token": IMAGE_TOKEN,
        "image_token_id": IMAGE_TOKEN_ID,
        "image_token_is": "an unused token of the tokenizer; the embedding table stays as it is",
        "n_image_tokens": N_IMAGE_TOKENS,
        "licence": LICENCE,
    }
    shipped = ("config.json", "adapter.safetensors", "preprocessor_config.json", "processor_config.json")
    write_json(folder / "adapter.json", contract | about | {"sha256": {name: sha256_file(folder / name) for name in shipped}})


def _as_float16(tensor: torch.Tensor) -> torch.Tensor:
    """Counters stay integers: batch normalisation counts its batches."""
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
