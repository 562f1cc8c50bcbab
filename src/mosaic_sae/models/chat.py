"""A model's chat template around a text, and which of the tokens are the text's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mosaic_sae.errors import ModelError

MARK = "\x02mosaic\x02"
"""Stands for the text when a template is rendered; no template and no text holds it."""


@dataclass(frozen=True)
class ChatFrame:
    """What the template writes before and after the text of one user turn."""

    prefix: str
    suffix: str
    strips: bool
    """Whether the template drops white space around the text."""

    def wrap(self, text: str) -> tuple[str, int, int]:
        """Return the rendered turn, and where the text begins and ends in it."""
        own = text.strip() if self.strips else text
        return self.prefix + own + self.suffix, len(self.prefix), len(self.prefix) + len(own)

    def encode(self, tokenizer: Any, texts: list[str]) -> tuple[list[list[int]], list[np.ndarray]]:
        """Tokenise wrapped texts.

        The template writes BOS and all other special tokens itself, so the tokenizer adds none.

        Returns:
            Token ids per text, and bool [n_tokens] per text: True = the token holds characters of the text itself.

        Raises:
            ModelError: the tokenizer cannot say which characters a token stands for.
        """
        if not tokenizer.is_fast:
            raise ModelError(
                "models.chat needs a fast tokenizer, to tell the text's tokens from the template's. Use chat: {template: none}."
            )
        wrapped = [self.wrap(text) for text in texts]
        encoded = tokenizer([turn for turn, _, _ in wrapped], add_special_tokens=False, verbose=False, return_offsets_mapping=True)
        own = []
        for offsets, (_, start, stop) in zip(encoded.offset_mapping, wrapped, strict=True):
            begins, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
            own.append((begins < stop) & (ends > start))
        return encoded.input_ids, own


def chat_frame(
    tokenizer: Any, system: str | None, name: str, processor: Any = None, with_picture: bool = False, asks_for_reply: bool = False
) -> ChatFrame:
    """Render the model's own template once, with a mark in the place of the text.

    Args:
        tokenizer: the model's tokenizer.
        system: text of the system turn; None = no system turn (some templates then write one of their own).
        name: of the model, for messages.
        processor: of a vision-language model; its template goes before the tokenizer's.
        with_picture: whether a picture stands before the text.
        asks_for_reply: whether the turn of the model is opened after the text.

    Raises:
        ModelError: the model has no template, or the template refuses the turns or changes the text.
    """
    template = getattr(processor, "chat_template", None) or tokenizer.chat_template
    if not template:
        raise ModelError(
            f"models.chat.template is 'model', but {name} has no chat template; base models have none. "
            "Use an instruction-tuned model, or chat: {template: none}."
        )
    refusals = []
    # Templates of vision-language models take a turn as a list of parts, those of language models as one text.
    image_token = processor.image_token if with_picture else None
    for as_content in (_as_text,) if processor is None else (_as_parts, _as_text):
        frame, refusal = _frame(tokenizer, template, system, image_token, as_content, asks_for_reply)
        if frame is not None:
            return frame
        refusals.append(refusal)
    raise ModelError(f"The chat template of {name} {refusals[-1]}")


def _as_text(text: str, image_token: str | None) -> Any:
    return text if image_token is None else f"{image_token}\n{text}"


def _as_parts(text: str, image_token: str | None) -> Any:
    return [{"type": "image"}] * (image_token is not None) + [{"type": "text", "text": text}]


def _frame(
    tokenizer: Any,
    template: str,
    system: str | None,
    image_token: str | None,
    as_content: Callable[[str, str | None], Any],
    asks_for_reply: bool,
) -> tuple[ChatFrame | None, str]:
    """Return the frame, or None and what the template does instead of writing it."""
    from jinja2 import TemplateError

    turns = [{"role": "system", "content": as_content(system, None)}] if system is not None else []
    rendered = []
    for text in (MARK, f"  {MARK}  "):
        try:
            user = {"role": "user", "content": as_content(text, image_token)}
            turn = tokenizer.apply_chat_template(
                [*turns, user], chat_template=template, tokenize=False, add_generation_prompt=asks_for_reply
            )
        except (TemplateError, ValueError, TypeError) as error:
            return None, f"refuses {'a system turn and ' if turns else ''}a user turn: {error}."
        # A template that expects one text writes a list of parts as Python does.
        if not isinstance(turn, str) or turn.count(MARK) != 1 or "'type':" in turn:
            return None, "does not keep the text as it is. Use chat: {template: none}."
        if image_token is not None and turn.count(image_token) != 1:
            return None, f"does not write {image_token} once for a picture. Use chat: {{template: none}}."
        rendered.append(turn)
    prefix, suffix = rendered[0].split(MARK)
    return ChatFrame(prefix, suffix, strips=rendered[1] == f"{prefix}{MARK}{suffix}"), ""
