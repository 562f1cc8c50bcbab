"""A model's chat template around a text, and which of the tokens are the text's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mosaic_sae.errors import ModelError

# Stands for the text when the template is rendered; no template and no text holds it.
_MARK = "\x02mosaic\x02"


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


def chat_frame(tokenizer: Any, system: str | None, name: str, asks_for_reply: bool = False) -> ChatFrame:
    """Render the model's own template once, with a mark in the place of the text.

    Args:
        tokenizer: the model's tokenizer.
        system: text of the system turn; None = no system turn (some templates then write one of their own).
        name: of the model, for messages.
        asks_for_reply: whether the turn of the model is opened after the text.

    Raises:
        ModelError: the model has no template, or the template refuses the turns or changes the text.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise ModelError(
            f"models.chat.template is 'model', but {name} has no chat template; base models have none. "
            "Use an instruction-tuned model, or chat: {template: none}."
        )

    def render(text: str) -> str:
        turns = [{"role": "system", "content": system}] if system is not None else []
        try:
            turns.append({"role": "user", "content": text})
            rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=asks_for_reply)
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(
                f"The chat template of {name} refuses {'a system turn and ' if len(turns) > 1 else ''}a user turn: {error}."
            ) from error
        if not isinstance(rendered, str) or rendered.count(_MARK) != 1:
            raise ModelError(f"The chat template of {name} does not keep the text as it is. Use chat: {{template: none}}.")
        return rendered

    prefix, suffix = render(_MARK).split(_MARK)
    strips = render(f"  {_MARK}  ") == f"{prefix}{_MARK}{suffix}"
    return ChatFrame(prefix, suffix, strips)
