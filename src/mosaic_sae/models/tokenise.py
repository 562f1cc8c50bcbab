"""Texts to token ids, with the policy for BOS, special tokens and length in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mosaic_sae.errors import ModelError


@dataclass(frozen=True)
class TokenisedTexts:
    """Token ids of several texts and which of them count."""

    ids: list[np.ndarray]
    """int32 [n_tokens] per text."""
    counts: list[np.ndarray]
    """bool [n_tokens] per text: True = the token counts in pooling."""
    truncated: np.ndarray
    """bool [n_texts]."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n_texts]: number of tokens."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)


@dataclass(frozen=True)
class TokenPolicy:
    """The resolved policy: nothing is left to "auto"."""

    prepend_bos: bool
    pool_special: bool
    max_length: int


def adds_bos_itself(tokenizer: Any) -> bool:
    """Whether the tokenizer puts BOS first on its own."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[:1] == [bos]


def tokenise(tokenizer: Any, texts: list[str], policy: TokenPolicy) -> TokenisedTexts:
    """Tokenise without padding.

    BOS is put first by us, never by the tokenizer, so that it is there exactly once. A text that is longer than the
    limit keeps its beginning.

    Raises:
        ModelError: BOS is wanted and the tokenizer has none.
    """
    bos = tokenizer.bos_token_id
    if policy.prepend_bos and bos is None:
        raise ModelError("tokens.prepend_bos is 'always', but this tokenizer has no BOS token. Use prepend_bos: never.")
    first = [bos] if policy.prepend_bos else []
    special = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int32)
    room = policy.max_length - len(first)
    # The tokenizer warns about texts beyond the model's length; they are cut and counted below.
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False).input_ids if texts else []
    ids = [np.array(first + tokens[:room], dtype=np.int32) for tokens in encoded]
    truncated = np.array([len(tokens) > room for tokens in encoded], dtype=bool)
    counts = [np.ones(len(row), dtype=bool) if policy.pool_special else ~np.isin(row, special) for row in ids]
    return TokenisedTexts(ids, counts, truncated)


def make_batches(lengths: np.ndarray, max_rows: int | None, token_budget: int) -> list[np.ndarray]:
    """Group rows of similar length: int64 row numbers per batch.

    Each batch holds at most ``max_rows`` rows (None = no limit) and, beyond its first row, at most ``token_budget`` padded tokens.
    """
    order = np.argsort(lengths, kind="stable")
    batches: list[np.ndarray] = []
    begin = 0
    for end in range(1, len(order) + 1):
        is_last = end == len(order)
        rows = end - begin + 1
        if is_last or rows * lengths[order[end]] > token_budget or (max_rows is not None and rows > max_rows):
            batches.append(order[begin:end])
            begin = end
    return batches
