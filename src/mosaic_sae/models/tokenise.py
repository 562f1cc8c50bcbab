"""Texts to token ids, with the policy for BOS, special tokens, chat template and length in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mosaic_sae.errors import ModelError
from mosaic_sae.models.chat import ChatFrame

NO_BOS = "tokens.prepend_bos is 'always', but this tokenizer has no BOS token. Use prepend_bos: never."


@dataclass(frozen=True)
class Piece:
    """What the model sees of a text in one pass: the whole text, or one window of a long one."""

    ids: np.ndarray
    """int32 [n_tokens]"""
    counts: np.ndarray
    """bool [n_tokens]: True = the token counts in pooling. A token counts in one window alone, the one with most text before it."""
    start: int
    """Token i of the piece stands at place ``start + i`` of the text's tokens (but for the BOS that each window is given)."""
    picture: Mapping[str, np.ndarray] | None = None
    """What the model takes of the picture that belongs to the text, by name of the input; the first axis counts parts of it."""

    @property
    def kind(self) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
        """Pieces of one kind can be run together: those without a picture, or those whose pictures fit on one another."""
        return None if self.picture is None else tuple((name, array.shape[1:]) for name, array in self.picture.items())


@dataclass(frozen=True)
class TokenisedTexts:
    """Token ids of several texts and which of them count."""

    ids: list[np.ndarray]
    """int32 [n_tokens] per text."""
    counts: list[np.ndarray]
    """bool [n_tokens] per text: True = the token counts in pooling."""
    truncated: np.ndarray
    """bool [n_texts]."""
    pieces: list[list[Piece]]
    """What is run of each text: one piece, or several windows."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n_texts]: number of tokens."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    @property
    def windowed(self) -> np.ndarray:
        """Which texts are read in several windows: bool [n_texts]."""
        return np.array([len(pieces) > 1 for pieces in self.pieces], dtype=bool)

    def without_pixels(self) -> TokenisedTexts:
        """Let the pixels go; the tokens stay."""
        return replace(self, pieces=[[replace(piece, picture=None) for piece in pieces] for pieces in self.pieces])


def join_texts(parts: Sequence[TokenisedTexts]) -> TokenisedTexts:
    """Put texts that were tokenised in several portions together."""
    ids, counts, pieces = ([item for part in parts for item in getattr(part, name)] for name in ("ids", "counts", "pieces"))
    return TokenisedTexts(ids, counts, np.concatenate([part.truncated for part in parts]), pieces)


@dataclass(frozen=True)
class PicturePolicy:
    """How a picture and its text become tokens, and which of them count."""

    frame: ChatFrame
    """What stands before the text, the mark of the picture in it, and after it."""
    prompt: str
    """Text of a row that has none of its own."""
    pool: str
    """auto, image, text or all."""
    processor: str
    """Fingerprint of how pictures become pixels."""


@dataclass(frozen=True)
class TokenPolicy:
    """The resolved policy: nothing is left to "auto"."""

    prepend_bos: bool
    pool_special: bool
    max_length: int
    stride: int | None = None
    """Tokens from one window to the next; None = a long text is cut."""
    chat: ChatFrame | None = None
    pool_template: bool = False
    """Whether the template's own words count too."""
    pictures: PicturePolicy | None = None
    """None = the model reads texts alone."""

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes the numbers, as JSON values."""
        content = asdict(self)
        return content if self.pictures else {key: value for key, value in content.items() if key != "pictures"}


def adds_bos_itself(tokenizer: Any) -> bool:
    """Whether the tokenizer puts BOS first on its own."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[:1] == [bos]


