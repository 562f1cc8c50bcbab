"""Make the card of any latent of a store from its by-latent index. Imports no torch: the app makes cards too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mosaic_sae.errors import StoreError
from mosaic_sae.explain.cards import LatentCard, Window
from mosaic_sae.explain.counts import Counter, LatentCounts, short
from mosaic_sae.explain.rows import ExampleRows, Groups
from mosaic_sae.store.by_latent import ByLatent
from mosaic_sae.store.reader import TokenStore

N_TOP = 8
"""Strongest texts on a card."""
N_BANDS, PER_BAND = 4, 2
"""Bands of the firing examples, and random texts from each."""
WINDOW = 24
"""Tokens shown around the strongest one."""
_SEED = 20


class CardMaker:
    """Makes cards of the latents of one store. Opening takes a pass over the labels and token ids; a card, a few milliseconds."""

    def __init__(self, latents: Path, tokens: Path, examples: Path) -> None:
        """Open an indexed store.

        Args:
            latents: folder of a store of latents with its by-latent index.
            tokens: folder of the token store of the same rows, with its pieces.
            examples: ``examples-<fp>.parquet`` of the same rows.

        Raises:
            StoreError: something is missing, or the three are not of the same rows.
        """
        for path in (latents, tokens, examples):
            if not path.exists():
                raise StoreError(f"{path} is not there. Cards are made from the stores; keep base_save_dir, or run the extraction again.")
        self.index = ByLatent(latents)
        self._tokens, self._rows = TokenStore(tokens), ExampleRows(examples)
        sizes = {str(latents): self.index.n_rows, str(tokens): self._tokens.n_rows, str(examples): len(self._rows)}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise StoreError(f"These must be of the same examples, but have different numbers of rows: {told}.")
        self._counter = Counter(self.index, self._rows, self._tokens.piece_of)

    @property
    def classes(self) -> Groups:
        """Classes of the rows."""
        return self._rows.classes

    @property
    def languages(self) -> Groups | None:
        """Languages of the rows; None where the data names none."""
        return self._rows.languages

    def counts(self, latents: Iterable[int]) -> Iterator[LatentCounts]:
        """Count latents without looking at texts, in the order given.

        Raises:
            StoreError: a latent is outside the SAE.
        """
        return self._counter.counts(latents)

    def card(self, latent: int) -> LatentCard:
        """Make the card of a latent, without neighbours, names and uses.

        Raises:
            StoreError: the latent is outside the SAE.
        """
        found = next(self.counts([latent]))
        peaks = _Peaks(*self.index.firings(latent), self.index.row_offsets)
        seen: set[tuple[str, str | None]] = set()
        top = self._distinct(peaks.strongest().tolist(), N_TOP, seen)
        return {
            "latent": latent,
            "label": found.label,
            "n_tokens": found.n_tokens,
            "n_examples": found.n_examples,
            "density_tokens": short(found.n_tokens / max(self.index.n_tokens, 1)),
            "density_examples": short(found.n_examples / max(self.index.n_rows, 1)),
            "by_class": shares(found.by_class, self._rows.classes),
            "by_language": shares(found.by_language, self._rows.languages) if self._rows.languages else {},
            "max": short(found.max),
            "histogram": {"max": short(found.max), "counts": found.histogram.tolist()},
            "top_tokens": found.top_tokens,
            "examples": [self._window(peaks, row) for row in top],
            "random_examples": self._random(peaks, latent, seen),
            "nearest": None,
        }

    def silent(self, latent: int, n: int, seed: int) -> list[str]:
        """Return up to ``n`` random texts of examples on which a latent does not fire, as windows of the usual length."""
        peaks = _Peaks(*self.index.firings(latent), self.index.row_offsets)
        fires = np.zeros(self.index.n_rows, dtype=bool)
        fires[peaks.rows] = True
        counted = np.diff(self.index.row_offsets) > 0
        rows = np.random.default_rng([seed, latent]).permutation(np.flatnonzero(counted & ~fires))[:n]
        first = [int(self.index.positions[self.index.row_offsets[row]]) for row in rows]
        return ["".join(self._tokens.pieces(int(row))[at : at + WINDOW]) for row, at in zip(rows, first, strict=True)]

    def _distinct(self, rows: Iterable[int], n: int, seen: set[tuple[str, str | None]]) -> list[int]:
        """Take the first ``n`` rows whose text and picture have not been seen, and remember these."""
        taken: list[int] = []
        for row in rows:
            if len(taken) == n:
                break
            content = self._rows.content(row)
            if content not in seen:
                seen.add(content)
                taken.append(row)
        return taken

    def _random(self, peaks: _Peaks, latent: int, seen: set[tuple[str, str | None]]) -> list[Window]:
        draw = np.random.default_rng([_SEED, latent])
        ascending = peaks.strongest()[::-1]
        bounds = [len(ascending) * band // N_BANDS for band in range(N_BANDS + 1)]
        windows: list[Window] = []
        for band in reversed(range(N_BANDS)):
            members = draw.permutation(ascending[bounds[band] : bounds[band + 1]])
            quantile = [band / N_BANDS, (band + 1) / N_BANDS]
            windows += [{**self._window(peaks, row), "quantile": quantile} for row in self._distinct(members.tolist(), PER_BAND, seen)]
        return windows

    def _window(self, peaks: _Peaks, row: int) -> Window:
        tokens, values = peaks.firings(row)
        positions = self.index.positions[tokens]
        strongest = int(np.argmax(values))
        pieces = self._tokens.pieces(row)
        # A token in front that does not count is the model's own start of text.
        first = min(int(self.index.positions[self.index.row_offsets[row]]), 1)
        start = max(first, min(int(positions[strongest]) - WINDOW // 2, len(pieces) - WINDOW))
        shown = pieces[start : start + WINDOW]
        acts = [0.0] * len(shown)
        for position, value in zip(positions.tolist(), values.tolist(), strict=True):
            if start <= position < start + len(shown):
                acts[position - start] = short(value)
        window: Window = {
            "id": self._rows.id(row),
            "label": self._rows.label(row),
            "language": self._rows.language(row),
            "value": short(float(values[strongest])),
            "pieces": shown,
            "acts": acts,
            "at": int(positions[strongest]) - start,
            "cut": [start > first, start + len(shown) < len(pieces)],
        }
        if picture := self._rows.picture(row):
            window["picture"] = picture
        return window


class _Peaks:
    """The examples on which one latent fires, and how strongly."""

    def __init__(self, tokens: np.ndarray, values: np.ndarray, row_offsets: np.ndarray) -> None:
        self._tokens, self._values = tokens, values
        # Tokens ascend, so the firings of row r are those between the places of its first and last token.
        self._bounds = np.searchsorted(tokens, row_offsets)
        self.rows = np.flatnonzero(np.diff(self._bounds))
        self.largest = np.maximum.reduceat(values, self._bounds[self.rows]) if len(self.rows) else values

    def strongest(self) -> np.ndarray:
        """Return int64 [n]: rows by largest activation, strongest first, ties by row."""
        return self.rows[np.argsort(-self.largest, kind="stable")]

    def firings(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the counted tokens of a row on which the latent fires, and the activations there."""
        part = slice(self._bounds[row], self._bounds[row + 1])
        return self._tokens[part], self._values[part]


def shares(counts: np.ndarray, groups: Groups) -> dict[str, float]:
    """Return the share of each group's rows that ``counts`` are."""
    return {name: short(n / size) for name, n, size in zip(groups.names, counts.tolist(), groups.sizes.tolist(), strict=True)}
