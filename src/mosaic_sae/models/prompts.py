"""Questions as token ids, and continuations as the token ids that follow them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mosaic_sae.errors import ModelError
from mosaic_sae.models.chat import ChatFrame


@dataclass(frozen=True)
class Prompter:
    """How a model is given a question: BOS, chat template, and what stands before an answer."""

    tokenizer: Any
    prepend_bos: bool
    chat: ChatFrame | None = None
    """The template of a user's turn with the model's turn opened after it; None = the question as it is."""

    def __post_init__(self) -> None:
        if self.prepend_bos and self.tokenizer.bos_token_id is None:
            raise ModelError("prepend_bos is 'always', but this tokenizer has no BOS token. Use prepend_bos: never.")

    def separator(self, question: str) -> str:
        """Return what stands between a question and its answer when nothing is said: one space, unless white space or a chat is there."""
        return "" if self.chat is not None or question[-1:].isspace() else " "

    def encode(self, question: str, continuation: str = "") -> list[int]:
        """Return the ids of a question with what follows it; BOS is there exactly once or not at all."""
        text = question if self.chat is None else self.chat.wrap(question)[0]
        ids: list[int] = self.tokenizer(text + continuation, add_special_tokens=False, verbose=False).input_ids
        bos = self.tokenizer.bos_token_id
        if self.chat is not None and ids[:1] == [bos]:
            ids = ids[1:]
        return [bos, *ids] if self.prepend_bos else ids

    def part(self, question: str, continuations: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Return the beginning that all continuations of a question share, and what each adds.

        Tokens may span the border (a space with the word after it, or the end of the question with the beginning of a
        choice), so each whole text is tokenised, and the shared beginning is the longest one that is inside the question.
        It holds at least one token, because the first token of a continuation needs one to be predicted from.

        Raises:
            ModelError: nothing stands before a continuation, or a continuation has no token of its own.
        """
        alone = self.encode(question)
        wholes = [self.encode(question, continuation) for continuation in continuations]
        shared = len(alone)
        for whole in wholes:
            shared = next((place for place, (one, other) in enumerate(zip(alone[:shared], whole, strict=False)) if one != other), shared)
            shared = min(shared, len(whole) - 1)
        if shared < 1:
            raise ModelError("the question has no token before its choices. Begin the template with some text, or set prepend_bos: always.")
        return alone[:shared], [whole[shared:] for whole in wholes]
