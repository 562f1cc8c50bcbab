"""Where chosen latents fire inside one shard, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mosaic_sae.store.format import TokenLatents


@dataclass(frozen=True)
class Firings:
    """One entry per (token, chosen latent) with a value above zero, ordered by token."""

    slot: np.ndarray
    """int64 [n]: which of the chosen latents."""
    row: np.ndarray
    """int64 [n]: example within the shard."""
    position: np.ndarray
    """int64 [n]: place in the example's token sequence."""
    value: np.ndarray
    """float64 [n]: latent activation."""


@dataclass(frozen=True)
class Peak:
    """One latent in one example: where it fires, how strongly, and where most."""

    row: int
    value: float
    positions: np.ndarray
    values: np.ndarray
    at: int
    """Position of the strongest token; the first of them when several are equal."""


def slot_table(latents: np.ndarray, d_sae: int) -> np.ndarray:
    """Return int64 [d_sae]: the slot of each chosen latent, -1 for all others."""
    table = np.full(d_sae, -1, dtype=np.int64)
    table[latents] = np.arange(len(latents))
    return table


def firings_of(shard: TokenLatents, slots: np.ndarray) -> Firings:
    """Pick the entries of the chosen latents out of a shard. Memory stays proportional to the shard."""
    slot = slots[shard.indices]
    kept = np.flatnonzero(slot >= 0)
    # Entry e belongs to the token whose offsets enclose e, and that token to the row whose offsets enclose it.
    token = np.searchsorted(shard.token_offsets, kept, side="right") - 1
    row = np.searchsorted(shard.row_offsets, token, side="right") - 1
    return Firings(
        slot=slot[kept],
        row=row,
        position=shard.positions[token].astype(np.int64),
        value=shard.values[kept].astype(np.float64),
    )


def peaks_of(found: Firings) -> list[tuple[int, Peak]]:
    """Group firings by (slot, row): one ``Peak`` for each pair, rows counted within the shard."""
    if not len(found.slot):
        return []
    order = np.lexsort((found.position, found.row, found.slot))
    slot, row = found.slot[order], found.row[order]
    position, value = found.position[order], found.value[order]
    starts = np.flatnonzero(np.concatenate([[True], (slot[1:] != slot[:-1]) | (row[1:] != row[:-1])]))
    ends = np.append(starts[1:], len(slot))
    peaks = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        best = start + int(np.argmax(value[start:end]))
        peak = Peak(int(row[start]), float(value[best]), position[start:end], value[start:end], int(position[best]))
        peaks.append((int(slot[start]), peak))
    return peaks
