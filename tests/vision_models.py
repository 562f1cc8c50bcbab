"""Tiny random vision-language models of every family, each with a real processor, and pictures to show them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factories import WORDS
from mosaic_sae.sources.images import Picture

N_LAYERS, D_MODEL = 3, 16
WRITTEN = ["<unk>", "<bos>", "<eos>", "<pad>", "\n", *WORDS]
SPECIAL = {
    "llava": ["<image>"],
    "paligemma": ["<image>"],
    "gemma3": ["<image_soft_token>", "<start_of_image>", "<end_of_image>"],
    "idefics3": ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<row_1_col_1>", "<row_1_col_2>"],
    "smolvlm": ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<row_1_col_1>", "<row_1_col_2>"],
    "qwen2_vl": ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
    "qwen2_5_vl": ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
}
N_TOKENS = len(WRITTEN) + 8
TEXT = {
    "vocab_size": N_TOKENS, "hidden_size": D_MODEL, "intermediate_size": 24, "num_hidden_layers": N_LAYERS, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# As deep as the language model, so that the blocks cannot be told by their number.
VISION = {
    "hidden_size": 12,
    "intermediate_size": 16,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
GEMMA_2 = {"model_type": "gemma2", "query_pre_attn_scalar": 8, "sliding_window": 4, "attn_logit_softcapping": 2.0}
SLIDING = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "query_pre_attn_scalar": 8}
QWEN = {"depth": 2, "embed_dim": 16, "hidden_size": D_MODEL, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "mlp_ratio": 2}
QWEN_2_5 = {
    "depth": 2, "hidden_size": 16, "intermediate_size": 16, "out_hidden_size": D_MODEL, "num_heads": 2, "patch_size": 14,
    "spatial_merge_size": 2, "window_size": 56, "fullatt_block_indexes": [1],
}  # fmt: skip
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}
STEP = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
SQUARE = {"size": {"height": 28, "width": 28}, **STEP}


@dataclass(frozen=True)
class Tiny:
    """What a tiny model is made of."""

    family: str
    name: str
    text: dict[str, Any]
    vision: dict[str, Any]
    image_processor: str
    processing: dict[str, Any]
    config: dict[str, Any]
    written: dict[str, Any]
    """What its processor_config.json says besides."""

    def __str__(self) -> str:
        return self.name


def _tiny(family: str, text: dict[str, Any], vision: dict[str, Any], kind: str, processing: dict[str, Any], **more: Any) -> Tiny:
    name, written = more.pop("name", family), more.pop("written", {})
    return Tiny(family, name, TEXT | text, VISION | vision, kind, processing, more, written)


SIGLIP = {"model_type": "siglip_vision_model"}
CLIP_SIZE = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}, **STEP}
TILES = {"image_size": 56, "patch_size": 14}
TILING = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}, **STEP}
GRID = {"size": {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 6}, **STEP}
TINY = [
    _tiny("llava", {"model_type": "llama"}, {"model_type": "clip_vision_model"}, "CLIPImageProcessorPil", CLIP_SIZE),
    _tiny(
        "llava",
        {"model_type": "gemma"},
        SIGLIP,
        "SiglipImageProcessorPil",
        SQUARE,
        name="llava, Gemma",
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    ),
    _tiny(
        "paligemma",
        {"model_type": "gemma"},
        SIGLIP | {"vision_use_head": False, "projection_dim": D_MODEL},
        "SiglipImageProcessorPil",
        SQUARE | {"image_seq_length": 4},
        projection_dim=D_MODEL,
    ),
    _tiny(
        "paligemma",
        GEMMA_2,
        SIGLIP | {"vision_use_head": False, "projection_dim": D_MODEL},
        "SiglipImageProcessorPil",
        SQUARE | {"image_seq_length": 4},
        name="paligemma 2",
        projection_dim=D_MODEL,
    ),
    _tiny(
        "gemma3",
        {"model_type": "gemma3_text", **SLIDING},
        SIGLIP | {"vision_use_head": False, "patch_size": 7},
        "Gemma3ImageProcessorPil",
        SQUARE,
        mm_tokens_per_image=4,
        written={"image_seq_length": 4},
    ),
    _tiny("idefics3", {"model_type": "llama"}, TILES, "Idefics3ImageProcessorPil", TILING, scale_factor=2, written={"image_seq_len": 4}),
    _tiny("smolvlm", {"model_type": "llama"}, TILES, "SmolVLMImageProcessorPil", TILING, scale_factor=2, written={"image_seq_len": 4}),
    _tiny("qwen2_vl", ROPE, QWEN, "Qwen2VLImageProcessorPil", GRID),
    _tiny("qwen2_5_vl", ROPE, QWEN_2_5, "Qwen2VLImageProcessorPil", GRID),
]


def make_vision_model(folder: Path, tiny: Tiny, seed: int = 0) -> Path:
    """Save a tiny random model with its tokenizer and processor."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForImageTextToText

    tokenizer = _tokenizer(tiny.family)
    image_token = tokenizer.convert_tokens_to_ids(SPECIAL[tiny.family][0])
    more: dict[str, Any] = {"image_token_id": image_token, **tiny.config}
    if tiny.family == "gemma3":
        more |= {"boi_token_index": tokenizer.boi_token_id, "eoi_token_index": tokenizer.eoi_token_id}
    if tiny.family.startswith("qwen"):
        names = dict(zip(("video_token_id", "vision_start_token_id", "vision_end_token_id"), SPECIAL[tiny.family][1:], strict=True))
        more |= {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = AutoConfig.for_model(tiny.family, text_config=tiny.text, vision_config=tiny.vision, **more)
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        # Weights with which context matters, and gains and shifts that are not neutral.
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    getattr(transformers, tiny.image_processor)(**tiny.processing).save_pretrained(folder)
    if tiny.written:
        (folder / "processor_config.json").write_text(json.dumps(tiny.written))
    return folder


def _tokenizer(family: str) -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(WRITTEN)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(" +"), "removed"),
        pre_tokenizers.Split(Regex("\n"), "isolated"),
    ])
    named = {}
    if family == "gemma3":
        named = dict(zip(("image_token", "boi_token", "eoi_token"), SPECIAL[family], strict=True))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens=named or SPECIAL[family],
    )
    return fast


def make_picture(width: int = 40, height: int = 40, seed: int = 0) -> Picture:
    """A picture of random colours, smooth enough to survive resizing, as a PNG in memory."""
    from PIL import Image

    small = np.random.default_rng(seed).integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR).save(data, "PNG")
    return Picture(data=data.getvalue())
