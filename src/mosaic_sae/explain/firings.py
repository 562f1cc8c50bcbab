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
    token: np.ndarray
    """int64 [n]: counted token within the shard."""
    position: np.ndarray
    """int64 [n]: place in the example's token sequence."""
    value: np.ndarray
    """float64 [n]: latent activation."""


@dataclass(frozen=True)
class Peaks:
    """One entry per (chosen latent, example) with a firing, ordered by latent, then example."""

    slot: np.ndarray
    """int64 [m]."""
    row: np.ndarray
    """int64 [m]: example within the shard."""
    value: np.ndarray
    """float64 [m]: largest activation."""
    at: np.ndarray
    """int64 [m]: position of the strongest token; the first of them when several are equal."""
    starts: np.ndarray
    """int64 [m+1]: the entries of pair i in ``positions`` and ``values`` are starts[i]:starts[i+1]."""
    positions: np.ndarray
    """int64 [n]."""
    values: np.ndarray
    """float64 [n]."""


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
        token=token,
        position=shard.positions[token].astype(np.int64),
        value=shard.values[kept].astype(np.float64),
    )


def peaks_of(found: Firings) -> Peaks:
    """Group firings by latent and example."""
    order = np.lexsort((found.position, -found.value, found.row, found.slot))
    slot, row = found.slot[order], found.row[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (slot[1:] != slot[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(new)
    # Inside a group the strongest token comes first, the earliest of equals.
    position, value = found.position[order], found.value[order]
    return Peaks(slot[first], row[first], value[first], position[first], np.append(first, len(order)), position, value)
