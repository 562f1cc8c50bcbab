"""How often latents fire, on which tokens, classes and languages: counted from the by-latent index, many latents at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mosaic_sae.explain.cards import TopToken, visible
from mosaic_sae.explain.rows import ExampleRows, Groups
from mosaic_sae.store.by_latent import ByLatent

TOP_TOKENS = 10
BINS = 20
# Silent occurrences added to each token's own, so that one loud firing of a rare token does not come first.
_HELD_BACK = 5
# Entries of the (latent, token) table that is filled at once, and firings that are read for it.
_TABLE, _FIRINGS = 2_000_000, 4_000_000
_LABEL_TOKENS = 4


@dataclass(frozen=True)
class LatentCounts:
    """What can be counted of one latent without looking at a text."""

    latent: int
    n_tokens: int
    n_examples: int
    by_class: np.ndarray
    """int64 [n_classes]: examples of each class on which it fires."""
    by_language: np.ndarray
    """int64 [n_languages]; empty where the data names no languages."""
    max: float
    histogram: np.ndarray
    """int64 [BINS]: firing tokens by value, in equal bins from 0 to ``max``."""
    top_tokens: list[TopToken]

    @property
    def label(self) -> str:
        """A short automatic label: its top tokens, without blanks and repeats in another case. "" when it fires nowhere."""
        return token_label(token["piece"] for token in self.top_tokens)


class Counter:
    """Counts latents of one store."""

    def __init__(self, index: ByLatent, rows: ExampleRows, piece_of: Mapping[int, str]) -> None:
        self._index, self._rows, self._piece_of = index, rows, piece_of
        # Only ids that occur get a column, so that tables stay small with large vocabularies.
        self._ids, self._column = np.unique(index.token_ids, return_inverse=True)
        self._occurrences = np.bincount(self._column, minlength=len(self._ids))
        self._row_of_token = np.repeat(np.arange(index.n_rows, dtype=np.int32), np.diff(index.row_offsets))

    def counts(self, latents: Iterable[int]) -> Iterator[LatentCounts]:
        """Count latents, in the order given; memory holds a few tens of megabytes, whatever their number."""
        most = max(1, _TABLE // max(len(self._ids), 1))
        block: list[tuple[int, np.ndarray, np.ndarray]] = []
        size = 0
        for latent in latents:
            tokens, values = self._index.firings(latent)
            block.append((latent, tokens, values))
            size += len(tokens)
            if len(block) >= most or size >= _FIRINGS:
                yield from self._count(block)
                block, size = [], 0
        if block:
            yield from self._count(block)

    def _count(self, block: list[tuple[int, np.ndarray, np.ndarray]]) -> Iterator[LatentCounts]:
        lengths = [len(tokens) for _, tokens, _ in block]
        slot = np.repeat(np.arange(len(block)), lengths)
        tokens = np.concatenate([tokens for _, tokens, _ in block])
        values = np.concatenate([values for _, _, values in block])
        row = self._row_of_token[tokens]
        # Tokens ascend within a latent, so the firings of one example are neighbours.
        first = np.ones(len(tokens), dtype=bool)
        first[1:] = (row[1:] != row[:-1]) | (slot[1:] != slot[:-1])
        of_slot, of_row = slot[first], row[first]
        by_class = _tally(of_slot, of_row, self._rows.classes, len(block))
        by_language = _tally(of_slot, of_row, self._rows.languages, len(block)) if self._rows.languages else None
        largest = np.zeros(len(block))
        np.maximum.at(largest, slot, values) if len(block) > 1 else largest.fill(values.max(initial=0.0))
        histogram = _histograms(slot, values, largest)
        top = self._top_tokens(slot, self._column[tokens], values, len(block))
        for number, (latent, _, _) in enumerate(block):
            yield LatentCounts(
                latent=latent,
                n_tokens=lengths[number],
                n_examples=int(by_class[number].sum()),
                by_class=by_class[number],
                by_language=np.zeros(0, dtype=np.int64) if by_language is None else by_language[number],
                max=float(largest[number]),
                histogram=histogram[number],
                top_tokens=top[number],
            )

    def _top_tokens(self, slot: np.ndarray, column: np.ndarray, values: np.ndarray, n: int) -> list[list[TopToken]]:
        # Neither "the", on which the latent stirs a thousand times, nor a word that occurs once shall come first: tokens are ranked
        # by the activation to expect where they occur.
        shape = (n, len(self._ids))
        place = slot * shape[1] + column
        counts = np.bincount(place, minlength=n * shape[1]).reshape(shape)
        sums = np.bincount(place, weights=values, minlength=n * shape[1]).reshape(shape)
        expected = sums / (self._occurrences + _HELD_BACK)
        # Different ids can print the same piece (fragments of one character), so some more than are shown are looked at.
        looked_at = min(2 * TOP_TOKENS, shape[1])
        best = np.argpartition(-expected, looked_at - 1, axis=1)[:, :looked_at]
        return [self._pieces(best[i], expected[i], counts[i], sums[i]) for i in range(n)]

    def _pieces(self, best: np.ndarray, expected: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> list[TopToken]:
        totals: dict[str, tuple[int, float]] = {}
        for column in best[np.lexsort((best, -expected[best]))].tolist():
            if not counts[column]:
                break
            piece = self._piece_of[int(self._ids[column])]
            count, total = totals.get(piece, (0, 0.0))
            totals[piece] = (count + int(counts[column]), total + float(sums[column]))
        return [{"piece": piece, "count": n, "mean": short(total / n)} for piece, (n, total) in list(totals.items())[:TOP_TOKENS]]


def token_label(pieces: Iterable[str]) -> str:
    """Join the first few distinct pieces that hold a letter or digit; without such, the first few of any kind.

    >>> token_label([" bomb", "Bomb", ",", " kill"])
    'bomb · kill'
    """
    words: dict[str, str] = {}
    signs: dict[str, str] = {}
    for piece in pieces:
        # A fragment of a character says nothing.
        text = visible(piece.strip() or piece, 30)
        if text.strip("�"):
            kind = words if any(character.isalnum() for character in text) else signs
            kind.setdefault(text.casefold(), text)
    return " · ".join(list((words or signs).values())[:_LABEL_TOKENS])


def short(value: float) -> float:
    """Six significant digits: more would only make files larger."""
    return float(f"{value:.6g}")


def _tally(slot: np.ndarray, row: np.ndarray, groups: Groups, n: int) -> np.ndarray:
    """Return int64 [n, n_groups]: rows of each group per slot."""
    width = len(groups.names)
    return np.bincount(slot * width + groups.of_row[row], minlength=n * width).reshape(n, width)


def _histograms(slot: np.ndarray, values: np.ndarray, largest: np.ndarray) -> np.ndarray:
    scale = np.divide(BINS, largest, out=np.zeros_like(largest), where=largest > 0).astype(np.float32)
    bins = np.minimum((values * scale[slot]).astype(np.int64), BINS - 1)
    return np.bincount(slot * BINS + bins, minlength=len(largest) * BINS).reshape(len(largest), BINS)
