"""Pictures and their texts to token ids and pixels: the family's processor, the layout, and which tokens count."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from mosaic_sae.config.schema import Chat, Tokens
from mosaic_sae.errors import ModelError
from mosaic_sae.fingerprint import fingerprint
from mosaic_sae.models.chat import MARK, ChatFrame, chat_frame
from mosaic_sae.models.locate import LocatedModel
from mosaic_sae.models.text import make_policy
from mosaic_sae.models.tokenise import NO_BOS, PicturePolicy, Piece, TokenisedTexts, TokenPolicy, without_last
from mosaic_sae.models.vision_families import VisionFamily, vision_family_of
from mosaic_sae.sources.images import Picture, open_picture

# Tokens that a vision encoder puts beside those of the patches, by its model type.
_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0, "siglip2_vision_model": 0}


def load_processor(located: LocatedModel) -> Any:
    """Load a located model's processor: tokenizer and image processor, without the video half.

    Images are processed with Pillow whatever else is installed, so that the numbers are the same everywhere.

    Raises:
        ModelError: the folder has no usable processor, or it needs a package that is not installed.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    vision_family_of(located.family, located.name)
    options = {"local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(located.folder, **options)
        kind = _pictures_only(PROCESSOR_MAPPING[type(config)])
        stated, _ = kind.get_processor_dict(located.folder, **options)
        known = set(inspect.signature(kind.__init__).parameters) - set(kind.get_attributes())
        tokenizer = AutoTokenizer.from_pretrained(located.folder, **options)
        more = {name: value for name, value in stated.items() if name in known} | _of_the_model(config, tokenizer)
        return kind(
            image_processor=AutoImageProcessor.from_pretrained(located.folder, backend="pil", **options),
            tokenizer=tokenizer,
            **{name: None for name in kind.get_attributes() if name == "video_processor"},
            **more,
        )
    except ImportError as error:
        raise ModelError(f"The processor of {located.name} needs a package that is not installed: {str(error).strip()}") from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"The model {located.name} has no usable image processor and tokenizer in {located.folder}: {error}. A vision-language "
            "model's folder holds preprocessor_config.json or processor_config.json beside the tokenizer's files."
        ) from error


def tower_width(located: LocatedModel) -> int:
    """Return the width of the vision tower's states."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(located.folder, local_files_only=True)
    width: int = getattr(config.vision_config, vision_family_of(located.family, located.name).tower_width)
    return width


def _pictures_only(kind: Any) -> Any:
    """Return a processor class that does without a video processor, which would need torchvision."""

    class PicturesOnly(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    return PicturesOnly


def _of_the_model(config: Any, tokenizer: Any) -> dict[str, Any]:
    """What a processor has to know of its model; many LLaVA folders leave it out, or were saved before it was needed."""
    if config.model_type != "llava":
        return {}
    token = tokenizer.convert_ids_to_tokens(config.image_token_id)
    named = {"image_token": token} if token else {}
    if config.vision_config.model_type not in _CLASS_TOKENS:
        return named
    return named | {
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": _CLASS_TOKENS[config.vision_config.model_type],
    }


def make_vision_policy(
    processor: Any, tokenizer: Any, located: LocatedModel, prepend_bos: bool | None, tokens: Tokens, chat: Chat, prompt: str
) -> TokenPolicy:
    """Resolve the policy of a vision-language model: that of its language model, and how a picture and its text are laid out.

    Args:
        processor: the model's processor.
        tokenizer: the model's tokenizer as it is without the processor.
        located: the model.
        prepend_bos: None = as the tokenizer does it.
        tokens: length, windows, and what counts.
        chat: whether and how the model's chat template is used.
        prompt: text of rows with a picture alone.

    Raises:
        ModelError: as ``make_policy`` does; a template is wanted that takes no picture; or BOS is wanted and there is none.
    """
    family = vision_family_of(located.family, located.name)
    policy = make_policy(tokenizer, located, prepend_bos, tokens, chat.model_copy(update={"template": "none", "system": None}))
    texts = None
    if chat.template == "model":
        texts = chat_frame(processor.tokenizer, chat.system, located.name, processor)
        frame = chat_frame(processor.tokenizer, chat.system, located.name, processor, with_picture=True)
    else:
        begin = processor.tokenizer.bos_token if policy.prepend_bos else ""
        if begin is None:
            raise ModelError(NO_BOS)
        prefix, suffix = family.layout.format(bos=begin, image=processor.image_token, text=MARK).split(MARK)
        frame = ChatFrame(prefix, suffix, strips=False)
    pictures = PicturePolicy(frame, prompt, tokens.pool, fingerprint(processor.image_processor.to_dict()))
    return replace(policy, chat=texts, pictures=pictures)


def tokenise_picture(
    processor: Any, family: VisionFamily, image_token: int, picture: Picture, text: str, policy: TokenPolicy
) -> TokenisedTexts:
    """Turn one picture and its text into tokens and pixels.

    Args:
        processor: the model's processor.
        family: the model's family.
        image_token: id of the token that stands for a part of a picture, as the model's config says.
        picture: the picture.
        text: the row's own text; empty = the policy's prompt.
        policy: the policy, with one for pictures.

    Raises:
        ModelError: the picture alone needs more tokens than allowed; the text spells out the image token; or processor and model
            disagree on it.
    """
    assert policy.pictures is not None
    frame, pool = policy.pictures.frame, policy.pictures.pool
    if processor.image_token in text:
        raise ModelError(f"The text beside a picture spells out {processor.image_token}; take it out: the picture is put before the text.")
    image = open_picture(picture)
    made = processor.image_processor(images=[[image]], return_tensors="np", **family.processing)
    expanded = frame.prefix.replace(processor.image_token, processor.replace_image_token(made, image_idx=0), 1)
    rows, owns = ChatFrame(expanded, frame.suffix, frame.strips).encode(processor.tokenizer, [text or policy.pictures.prompt])
    row, own = np.array(rows[0], dtype=np.int32), owns[0]
    bos = processor.tokenizer.bos_token_id
    if policy.chat is not None:  # a template writes BOS or not as it likes; a layout as the policy says
        if len(row) and row[0] == bos:
            row, own = row[1:], own[1:]
        if policy.prepend_bos:
            row, own = np.insert(row, 0, bos), np.insert(own, 0, True)
    own = own & (row != image_token)
    excess = max(len(row) - policy.max_length, 0)
    if excess:
        rest = f"a picture of {image.width} x {image.height} pixels"
        row, own = without_last(row, own, excess, policy.max_length, rest, "Raise max_length, or set it to null.")
    is_image = row == image_token
    if not is_image.any():
        raise ModelError(f"The processor writes no token {image_token} for a picture, which is the image token of the model's config.")
    counts = np.zeros(len(row), dtype=bool)
    if pool != "text":
        counts |= is_image
    if pool in ("text", "all"):
        special = np.isin(row, sorted(set(processor.tokenizer.all_special_ids)))
        counts |= (own | (row == bos) | policy.pool_template) & (policy.pool_special | ~special) & ~is_image
    pixels = {name: made[name] for name in family.pixels}
    return TokenisedTexts([row], [counts], np.array([excess > 0]), [[Piece(row, counts, 0, pixels)]])