def tokenise(tokenizer: Any, texts: list[str], policy: TokenPolicy) -> TokenisedTexts:
    """Tokenise without padding.

    BOS is put first by us, never by the tokenizer or the template, so that it is there exactly once. A text that is longer
    than the limit keeps its beginning, inside a whole template, or is read in overlapping windows.

    Raises:
        ModelError: BOS is wanted and the tokenizer has none, or the template alone is longer than the limit.
    """
    bos = tokenizer.bos_token_id
    if policy.prepend_bos and bos is None:
        raise ModelError(NO_BOS)
    special = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int32)
    room = policy.max_length - policy.prepend_bos
    ids, counts, truncated = [], [], []
    for row, own in zip(*_encode(tokenizer, texts, policy.chat), strict=True):
        if policy.chat is not None and len(row) and row[0] == bos:
            row, own = row[1:], own[1:]
        excess = max(len(row) - room, 0) if policy.stride is None else 0
        if excess:
            row, own = without_last(row, own, excess, policy.max_length)
        if policy.prepend_bos:
            row, own = np.insert(row, 0, bos), np.insert(own, 0, True)
        ids.append(row)
        counts.append((own | policy.pool_template) & (policy.pool_special | ~np.isin(row, special)))
        truncated.append(excess > 0)
    pieces = [_windows(row, counted, policy) for row, counted in zip(ids, counts, strict=True)]
    return TokenisedTexts(ids, counts, np.array(truncated, dtype=bool), pieces)


def _encode(tokenizer: Any, texts: list[str], chat: ChatFrame | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return token ids, int32, and whether each token is the text's own, per text; without BOS unless a template writes it."""
    if not texts:
        return [], []
    if chat is not None:
        rows, own = chat.encode(tokenizer, texts)
        return [np.array(row, dtype=np.int32) for row in rows], own
    # The tokenizer warns about texts beyond the model's length; they are cut and counted, or windowed.
    rows = tokenizer(texts, add_special_tokens=False, verbose=False).input_ids
    return [np.array(row, dtype=np.int32) for row in rows], [np.ones(len(row), dtype=bool) for row in rows]


def without_last(
    row: np.ndarray,
    own: np.ndarray,
    excess: int,
    max_length: int,
    rest: str = "the chat template with its system text",
    remedy: str = "Raise max_length or shorten models.chat.system.",
) -> tuple[np.ndarray, np.ndarray]:
    """Take the last ``excess`` of the text's own tokens away; what is around it stays whole.

    Raises:
        ModelError: the rest alone is too long; the message names it and the remedy.
    """
    places = np.flatnonzero(own)
    if excess > len(places):
        raise ModelError(f"tokens.max_length is {max_length}, but {rest} alone needs {len(row) - len(places)} tokens. {remedy}")
    gone = places[len(places) - excess :]
    return np.delete(row, gone), np.delete(own, gone)


def _windows(ids: np.ndarray, counts: np.ndarray, policy: TokenPolicy) -> list[Piece]:
    if policy.stride is None or len(ids) <= policy.max_length:
        return [Piece(ids, counts, 0)]
    first = int(policy.prepend_bos)
    room = policy.max_length - first
    pieces, seen, start = [], 0, 0
    while seen < len(ids) - first:
        stop = min(start + room, len(ids) - first)
        counted = counts[first + start : first + stop].copy()
        counted[: seen - start] = False
        bos_counts = counts[:first] if start == 0 else np.zeros(first, dtype=bool)
        window = np.concatenate([ids[:first], ids[first + start : first + stop]])
        pieces.append(Piece(window, np.concatenate([bos_counts, counted]), start))
        seen, start = stop, start + policy.stride
    return pieces


def batches_of(pieces: Sequence[Piece], max_rows: int | None, token_budget: int) -> Iterator[np.ndarray]:
    """Group pieces that can be run together, of similar length: yield int64 places in ``pieces`` per batch."""
    kinds: dict[Any, list[int]] = {}
    for place, piece in enumerate(pieces):
        kinds.setdefault(piece.kind, []).append(place)
    for members in kinds.values():
        places = np.array(members, dtype=np.int64)
        for batch in make_batches(np.array([len(pieces[place].ids) for place in members]), max_rows, token_budget):
            yield places[batch]


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
